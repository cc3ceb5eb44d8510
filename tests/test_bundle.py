"""A bundle opens if it is whole and untouched, and not otherwise."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from renalmap.bundle import (
    CALIBRATION_FILE,
    HASHED_FILES,
    PLAN_FILE,
    Bundle,
    CalibrationCurve,
    ConfidenceCalibration,
    write_sums,
)
from renalmap.errors import BundleError
from renalmap.preprocess import Plan, SliceStatistics

PLAN = Plan(grid_size=64, crop_size=32, clip_hu=(0, 255))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "bundle"
    root.mkdir()
    for name in ("localizer.onnx", "segmenter.onnx", "MODEL_CARD.md"):
        (root / name).write_bytes(name.encode())
    (root / "plan.json").write_text(PLAN.model_dump_json(), encoding="utf-8")
    slices = np.full((64, 64), 3, np.float32)
    SliceStatistics(slices, slices, 3.0, 3.0).save(root / "slice_statistics.npz")
    write_sums(root)
    return root


def test_a_whole_bundle_opens(folder: Path):
    bundle = Bundle.open(folder)
    assert bundle.plan == PLAN
    assert bundle.statistics.global_mean_hu == 3.0
    assert bundle.localizer.read_bytes() == b"localizer.onnx"
    assert bundle.segmenter.read_bytes() == b"segmenter.onnx"
    assert bundle.digest == hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest()


def test_sums_are_in_the_form_sha256sum_checks(folder: Path):
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert lines == [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}" for name in HASHED_FILES
    ]


@pytest.mark.parametrize("name", HASHED_FILES)
def test_a_tampered_file_is_refused(folder: Path, name: str):
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{name}.*changed or damaged"):
        Bundle.open(folder)


@pytest.mark.parametrize("name", [*HASHED_FILES, "SHA256SUMS"])
def test_a_missing_file_is_named(folder: Path, name: str):
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"incomplete.*no {name}"):
        Bundle.open(folder)


def test_a_file_without_a_hash_is_refused(folder: Path):
    sums = folder / "SHA256SUMS"
    sums.write_text("".join(sums.read_text().splitlines(keepends=True)[1:]), encoding="utf-8")
    with pytest.raises(BundleError, match=r"localizer\.onnx.*expected no hash"):
        Bundle.open(folder)


def test_sums_that_are_no_text_are_refused(folder: Path):
    (folder / "SHA256SUMS").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleError, match="changed or damaged"):
        Bundle.open(folder)


def test_a_missing_folder_is_refused(tmp_path: Path):
    with pytest.raises(BundleError, match="does not exist"):
        Bundle.open(tmp_path / "bundle")


@pytest.mark.parametrize("text", ['{"grid": 512}', '{"format_version": 2}', "not JSON"])
def test_a_plan_of_another_version_is_refused(folder: Path, text: str):
    (folder / PLAN_FILE).write_text(text, encoding="utf-8")
    write_sums(folder)
    with pytest.raises(BundleError, match=r"plan\.json: the bundle's Plan is not one"):
        Bundle.open(folder)


def test_statistics_that_cannot_be_read_are_the_bundles_fault(folder: Path):
    (folder / "slice_statistics.npz").write_bytes(b"nothing")
    write_sums(folder)
    with pytest.raises(BundleError, match="slice_statistics"):
        Bundle.open(folder)


def test_an_incomplete_bundle_is_not_sealed(folder: Path):
    (folder / "SHA256SUMS").unlink()
    (folder / "segmenter.onnx").unlink()
    with pytest.raises(BundleError, match=r"no segmenter\.onnx"):
        write_sums(folder)
    assert not (folder / "SHA256SUMS").exists()


# The calibration is optional.

CALIBRATION = ConfidenceCalibration(
    kidney=CalibrationCurve(raw=(0.8, 0.9), confidence=(0.5, 0.95), n=12),
    tumour=CalibrationCurve(raw=(0.5,), confidence=(0.3,), n=4),
    patients=7,
    source="seven patients",
)


@pytest.fixture
def calibrated(folder: Path) -> Path:
    (folder / CALIBRATION_FILE).write_text(CALIBRATION.model_dump_json(), encoding="utf-8")
    write_sums(folder)
    return folder


def test_a_bundle_without_calibration_has_none(folder: Path):
    assert Bundle.open(folder).calibration is None


def test_a_calibration_comes_back_and_is_part_of_the_digest(folder: Path):
    before = Bundle.open(folder).digest
    (folder / CALIBRATION_FILE).write_text(CALIBRATION.model_dump_json(), encoding="utf-8")
    write_sums(folder)
    bundle = Bundle.open(folder)
    assert bundle.calibration == CALIBRATION
    assert bundle.digest != before


def test_a_tampered_calibration_is_refused(calibrated: Path):
    path = calibrated / CALIBRATION_FILE
    path.write_text(path.read_text().replace("0.95", "0.99"))
    with pytest.raises(BundleError, match=r"calibration\.json.*changed or damaged"):
        Bundle.open(calibrated)


def test_a_sealed_calibration_must_not_vanish(calibrated: Path):
    (calibrated / CALIBRATION_FILE).unlink()
    with pytest.raises(BundleError, match=r"incomplete.*no calibration\.json"):
        Bundle.open(calibrated)


def test_a_calibration_that_was_slipped_in_is_refused(folder: Path):
    (folder / CALIBRATION_FILE).write_text(CALIBRATION.model_dump_json(), encoding="utf-8")
    with pytest.raises(BundleError, match=r"calibration\.json.*expected no hash"):
        Bundle.open(folder)


@pytest.mark.parametrize("text", ["not JSON", '{"format_version": 2, "patients": 3}', "{}"])
def test_a_calibration_of_another_version_is_refused(folder: Path, text: str):
    (folder / CALIBRATION_FILE).write_text(text, encoding="utf-8")
    write_sums(folder)
    with pytest.raises(BundleError, match=r"calibration\.json: the bundle's calibration is not one"):
        Bundle.open(folder)


def test_a_curve_is_linear_between_knots_and_constant_beyond():
    curve = CalibrationCurve(raw=(0.2, 0.6), confidence=(0.1, 0.9), n=5)
    assert [curve(raw) for raw in (0.0, 0.2, 0.6, 1.0)] == [0.1, 0.1, 0.9, 0.9]
    assert curve(0.4) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("raw", "confidence"),
    [
        ((0.2, 0.2), (0.1, 0.2)),
        ((0.2, 0.1), (0.1, 0.2)),
        ((0.1, 0.2), (0.3, 0.2)),
        ((0.1, 0.2), (0.3,)),
        ((0.1, 1.2), (0.1, 0.2)),
        ((), ()),
    ],
)
def test_a_curve_that_is_no_monotone_map_is_refused(
    raw: tuple[float, ...], confidence: tuple[float, ...]
):
    with pytest.raises(ValidationError):
        CalibrationCurve(raw=raw, confidence=confidence, n=1)
