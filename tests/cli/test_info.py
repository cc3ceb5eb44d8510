"""`renalmap info`: what a path holds, which series would be taken, and nobody's name."""

from __future__ import annotations

import json
import shutil
import zipfile

import nibabel as nib
import numpy as np
import pytest
from tests.imaging.conftest import _write_slice

from renalmap.imaging import read_geometry

UIDS = {"soft": "1.2.1", "lung": "1.2.2", "scout": "1.2.3"}


@pytest.fixture
def study(tmp_path):
    """A soft-tissue series, a sharp one with more slices, a scout."""
    folder = tmp_path / "study"
    patient = {"PatientName": "MUSTERMANN^ERIKA", "PatientID": "4711-0815"}
    pixels = np.full((32, 32), -1000, np.int16)
    pixels[8:24, 8:24] = 40
    held: tuple[tuple[str, int, dict[str, object]], ...] = (
        ("scout", 1, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
        ("soft", 4, {"ConvolutionKernel": "Br38f", "SeriesDescription": "Abd portal Mustermann"}),
        ("lung", 7, {"ConvolutionKernel": "Bl57f"}),
    )
    for number, (name, slices, tags) in enumerate(held):
        ours = patient | tags | {"SeriesNumber": number + 1, "SeriesInstanceUID": UIDS[name]}
        for index in range(slices):
            _write_slice(folder / name / f"{name}{index}.dcm", 5.0 * index, pixels, **ours)
    (folder / "readme.txt").write_text("from the hospital")
    return folder


def said(finished):
    return finished.stdout + finished.stderr


def read(cli, *arguments):
    result = cli("info", *arguments, "--json")
    assert result.code == 0, said(result)
    return json.loads(result.stdout)


def test_info_says_what_would_be_taken_and_why(cli, study):
    result = cli("info", study)
    assert result.code == 0, said(result)
    assert "segment would take series 2 Abd portal ***: axial CT, soft tissue" in said(result)
    assert "not taken by default: scout" in said(result)
    assert "Explicit VR Little Endian" in said(result)
    assert "left out: 1 files that are not DICOM" in said(result)
    for text in (said(result), said(cli("info", study, "--json"))):
        assert "ustermann" not in text.replace(str(study), "").lower()
        assert "erika" not in text.lower()
        assert "4711" not in text


def test_info_json_has_all_that_is_known(cli, study):
    found = read(cli, study)
    assert found["kind"] == "dicom"
    assert (found["series_uid"], found["acquisition"], found["refusal"]) == (UIDS["soft"], None, None)
    (one,) = found["studies"]
    scout, soft, lung = sorted(one["series"], key=lambda each: each["number"])
    assert scout["why_not"] == "scout"
    assert scout["skipped"] == {"scout": 1}
    assert soft["taken"]
    assert not lung["taken"]
    assert (soft["slices"], soft["spacing_mm"], soft["orientation"]) == (4, [5.0, 0.5, 0.75], "axial")
    assert (soft["kernel"], soft["kernel_kind"], lung["kernel_kind"]) == (
        "Br38f",
        "soft tissue",
        "sharp",
    )
    assert soft["transfer_syntaxes"] == ["Explicit VR Little Endian"]
    assert soft["acquisitions"] == [
        {"number": 1, "slices": 4, "spacing_mm": [5.0, 0.5, 0.75], "phase": "portal", "trouble": None}
    ]


def test_info_takes_the_same_flags_as_segment(cli, study):
    assert read(cli, study, "--series", "3")["series_uid"] == UIDS["lung"]
    found = read(cli, study, "--series", "9")
    assert found["series_uid"] is None
    assert "there is no series 9" in found["refusal"]
    assert "--series 2" in found["refusal"]


def test_info_of_a_refused_scan_says_so_and_exits_0(cli, study):
    (study / "soft" / "soft2.dcm").unlink()
    result = cli("info", study / "soft")
    assert result.code == 0
    assert "segment would refuse:" in said(result)
    found = read(cli, study / "soft")
    assert "1 missing at z = 10.00 mm" in found["refusal"]
    assert found["studies"][0]["series"][0]["acquisitions"][0]["trouble"].startswith("missing slices")
    assert read(cli, study / "soft", "--resample")["refusal"] is None


def test_info_of_an_archive_is_that_of_its_folder(cli, study, tmp_path):
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(study.rglob("*")):
            opened.write(path, path.relative_to(study))
    assert read(cli, archive) | {"path": ""} == read(cli, study) | {"path": ""}


def test_info_of_a_nifti_file(cli, tmp_path):
    voxels = np.full((6, 5, 4), -1000, np.int16)
    voxels[2, 2, 2] = 300
    nib.save(nib.Nifti1Image(voxels, np.diag([-0.7, -0.8, 2.5, 1.0])), tmp_path / "scan.nii.gz")
    found = read(cli, tmp_path / "scan.nii.gz")
    assert found["kind"] == "nifti"
    assert found["shape_zyx"] == [4, 5, 6]
    assert found["spacing_mm"] == pytest.approx([2.5, 0.8, 0.7])
    assert found["stored_orientation"] == "LPS"
    assert (found["lowest_hu"], found["highest_hu"], found["doubt"]) == (-1000.0, 300.0, None)
    assert "-1000 to 300, int16" in said(cli("info", tmp_path / "scan.nii.gz"))


def test_info_of_what_is_no_scan_exits_2(cli, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nowhere"):
        result = cli("info", path)
        assert result.code == 2
        assert str(path) in said(result)


def test_segment_and_overview_take_a_series_of_an_archive(cli, study, tmp_path, make_bundle):
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", study)
    labels, model = tmp_path / "labels.nii.gz", make_bundle()
    chosen = ("--series", "3")
    result = cli("segment", archive, "--out", labels, "--model", model, "--quiet", *chosen)
    assert result.code == 0, said(result)
    assert read_geometry(labels).shape == (7, 32, 32)
    result = cli("overview", archive, labels, "--out", tmp_path / "view.png", *chosen)
    assert result.code == 0, said(result)
    assert cli("overview", archive, labels, "--out", tmp_path / "view.png").code == 2


def test_segment_takes_what_is_there_only_if_it_may(cli, study, tmp_path, make_bundle):
    (study / "soft" / "soft0.dcm").write_bytes(b"")
    common = ("segment", study, "--model", make_bundle(), "--overwrite")
    refused = cli(*common, "--out", tmp_path / "out.nii.gz")
    assert (refused.code, (tmp_path / "out.nii.gz").exists()) == (2, False)
    assert "1 x file that looks like a slice, empty: soft0.dcm" in refused.stderr
    assert "left out although" in said(cli("info", study))
    for number, anonymous in enumerate(((), ("--anonymize-report",))):
        pages = tmp_path / f"pages{number}"
        more = ("--report", pages, "--allow-missing-slices", "--json", *anonymous)
        ended = cli(*common, "--out", tmp_path / "out.nii.gz", *more)
        assert ended.code == 0, said(ended)
        assert "soft0.dcm" in ended.stderr
        (case,) = json.loads(ended.stdout)["cases"]
        assert "soft0.dcm" in case["warnings"][0]
        (page,) = pages.glob("*.html")
        assert ("soft0.dcm" in page.read_text(encoding="utf-8")) is not bool(anonymous)


def test_several_studies_need_a_folder_as_out(cli, study, tmp_path, make_bundle):
    _write_slice(tmp_path / "study" / "other" / "1.dcm", 0.0, StudyInstanceUID="1.2.3", PatientID="X")
    ended = cli("segment", study, "--out", tmp_path / "out.nii.gz", "--model", make_bundle())
    assert (ended.code, (tmp_path / "out.nii.gz").exists()) == (2, False)
    assert "need a folder as --out" in ended.stderr


def test_segment_warns_of_what_the_reader_assumed(cli, study, tmp_path, make_bundle):
    (study / "soft" / "soft2.dcm").unlink()
    common = ("segment", study / "soft", "--out", tmp_path / "out.nii.gz", "--model", make_bundle())
    refused = cli(*common)
    assert refused.code == 2
    assert "slices are missing" in said(refused)
    resampled = cli(*common, "--resample")
    assert resampled.code == 0, said(resampled)
    assert "resampled from 3 slices to 4" in said(resampled)
    assert read_geometry(tmp_path / "out.nii.gz").shape == (4, 32, 32)


@pytest.mark.filterwarnings("ignore:Found unknown escape sequence")
def test_what_a_header_says_steers_no_terminal(cli, tmp_path):
    pixels = np.full((32, 32), 40, np.int16)
    evil = "[/b][i]\x1b]0;x\x07"
    tags = dict.fromkeys(("StudyDescription", "SeriesDescription", "ConvolutionKernel"), evil)
    for index in range(3):
        _write_slice(tmp_path / "scan" / f"{index}.dcm", 5.0 * index, pixels, **tags)
    result = cli("info", tmp_path / "scan")
    assert result.code == 0, said(result)
    assert "[/b][i]" in result.stdout
    assert "\x1b" not in said(result)
    assert "\x07" not in said(result)
