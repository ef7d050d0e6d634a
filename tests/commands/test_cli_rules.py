"""Rules from the command line: written, tried, switched, moved between shops."""

from pathlib import Path

import pytest
from command_line import RULE, CommandLine, make_shop

ORDER = {"id": "7", "total": {"amount": "250", "currency": "TRY"}}


@pytest.fixture
def thanks(tmp_path: Path) -> Path:
    """The file of a rule."""
    path = tmp_path / "thanks.yaml"
    path.write_text(RULE.format(name="thanks"))
    return path


def publish(shop: CommandLine, folder: Path, *names: str, state: str = "on") -> None:
    for name in names:
        path = folder / f"{name}.yaml"
        path.write_text(RULE.format(name=name))
        assert shop("rules", "publish", str(path), "--state", state).code == 0


def states(shop: CommandLine) -> dict[str, str]:
    return {row["name"]: row["state"] for row in shop.json("rules", "list")}


def test_published_rule_is_listed_and_printed(shop: CommandLine, thanks: Path):
    told = shop.json("rules", "publish", str(thanks), "--note", "first")
    assert told == [{"rule": "thanks", "result": "created", "version": 1, "state": "off", "error": None}]
    (row,) = shop.json("rules", "list")
    assert (row["name"], row["state"], row["version"], row["title"]) == ("thanks", "off", 1, "Thanks")
    assert shop("rules", "show", "thanks").out == thanks.read_text()


def test_dry_publish_tells_and_keeps_nothing(shop: CommandLine, thanks: Path):
    told = shop.json("rules", "publish", str(thanks), "--dry-run", "--state", "on", code=6)
    assert told[0]["result"] == "created"
    assert shop.json("rules", "list") == []
    shop("rules", "publish", str(thanks), "--state", "on")
    assert shop.json("rules", "publish", str(thanks), "--dry-run")[0]["result"] == "same"


def test_bad_file_does_not_keep_the_good_one(shop: CommandLine, thanks: Path, tmp_path: Path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("rule: bad\nwhen: {event: order.approved}\nthen:\n  - do: nothing.at_all\n")
    told = shop.json("rules", "publish", str(bad), str(thanks), "--state", "on", code=1)
    assert [(row["rule"], row["result"]) for row in told] == [("bad", "refused"), ("thanks", "created")]
    assert "no action nothing.at_all" in told[0]["error"]
    assert states(shop) == {"thanks": "on"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("rule: [", "line "),  # no YAML
        ("- a list", "a rule is an object"),  # no object
        ("# nothing\n", "holds no rule"),  # empty
        ("rule: x\nwhen: {event: a.b}\nthen: []\nfoo: 1\n", "foo"),  # an unknown word
        ("\x00", "not "),  # a character that no text has
    ],
)
def test_unreadable_rule_is_refused_in_words(shop: CommandLine, thanks: Path, text: str, error: str):
    thanks.write_text(text)
    for verb in ("publish", "lint"):
        answer = shop("rules", verb, str(thanks))
        assert answer.code == 1
        assert error in answer.out + answer.err
        assert "Traceback" not in answer.err


def test_lint_finds_what_publishing_would_refuse(shop: CommandLine, thanks: Path):
    assert shop.json("rules", "lint", str(thanks)) == []
    thanks.write_text(thanks.read_text().replace("messages.send", "messages.sent"))
    (finding,) = shop.json("rules", "lint", str(thanks), code=1)
    assert (finding["severity"], finding["file"]) == ("error", str(thanks))
    assert "did you mean messages.send" in finding["message"]


def test_names_with_stars_switch_many(shop: CommandLine, tmp_path: Path):
    publish(shop, tmp_path, "late-call", "late-mail", "thanks")
    assert shop("rules", "disable", "late-*", "--dry-run").code == 6
    assert set(states(shop).values()) == {"on"}
    assert shop("rules", "disable", "late-*", "--reason", "stock-taking").code == 0
    assert states(shop) == {"late-call": "off", "late-mail": "off", "thanks": "on"}
    assert shop("rules", "watch", "*").code == 0
    assert set(states(shop).values()) == {"watching"}
    assert shop("rules", "enable", "late-call", "thanks").code == 0
    assert states(shop) == {"late-call": "on", "late-mail": "watching", "thanks": "on"}
    assert shop("rules", "enable", "lost-*").code == 3


def test_unpublished_rule_cannot_be_enabled(shop: CommandLine, thanks: Path):
    shop("rules", "import", str(thanks))
    for dry in ([], ["--dry-run"]):
        told = shop.json("rules", "enable", "thanks", *dry, code=1)
        assert "publish it first" in told[0]["error"]
    assert states(shop) == {"thanks": "off"}


def test_rule_is_switched_off_without_its_plugin(shop: CommandLine, tmp_path: Path):
    publish(shop, tmp_path, "thanks")
    shop("plugins", "disable", "messages")
    assert shop("rules", "disable", "thanks").code == 0
    assert states(shop) == {"thanks": "off"}
    assert "no action messages.send" in shop.json("rules", "enable", "thanks", code=1)[0]["error"]


