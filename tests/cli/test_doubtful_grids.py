"""What is doubtful about a grid reaches whoever reads a result: terminal, JSON, table, page, info."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from renalmap.imaging import read_geometry

DOUBT = "left and right may be swapped"


@pytest.fixture
def guessed(scan):
    """The scan, whose header has lost its codes: it lies as NIfTI's default says, by chance the same."""
    image = nib.Nifti1Image.from_filename(scan)
    voxels = np.asanyarray(image.dataobj)
    bare = nib.Nifti1Image(voxels, None)
    bare.header.set_zooms(image.header.get_zooms())
    bare.header.set_qform(None, code=0)
    path = scan.with_name("bare.nii.gz")
    nib.save(bare, path)
    return path


@pytest.fixture
def contradicted(scan):
    """The scan, whose qform has left for right."""
    image = nib.Nifti1Image.from_filename(scan)
    mirrored = image.affine @ np.diag([-1.0, 1, 1, 1])
    both = nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine)
    both.set_sform(image.affine, code=1)
    both.set_qform(mirrored, code=1)
    path = scan.with_name("contradicted.nii.gz")
    nib.save(both, path)
    return path


def test_a_guess_is_told_everywhere(cli, tmp_path, guessed, model):
    out, table = tmp_path / "seg.nii.gz", tmp_path / "table.csv"
    finished = cli(
        "segment", guessed, "--out", out, "--model", model, "--json",
        "--table", table, "--report", tmp_path / "pages",
    )  # fmt: skip
    assert finished.code == 0
    assert DOUBT in finished.stderr
    (case,) = json.loads(finished.stdout)["cases"]
    assert any(DOUBT in each for each in case["warnings"])
    assert "grid_doubtful" in case["quality"]["flags"]
    with table.open(encoding="utf-8") as file:
        assert "grid_doubtful" in next(csv.DictReader(file))["flags"]
    assert DOUBT in (tmp_path / "pages" / "bare_report.html").read_text(encoding="utf-8")
    # And of the label map, which lies as the scan does.
    finished = cli("measure", out, "--json")
    assert DOUBT in finished.stderr
    flags = json.loads(finished.stdout)["cases"][0]["measurements"]["flags"]
    assert "grid_doubtful" in {flag["code"] for flag in flags}


def test_info_tells_it_too(cli, guessed):
    assert DOUBT in cli("info", guessed).stderr
    (doubt,) = json.loads(cli("info", guessed, "--json").stdout)["grid_doubts"]
    assert DOUBT in doubt


def test_a_contradiction_is_refused_by_every_verb_until_it_is_settled(
    cli, tmp_path, contradicted, model
):
    verbs = (
        ("info", contradicted),
        ("segment", contradicted, "--model", model, "--out", tmp_path / "seg.nii.gz"),
        ("measure", contradicted),
        ("mesh", contradicted, "--out", tmp_path / "meshes"),
        ("report", contradicted, "--scan", contradicted, "--out", tmp_path / "page.html"),
        ("overview", contradicted, contradicted, "--out", tmp_path / "picture.png"),
    )
    for verb in verbs:
        finished = cli(*verb)
        assert finished.code == 2
        assert "--orientation sform or --orientation qform" in finished.stderr
    for verb in verbs:  # a scan is no label map, but the contradiction is settled
        finished = cli(*verb, "--orientation", "qform")
        assert finished.code == 0 or "values that are not labels" in finished.stderr


def test_the_matrix_that_was_chosen_decides_the_side(cli, tmp_path, contradicted, model):
    sides = {}
    for name in ("sform", "qform"):
        out = tmp_path / f"{name}.nii.gz"
        finished = cli(
            "segment", contradicted, "--out", out, "--model", model, "--json", "--orientation", name
        )
        assert finished.code == 0
        assert "orientation" not in finished.stderr
        tumours = json.loads(finished.stdout)["cases"][0]["quality"]["tumours"]
        sides[name] = tumours[0]["side"]
    assert sides == {"sform": "right", "qform": "left"}


def test_a_smoothing_without_sense_is_refused(cli, tmp_path, scan, model):
    finished = cli(
        "segment", scan, "--out", tmp_path / "o.nii.gz", "--model", model, "--smoothing-sigma-mm", "1e9"
    )
    assert finished.code == 2


def test_slices_without_room_for_a_kidney_are_refused(cli, tmp_path, write_scan, model):
    thread = write_scan(tmp_path / "thread.nii.gz", np.zeros((3000, 1, 1), np.int16), (0.5, 1.0, 1.0))
    finished = cli("segment", thread, "--out", tmp_path / "o.nii.gz", "--model", model)
    assert finished.code == 2
    assert "too small to show a kidney" in finished.stderr


@pytest.fixture
def contradicted_set(tmp_path, contradicted, write_scan, hu):
    """A data set of the contradicted scan and a mask whose header contradicts itself alike."""
    mask = write_scan(tmp_path / "plain.nii.gz", (hu > 50).astype(np.uint8))
    image, scan = nib.Nifti1Image.from_filename(mask), nib.Nifti1Image.from_filename(contradicted)
    both = nib.Nifti1Image(np.asanyarray(image.dataobj), None, scan.header)
    both.set_data_dtype(np.uint8)
    folder = tmp_path / "set" / "case_00000"
    folder.mkdir(parents=True)
    nib.save(both, folder / "segmentation.nii.gz")
    contradicted.rename(folder / "imaging.nii.gz")
    return folder.parent


@pytest.mark.parametrize("verb", ["evaluate", "inspect", "prepare"])
def test_every_verb_that_reads_them_lets_the_user_say_which_matrix_is_right(
    cli, tmp_path, contradicted_set, verb
):
    mask = contradicted_set / "case_00000" / "segmentation.nii.gz"
    plan = tmp_path / "plan.toml"
    plan.write_text("grid_size = 64\ncrop_size = 32\ncrop_margin = 4\n")
    into = ("--out", tmp_path / "store", "--n-test", 0, "--n-validation", 0, "--jobs", 1)
    command = {
        "evaluate": ("evaluate", mask, mask, "--no-surface"),
        "inspect": ("inspect", contradicted_set),
        "prepare": ("prepare", contradicted_set, *into, "--config", plan),
    }[verb]
    refused = cli(*command)
    assert refused.code in (1, 2)
    assert "contradict" in refused.stdout + refused.stderr
    finished = cli(*command, "--orientation", "qform")
    assert "contradict" not in finished.stdout + finished.stderr
    assert finished.code == 0


def test_a_geometry_is_read_by_the_matrix_that_counts(contradicted):
    right, left = (read_geometry(contradicted, orientation=each) for each in ("sform", "qform"))
    assert right.source.flips != left.source.flips


def test_a_doubt_is_printed_once(tmp_path, guessed):
    """In a process of its own, where warnings that are logged reach the terminal too."""
    program = [sys.executable, "-m", "renalmap.cli"]
    for command in (["info", str(guessed)], ["measure", str(guessed)]):
        told = subprocess.run([*program, *command], capture_output=True, text=True, check=False).stderr
        assert told.count(DOUBT) == 1
