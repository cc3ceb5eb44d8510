"""`renalmap test`: the patients whom a split keeps aside, segmented and scored in one command."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from tests.cli.doubts import without_doubt

PLAN = "grid_size = 128\ncrop_size = 64\ncrop_margin = 8\n"


@pytest.fixture
def kits(tmp_path, write_scan, hu):
    """Five patients alike, in KiTS's layout."""
    labels = np.where(hu == 200, 1, np.where(hu == 100, 2, 0)).astype(np.uint8)
    for number in range(5):
        folder = tmp_path / "kits" / "data" / f"case_{number:05d}"
        write_scan(folder / "imaging.nii.gz", hu)
        write_scan(folder / "segmentation.nii.gz", labels)
    return tmp_path / "kits"


@pytest.fixture
def config(tmp_path):
    """The options of prepare that name a Plan."""
    (tmp_path / "plan.toml").write_text(PLAN)
    return "--config", tmp_path / "plan.toml"


@pytest.fixture
def store(cli, kits, config, tmp_path):
    split = ("--test", "case_00001,case_00003", "--validation", "case_00002")
    made = cli("prepare", kits, "--out", tmp_path / "store", *config, *split)
    assert made.code == 0, made.stderr
    return tmp_path / "store"


@pytest.fixture
def judge(cli, store, kits, model, tmp_path):
    """A function that runs the command."""

    def run(*more):
        command = ("test", store, kits, "--model", model, "--out", tmp_path / "results")
        return cli(*command, "--no-surface", *more)

    return run


def cases_of(finished):
    return [case["case"] for case in json.loads(finished.stdout)["cases"]]


def test_the_test_patients_are_segmented_and_scored(judge, tmp_path):
    finished = judge("--json", "--csv", tmp_path / "scores.csv")
    assert finished.code == 0
    assert cases_of(finished) == ["case_00001", "case_00003"]
    for case in json.loads(finished.stdout)["cases"]:
        assert case["kidney_dice"] > 0.9
        assert case["tumour_dice"] > 0.9
    written = {path.name for path in (tmp_path / "results").iterdir()}
    assert {f"case_0000{n}_seg.{end}" for n in "13" for end in ("nii.gz", "sidecar.json")} == written
    rows = csv.DictReader((tmp_path / "scores.csv").read_text().splitlines())
    assert [row["case"] for row in rows] == ["case_00001", "case_00003"]


def test_what_is_complete_is_kept_and_the_rest_is_done(judge, tmp_path):
    judge()
    first, second = (tmp_path / "results" / f"case_0000{n}_seg.nii.gz" for n in "13")
    before = first.stat().st_mtime_ns
    second.unlink()
    second.with_name("case_00003_seg.sidecar.json").unlink()
    finished = judge("--json")
    assert (finished.code, cases_of(finished)) == (0, ["case_00001", "case_00003"])
    assert first.stat().st_mtime_ns == before
    assert second.is_file()


def test_only_the_part_that_was_asked_for_is_scored(judge):
    assert cases_of(judge("--json")) == ["case_00001", "case_00003"]
    assert cases_of(judge("--json", "--part", "validation")) == ["case_00002"]
    assert cases_of(judge("--json")) == ["case_00001", "case_00003"]


def test_a_scan_that_fails_does_not_stop_the_others(judge, kits):
    image = kits / "data" / "case_00001" / "imaging.nii.gz"
    image.write_bytes(image.read_bytes()[:-200])
    finished = judge("--json")
    assert finished.code == 1
    assert cases_of(finished) == ["case_00003"]
    assert f"{image}: the file is truncated" in finished.stderr


def test_where_every_scan_fails_the_json_says_so(judge, kits):
    for number in (1, 3):
        image = kits / "data" / f"case_0000{number}" / "imaging.nii.gz"
        image.write_bytes(image.read_bytes()[:-200])
    finished = judge("--json")
    assert finished.code == 1
    content = json.loads(finished.stdout)
    assert content["cases"] == []
    assert [failed["case"] for failed in content["failed"]] == ["case_00001", "case_00003"]
    assert "truncated" in content["failed"][0]["error"]
    assert "2 of 2 cases failed and are not in these scores" in finished.stderr


def test_foreign_files_are_neither_scored_nor_in_the_way(judge, kits, tmp_path):
    """Each of these was a prediction, or a second one, where predictions were looked for by name."""
    results, mask = tmp_path / "results", kits / "data" / "case_00001" / "segmentation.nii.gz"
    results.mkdir()
    shutil.copy(mask, results / "prediction_00001.nii.gz")
    (results / "labelsTr").mkdir()
    (results / "data" / "case_00003").mkdir(parents=True)
    shutil.copy(mask, results / "data" / "case_00003")
    finished = judge("--json")
    assert (finished.code, cases_of(finished)) == (0, ["case_00001", "case_00003"])


