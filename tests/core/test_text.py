"""Words people typed compare equal, however they typed them."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import fold

SAME = [
    ("İSTANBUL", "istanbul"),  # Turkish capital with a dot
    ("ISTANBUL", "istanbul"),  # the same city from an English keyboard
    ("ıstanbul", "istanbul"),  # lower case made by a Turkish program
    ("i\u0307stanbul", "istanbul"),  # what str.lower makes of "İ"
    ("Çağrı", "ÇAĞRI"),
    ("МОСКВА", "Москва"),
    ("и\u0306од", "йод"),  # decomposed letters, as macOS writes file names
    ("Kadıköy\u00a0Moda", "kadiköy moda"),  # a no-break space from a spreadsheet
    ("１２３", "123"),  # full-width digits
    ("STRASSE", "straße"),
]

DIFFERENT = [
    ("sok", "şok"),  # other letters are never merged
    ("e", "ё"),
    ("ol", "öl"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same_word_folds_alike(one, other):
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_letters_stay_different(one, other):
    assert fold(one) != fold(other)


@given(st.text())
def test_folding_twice_changes_nothing(text):
    assert fold(fold(text)) == fold(text)


def test_every_letter_folds_once():
    for code in range(sys.maxunicode + 1):
        once = fold(chr(code))
        assert fold(once) == once, hex(code)


@given(st.text(alphabet=st.sampled_from("iİıI\u0307\u0301\u0327ßΐᾳſK")))
def test_marks_around_i_fold_once(text):
    assert fold(fold(text)) == fold(text)


@given(st.text(alphabet=st.sampled_from("abcçğıiİIöşüABCÇĞÖŞÜ ")))
def test_case_never_matters(text):
    assert fold(text.upper()) == fold(text) == fold(text.lower())


@given(st.text())
def test_decomposing_never_matters(text):
    assert fold(unicodedata.normalize("NFD", text)) == fold(text)


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_path_equals_long_path(text):
    assert fold(text + "é").removesuffix("é") == fold(text)
