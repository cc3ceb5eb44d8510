"""A bundle opens if it is whole and untouched, and not otherwise."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from renalmap.bundle import HASHED_FILES, PLAN_FILE, Bundle, write_sums
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