def test_versions_are_compared_and_restored(shop: CommandLine, thanks: Path):
    shop("rules", "publish", str(thanks), "--note", "first")
    thanks.write_text(thanks.read_text().replace('"100"', '"200"'))
    assert '+if: {field: order.total, is: at_least, value: {amount: "200"' in shop("rules", "diff", str(thanks)).out
    shop("rules", "publish", str(thanks))
    rows = shop.json("rules", "versions", "thanks")
    assert [(row["version"], row["live"], row["note"]) for row in rows] == [(2, True, None), (1, False, "first")]
    diff = shop("rules", "diff", "thanks", "--from", "1", "--to", "2").out
    assert [line[:3] for line in diff.splitlines() if line.startswith(("-if", "+if"))] == ["-if", "+if"]
    assert shop("rules", "restore", "thanks", "1").code == 0
    assert '"100"' in shop("rules", "show", "thanks", "--draft").out
    assert '"200"' in shop("rules", "show", "thanks").out
    assert shop("rules", "restore", "thanks", "9").code == 3
    assert shop("rules", "diff", "thanks", "--from", "old").code == 2


def test_export_and_import_lose_nothing(shop: CommandLine, tmp_path: Path):
    texts = {
        "thanks": RULE.format(name="thanks"),
        "kiss": "rule: kiss  # öpücük\nwhen: {event: order.created}\nthen: []\n",
    }
    texts["kiss"] = texts["kiss"].replace("then: []", "then:\n- stop: 'ok'")
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
        shop("rules", "publish", str(tmp_path / f"{name}.yaml"))
    folder = tmp_path / "out"
    assert shop("rules", "export", str(folder), "--dry-run").code == 6
    assert not folder.exists()
    assert shop("rules", "export", str(folder)).code == 0
    assert {path.stem: path.read_text() for path in folder.iterdir()} == texts
    assert [row["result"] for row in shop.json("rules", "export", str(folder))] == ["same", "same"]

    other = make_shop(tmp_path / "other")
    assert other("rules", "import", str(folder), "--publish", "--state", "watching").code == 0
    assert states(other) == {"thanks": "watching", "kiss": "watching"}
    assert {row["result"] for row in other.json("rules", "import", str(folder))} == {"same"}
    other("rules", "export", str(tmp_path / "back"))
    assert {path.stem: path.read_text() for path in (tmp_path / "back").iterdir()} == texts


def test_import_makes_drafts_and_leaves_live_rules(shop: CommandLine, tmp_path: Path):
    publish(shop, tmp_path, "thanks")
    (tmp_path / "thanks.yaml").write_text(RULE.format(name="thanks").replace('"100"', '"300"'))
    assert shop.json("rules", "import", str(tmp_path / "thanks.yaml"))[0]["result"] == "changed"
    assert '"100"' in shop("rules", "show", "thanks").out
    assert '"300"' in shop("rules", "show", "thanks", "--draft").out
    assert shop("rules", "import", str(tmp_path), "--state", "on").code == 2


def test_trial_on_recorded_events_shows_the_funnel(shop: CommandLine, thanks: Path, sent_orders: int):
    told = shop.json("rules", "test", str(thanks), "--last", "10")
    assert (told["events"], told["counts"]) == (sent_orders, {"acted": 1, "stopped": 1})
    assert [(row["reached"], row["passed"]) for row in told["funnel"]] == [(2, 1)]
    out = shop("rules", "test", str(thanks)).out
    assert "2 events" in out
    assert "order.total at_least 100 TRY" in out
    assert "{" not in out
    assert shop.json("runs", "list") == []
    assert shop.json("effects") == []


# condition, what the test prints of it
SAID = [
    ("{field: order.total, is: between, value: [{amount: 1, currency: TRY}, {amount: 9, currency: TRY}]}", "1 TRY, 9"),
    ("{field: order.total, is: at_least, value: {field: order.paid_total}}", "at_least order.paid_total"),
    ("{field: order.is_paid, is: equal, value: true}", "order.is_paid equal yes"),
    ("{field: order.number, is: known}", "order.number known "),
    ("{field: order.created_at, is: in_last, value: 3 days}", "in_last 3 days"),
]


@pytest.mark.parametrize(("condition", "words"), SAID)
def test_condition_is_told_as_people_write_it(
    shop: CommandLine, tmp_path: Path, sent_orders: int, condition: str, words: str
):
    path = tmp_path / "said.yaml"
    path.write_text(
        RULE.format(name="said").replace(RULE.splitlines()[4].replace("{{", "{").replace("}}", "}"), f"if: {condition}")
    )
    out = shop("rules", "test", str(path)).out
    assert words in out
    assert not set("{}'") & set(out)
    assert "None" not in out


def test_rule_that_nothing_starts_is_refused_at_publishing(shop: CommandLine, tmp_path: Path):
    path = tmp_path / "unheard.yaml"
    path.write_text(RULE.format(name="unheard").replace("order.approved", "order.aproved"))
    for state in ("on", "off"):
        (told,) = shop.json("rules", "publish", str(path), "--state", state, code=1)
        assert "did you mean order.approved?" in told["error"]
        assert "switch on the plugin that brings it" in told["error"]
    assert shop.json("rules", "list") == []
    assert shop("rules", "lint", str(path)).code == 1
    assert shop("rules", "import", str(path)).code == 0  # a draft may be unfinished


def test_help_of_why_says_what_order_takes(shop: CommandLine):
    assert "phone or e-mail" in shop("why", "--help").out.replace("\n", " ")
