from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from renalmap.api.phantom import phantom
from renalmap.api.prepare import PrepareRequest, SplitRequest, prepare
from renalmap.dataset.store import Store
from renalmap.errors import ConfigError, OutputExistsError, PathMissingError
from renalmap.imaging import read_label_map, read_volume
from renalmap.preprocess import Plan

CONFIG = """
[[phantoms]]
shape_zyx = [8, 64, 64]
spacing_mm_zyx = [10, 6, 6]
[[phantoms]]
shape_zyx = [8, 72, 64]
spacing_mm_zyx = [10, 6, 6]
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "phantoms.toml").write_text(CONFIG)
    return tmp_path / "phantoms.toml"


def test_phantoms_take_the_configurations_in_turn(tmp_path, config):
    phantom(tmp_path / "set", cases=3, seed=1, config=config, first_number=5)
    folders = sorted((tmp_path / "set" / "data").glob("case_*"))
    assert [folder.name for folder in folders] == ["case_00005", "case_00006", "case_00007"]
    scans = [read_volume(folder / "imaging.nii.gz") for folder in folders]
    assert [scan.geometry.shape for scan in scans] == [(8, 64, 64), (8, 72, 64), (8, 64, 64)]
    for folder, scan in zip(folders, scans, strict=True):
        truth = read_label_map(folder / "segmentation.nii.gz")
        assert truth.geometry.matches(scan.geometry, tolerance_mm=1e-2)
        assert truth.labels.any()
    assert not np.array_equal(scans[0].hu, scans[2].hu)


def test_the_same_seed_writes_the_same_bytes(tmp_path, config):
    for name in "ab":
        phantom(tmp_path / name, cases=1, seed=3, config=config)
    first, second = ((tmp_path / name / "data/case_00000/imaging.nii.gz").read_bytes() for name in "ab")
    assert first == second


def test_a_case_that_exists_is_left_alone(tmp_path, config):
    phantom(tmp_path / "set", cases=1, seed=1, config=config)
    before = (tmp_path / "set/data/case_00000/imaging.nii.gz").read_bytes()
    with pytest.raises(OutputExistsError, match="--first-number"):
        phantom(tmp_path / "set", cases=2, seed=2, config=config)
    assert (tmp_path / "set/data/case_00000/imaging.nii.gz").read_bytes() == before
    assert not (tmp_path / "set/data/case_00001").exists()


@pytest.mark.parametrize(
    "text", ["[[phantoms]]\nspacing = 3", "phantoms = 3", "phantoms = [", "phantoms = []"]
)
def test_settings_that_mean_nothing_are_refused(tmp_path, text):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.toml"):
        phantom(tmp_path / "set", cases=1, seed=0, config=tmp_path / "bad.toml")


def test_a_store_is_made_with_its_figures_and_record(tmp_path, config):
    phantom(tmp_path / "set", cases=4, seed=1, config=config)
    plan = Plan(grid_size=64, crop_size=32, crop_margin=4)
    request = PrepareRequest(split=SplitRequest(n_test=1, n_validation=1))
    report = prepare([tmp_path / "set"], tmp_path / "store", plan, request)
    store = Store.open(tmp_path / "store")
    assert {name: part.cases for name, part in report.parts.items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }
    assert [len(store.part(part)) for part in ("train", "validation", "test")] == [2, 1, 1]
    assert (report.prepared_cases, report.prepared_slices) == (4, 32)
    assert report.slices_per_s is not None
    assert round(32 / report.slices_per_s, 2) == pytest.approx(report.seconds, abs=0.011)  # both rounded
    for name in ("intensities.png", "slice_statistics.png"):
        assert (tmp_path / "store" / name).read_bytes().startswith(b"\x89PNG")
    record = json.loads((tmp_path / "store" / "run.json").read_text())
    assert record["settings"]["grid_size"] == 64


def test_without_matplotlib_a_store_is_made_without_figures(tmp_path, config, monkeypatch, caplog):
    # None in sys.modules is how Python itself marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    phantom(tmp_path / "set", cases=4, seed=1, config=config)
    plan = Plan(grid_size=64, crop_size=32, crop_margin=4)
    request = PrepareRequest(split=SplitRequest(n_test=1, n_validation=1))
    prepare([tmp_path / "set"], tmp_path / "store", plan, request)
    assert (tmp_path / "store" / "run.json").is_file()
    assert not list((tmp_path / "store").glob("*.png"))
    (warning,) = caplog.records
    assert warning.levelname == "WARNING"
    assert "pip install 'renalmap[charts]'" in warning.message
    # As the warning says: the next call draws them.
    monkeypatch.undo()
    again = prepare([tmp_path / "set"], tmp_path / "store", plan, request)
    assert (again.prepared_cases, again.slices_per_s) == (0, None)
    assert len(list((tmp_path / "store").glob("*.png"))) == 2


def test_data_sets_that_share_a_case_are_refused(tmp_path, config):
    phantom(tmp_path / "set", cases=1, seed=1, config=config)
    with pytest.raises(ConfigError, match="share case ids"):
        prepare([tmp_path / "set", tmp_path / "set"], tmp_path / "store", Plan())


def test_a_split_that_does_not_exist_is_named(tmp_path, config):
    phantom(tmp_path / "set", cases=1, seed=1, config=config)
    request = PrepareRequest(split=SplitRequest(file=tmp_path / "split.json"))
    with pytest.raises(PathMissingError, match=r"split\.json"):
        prepare([tmp_path / "set"], tmp_path / "store", Plan(), request)
