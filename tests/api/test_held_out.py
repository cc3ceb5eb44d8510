"""`test` from Python: the patients whom a split keeps aside, segmented and scored."""

from __future__ import annotations

from dataclasses import replace

import pytest

from renalmap.api.evaluate import Scoring
from renalmap.api.listener import Listener
from renalmap.api.prepare import PrepareRequest, SplitRequest, prepare
from renalmap.api.request import SegmentRequest
from renalmap.api.test import HeldOut
from renalmap.api.test import test as judge
from renalmap.errors import ConfigError
from renalmap.evaluation import CaseScore, Kits23Score
from renalmap.preprocess import Plan

PLAIN = Scoring(surface=False)


@pytest.fixture
def patients(tmp_path, write_scan, hu, labels):
    """Three patients alike, of whom one trains, one validates and one tests."""
    for number in range(3):
        folder = tmp_path / "kits" / "data" / f"case_{number:05d}"
        write_scan(folder / "imaging.nii.gz", hu)
        write_scan(folder / "segmentation.nii.gz", labels)
    split = SplitRequest(test=("case_00001",), validation=("case_00002",))
    plan = Plan(grid_size=128, crop_size=64, crop_margin=8)
    prepare([tmp_path / "kits"], tmp_path / "store", plan, PrepareRequest(split=split))
    return HeldOut(tmp_path / "store", tmp_path / "kits")


def test_the_split_decides_who_is_scored_and_by_which_rules(tmp_path, patients, make_bundle):
    request, out, told = SegmentRequest(make_bundle()), tmp_path / "results", []
    listener = Listener(progress=lambda what, *_: told.append(what), warn=told.append)
    report = judge(patients, out, request, PLAIN, listener)
    (score,) = report.scores
    assert isinstance(score, CaseScore)
    assert (score.case, score.composite_dice, report.failed) == ("case_00001", 1.0, {})
    assert "the bundle was not trained on the store" in told[0]
    assert told[-1] == "scored case_00001"

    (again,) = judge(patients, out, request, Scoring("kits23", surface=False)).segmented.cases
    assert again.skipped
    (other,) = judge(
        replace(patients, part="validation"), out, request, Scoring("kits23", surface=False)
    ).scores
    assert isinstance(other, Kits23Score)
    assert (other.case, other.mean_dice) == ("case_00002", 1.0)


def test_a_scan_that_fails_is_named_and_not_scored(tmp_path, patients, make_bundle):
    image = patients.dataset / "data" / "case_00001" / "imaging.nii.gz"
    image.write_bytes(image.read_bytes()[:-200])
    report = judge(patients, tmp_path / "results", SegmentRequest(make_bundle()), PLAIN)
    assert report.scores == []
    assert "the file is truncated" in report.failed["case_00001"]


def test_the_bundle_to_be_judged_is_named(tmp_path, patients):
    """The one that ships was trained on some of KiTS19's patients."""
    with pytest.raises(ConfigError, match="no bundle to evaluate was given"):
        judge(patients, tmp_path / "results", SegmentRequest())


def test_results_among_the_data_are_refused(patients, make_bundle):
    with pytest.raises(ConfigError, match="among the data"):
        judge(patients, patients.dataset / "data", SegmentRequest(make_bundle()), PLAIN)
    assert not list(patients.dataset.rglob("*_seg.nii.gz"))
