"""Splits are by patient, seeded, and written down."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.strategies import seeds

from renalmap.dataset.cases import Case
from renalmap.dataset.split import PARTS, Split, draw_split
from renalmap.errors import DatasetError, PathMissingError


def patients(count: int) -> list[Case]:
    return [Case(f"case_{number:05d}", f"patient_{number:03d}") for number in range(count)]


def test_20_patients_test_and_a_tenth_of_the_rest_validates_by_default():
    split = draw_split(patients(210), seed=0)
    assert (len(split.train), len(split.validation), len(split.test)) == (171, 19, 20)


def test_the_seed_decides_and_the_order_of_cases_does_not():
    cases = patients(60)
    split = draw_split(cases, seed=4)
    assert draw_split(cases[::-1], seed=4) == split
    assert set(draw_split(cases, seed=5).test) != set(split.test)


@given(
    scans=st.lists(st.integers(0, 12), min_size=20, max_size=60),
    seed=seeds,
    n_test=st.integers(0, 3),
)
def test_a_patients_cases_are_never_separated(scans: list[int], seed: int, n_test: int):
    cases = [Case(f"case_{number}", f"p{patient}") for number, patient in enumerate(scans)]
    known = {case.patient for case in cases}
    if len(known) < n_test + 2:
        return
    split = draw_split(cases, seed=seed, n_test=n_test)
    parts = {part: set(getattr(split, part)) for part in PARTS}
    assert set.union(*parts.values()) == known
    assert sum(map(len, parts.values())) == len(known), "nobody is in two parts"
    assert len(parts["test"]) == n_test
    assert parts["train"]
    for case in cases:
        assert case.patient in parts[split.part_of(case.patient)]


def test_explicit_lists_are_kept_and_the_rest_is_drawn():
    split = draw_split(patients(12), seed=0, test=["patient_003"], n_validation=2)
    assert split.test == ("patient_003",)
    assert len(split.validation) == 2
    assert len(split.train) == 9
    both = draw_split(patients(4), seed=0, test=["patient_000"], validation=["patient_003"])
    assert both.train == ("patient_001", "patient_002")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"test": ["nobody"]}, "unknown: nobody"),
        ({"test": ["patient_001"], "validation": ["patient_001"]}, "twice: patient_001"),
        ({"test": ["patient_001", "patient_001"]}, "twice: patient_001"),
        ({}, "too few patients.*10 patients.*more than 20 to test"),
        ({"n_test": 5, "n_validation": 5}, "too few patients"),
    ],
)
def test_splits_that_cannot_be(options: dict[str, object], fault: str):
    with pytest.raises(DatasetError, match=fault):
        draw_split(patients(10), seed=0, **options)  # type: ignore[arg-type]


def test_split_survives_its_file(tmp_path: Path):
    split = draw_split(patients(30), seed=1)
    split.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == split


def test_files_that_are_no_split(tmp_path: Path):
    path = tmp_path / "split.json"
    with pytest.raises(PathMissingError, match="split does not exist"):
        Split.load(path)
    path.write_text('{"seed": 0, "train": ["a"], "validation": [], "test": ["a"]}', encoding="utf-8")
    with pytest.raises(DatasetError, match="patients named twice: a"):
        Split.load(path)
    path.write_text('{"seed": 0}', encoding="utf-8")
    with pytest.raises(DatasetError, match="not a split"):
        Split.load(path)


def test_a_patient_in_no_part_is_an_error():
    with pytest.raises(DatasetError, match="patient_099: a patient is not in the split"):
        draw_split(patients(30), seed=1).part_of("patient_099")


def test_split_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        draw_split(patients(30), seed=1).train = ()  # type: ignore[misc]


def _folded(test: tuple[str, ...] = ("t1", "t2"), seed: int | None = 3) -> Split:
    names = tuple(f"p{number:02d}" for number in range(13))
    return Split(seed=seed, train=names[:10], validation=names[10:], test=test)


def test_every_patient_validates_in_one_fold_and_trains_in_the_others():
    split = _folded()
    folds = [split.fold(number, 5) for number in range(5)]
    everybody = sorted([*split.train, *split.validation])
    assert sorted(patient for fold in folds for patient in fold.validation) == everybody
    for fold in folds:
        assert sorted([*fold.train, *fold.validation]) == everybody
        assert fold.test == split.test, "a test patient never trains"
        assert len(fold.validation) in {2, 3}


def test_folds_are_decided_by_the_splits_seed_alone():
    assert _folded().fold(1, 5) == _folded().fold(1, 5)
    assert _folded().fold(1, 5) != _folded(seed=4).fold(1, 5)
    moved = Split(seed=3, train=_folded().validation, validation=_folded().train, test=())
    assert moved.fold(1, 5).validation == _folded().fold(1, 5).validation
    assert _folded(seed=None).fold(0, 5) == _folded(seed=None).fold(0, 5)


@pytest.mark.parametrize(("number", "folds"), [(5, 5), (-1, 5), (0, 1), (0, 14)])
def test_folds_that_cannot_be_made(number: int, folds: int):
    with pytest.raises(DatasetError, match=rf"got fold {number} of {folds}, 13 patients"):
        _folded().fold(number, folds)
