"""From a data set to a store: the same pixels, statistics of training cases only, resumable."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import os
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from renalmap.dataset.cases import find_cases
from renalmap.dataset.prepare import prepare, prepare_measured
from renalmap.dataset.split import Split
from renalmap.dataset.store import Store, StoreSettings
from renalmap.dataset.workers import Workload
from renalmap.errors import (
    CasesFailedError,
    DatasetError,
    DiskSpaceError,
    FolderInUseError,
    StoreError,
)
from renalmap.imaging.files import locked_folder
from renalmap.preprocess import InPlaneFit, Plan, SliceStatisticsAccumulator
from renalmap.preprocess.intensity import clip_hu, volume_mean_deviation_hu

PLAN = Plan(grid_size=64, crop_size=32)
SPLIT = Split(seed=0, train=("a", "b"), validation=("c",), test=("d",))


def settings(store_format="npz", **changes) -> StoreSettings:
    return StoreSettings(format=store_format, plan=Plan.model_validate(PLAN.model_dump() | changes))


@pytest.fixture
def pixels(draw_pixels):
    return {name: draw_pixels(seed) for seed, name in enumerate("abcd")}


@pytest.fixture
def dataset(tmp_path: Path, write_slices, pixels):
    return write_slices(tmp_path / "slices", pixels)


def contents(root: Path) -> dict[str, object]:
    """What a store says: all text files, and every slice's pixels."""
    store = Store.open(root)
    texts = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*.json")}
    texts["intensities.csv"] = (root / "intensities.csv").read_text()
    arrays = [store.statistics.mean_hu.tobytes(), store.statistics.deviation_hu.tobytes()]
    for entry in store.entries:
        for index in range(len(entry.z_indices)):
            arrays += [array.tobytes() for array in store.slices.read(entry.case_id, index)]
    return {"texts": texts, "arrays": arrays}


@pytest.mark.parametrize("store_format", ["npz", "blosc2"])
def test_store_holds_the_data_set(tmp_path: Path, dataset: Path, pixels, store_format):
    store = prepare(find_cases(dataset), tmp_path / "store", settings(store_format), SPLIT)
    assert [entry.case_id for entry in store.entries] == list("abcd")
    assert [entry.case_id for entry in store.part("train")] == ["a", "b"]
    for entry in store.entries:
        hu, labels = pixels[entry.case_id]
        assert entry.z_indices == (0, 1, 2, 3)
        assert entry.kidney_pixels == (0, 320, 320, 320)
        assert entry.tumour_pixels == (0, 96, 0, 96)
        for index in range(4):
            got_hu, got_labels = store.slices.read(entry.case_id, index)
            np.testing.assert_array_equal(got_hu, hu[index])
            np.testing.assert_array_equal(got_labels, labels[index])