def test_a_model_that_may_have_seen_the_patients_is_named(judge, model, store):
    finished = judge()
    assert finished.code == 0
    assert f"{model}: the bundle was not trained on the store {store}" in finished.stderr


def test_a_case_that_is_not_what_was_prepared_is_named(judge, kits, write_scan, hu):
    write_scan(kits / "data" / "case_00001" / "imaging.nii.gz", hu + np.int16(1))
    finished = judge()
    assert "case_00001: its files are not those that the store was prepared from" in finished.stderr
    assert "case_00003" not in without_doubt(finished.stderr)


def test_single_slices_are_refused(cli, config, tmp_path, model):
    root = tmp_path / "slices"
    root.mkdir()
    rows = ["name,case,z"]
    labels = np.zeros((128, 128), np.uint8)
    labels[40:60, 40:60] = 1
    for number in range(3):
        np.savez_compressed(root / f"{number}.npz", hu=np.full((128, 128), 40, np.int16), label=labels)
        rows.append(f"{number},k{number},0")
    (root / "index.csv").write_text("\n".join(rows))
    store = tmp_path / "store"
    made = cli("prepare", root, "--out", store, *config, "--n-test", 1, "--n-validation", 1)
    assert made.code == 0, made.stderr
    finished = cli("test", store, root, "--model", model, "--out", tmp_path / "results")
    assert finished.code == 2
    assert "single slices are not a scan that can be segmented" in finished.stderr


def test_kits23s_rules_can_be_asked_for(judge):
    finished = judge("--protocol", "kits23")
    assert finished.code == 0
    assert "masses" in finished.stdout


def test_another_bundles_results_are_not_taken_for_its_own(
    judge, cli, store, kits, make_bundle, tmp_path
):
    judge()
    other = make_bundle(mean_hu=5.0)
    command = ("test", store, kits, "--model", other, "--out", tmp_path / "results", "--no-surface")
    finished = cli(*command)
    assert finished.code == 2
    assert "made by another bundle" in finished.stderr
    assert cli(*command, "--overwrite").code == 0


def test_a_data_set_without_the_patients_is_refused(judge, kits):
    shutil.rmtree(kits / "data" / "case_00003")
    finished = judge()
    assert finished.code == 2
    assert "test cases are missing" in finished.stderr
    assert "case_00003" in finished.stderr
    assert "the data set that the store was prepared from" in finished.stderr


def test_a_case_without_its_scan_is_refused_before_anything_is_done(judge, kits, tmp_path):
    (kits / "data" / "case_00003" / "imaging.nii.gz").unlink()
    finished = judge()
    assert finished.code == 2
    assert "cases lack a scan or a mask" in finished.stderr
    assert not (tmp_path / "results").exists()


def test_a_split_that_keeps_nobody_aside_is_refused(cli, kits, model, config, tmp_path):
    store = tmp_path / "store"
    cli("prepare", kits, "--out", store, *config, "--n-test", 0)
    finished = cli("test", store, kits, "--model", model, "--out", tmp_path / "results")
    assert finished.code == 2
    assert "the split has no patients for test" in finished.stderr


def test_a_table_without_a_folder_is_refused_before_anything_is_segmented(judge, tmp_path):
    finished = judge("--csv", tmp_path / "nowhere" / "scores.csv")
    assert finished.code == 2
    assert "nowhere: the output's folder does not exist" in finished.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("among", ["", "data", "data/case_00001"])
def test_results_do_not_come_to_lie_among_the_data(cli, store, kits, model, among):
    finished = cli("test", store, kits, "--model", model, "--out", kits / among)
    assert finished.code == 2
    assert "the results would be among the data" in finished.stderr
    assert not list(kits.rglob("*_seg.nii.gz"))


@pytest.mark.parametrize("whole_folder", [False, True])
def test_a_table_of_cases_will_do_as_data_set(cli, kits, model, config, tmp_path, whole_folder):
    """Names that look like label maps' are names."""
    names = ("a", "p", "b", "p_seg", "c")
    rows = ["case_id,patient,image,mask,acquisition"]
    for number in range(5):
        folder = f"kits/data/case_{number:05d}"
        rows.append(f"{names[number]},p{number},{folder}/imaging.nii.gz,{folder}/segmentation.nii.gz,")
    (tmp_path / "cases.csv").write_text("\n".join(rows))
    table, store = tmp_path if whole_folder else tmp_path / "cases.csv", tmp_path / "store"
    made = cli("prepare", table, "--out", store, *config, "--test", "p1,p3", "--n-validation", 1)
    assert made.code == 0, made.stderr
    finished = cli("test", store, table, "--model", model, "--out", tmp_path / "results", "--json")
    assert cases_of(finished) == ["p", "p_seg"]
    assert (tmp_path / "results" / "p_seg_seg.nii.gz").is_file()
