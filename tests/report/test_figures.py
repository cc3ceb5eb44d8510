"""The charts, read back from their PNGs."""

from __future__ import annotations

import sys
from dataclasses import replace
from math import nan

import numpy as np
import pytest

from renalmap.dataset.store import CaseEntry
from renalmap.errors import MissingDependencyError
from renalmap.evaluation import CaseScore, evaluate_case
from renalmap.report import (
    draw_dice_against_volume,
    draw_intensity_table,
    draw_slice_statistics,
    draw_training_curve,
)
from renalmap.report.palette import ALARM_COLOUR, TUMOUR_COLOUR

DEEP_BLUE = "#0072B2"


def rows(count: int, outlier: int | None) -> list[CaseEntry]:
    usual = [
        CaseEntry(
            case_id=f"case_{n:05d}",
            patient=f"case_{n:05d}",
            shape=(512, 512),
            spacing_mm=None,
            z_indices=(0,),
            kidney_pixels=(0,),
            tumour_pixels=(0,),
            min_hu=-1024,
            p01_hu=-1000,
            p50_hu=-300,
            p99_hu=400,
            max_hu=1800,
            outlier=False,
            volume_mean_deviation_hu=(0.0, 1.0),
        )
        for n in range(count)
    ]
    if outlier is not None:
        strange = {"min_hu": -6986, "max_hu": 18326, "outlier": True}
        usual[outlier] = usual[outlier].model_copy(update=strange)
    return usual


@pytest.fixture
def score(labels) -> CaseScore:
    return evaluate_case(labels, labels, surface=False)


def test_slice_statistics_show_two_planes(tmp_path, read_png):
    mean = np.full((64, 64), -1000.0)
    mean[16:48, 16:48] = 40.0
    draw_slice_statistics(mean, np.abs(mean) / 10, tmp_path / "statistics.png")
    pixels = read_png(tmp_path / "statistics.png")
    assert pixels.shape == (600, 1320, 3)
    grey = np.ptp(pixels.astype(int), axis=-1) < 10
    assert grey[200:400, 100:500].all()
    assert not grey[200:400, 700:1100].all()


def test_slice_statistics_of_different_shapes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="two planes of one shape"):
        draw_slice_statistics(np.zeros((4, 4)), np.zeros((4, 5)), tmp_path / "statistics.png")


@pytest.mark.parametrize("count", [3, 210])
def test_outliers_stand_out(tmp_path, read_png, near, count):
    draw_intensity_table(rows(count, outlier=1), tmp_path / "with.png")
    draw_intensity_table(rows(count, outlier=None), tmp_path / "without.png")
    with_outlier, usual = read_png(tmp_path / "with.png"), read_png(tmp_path / "without.png")
    assert near(with_outlier, ALARM_COLOUR).sum() > 100
    assert not near(usual, ALARM_COLOUR).any()
    assert near(usual, DEEP_BLUE).sum() > 500


def test_an_empty_intensity_table_is_drawn_without_cases(tmp_path, read_png, near):
    draw_intensity_table([], tmp_path / "empty.png")
    pixels = read_png(tmp_path / "empty.png")
    assert pixels.std() > 1
    assert not near(pixels, DEEP_BLUE).any()


def test_training_curve_takes_rows_as_a_csv_gives_them(tmp_path, read_png, near):
    training = [{"step": str(n), "loss": str(1 / (n + 1)), "val_dice": ""} for n in range(50)]
    validation = [
        {"step": str(n), "loss": "", "val_dice": str(n / 50), "val_tumour_dice": "nan"}
        for n in range(0, 50, 10)
    ]
    draw_training_curve(training + validation, tmp_path / "curve.png")
    pixels = read_png(tmp_path / "curve.png")
    half = pixels.shape[0] // 2
    assert near(pixels[:half], DEEP_BLUE).sum() > 200
    assert near(pixels[half:], DEEP_BLUE).sum() > 200
    # The only second curve is NaN throughout.
    assert not near(pixels, TUMOUR_COLOUR).any()


def test_training_curve_without_rows_and_without_steps(tmp_path, read_png, near):
    draw_training_curve([], tmp_path / "curve.png")
    assert not near(read_png(tmp_path / "curve.png"), DEEP_BLUE).any()
    with pytest.raises(KeyError):
        draw_training_curve([{"loss": 0.5}], tmp_path / "curve.png")


def test_missed_tumours_are_marked(score, tmp_path, read_png, near):
    found = [
        replace(score, tumour_reference_ml=volume, tumour_dice=0.8) for volume in (3.0, 20.0, 900.0)
    ]
    missed = replace(score, tumour_reference_ml=1.0, tumour_dice=0.0)
    without = replace(score, tumour_reference_ml=0.0, tumour_dice=nan)
    draw_dice_against_volume([*found, without], tmp_path / "found.png")
    draw_dice_against_volume([*found, missed], tmp_path / "missed.png")
    assert not near(read_png(tmp_path / "found.png"), ALARM_COLOUR).any()
    assert near(read_png(tmp_path / "missed.png"), ALARM_COLOUR).sum() > 20


def test_dice_against_volume_without_any_tumour(score, tmp_path, read_png):
    draw_dice_against_volume([replace(score, tumour_reference_ml=0.0)], tmp_path / "none.png")
    assert read_png(tmp_path / "none.png").std() > 1


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: draw_slice_statistics(np.eye(4), np.eye(4), path),
        lambda path: draw_intensity_table(rows(3, outlier=None), path),
        lambda path: draw_training_curve([{"step": 1, "loss": 0.5}], path),
        lambda path: draw_dice_against_volume([], path),
    ],
)
def test_without_matplotlib_charts_say_what_to_install(tmp_path, monkeypatch, draw):
    # None in sys.modules is how Python itself marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'renalmap\[charts\]'"):
        draw(tmp_path / "chart.png")
    assert not list(tmp_path.iterdir())


def test_pyplot_is_never_loaded(tmp_path):
    import subprocess

    code = (
        "import sys, numpy as np, pathlib\n"
        "from renalmap.report import draw_slice_statistics as draw\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"draw(np.eye(4), np.eye(4), pathlib.Path({str(tmp_path / 'a.png')!r}))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
