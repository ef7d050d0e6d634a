"""One way to compare words that people typed, whichever keyboard, case or Turkish i they used."""

import re
import unicodedata

#: A soft dot that case folding leaves behind: "İ" becomes "i" + U+0307.
_DOTTED_I = re.compile("i\u0307+")

#: Three rounds settle every known text; a fold must not depend on how often it was applied.
_ROUNDS = 4


def fold(text: str) -> str:
    """Return the form of `text` under which equal words are equal: case folded, i İ ı I one letter, NFKC.

    NFKC and not NFC, because the text comes from spreadsheets, PDFs and phone keyboards: no-break
    spaces, ligatures and full-width digits must equal their plain forms. Never show a folded text.
    """
    if text.isascii():
        return text.lower()
    for _ in range(_ROUNDS):
        folded = _fold_once(text)
        if folded == text:
            break
        text = folded
    return text


def _fold_once(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold().replace("ı", "i")
    return unicodedata.normalize("NFKC", _DOTTED_I.sub("i", unicodedata.normalize("NFKD", plain)))
