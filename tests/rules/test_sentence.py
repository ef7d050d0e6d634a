"""Every rule as one sentence, in three languages, whatever state its document is in."""

from pathlib import Path
from typing import Any

import pytest
from engines import make_engine
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.engine import Engine
from rules.labels import Labels, fields_of
from rules.sentence import plain_sentence, say_rule


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    engine = make_engine(Path(tmp_path_factory.mktemp("sentence")))
    yield engine
    engine.close()


RULE: dict[str, Any] = {
    "rule": "x",
    "when": {"event": "order.paid"},
    "if": {"all": [{"field": "order.total", "is": "at_least", "value": {"amount": "5000", "currency": "TRY"}}]},
    "then": [{"wait": {"for": "3 days"}}, {"do": "tasks.create", "with": {"title": "Call"}}],
}

#: Language -> the whole sentence.
SAID = {
    "en": "When Order paid, if Order › Order total: at least 5000 TRY, then wait 3 days, Create a task “Call”",
    "tr": (
        "Şu olunca: Sipariş ödendi, koşul: Sipariş › Sipariş toplamı: en az 5000 TRY,"
        " yapılacak: bekle 3 gün, Görev oluştur “Call”"
    ),
    "ru": "Когда Заказ оплачен, если Заказ › Сумма заказа: не меньше 5000 TRY, то ждать 3 дня, Создать задачу “Call”",
}


@pytest.mark.parametrize(("language", "sentence"), SAID.items())
def test_rule_is_told_in_one_sentence(language: str, sentence: str, engine: Engine):
    assert plain_sentence(say_rule(RULE, Labels(engine, language))) == sentence


def test_names_that_nobody_explains_stand_for_themselves(engine: Engine):
    rule = {"when": {"event": "till.closed"}, "then": [{"do": "till.count_money"}]}
    assert plain_sentence(say_rule(rule, Labels(engine, "en"))) == "When till.closed, then till.count_money"


def test_long_rules_are_cut_with_a_count(engine: Engine):
    rule = {**RULE, "then": [{"do": "tasks.create"}] * 6}
    assert plain_sentence(say_rule(rule, Labels(engine, "en"))).endswith("Create a task, 3 more")


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                "when if then event field fact is value all any none do with wait for choose split each".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["rule", "when", "if", "then"]), _ANY, max_size=4))
def test_unfinished_documents_are_told_too(engine: Engine, document: dict[str, Any]):
    assert plain_sentence(say_rule(document, Labels(engine, "ru")))


def test_fields_carry_all_labels_from_outside_in(engine: Engine):
    kind = engine.host.catalogue.get("order.paid")
    found = {field.path: field for field in fields_of(kind.schema, "tr")}
    category = found["order.items.product.category"]
    assert category.labels == ("Sipariş", "Kalemler", "Ürün", "Kategori")
    assert category.listed
    assert not found["order.total"].listed
