"""Figures: their JSON is what the documentation shows, their table puts each beside its limit."""

from pathlib import Path

import pytest
from command_line import CommandLine

from benchmarks.figures import Figure, as_document, as_table, cpu_rates, figure, memory_mb, percentile
from commands.bench import BENCHES, find_bench


def test_document_has_exactly_the_named_keys() -> None:
    one = figure("match.1000", [240_000, 262_000, 251_000], "events/cpu_s", limit=307_000)
    assert as_document("match", [one]) == {
        "bench": "match",
        "figures": [
            {
                "name": "match.1000",
                "value": 251_000,
                "unit": "events/cpu_s",
                "spread": [240_000, 262_000],
                "limit": 307_000,
            }
        ],
    }


# value, as it is written
ROUNDED = [(0.0123456, 0.01235), (3.0, 3), (123_456, 123_500), (99.996, 100), (0, 0)]


def test_figures_have_four_digits_and_no_more() -> None:
    assert [figure("x", [value], "s").as_json()["value"] for value, _ in ROUNDED] == [told for _, told in ROUNDED]


# value, unit, limit, part of the limit that was reached
LIMITS = [
    (50, "events/s", 100, 0.5),  # more is better
    (20, "ms", 10, 0.5),  # less is better
    (5, "ms", None, None),  # nothing to compare with
    (0, "MB", 10, None),  # nothing was measured
]


def test_part_of_the_limit_looks_at_the_unit() -> None:
    made = [Figure(name="x", value=value, unit=unit, spread=(1, 1), limit=limit) for value, unit, limit, _ in LIMITS]
    assert [each.of_limit for each in made] == [part for *_, part in LIMITS]


def test_table_names_value_spread_and_limit() -> None:
    table = as_table([figure("match.1000", [240_000, 251_000, 262_000], "events/cpu_s", limit=502_000)])
    head, line = table.splitlines()
    assert head.split() == ["FIGURE", "VALUE", "UNIT", "SPREAD", "LIMIT", "OF", "LIMIT"]
    assert line.split() == ["match.1000", "251,000", "events/cpu_s", "240,000", "..", "262,000", "502,000", "50%"]


def test_rates_count_what_the_work_says_it_did() -> None:
    done = []

    def work() -> int:
        done.append(sum(range(10_000)))
        return 7

    assert all(rate > 0 for rate in cpu_rates(work, repeats=3))
    assert len(done) == 3


def test_percentile_is_one_of_the_samples() -> None:
    samples = [float(number) for number in range(100, 0, -1)]
    assert [percentile(samples, part) for part in (0, 0.5, 0.99, 1)] == [1, 51, 100, 100]


def test_memory_is_told_by_the_kernel() -> None:
    assert 1 < memory_mb() <= memory_mb(peak=True) + 1


def test_bench_without_its_module_is_not_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = CommandLine(tmp_path / "shop")
    assert "match" in line("bench", "--help").out
    missing = line("bench", "nothing")
    assert missing.code == 2
    assert "'nothing' is not a benchmark" in missing.err
    assert {name for name in BENCHES if find_bench(name)} >= {"match", "growth", "replay"}


def test_match_measures_small_sizes_in_a_moment(tmp_path: Path) -> None:
    told = CommandLine(tmp_path / "shop").json("bench", "match", "--most", "10", "--repeats", "1")
    names = [each["name"] for each in told["figures"]]
    assert names == ["match.10", "match.build_s", "match.build_mb", "match.compile_s", "match.switch_ms"]
