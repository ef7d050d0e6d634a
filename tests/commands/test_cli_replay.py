"""`replay` and `bench` as a person types them, on a folder with two orders."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import CommandLine

ROOT = Path(__file__).resolve().parents[2]

PROMISED = "2018-05-20 00:00:00"
TABLES = {
    "orders": [
        (
            "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,"
            "order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date"
        ),
        f"o1,c1,delivered,2018-05-01 10:00:00,2018-05-01 10:05:00,2018-05-02 09:00:00,2018-05-07 18:30:00,{PROMISED}",
        f"o2,c2,created,2018-05-03 10:00:00,,,,{PROMISED}",
    ],
    "customers": [
        "customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state",
        "c1,person,01409,sao paulo,SP",
        "c2,other,01409,sao paulo,SP",
    ],
    "order_items": [
        "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value",
        "o1,1,p1,s1,2018-05-05 00:00:00,99.9,27.65",
    ],
    "order_payments": [
        "order_id,payment_sequential,payment_type,payment_installments,payment_value",
        "o1,1,credit_card,6,127.55",
    ],
    "order_reviews": [
        (
            "review_id,order_id,review_score,review_comment_title,review_comment_message,"
            "review_creation_date,review_answer_timestamp"
        ),
        "r1,o1,4,,Bom,2018-05-08 00:00:00,2018-05-09 12:00:00",
    ],
    "products": [
        "product_id,product_category_name,product_weight_g,product_length_cm,product_height_cm,product_width_cm",
        "p1,artes,1000,30,18,20.0",
    ],
}
RULES = {
    "thanks": "rule: thanks\nwhen: {event: order.approved}\nthen:\n  - do: messages.send\n    with: {text: Thanks}\n",
    "reminder": "rule: reminder\nwhen: {event: order.created}\nthen:\n"
    "  - wait: {event: order.approved, timeout: 24 hours}\n    as: day\n"
    "  - choose:\n      - if: {field: steps.day.outcome, is: equal, value: happened}\n"
    "        then:\n          - stop: paid\n"
    "  - do: tasks.create\n    with: {title: Call}\n",
}


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[str, str]:
    """Two folders: the recorded shop, and its rules."""
    folder, rules = tmp_path / "recorded", tmp_path / "rules"
    folder.mkdir()
    rules.mkdir()
    for noun, lines in TABLES.items():
        (folder / f"{noun}.csv").write_text("\n".join(lines) + "\n")
    for name, text in RULES.items():
        (rules / f"{name}.yaml").write_text(text)
    return str(folder), str(rules)


def test_replay_counts_what_rules_did(recorded: tuple[str, str], tmp_path: Path):
    folder, rules = recorded
    shop = CommandLine(tmp_path / "shop")
    told = shop.json("replay", folder, "--rules", rules)
    assert told["events"] == 6
    assert told["runs"] == {"thanks": {"acted": 1}, "reminder": {"acted": 1, "stopped": 1}}
    assert told["effects"] == {"message": 1, "task": 1}
    assert set(told) == {"events", "runs", "effects", "seconds", "events_per_s", "peak_mb"}
    again = shop.json("replay", folder, "--rules", rules, "--resume")
    assert (again["events"], again["runs"], again["effects"]) == (told["events"], told["runs"], told["effects"])
    assert "reminder: 1 acted, 1 stopped" in shop("replay", folder, "--rules", rules).out


def test_progress_never_reaches_stdout(recorded: tuple[str, str], tmp_path: Path):
    folder, rules = recorded
    program = [sys.executable, str(ROOT / "engine.py"), "replay", folder, "--rules", rules, "--json"]
    result = subprocess.run(
        [*program, "--home", str(tmp_path / "shop")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80"},
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["events"] == 6


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["replay", "/no/such/folder", "--rules", "RULES"], "does not exist"),
        (["replay", "FOLDER"], "Missing option '--rules'"),
        (["replay", "FOLDER", "--rules", "EMPTY"], "is no rule file and holds none"),
        (["replay", "EMPTY", "--rules", "RULES"], "no such file"),
        (["replay", "FOLDER", "--rules", "RULES", "--zone", "Europe"], "zone"),
        (["bench", "nothing"], "'nothing' is not"),
    ],
)
def test_wrong_words_are_told(recorded: tuple[str, str], tmp_path: Path, words: list[str], error: str):
    empty = tmp_path / "empty"
    empty.mkdir()
    places = {"FOLDER": recorded[0], "RULES": recorded[1], "EMPTY": str(empty)}
    answer = CommandLine(tmp_path / "shop")(*(places.get(word, word) for word in words))
    assert answer.code in (1, 2)
    assert error in answer.err
    assert "went wrong inside" not in answer.err


def test_shop_is_not_replayed_over(recorded: tuple[str, str], shop: CommandLine):
    folder, rules = recorded
    words = ("replay", folder, "--rules", rules, "--database", shop.database)
    for more in ((), ("--resume",)):
        answer = shop(*words, *more)
        assert answer.code == 5
        assert "is not empty: a replay needs one of its own" in answer.err
    assert shop.json("rules", "list") == []


def test_named_database_is_resumed(recorded: tuple[str, str], tmp_path: Path, database_url: str):
    folder, rules = recorded
    words = ("replay", folder, "--rules", rules, "--database", database_url)
    first = CommandLine(tmp_path / "a").json(*words)
    again = CommandLine(tmp_path / "b").json(*words, "--resume")
    assert {name: first[name] for name in ("events", "runs", "effects")} == {
        name: again[name] for name in ("events", "runs", "effects")
    }
