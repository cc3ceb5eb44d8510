"""Which patients train, validate and test. Written down once; never changed silently."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from renalmap.dataset.cases import Case
from renalmap.errors import DatasetError, PathMissingError, named_errors
from renalmap.imaging.files import write_text_atomically

Part = Literal["train", "validation", "test"]

PARTS: tuple[Part, ...] = ("train", "validation", "test")


class Split(BaseModel):
    """Patients by part. A patient is in exactly one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int | None
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    @model_validator(mode="after")
    def _each_patient_once(self) -> Self:
        patients = [*self.train, *self.validation, *self.test]
        twice = sorted({patient for patient in patients if patients.count(patient) > 1})
        if twice:
            raise ValueError(f"patients named twice: {', '.join(twice)}")
        return self

    def part_of(self, patient: str) -> Part:
        """The part a patient is in.

        Raises:
            DatasetError: the patient is in none.
        """
        for part in PARTS:
            if patient in getattr(self, part):
                return part
        raise DatasetError("a patient is not in the split", where=patient)

    def fold(self, number: int, folds: int) -> Split:
        """One fold of a cross-validation over the training and validation patients; test patients are unchanged.

        The patients are dealt in an order determined by the split's own seed (0 if it has none), so the folds
        of one split fit together whatever else differs between their runs. Each patient is used for validation
        in exactly one fold; the sizes of folds differ by at most one patient.

        Args:
            number: which fold validates, from 0.
            folds: how many there are.

        Raises:
            DatasetError: no such fold, or fewer patients than folds.
        """
        patients = sorted([*self.train, *self.validation])
        if not 0 <= number < folds or folds < 2 or len(patients) < folds:
            raise DatasetError(
                "the folds cannot be made",
                got=f"fold {number} of {folds}, {len(patients)} patients to train and validate",
                expected="a fold from 0, at least 2 folds and a patient for each",
            )
        dealt = [str(patient) for patient in np.random.default_rng(self.seed or 0).permutation(patients)]
        validation = set(dealt[number::folds])
        return Split(
            seed=self.seed,
            train=tuple(patient for patient in patients if patient not in validation),
            validation=tuple(sorted(validation)),
            test=self.test,
        )

    def save(self, path: Path) -> None:
        """Write as JSON, atomically."""
        write_text_atomically(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read a file written by `save`.

        Raises:
            PathMissingError: no such file.
            DatasetError: not a split.
        """
        if not path.is_file():
            raise PathMissingError("the split does not exist", where=path)
        with named_errors(lambda got: DatasetError("not a split", where=path, got=got)):
            return cls.model_validate_json(path.read_text(encoding="utf-8"))


def draw_split(
    cases: Sequence[Case],
    *,
    seed: int,
    n_test: int = 20,
    n_validation: int | None = None,
    test: Sequence[str] = (),
    validation: Sequence[str] = (),
) -> Split:
    """Draw a split by patient.

    Args:
        cases: the data set.
        seed: decides the draw; the order of `cases` does not.
        n_test: patients to test on, unless `test` names them. The paper holds out 20.
        n_validation: patients to validate on, unless `validation` names them; by default a tenth of
            those left, at least one.
        test: patients, explicitly.
        validation: patients, explicitly.

    Raises:
        DatasetError: too few patients, an unknown patient, or one named twice.
    """
    patients = sorted({case.patient for case in cases})
    named = [*test, *validation]
    unknown = sorted(set(named) - set(patients))
    twice = sorted({patient for patient in named if named.count(patient) > 1})
    if unknown or twice:
        raise DatasetError(
            "the lists of patients do not match the data set",
            got=f"unknown: {', '.join(unknown) or 'none'}; twice: {', '.join(twice) or 'none'}",
        )
    free = [patient for patient in patients if patient not in named]
    shuffled = [str(patient) for patient in np.random.default_rng(seed).permutation(free)]
    wanted_test = 0 if test else n_test
    left = len(free) - wanted_test
    if validation:
        wanted_validation = 0
    else:
        wanted_validation = max(1, round(left / 10)) if n_validation is None else n_validation
    if left - wanted_validation < 1:
        raise DatasetError(
            "too few patients to split",
            got=f"{len(patients)} patients",
            expected=f"more than {wanted_test} to test and {wanted_validation} to validate",
            hint="Lower --n-test and --n-validation",
        )
    drawn_validation = shuffled[wanted_test : wanted_test + wanted_validation]
    return Split(
        seed=seed,
        train=tuple(sorted(shuffled[wanted_test + wanted_validation :])),
        validation=tuple(sorted([*validation, *drawn_validation])),
        test=tuple(sorted([*test, *shuffled[:wanted_test]])),
    )
