"""A bundle opens if it is whole and untouched, and not otherwise."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import onnx
import pytest
from pydantic import ValidationError

from renalmap.bundle import (
    CALIBRATION_FILE,
    HASHED_FILES,
    LOCALIZER_FILE,
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


# Made with malice, sums and all.


def test_a_graph_with_weights_in_another_file_is_refused(make_bundle):
    root = make_bundle()
    graph = onnx.load(root / LOCALIZER_FILE)
    onnx.save(
        graph, root / LOCALIZER_FILE, save_as_external_data=True, location="beside.bin", size_threshold=0
    )
    write_sums(root)
    with pytest.raises(BundleError, match=r"localizer.*weights in another file"):
        Bundle.open(root)


def test_two_hashes_for_one_file_are_refused(folder: Path):
    sums = folder / "SHA256SUMS"
    sums.write_text("0" * 64 + "  plan.json\n" + sums.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(BundleError, match=r"two hashes.*plan\.json"):
        Bundle.open(folder)


@pytest.mark.parametrize("name", ["plan.json", "calibration.json", "SHA256SUMS"])
def test_a_text_of_absurd_size_is_not_read(folder: Path, name: str):
    with (folder / name).open("ab") as file:
        file.truncate(2**33)  # without taking any room
    with pytest.raises(BundleError, match=rf"{name}.*too large.*at most"):
        Bundle.open(folder)


def npz(path: Path, **members: bytes) -> None:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def npy(shape: tuple[int, ...], values: bytes) -> bytes:
    """An array as NumPy writes it, whose header may promise more than there is."""
    head = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, described)
    return head.getvalue() + values


GRID = npy((64, 64), bytes(64 * 64 * 4))
NUMBER = npy((), bytes(4))


@pytest.mark.parametrize(
    ("mean", "got"),
    [
        (npy((2**20, 2**10), b""), r"an array of \(1048576, 1024\) float32 in 128 bytes"),
        (npy((2**40,), bytes(100)), r"an array of \(1099511627776,\) float32 in 228 bytes"),
        (npy((64, 64), bytes(2**27)), "134217856 bytes, more than"),
        (npy((32, 32), bytes(32 * 32 * 4)), "do not fit"),
        (npy((64, 64), np.full(64 * 64, np.nan, np.float32).tobytes()), "not all of them numbers"),
        (b"nothing of NumPy's", "cannot be read"),
        (GRID[:-1], "smaller than requested"),
    ],
)
def test_statistics_of_another_size_are_refused_before_they_are_unpacked(folder: Path, mean, got):
    npz(
        folder / "slice_statistics.npz",
        mean_hu=mean,
        deviation_hu=GRID,
        global_mean_hu=NUMBER,
        global_deviation_hu=NUMBER,
    )
    write_sums(folder)
    tracemalloc.start()
    with pytest.raises(BundleError, match=got):
        Bundle.open(folder)
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


@pytest.mark.parametrize(
    "changes",
    [
        {"smoothing_sigma_mm": 1e9},
        {"fill_holes_mm2": float("inf")},
        {"grid_size": 2**20, "crop_size": 64},
    ],
)
def test_a_plan_without_sense_is_refused(folder: Path, changes):
    plan = PLAN.model_copy(update=changes)
    (folder / "plan.json").write_text(plan.model_dump_json(), encoding="utf-8")
    write_sums(folder)
    with pytest.raises(BundleError, match="Plan is not one"):
        Bundle.open(folder)
