"""What a phantom is asked to be, and what is known about the one that came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from renalmap.imaging.volume import LabelMap, Volume
from renalmap.labels import LesionKind, Side

Phase = Literal["arterial", "portal", "unenhanced"]

_OPPOSITES: Final = ({"L", "R"}, {"P", "A"}, {"I", "S"})

_Size = Annotated[int, Field(ge=8, le=2048)]
_SpacingMm = Annotated[float, Field(gt=0.2, le=10.0)]
_DiameterMm = Annotated[float, Field(ge=4.0, le=90.0)]


class Lesion(BaseModel):
    """One requested lesion; what is left out is drawn at random.

    Attributes:
        kind: a tumour (label 2), or a cyst (label 1: KiTS19 marks cysts as kidney).
        diameter_mm: of the sphere of equal volume.
        side: the patient's side.
        exophytic: share of the diameter outside the kidney's surface, 0 to 0.7.
        necrotic: whether the core is necrotic; cysts have none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: LesionKind = "tumour"
    diameter_mm: _DiameterMm
    side: Side | None = None
    exophytic: Annotated[float, Field(ge=0.0, le=0.7)] | None = None
    necrotic: bool | None = None


class PhantomConfig(BaseModel):
    """One phantom's settings. The anatomy itself comes from the generator, not from here.

    Attributes:
        shape_zyx: voxels along the canonical axes.
        spacing_mm_zyx: voxel spacing along them.
        phase: contrast phase; sets every tissue's HU.
        lesions: exactly these lesions. None: `tumours` and `cysts` of drawn sizes instead.
        tumours: how many tumours, 0 to 3.
        cysts: how many cysts, 0 to 3.
        tumour_diameter_mm: range the tumours' diameters are drawn from.
        cyst_diameter_mm: range the cysts' diameters are drawn from.
        noise_hu: standard deviation of the noise in the middle of the body; 0 for none.
        orientation: NIfTI axis codes of the grid it is stored on, any of the 48, as "LAS".
        table: whether the patient lies on a table.
        randomise_tissues: draw every tissue's HU from a wide range, for training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape_zyx: tuple[_Size, _Size, _Size] = (64, 512, 512)
    spacing_mm_zyx: tuple[_SpacingMm, _SpacingMm, _SpacingMm] = (3.0, 0.75, 0.75)
    phase: Phase = "portal"
    lesions: tuple[Lesion, ...] | None = None
    tumours: Annotated[int, Field(ge=0, le=3)] = 1
    cysts: Annotated[int, Field(ge=0, le=3)] = 1
    tumour_diameter_mm: tuple[_DiameterMm, _DiameterMm] = (20.0, 50.0)
    cyst_diameter_mm: tuple[_DiameterMm, _DiameterMm] = (10.0, 30.0)
    noise_hu: Annotated[float, Field(ge=0.0, le=100.0)] = 14.0
    orientation: str = "LAS"
    table: bool = True
    randomise_tissues: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        axes = [pair for pair in _OPPOSITES if len(pair & set(self.orientation)) == 1]
        if len(self.orientation) != 3 or len(axes) != 3:
            raise ValueError(f"orientation must name three axes, as 'LAS', got {self.orientation!r}")
        for name in ("tumour_diameter_mm", "cyst_diameter_mm"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be (low, high), got ({low}, {high})")
        if self.lesions is not None and len(self.lesions) > 6:
            raise ValueError(f"at most 6 lesions fit two kidneys, got {len(self.lesions)}")
        return self

    def drawn_lesions(self, generator: np.random.Generator) -> tuple[Lesion, ...]:
        """The requested lesions, or the requested number with drawn diameters."""
        if self.lesions is not None:
            return self.lesions
        tumours = (
            Lesion(diameter_mm=float(generator.uniform(*self.tumour_diameter_mm)))
            for _ in range(self.tumours)
        )
        cysts = (
            Lesion(kind="cyst", diameter_mm=float(generator.uniform(*self.cyst_diameter_mm)))
            for _ in range(self.cysts)
        )
        return (*tumours, *cysts)


@dataclass(frozen=True)
class LesionTruth:
    """One lesion as it was made.

    Attributes:
        kind: tumour or cyst.
        side: the patient's side.
        diameter_mm: of the sphere of equal volume, as asked.
        centre_zyx_voxels: its centre in voxels; outside the grid if the scan does not reach it.
        centre_ras_mm: its centre in world coordinates.
        exophytic: share of its diameter outside the kidney's surface.
        necrotic: whether its core is necrotic.
    """

    kind: LesionKind
    side: Side
    diameter_mm: float
    centre_zyx_voxels: tuple[float, float, float]
    centre_ras_mm: tuple[float, float, float]
    exophytic: float
    necrotic: bool


@dataclass(frozen=True)
class Phantom:
    """A synthetic scan and everything that is known about it.

    Attributes:
        scan: int16 HU, axes (z, y, x).
        labels: KiTS19's labels on the same grid.
        volumes_ml: volume of each label except background, counted from `labels`.
        lesions: the lesions, in the order requested.
        phase: the contrast phase.
    """

    scan: Volume
    labels: LabelMap
    volumes_ml: dict[int, float]
    lesions: tuple[LesionTruth, ...]
    phase: Phase
