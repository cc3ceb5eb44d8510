"""Tables and ratios from a canned run."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import pytest
from benchmarks.chart import draw_results
from benchmarks.results import CommandResult, CommandRun, Results, Spread
from benchmarks.rounds import interleave
from benchmarks.tables import (
    eager_ratios,
    fastest_enet,
    result_tables,
    spread_text,
    times_enet,
    times_floor,
)
from PIL import Image
from rich.console import Console


@pytest.fixture(scope="module")
def canned() -> Results:
    text = Path(__file__).with_name("canned.json").read_text(encoding="utf-8")
    return Results.model_validate_json(text)


def printed(results: Results) -> str:
    text = io.StringIO()
    Console(file=text, width=160).print(*result_tables(results))
    return text.getvalue()


def test_the_spread_of_rounds():
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("spread", "expected"),
    [
        (Spread(0.004, 0.01, 0.02), "0.01 (0.00 to 0.02)"),
        (Spread(9.5, 10.0, 11.0), "10.0 (9.5 to 11.0)"),
        (Spread(640.0, 650.4, 700.0), "650 (640 to 700)"),
        (Spread(0.0, 0.0, 0.0), "0.00"),
    ],
)
def test_spreads_are_written_to_three_figures(spread, expected):
    assert spread_text(spread) == expected


def test_ratios_are_of_the_same_round():
    # The machine was twice as slow in the second round, and the ratio was not.
    assert Spread.of_ratios([6.0, 12.0], [2.0, 4.0]) == Spread(3.0, 3.0, 3.0)


def test_ratios_need_as_many_rounds():
    with pytest.raises(ValueError, match="zip"):
        Spread.of_ratios([1.0, 2.0], [1.0])


def test_rounds_are_interleaved():
    order: list[str] = []

    def measure(name: str) -> int:
        order.append(name)
        return len(order)

    contestants = {name: partial(measure, name) for name in "ab"}
    told: list[tuple[str, int, int]] = []
    measured = interleave(contestants, 2, lambda *news: told.append(news))
    assert order == ["a", "b", "a", "b"]
    assert measured == {"a": [1, 3], "b": [2, 4]}
    assert told == [("a", 0, 4), ("b", 1, 4), ("a", 2, 4), ("b", 3, 4)]


def test_what_no_part_accounts_for_is_the_start():
    run = CommandRun(seconds=10.0, cpu_s=12.0, peak_mb=300.0, stages={"stage1": 6.0, "write": 3.0})
    result = CommandResult(title="renalmap segment", slices=100, runs=(run,))
    assert result.stage_seconds() == {"start": 1.0, "stage1": 6.0, "write": 3.0}


def test_the_yardstick_is_compared_on_as_many_cores(canned):
    assert eager_ratios(canned.segment) == {
        ("renalmap segment --threads 1", 50): Spread(4.0, 4.5, 5.0),
    }


def test_a_network_beside_enet_in_its_runtime_and_beside_the_fastest(canned):
    unet = next(row for row in canned.networks if row.network == "monai_unet" and row.runtime == "eager")
    there, fastest = times_enet(canned.networks, unet)
    assert there == Spread(2.0, 2.0, 2.0)
    assert fastest == Spread(10.0, 10.0, 10.0)


def test_only_rows_on_as_many_cores_compete(canned):
    fastest = fastest_enet(canned.networks, 2)
    assert fastest is not None
    assert fastest.lane.title == "2 streams"
    assert fastest_enet(canned.networks, 3) is None


def test_the_floor_of_one_thread_and_of_two(canned):
    rows = {(row.runtime, row.lane.cores): row for row in canned.networks if row.network == "enet"}
    # 188 GMAC at 94 a second: 2 s on one thread, of which 4.2 s is 2.1 times; on two 1 s.
    assert times_floor(canned, rows["openvino", 1]) == pytest.approx(2.1)
    assert times_floor(canned, rows["openvino", 2]) == pytest.approx(2.5)


def test_everything_measured_is_printed(canned):
    text = printed(canned)
    for expected in (
        "takes 4.50 (4.00 to 5.00) times as long as renalmap segment --threads 1 (50 slices)",
        "dynamic_network_architectures is not installed",
        "openvino is not installed",
        "42.0 (40.0 to 44.0)",
        "torch 667",
        "ACME 9000, 2 cores (avx2, fma)",
    ):
        assert expected in text


def test_a_part_that_was_not_measured_has_no_table(canned):
    only_sizes = canned.model_copy(update={"segment": (), "starts": (), "networks": (), "floor": ()})
    text = printed(only_sizes)
    assert "On disk" in text
    assert "From command to file" not in text
    assert "Floor" not in text


def test_a_part_measured_again_keeps_the_others(canned):
    fresh = Results(name="canned", rounds=5, machine=canned.machine)
    assert fresh.completed_by(canned) == canned.model_copy(update={"rounds": 5})


def test_another_machine_begins_anew(canned):
    other = canned.machine.model_copy(update={"versions": {"numpy": "1.0"}})
    fresh = Results(name="canned", rounds=5, machine=other)
    assert fresh.completed_by(canned) == fresh


def test_the_chart_is_a_picture(canned, tmp_path):
    draw_results(canned, tmp_path / "chart.png")
    with Image.open(tmp_path / "chart.png") as picture:
        assert picture.width == 13 * 120
        assert len(set(picture.convert("RGB").get_flattened_data())) > 100


def test_nothing_measured_draws_nothing(canned, tmp_path):
    draw_results(canned.model_copy(update={"segment": (), "networks": ()}), tmp_path / "chart.png")
    assert not (tmp_path / "chart.png").exists()
