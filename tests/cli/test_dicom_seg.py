from __future__ import annotations

import numpy as np
from pydicom import dcmread
from tests.api.series import write_series
from tests.cli.doubts import without_doubt

from renalmap.imaging import read_label_map


def test_segment_writes_a_dicom_seg_by_the_outputs_name(cli, tmp_path, hu, model):
    series = write_series(tmp_path / "series", hu)
    finished = cli("segment", series, "--out", tmp_path / "seg.dcm", "--model", model)
    assert (finished.code, without_doubt(finished.stderr)) == (0, "")
    assert dcmread(tmp_path / "seg.dcm").SegmentationType == "BINARY"
    assert read_label_map(tmp_path / "seg.dcm").labels.any()
    again = cli("segment", series, "--out", tmp_path / "seg.dcm", "--model", model)
    assert again.code == 2
    assert "--overwrite" in again.stderr


def test_format_and_type_are_flags(cli, tmp_path, hu, model):
    series = write_series(tmp_path / "series", hu)
    flags = ("--format", "dicom-seg", "--segmentation-type", "labelmap")
    finished = cli("segment", series, "--out", tmp_path, "--model", model, "-q", *flags)
    assert finished.code == 0
    assert dcmread(tmp_path / "series_seg.dcm").SegmentationType == "LABELMAP"


def test_no_kidney_ends_with_1_for_there_is_no_file(cli, tmp_path, hu, model):
    series = write_series(tmp_path / "series", np.minimum(hu, 40))
    finished = cli("segment", series, "--out", tmp_path / "seg.dcm", "--model", model, "-q")
    assert finished.code == 1
    assert f"{series}: no kidney was found; no DICOM SEG was written" in finished.stderr
    assert not (tmp_path / "seg.dcm").exists()


def test_nifti_in_is_not_dicom_seg_out(cli, tmp_path, scan, model):
    finished = cli("segment", scan, "--out", tmp_path / "seg.dcm", "--model", model)
    assert finished.code == 2
    assert f"error: {scan}: a DICOM SEG refers to the DICOM slices" in finished.stderr


def test_a_structured_report_beside_it_and_of_it(cli, tmp_path, hu, model):
    series = write_series(tmp_path / "series", hu)
    out = ("--out", tmp_path / "seg.dcm", "--model", model, "--sr")
    assert cli("segment", series, *out, "-q").code == 0
    again = cli("measure", tmp_path / "seg.dcm", "--scan", series, "--sr", tmp_path / "again.dcm", "-q")
    assert again.code == 0
    for name in ("seg_sr.dcm", "again.dcm"):
        assert dcmread(tmp_path / name).SOPClassUID.name == "Comprehensive 3D SR Storage"
    refused = cli("measure", tmp_path / "seg.dcm", "--sr", tmp_path / "third.dcm")
    assert refused.code == 2
    assert "none was given" in refused.stderr
