"""The bundle: the model folder that is delivered, verified by hash whenever it is opened.

```
BUNDLE/
  localizer.onnx  segmenter.onnx   normalised slices or crops in, probabilities out
  plan.json                        every preprocessing decision
  slice_statistics.npz             mean and standard-deviation slice of the training data
  MODEL_CARD.md                    what it was trained on, how good it is, what it is not for
  calibration.json                 optional: what confidences are worth, measured on other patients
  SHA256SUMS                       of all of these; `sha256sum --check` reads it
```
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from renalmap.config import sha256_of
from renalmap.errors import BundleError, StoreError, named_errors
from renalmap.imaging.files import write_text_atomically
from renalmap.preprocess import Plan, SliceStatistics

LOCALIZER_FILE = "localizer.onnx"
SEGMENTER_FILE = "segmenter.onnx"
PLAN_FILE = "plan.json"
STATISTICS_FILE = "slice_statistics.npz"
CARD_FILE = "MODEL_CARD.md"
CALIBRATION_FILE = "calibration.json"
SUMS_FILE = "SHA256SUMS"

HASHED_FILES = (LOCALIZER_FILE, SEGMENTER_FILE, PLAN_FILE, STATISTICS_FILE, CARD_FILE)
OPTIONAL_FILES = (CALIBRATION_FILE,)
"""Also hashed if present."""

LOCALIZER_CLASSES = 1
"""Foreground."""
SEGMENTER_CLASSES = 3
"""Background, kidney, tumour."""

_LARGEST_TEXT_BYTES = 2**20
"""Of the Plan, the calibration and the sums, which have a few hundred lines at most."""

_EXTERNAL_DATA_KEY = b"location"
"""Under this name a graph says in which other file weights lie. It is in no graph that `export` makes."""

NETWORK_INPUT = "image"
"""Name of both graphs' input, (N, 1, H, W) float32. H and W are free multiples of 8, in a reduced stage 1 of
8 times the Plan's reduction; graphs of older bundles take one size only."""
NETWORK_OUTPUT = "probabilities"
"""Name of both graphs' output, (N, C, H, W) float32: foreground; or background, kidney, tumour."""


_Share = Annotated[float, Field(ge=0.0, le=1.0)]


class CalibrationCurve(BaseModel):
    """A monotone piecewise-linear map from a raw score to a calibrated confidence, constant at its ends.

    `renalmap.evaluation.reliability.fit_calibration` makes one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    raw: tuple[_Share, ...] = Field(min_length=1)
    """The knots' raw scores, ascending."""
    confidence: tuple[_Share, ...] = Field(min_length=1)
    """The confidence at each knot, never descending."""
    n: int = Field(ge=1)
    """Kidneys or tumours it was fitted on."""

    @model_validator(mode="after")
    def _monotone(self) -> Self:
        if len(self.raw) != len(self.confidence):
            raise ValueError(f"{len(self.raw)} raw scores, {len(self.confidence)} confidences")
        if any(low >= high for low, high in zip(self.raw, self.raw[1:], strict=False)):
            raise ValueError("the knots' raw scores must ascend")
        if any(low > high for low, high in zip(self.confidence, self.confidence[1:], strict=False)):
            raise ValueError("the knots' confidences must not descend")
        return self

    def __call__(self, raw: float) -> float:
        """The confidence that a raw score is worth."""
        return float(np.interp(raw, self.raw, self.confidence))


class ConfidenceCalibration(BaseModel):
    """What the raw confidence scores are worth, measured on patients not used to train the networks.

    Stored as `calibration.json` in the bundle; without it, confidences are raw scores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    kidney: CalibrationCurve | None = None
    """To the expected Dice of the kidney with its tumour against a reference."""
    tumour: CalibrationCurve | None = None
    """To the probability that a called tumour overlaps a labelled one."""
    patients: int = Field(ge=1)
    """How many patients it was measured on."""
    source: str = ""
    """Which patients, in a sentence."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """An opened, verified model folder.

    Attributes:
        root: the folder.
        plan: every preprocessing decision.
        statistics: the training data's.
        digest: SHA-256 of SHA256SUMS: names the bundle's whole content.
        calibration: of confidences; None where the bundle has none.
    """

    root: Path
    plan: Plan
    statistics: SliceStatistics
    digest: str
    calibration: ConfidenceCalibration | None = None

    @property
    def localizer(self) -> Path:
        """Stage 1's graph."""
        return self.root / LOCALIZER_FILE

    @property
    def segmenter(self) -> Path:
        """Stage 2's graph."""
        return self.root / SEGMENTER_FILE

    @classmethod
    def open(cls, root: Path) -> Bundle:
        """Open a bundle and verify every file. No file is opened that SHA256SUMS does not list.

        Raises:
            BundleError: it is missing, lacks a file, a file's hash is not the one written down, the Plan, the
                statistics or the calibration cannot be read or do not fit, or a graph has weights in another
                file.
        """
        _verify(root)
        with named_errors(
            lambda got: BundleError(
                "the bundle's Plan is not one this version reads",
                where=root / PLAN_FILE,
                got=got,
                hint="Update renalmap, or export the model again",
            )
        ):
            plan = Plan.model_validate_json((root / PLAN_FILE).read_text(encoding="utf-8"))
        try:
            statistics = SliceStatistics.load(root / STATISTICS_FILE)
        except StoreError as error:
            raise BundleError(error.what, where=error.where, got=error.got) from error
        _check_statistics(statistics, plan, root / STATISTICS_FILE)
        sums = (root / SUMS_FILE).read_bytes()
        return cls(
            root=root,
            plan=plan,
            statistics=statistics,
            digest=hashlib.sha256(sums).hexdigest(),
            calibration=_read_calibration(root / CALIBRATION_FILE),
        )


