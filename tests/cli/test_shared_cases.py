"""The small inputs beside the repository that once went wrong, and what is right; their READMEs say why.

Each is judged where its fault shows: mostly by reading it, which is what `segment` and `info` do first.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from renalmap.dataset.cohort import find_cohort
from renalmap.errors import InputError, NoImagesError
from renalmap.imaging import read_label_map, read_volume

SHARED_CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
SLICES = 40
"""Of the phantom that most of them are made of."""

Check = Callable[[Path, Any, Path, Path], None]


def whole(*below: str) -> Check:
    """Each is read in full."""

    def check(case: Path, *_: Any) -> None:
        for name in below:
            volume = read_volume(case / name)
            assert (volume.hu.shape[0], volume.notes) == (SLICES, ()), name

    return check


def refused(*named: str, below: str = "dicom") -> Check:
    """`segment` ends with exit code 2 and the names, `info` with 0 and the same reason."""

    def check(case: Path, cli: Any, model: Path, out: Path) -> None:
        ended = cli("segment", case / below, "--out", out / "seg.nii.gz", "--model", model)
        shown = cli("info", case / below, "--json")
        assert (ended.code, shown.code, list(out.iterdir())) == (2, 0, [])
        for text in (ended.stderr, json.loads(shown.stdout)["refusal"]):
            assert all(name in text for name in named), text
        assert read_volume(case / below, allow_missing_slices=True).notes

    return check


def study(case: Path, cli: Any, model: Path, out: Path) -> None:
    """One result, the same for the folder and the archive."""
    assert not find_cohort([case / "study"]).is_several
    for number, name in enumerate(("study", "study.zip")):
        found = json.loads(cli("info", case / name, "--json").stdout)
        (taken,) = (each for each in found["studies"][0]["series"] if each["taken"])
        assert (taken["number"], taken["slices"]) == (2, SLICES)
        to = out / f"{number}.nii.gz"
        assert cli("segment", case / name, "--out", to, "--model", model).code == 0
    assert len({path.read_bytes() for path in out.iterdir()}) == 1


def projection(case: Path, *_: Any) -> None:
    """It is left out, unless asked for."""
    with pytest.raises(NoImagesError, match="projection"):
        read_volume(case / "mip")
    found = read_volume(case / "mip", series="2")
    assert found.hu.shape[0] == SLICES


def told() -> Check:
    """Each is refused or read with a warning."""

    def check(case: Path, cli: Any, *_: Any) -> None:
        for path in sorted(case.glob("*.nii.gz")):
            shown = cli("info", path)
            assert shown.code == 2 or "warning" in shown.stderr, path

    return check


def written(case: Path, cli: Any, model: Path, out: Path) -> None:
    """Each becomes a DICOM SEG, or is refused before the work."""
    for folder in sorted(path for path in case.iterdir() if path.is_dir()):
        ended = cli("segment", folder, "--out", out / f"{folder.name}.dcm", "--model", model)
        assert ended.code in {0, 2}, ended.stderr
        assert (ended.code == 0) == (out / f"{folder.name}.dcm").exists()


def bounded(read: Callable[[Path], Any], name: str) -> Check:
    """It is refused by an error of ours."""

    def check(case: Path, *_: Any) -> None:
        (path,) = case.glob(name)
        with pytest.raises(InputError):
            read(path)

    return check


def nested(case: Path, *_: Any) -> None:
    """What nobody asks for may be nested: it is read, or refused by an error of ours."""
    with suppress(InputError):
        assert read_volume(case / "study").hu.shape[0] == 3


pixels = bounded(read_volume, "study")

EXPECTED: dict[str, Check] = {
    "01_empty_files": refused("IM0001.dcm", "IM0005.dcm", "and 4 more", "empty"),
    "02_no_preamble_some": whole("dicom"),
    "03_no_preamble_all": whole("dicom"),
    "04_unreadable_subfolder": whole("dicom"),  # as it lies there, it can be read
    "06_slices_without_position": refused("IM0001.dcm", "and 4 more", "ImagePositionPatient"),
    "07_series_in_two_uids": refused("series that continues it", "9 slices"),
    "08_study_folder": study,
    "09_seg_odd_dates_and_sex": written,
    "10_nifti_sform_qform": told(),
    "12_nifti_metre": told(),
    "15_acquisitions_interleaved": whole("alternating", "some_without"),
    "20_siemens_mip": projection,
    "attack_dcm_rows65535": pixels,
    "attack_dicom_nested_defined": nested,
    "attack_dicom_nested_undefined": nested,
    "attack_dicom_tilt_extent": bounded(lambda path: read_volume(path, resample=True), "study"),
    "attack_j2k_huge_siz": pixels,
    "attack_j2k_rows65535": pixels,
    "attack_jls_rows65535": pixels,
    "attack_nifti_huge_dims": bounded(read_volume, "*.nii*"),
    "attack_rle_rows65535": pixels,
    "attack_seg_huge_grid": bounded(read_label_map, "*.dcm"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_case_has_its_right_answer(name, cli, model, tmp_path):
    case = SHARED_CASES / name
    if not case.is_dir():
        pytest.skip(f"needs {case}, which is absent")
    EXPECTED[name](case, cli, model, tmp_path)


def test_every_case_has_an_expectation():
    if not SHARED_CASES.is_dir():
        pytest.skip(f"needs the cases in {SHARED_CASES}, which are absent")
    assert {path.name for path in SHARED_CASES.iterdir() if path.is_dir()} <= set(EXPECTED)