def test_both_formats_give_the_same_hu_and_statistics(tmp_path: Path, dataset: Path):
    npz, blosc2 = (
        prepare(find_cases(dataset), tmp_path / name, settings(name), SPLIT)
        for name in ("npz", "blosc2")
    )
    assert npz.entries == blosc2.entries
    np.testing.assert_array_equal(npz.statistics.mean_hu, blosc2.statistics.mean_hu)
    for entry in npz.entries:
        for index in range(4):
            for ours, theirs in zip(
                npz.slices.read(entry.case_id, index),
                blosc2.slices.read(entry.case_id, index),
                strict=True,
            ):
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("weighting", ["slice", "case"])
def test_statistics_are_of_clipped_training_slices(
    tmp_path: Path, write_slices, draw_pixels, weighting: str
):
    pixels = {"a": draw_pixels(1, slices=6), "b": draw_pixels(2, slices=2), "c": draw_pixels(3)}
    pixels["a"][0][:] += 150
    split = Split(seed=0, train=("a", "b"), validation=("c",), test=())
    store = prepare(
        find_cases(write_slices(tmp_path / "slices", pixels)),
        tmp_path / "store",
        settings(statistics_weighting=weighting),
        split,
    )
    slices = np.clip(np.concatenate([pixels["a"][0], pixels["b"][0]]).astype(float), *(-200, 300))
    weights = np.repeat([1 / 6, 1 / 2], [6, 2]) if weighting == "case" else np.ones(8)
    mean = np.average(slices, axis=0, weights=weights)
    deviation = np.sqrt(np.average((slices - mean) ** 2, axis=0, weights=weights))
    np.testing.assert_allclose(store.statistics.mean_hu, mean, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(store.statistics.deviation_hu, deviation, rtol=1e-5, atol=1e-4)


def test_statistics_ignore_validation_and_test_cases(tmp_path: Path, write_slices, pixels):
    stores = []
    for name, shift in (("first", 0), ("second", 77)):
        changed = {
            case: (hu + shift if case in ("c", "d") else hu, labels)
            for case, (hu, labels) in pixels.items()
        }
        cases = find_cases(write_slices(tmp_path / f"{name}_slices", changed))
        stores.append(prepare(cases, tmp_path / name, settings(), SPLIT))
    assert stores[0].entries[3].p50_hu + 77 == stores[1].entries[3].p50_hu, "the case did change"
    np.testing.assert_array_equal(stores[0].statistics.mean_hu, stores[1].statistics.mean_hu)
    np.testing.assert_array_equal(stores[0].statistics.deviation_hu, stores[1].statistics.deviation_hu)
    assert stores[0].statistics.global_mean_hu == stores[1].statistics.global_mean_hu


def test_outliers_are_listed_and_kept(tmp_path: Path, write_slices, pixels, caplog):
    pixels["b"][0][2, 5, :2] = (-6986, 18326)
    with caplog.at_level(logging.WARNING):
        store = prepare(
            find_cases(write_slices(tmp_path / "slices", pixels)), tmp_path / "store", settings(), SPLIT
        )
    with (store.root / "intensities.csv").open(newline="", encoding="utf-8") as handle:
        table = {row["case_id"]: row for row in csv.DictReader(handle)}
    assert list(table) == list("abcd")
    assert [row["outlier"] for row in table.values()] == ["False", "True", "False", "False"]
    assert (float(table["b"]["min_hu"]), float(table["b"]["max_hu"])) == (-6986, 18326)
    assert "b has intensities from -6986 to 18326 HU" in caplog.text
    assert store.slices.read("b", 2)[0][5, 1] == 18326
    expected = np.percentile(pixels["b"][0], (1, 50, 99), method="inverted_cdf")
    assert [float(table["b"][name]) for name in ("p01_hu", "p50_hu", "p99_hu")] == expected.tolist()
    assert store.statistics.mean_hu.max() <= 300, "clipped before the statistics"


def test_a_case_knows_its_own_clipped_mean_and_deviation(tmp_path: Path, dataset: Path, pixels):
    store = prepare(find_cases(dataset), tmp_path / "store", settings(), SPLIT)
    expected = volume_mean_deviation_hu(pixels["a"][0], PLAN)
    assert store.entries[0].volume_mean_deviation_hu == pytest.approx(expected, rel=1e-6)


def test_other_sizes_are_fitted_to_the_grid(tmp_path: Path, write_scan, draw_pixels):
    hu, labels = draw_pixels(5, rows=48, columns=40)
    folder = tmp_path / "case_00000"
    write_scan(
        folder / "imaging.nii.gz", folder / "segmentation.nii.gz", (hu, labels), spacing_mm=(3, 2, 1)
    )
    split = Split(seed=0, train=("case_00000",), validation=(), test=())
    store = prepare(find_cases(tmp_path), tmp_path / "store", settings("blosc2"), split)
    entry = store.entries[0]
    assert entry.shape == (48, 40)
    fit = InPlaneFit(48, 40, (2.0, 1.0), 64)
    got_hu, got_labels = store.slices.read("case_00000", 1)
    np.testing.assert_allclose(got_hu, fit.to_grid(hu[1], PLAN.outside_hu), atol=0.5001)
    np.testing.assert_array_equal(got_labels, fit.labels_to_grid(labels[1]))
    assert entry.tumour_pixels[1] == (got_labels == 2).sum()
    assert (got_hu[:, 0] == PLAN.outside_hu).all()


class Stop(Exception):  # noqa: N818 -- stands for a power cut
    pass


@pytest.mark.parametrize("store_format", ["npz", "blosc2"])
@pytest.mark.parametrize("stop_at", [1, 6, 16, 19])
def test_interrupted_and_continued_is_the_same_as_never_interrupted(
    tmp_path: Path, dataset: Path, store_format, stop_at: int
):
    cases = find_cases(dataset)
    prepare(cases, tmp_path / "whole", settings(store_format), SPLIT)
    calls = 0

    def stop(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise Stop

    root = tmp_path / "interrupted"
    with pytest.raises(Stop):
        prepare(cases, root, settings(store_format), SPLIT, progress=stop)
    with pytest.raises(StoreError, match="unfinished"):
        Store.open(root)
    finished = {path.stem for path in (root / "cases").glob("*.json")}
    assert finished == set("abcd"[: min(4, (stop_at - 1) // 4)])
    prepare(cases, root, settings(store_format), SPLIT)
    assert contents(root) == contents(tmp_path / "whole")
    assert not list(root.rglob("*.tmp*"))


def test_a_half_written_slice_does_not_count_as_done(tmp_path: Path, dataset: Path):
    root = tmp_path / "store"
    prepare(find_cases(dataset), root, settings(), SPLIT)
    whole = contents(root)
    (root / "cases" / "b.json").unlink()
    (root / "slices" / "b" / "00002.npz").rename(root / "slices" / "b" / ".ab12.tmp.00002.npz")
    prepare(find_cases(dataset), root, settings(), SPLIT)
    assert contents(root) == whole


def test_a_record_that_never_got_its_name_does_not_count(tmp_path: Path, dataset: Path):
    """A process may be killed between writing a file and naming it."""
    root = tmp_path / "store"
    prepare(find_cases(dataset), root, settings(), SPLIT)
    whole = contents(root)
    (root / "cases" / "b.json").rename(root / "cases" / ".ab12cd34.tmp.b.json")
    (root / ".ab12cd34.tmp.slice_statistics.npz").write_bytes(b"half")
    done = prepare_measured(find_cases(dataset), root, settings(), SPLIT)
    assert done.cases == 1
    assert contents(root) == whole
    assert not list(root.rglob("*.tmp*"))


def test_done_cases_are_not_read_again(tmp_path: Path, dataset: Path):
    cases = find_cases(dataset)
    prepare(cases, tmp_path / "store", settings(), SPLIT)
    for path in dataset.glob("*.npz"):
        path.unlink()
    store = prepare(cases, tmp_path / "store", settings(), SPLIT)
    assert len(store.entries) == 4


def test_statistics_follow_a_case_that_comes_later(tmp_path: Path, dataset: Path):
    cases = find_cases(dataset)
    first = prepare(cases[1:], tmp_path / "store", settings(), SPLIT).statistics
    both = prepare(cases, tmp_path / "store", settings(), SPLIT).statistics
    fresh = prepare(cases, tmp_path / "fresh", settings(), SPLIT).statistics
    np.testing.assert_array_equal(both.mean_hu, fresh.mean_hu)
    assert not np.array_equal(first.mean_hu, both.mean_hu)


def test_another_plan_or_format_or_split_is_refused(tmp_path: Path, dataset: Path):
    cases, root = find_cases(dataset), tmp_path / "store"
    prepare(cases, root, settings(), SPLIT)
    for other in (settings("blosc2"), settings(clip_hu=(0, 255))):
        with pytest.raises(StoreError, match="another setting"):
            prepare(cases, root, other, SPLIT)
    swapped = Split(seed=0, train=("a", "c"), validation=("b",), test=("d",))
    with pytest.raises(StoreError, match="another split"):
        prepare(cases, root, settings(), swapped)
    assert Store.open(root).split == SPLIT


def test_a_patient_outside_the_split_is_refused_before_any_work(tmp_path: Path, dataset: Path):
    split = Split(seed=0, train=("a", "b"), validation=("c",), test=())
    with pytest.raises(DatasetError, match="d: a patient is not in the split"):
        prepare(find_cases(dataset), tmp_path / "store", settings(), split)
    assert not (tmp_path / "store").exists()


def test_slices_stream(tmp_path: Path, write_slices, draw_pixels):
    """A case of 60 slices takes no more memory than a few slices do."""
    hu, labels = draw_pixels(0, slices=60, rows=128, columns=128)
    cases = find_cases(write_slices(tmp_path / "slices", {"a": (hu, labels)}))
    split = Split(seed=0, train=("a",), validation=(), test=())
    plan = settings(grid_size=128)
    tracemalloc.start()
    try:
        prepare(cases, tmp_path / "store", plan, split)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    whole_case_bytes = 60 * 128 * 128 * 4
    assert peak_bytes < whole_case_bytes


def test_accumulator_and_store_agree(tmp_path: Path, dataset: Path):
    store = prepare(find_cases(dataset), tmp_path / "store", settings(), SPLIT)
    accumulator = SliceStatisticsAccumulator(64)
    for entry in store.part("train"):
        for index in range(len(entry.z_indices)):
            accumulator.add(clip_hu(store.slices.read(entry.case_id, index)[0], PLAN))
    np.testing.assert_array_equal(accumulator.finish().mean_hu, store.statistics.mean_hu)


def test_cysts_are_trained_as_kidney_and_said_to_be(
    tmp_path: Path, write_scan, draw_pixels, caplog: pytest.LogCaptureFixture
):
    for number in range(3):
        hu, labels = draw_pixels(number)
        if number == 1:
            labels[2, 12:18, 14:20] = 3
        folder = tmp_path / "kits" / f"case_{number:05d}"
        write_scan(folder / "imaging.nii.gz", folder / "segmentation.nii.gz", (hu, labels))
    cases = find_cases(tmp_path / "kits")
    split = Split(seed=None, train=("case_00000",), validation=("case_00001",), test=("case_00002",))
    store = prepare(cases, tmp_path / "store", settings(), split)
    assert store.entries[1].kidney_pixels == store.entries[0].kidney_pixels
    assert "in 1 of the cases" in caplog.text


def bytes_of(root: Path) -> dict[str, bytes]:
    """Every file of a store, as it lies on the disk."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("store_format", "weighting"), [("npz", "slice"), ("blosc2", "case")])
def test_a_store_has_the_same_bytes_with_any_number_of_jobs(
    tmp_path: Path, write_slices, draw_pixels, store_format, weighting
):
    pixels = {name: draw_pixels(seed, slices=2 + seed) for seed, name in enumerate("abcdef")}
    cases = find_cases(write_slices(tmp_path / "slices", pixels))
    split = Split(seed=0, train=tuple("abcde"), validation=("f",), test=())
    made = settings(store_format, statistics_weighting=weighting)
    one = prepare(cases, tmp_path / "one", made, split)
    three = prepare(cases, tmp_path / "three", made, split, workload=Workload(3))
    assert bytes_of(one.root) == bytes_of(three.root)


def test_merged_statistics_are_those_of_one_pass(draw_pixels):
    """Three accumulators of unequal weights, one of them empty, against NumPy's over everything."""
    slices = np.concatenate([draw_pixels(seed)[0] for seed in range(3)]).astype(np.float64)
    weights = np.repeat([1.0, 0.25, 3.0], 4)
    merged = SliceStatisticsAccumulator(64)
    for first in (0, 4, 8):
        part = SliceStatisticsAccumulator(64)
        for hu, weight in zip(slices[first : first + 4], weights[first : first + 4], strict=True):
            part.add(hu, weight)
        merged.merge(part)
    merged.merge(SliceStatisticsAccumulator(64))
    mean = np.average(slices, axis=0, weights=weights)
    deviation = np.sqrt(np.average((slices - mean) ** 2, axis=0, weights=weights))
    np.testing.assert_allclose(merged.finish().mean_hu, mean, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(merged.finish().deviation_hu, deviation, rtol=1e-6)


def test_a_case_whose_files_changed_is_prepared_again(tmp_path: Path, write_scan, draw_pixels, caplog):
    root, store = tmp_path / "kits", tmp_path / "store"
    folders = [root / f"case_{number:05d}" for number in range(3)]
    for number, folder in enumerate(folders):
        write_scan(folder / "imaging.nii.gz", folder / "segmentation.nii.gz", draw_pixels(number))
    split = Split(seed=0, train=tuple(folder.name for folder in folders), validation=(), test=())
    prepare(find_cases(root), store, settings(), split)
    entry = (store / "cases" / "case_00001.json").read_bytes()

    # Another time, the same contents: as after copying the data set.
    os.utime(folders[1] / "imaging.nii.gz", (1, 1))
    with caplog.at_level(logging.WARNING):
        assert prepare_measured(find_cases(root), store, settings(), split).cases == 0
    assert caplog.text == ""
    assert (store / "cases" / "case_00001.json").read_bytes() == entry

    for path in folders[1].iterdir():
        path.unlink()
    changed = draw_pixels(9)
    write_scan(folders[1] / "imaging.nii.gz", folders[1] / "segmentation.nii.gz", changed)
    with caplog.at_level(logging.WARNING):
        assert prepare_measured(find_cases(root), store, settings(), split).cases == 1
    assert "case_00001 is prepared again: its files have changed" in caplog.text
    np.testing.assert_array_equal(Store.open(store).slices.read("case_00001", 2)[0], changed[0][2])
    fresh = prepare(find_cases(root), tmp_path / "fresh", settings(), split)
    assert contents(store) == contents(fresh.root)


@pytest.mark.parametrize("store_format", ["npz", "blosc2"])
def test_a_case_that_lost_slices_is_prepared_again(tmp_path: Path, dataset: Path, store_format, caplog):
    cases, root = find_cases(dataset), tmp_path / "store"
    prepare(cases, root, settings(store_format), SPLIT)
    whole = bytes_of(root)
    damaged = root / "slices" / "b" / ("00002.npz" if store_format == "npz" else "label.b2nd")
    damaged.write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert prepare_measured(cases, root, settings(store_format), SPLIT).cases == 1
    assert "b is prepared again: the store has" in caplog.text
    assert bytes_of(root) == whole


def test_stores_made_before_sources_were_recorded_are_continued(tmp_path: Path, dataset: Path):
    cases, root = find_cases(dataset), tmp_path / "store"
    prepare(cases, root, settings(), SPLIT)
    for path in (root / "cases").glob("*.json"):
        entry = json.loads(path.read_text())
        del entry["source"]
        path.write_text(json.dumps(entry))
    assert prepare_measured(cases, root, settings(), SPLIT).cases == 0


BROKEN = {
    "without_imaging": "segmentation.nii.gz: a mask without imaging",
    "other_grid": "case_00002: image and mask are on different grids",
    "illegal_label": "segmentation.nii.gz: a mask holds labels that are not allowed (got uint8 from 0 to 7",
    "truncated": "imaging.nii.gz: the file is truncated or damaged",
}


def break_case(folder: Path, how: str, write_scan, draw_pixels) -> None:
    image, mask = folder / "imaging.nii.gz", folder / "segmentation.nii.gz"
    hu, labels = draw_pixels(8)
    if how == "illegal_label":
        labels[1, 5, 5] = 7
    if how in {"illegal_label", "other_grid"}:
        image.unlink()
        mask.unlink()
        write_scan(image, mask, (hu, labels), mask_shift_mm=9.0 if how == "other_grid" else 0.0)
    if how == "without_imaging":
        image.unlink()
    if how == "truncated":
        image.write_bytes(image.read_bytes()[:5000])


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_case_is_named_and_the_others_are_kept(
    tmp_path: Path, write_scan, draw_pixels, how: str
):
    """In this process; several broken ones in several processes are in tests/cli/test_prepare.py."""
    root, store = tmp_path / "kits", tmp_path / "store"
    folders = [root / f"case_{number:05d}" for number in range(4)]
    for number, folder in enumerate(folders):
        write_scan(folder / "imaging.nii.gz", folder / "segmentation.nii.gz", draw_pixels(number))
    good = {path: path.read_bytes() for path in folders[2].iterdir()}
    break_case(folders[2], how, write_scan, draw_pixels)
    split = Split(seed=0, train=tuple(folder.name for folder in folders), validation=(), test=())

    with pytest.raises(CasesFailedError, match=r"1 of 4 cases failed \(got case_00002\)") as failed:
        prepare(find_cases(root, whole=False), store, settings(), split)
    assert failed.value.exit_code == 1
    (failure,) = failed.value.failures
    assert BROKEN[how] in str(failure)
    assert {path.stem for path in (store / "cases").iterdir()} == {
        "case_00000",
        "case_00001",
        "case_00003",
    }
    assert not (store / "slices" / "case_00002").exists()
    with pytest.raises(StoreError, match="unfinished"):
        Store.open(store)

    for path, content in good.items():
        path.write_bytes(content)
    assert prepare_measured(find_cases(root), store, settings(), split).cases == 1


def test_a_store_that_does_not_fit_the_disk_is_refused_before_any_work(tmp_path: Path):
    """Sixteen cases of 32,767 small slices, wanted on the largest grid: nine terabytes."""
    header = nib.Nifti1Header()
    header.set_data_shape((32767, 8, 8))
    header.set_data_dtype(np.int16)
    header.set_sform(np.diag([0.06, 1.0, 1.0, 1.0])[[2, 1, 0, 3]], 1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    content = gzip.compress(header.binaryblock + bytes(4) + bytes(32767 * 8 * 8 * 2), 1)
    names = tuple(f"case_{number:05}" for number in range(16))
    for folder in (tmp_path / "kits" / name for name in names):
        folder.mkdir(parents=True)
        for name in ("imaging.nii.gz", "segmentation.nii.gz"):
            (folder / name).write_bytes(content)
    split = Split(seed=0, train=names, validation=(), test=())
    with pytest.raises(
        DiskSpaceError, match=r"too little space .* expected about 8795\.8 GB for 524272"
    ):
        prepare(
            find_cases(tmp_path / "kits"), tmp_path / "store", settings("blosc2", grid_size=4096), split
        )
    assert not (tmp_path / "store" / "slices").exists()


def test_two_runs_do_not_write_into_one_store(tmp_path: Path, dataset: Path):
    root = tmp_path / "store"
    root.mkdir()
    with (
        locked_folder(root, ".prepare.lock", "prepare"),
        pytest.raises(FolderInUseError, match="another renalmap prepare is writing here"),
    ):
        prepare(find_cases(dataset), root, settings(), SPLIT)
