"""What segment writes beside the labels, and the reports and surfaces of labels that are there."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from renalmap.api.beside import Beside
from renalmap.api.mesh import mesh, parse_formats
from renalmap.api.report import report
from renalmap.api.request import SegmentRequest
from renalmap.api.segment import segment
from renalmap.errors import (
    ConfigError,
    GeometryMismatchError,
    LabelError,
    MissingDependencyError,
    OutputExistsError,
    PathMissingError,
)


@pytest.fixture(scope="module")
def model(make_bundle):
    return make_bundle()


@pytest.fixture
def scan(tmp_path, write_scan, hu):
    return write_scan(tmp_path / "secret_name.nii.gz", hu)


@pytest.fixture
def seg(tmp_path, write_scan, labels):
    return write_scan(tmp_path / "secret_name_seg.nii.gz", labels)


def request(model, **beside):
    return SegmentRequest(model=model, beside=Beside(**beside))


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_one_call_writes_labels_report_and_surfaces(tmp_path, scan, model):
    folders = {"report": tmp_path / "reports", "mesh": tmp_path / "meshes"}
    (case,) = segment([scan], tmp_path / "out.nii.gz", request(model, **folders)).cases
    assert names_in(tmp_path / "reports") == ["secret_name_report.html"]
    assert case.report == str(tmp_path / "reports" / "secret_name_report.html")
    assert case.meshes is not None
    structures = [one.structure for one in case.meshes.structures]
    assert structures == ["left_kidney", "right_kidney", "tumour_1"]
    assert names_in(tmp_path / "meshes") == sorted(
        [f"secret_name_{one}.{form}" for one in structures for form in ("stl", "glb")]
        + ["secret_name_all.glb"]
    )
    for one in case.meshes.structures:
        assert one.surface_ml == pytest.approx(one.voxels_ml, rel=0.02)
    text = (tmp_path / "reports" / "secret_name_report.html").read_text()
    assert "secret_name" in text
    assert "SHA-256 of the bundle" in text


def test_without_names_neither_files_nor_pages_tell_the_scans(tmp_path, scan, model):
    beside = {"report": tmp_path / "reports", "mesh": tmp_path / "meshes", "anonymize": True}
    segment([scan], tmp_path / "out.nii.gz", request(model, **beside))
    assert names_in(tmp_path / "reports") == ["scan_1_report.html"]
    text = (tmp_path / "reports" / "scan_1_report.html").read_text()
    assert "secret" not in text
    assert str(tmp_path) not in text
    for path in (tmp_path / "meshes").iterdir():
        assert path.name.startswith("scan_1_")
        assert b"secret" not in path.read_bytes()


def test_a_scan_without_kidney_has_a_report_and_no_surface(tmp_path, write_scan, hu, model):
    empty = write_scan(tmp_path / "empty.nii.gz", np.minimum(hu, 40))
    beside = {"report": tmp_path / "reports", "mesh": tmp_path / "meshes"}
    (case,) = segment([empty], tmp_path / "out.nii.gz", request(model, **beside)).cases
    assert case.status == "no_kidney_found"
    assert "no kidney was found" in (tmp_path / "reports" / "empty_report.html").read_text()
    assert names_in(tmp_path / "meshes") == []


def test_a_report_that_exists_stops_the_work_before_it_begins(tmp_path, scan, model):
    (tmp_path / "reports").mkdir()
    old = tmp_path / "reports" / "secret_name_report.html"
    old.write_text("mine")
    with pytest.raises(OutputExistsError, match=r"secret_name_report\.html"):
        segment([scan], tmp_path / "out.nii.gz", request(model, report=tmp_path / "reports"))
    assert old.read_text() == "mine"
    assert not (tmp_path / "out.nii.gz").exists()


def test_faults_of_the_request_are_named_at_once(tmp_path, scan, model, monkeypatch):
    out = tmp_path / "out.nii.gz"
    with pytest.raises(ConfigError, match="--report DIR"):
        segment([scan], out, request(model, anonymize=True))
    for folder in (scan, tmp_path / "page.html", tmp_path / "--json"):
        with pytest.raises(ConfigError, match="--report needs a folder"):
            segment([scan], out, request(model, report=folder))
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(MissingDependencyError, match=r"trimesh.*renalmap\[mesh\]"):
        segment([scan], out, request(model, mesh=tmp_path))
    assert not out.exists()


def test_a_page_is_not_written_under_the_name_of_something_else(tmp_path, scan, seg):
    with pytest.raises(ConfigError, match=r"a report is an HTML file.*\.pdf"):
        report(seg, scan, tmp_path / "report.pdf")
    assert not (tmp_path / "report.pdf").exists()


def test_labels_that_are_there_become_a_report(tmp_path, scan, seg):
    out = tmp_path / "report.html"
    report(seg, scan, out)
    text = out.read_text()
    assert "Tumour 1, right" in text
    assert "given as a file" in text
    assert str(seg) in text
    with pytest.raises(OutputExistsError):
        report(seg, scan, out)
    report(seg, scan, out, anonymize=True, overwrite=True)
    assert "secret" not in out.read_text()


def test_doubtful_scans_are_flagged_in_their_report(tmp_path, write_scan, hu, seg):
    scan = write_scan(tmp_path / "secret.nii.gz", np.clip(hu, 0, 255).astype(np.uint8))
    report(seg, scan, tmp_path / "report.html", anonymize=True)
    text = (tmp_path / "report.html").read_text()
    assert "cannot be Hounsfield units" in text
    assert "secret" not in text
    dull = write_scan(tmp_path / "dull.nii.gz", np.minimum(hu, 40))
    report(seg, dull, tmp_path / "dull.html")
    assert "no contrast phase was recognised" in (tmp_path / "dull.html").read_text()


def test_what_a_report_cannot_be_made_of_is_refused(tmp_path, write_scan, scan, seg, labels):
    out = tmp_path / "report.html"
    other = write_scan(tmp_path / "other.nii.gz", labels[1:])
    with pytest.raises(GeometryMismatchError, match="grid"):
        report(other, scan, out)
    with pytest.raises(PathMissingError, match="folder does not exist"):
        report(seg, scan, tmp_path / "nowhere" / "report.html")
    assert not out.exists()


def test_surfaces_of_labels_that_are_there(tmp_path, scan, seg, write_scan, labels):
    made = mesh(seg, tmp_path / "meshes", scan=scan, formats=("stl",))
    assert names_in(tmp_path / "meshes") == ["left_kidney.stl", "right_kidney.stl", "tumour_1.stl"]
    assert made.all_together is None
    before = (tmp_path / "meshes" / "tumour_1.stl").read_bytes()
    (tmp_path / "meshes" / "left_kidney.stl").unlink()
    with pytest.raises(OutputExistsError, match=r"right_kidney\.stl"):
        mesh(seg, tmp_path / "meshes", scan=scan, formats=("stl",))
    assert not (tmp_path / "meshes" / "left_kidney.stl").exists()
    mesh(seg, tmp_path / "meshes", scan=scan, formats=("stl",), overwrite=True)
    assert (tmp_path / "meshes" / "tumour_1.stl").read_bytes() == before
    empty = write_scan(tmp_path / "empty.nii.gz", np.zeros_like(labels))
    with pytest.raises(LabelError, match=r"empty.nii.gz: nothing is labelled"):
        mesh(empty, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_formats_are_read_from_text():
    assert parse_formats("glb, STL") == ("stl", "glb")
    with pytest.raises(ConfigError, match=r"obj.*stl or glb"):
        parse_formats("stl,obj")