def default_bundle_path() -> Path:
    """The bundle that ships inside the package."""
    return Path(__file__).parent / "default_bundle"


def write_sums(root: Path) -> None:
    """Seal a bundle whose files are all in place, including any optional ones: write SHA256SUMS.

    Raises:
        BundleError: a file is missing.
    """
    _check_present(root, HASHED_FILES)
    names = (*HASHED_FILES, *(name for name in OPTIONAL_FILES if (root / name).is_file()))
    lines = [f"{sha256_of(root / name)}  {name}\n" for name in names]
    write_text_atomically(root / SUMS_FILE, "".join(lines))


def _verify(root: Path) -> None:
    if not root.is_dir():
        raise BundleError("the bundle does not exist", where=root, expected="a folder made by export")
    _check_present(root, (*HASHED_FILES, SUMS_FILE))
    for name in (PLAN_FILE, CALIBRATION_FILE, SUMS_FILE):
        _check_small(root / name)
    expected = _read_sums(root / SUMS_FILE)
    optional = tuple(name for name in OPTIONAL_FILES if name in expected or (root / name).exists())
    _check_present(root, optional)
    for name in (*HASHED_FILES, *optional):
        got = sha256_of(root / name)
        if got != expected.get(name):
            raise BundleError(
                "a file of the bundle was changed or damaged",
                where=root / name,
                got=f"SHA-256 {got[:16]}…",
                expected=f"{(expected.get(name) or 'no hash')[:16]}…",
                hint="Install or export the bundle again",
            )
    for name in (LOCALIZER_FILE, SEGMENTER_FILE):
        if _EXTERNAL_DATA_KEY in (root / name).read_bytes():
            raise BundleError(
                "a graph has weights in another file, which no hash protects",
                where=root / name,
                expected="a graph with all of its weights in it",
                hint="Export the bundle again",
            )


def _read_sums(path: Path) -> dict[str, str]:
    """The hash of each file by its name."""
    expected: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if name in expected:
            raise BundleError("a file has two hashes", where=path, got=f"two lines for {name!r}")
        expected[name] = digest
    return expected


def _check_small(path: Path) -> None:
    if path.is_file() and path.stat().st_size > _LARGEST_TEXT_BYTES:
        raise BundleError(
            "a file of the bundle is too large for what it is",
            where=path,
            got=f"{path.stat().st_size} bytes",
            expected=f"at most {_LARGEST_TEXT_BYTES}",
        )


def _check_statistics(statistics: SliceStatistics, plan: Plan, path: Path) -> None:
    """Refuse statistics of another grid, or that are not numbers."""
    grid = (plan.grid_size, plan.grid_size)
    slices = (statistics.mean_hu, statistics.deviation_hu)
    numbers = (statistics.global_mean_hu, statistics.global_deviation_hu)
    finite = all(np.isfinite(each).all() for each in (*slices, *numbers))
    if not finite or any(each.shape != grid for each in slices):
        raise BundleError(
            "the slice statistics do not fit the bundle's Plan",
            where=path,
            got=f"slices of {' and '.join(str(each.shape) for each in slices)}"
            + ("" if finite else ", not all of them numbers"),
            expected=f"finite slices of {grid}",
            hint="Export the bundle again",
        )


def _read_calibration(path: Path) -> ConfidenceCalibration | None:
    if not path.is_file():
        return None
    with named_errors(
        lambda got: BundleError(
            "the bundle's calibration is not one this version reads",
            where=path,
            got=got,
            hint="Update renalmap, or export the model again",
        )
    ):
        return ConfidenceCalibration.model_validate_json(path.read_text(encoding="utf-8"))


def _check_present(root: Path, names: tuple[str, ...]) -> None:
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        within = root / "bundle"  # in a folder that `train` made
        raise BundleError(
            "the bundle is incomplete",
            where=root,
            got=f"no {', '.join(missing)}",
            hint=f"Did you mean {within}?" if (within / PLAN_FILE).is_file() else None,
        )
