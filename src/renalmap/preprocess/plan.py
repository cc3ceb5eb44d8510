"""The Plan: every preprocessing decision, frozen, stored with the data and in the bundle."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

NormalisationKind = Literal["slice_statistics", "global_zscore", "volume_zscore"]
CropMode = Literal["blob", "slice"]


class Plan(BaseModel):
    """What happens to a scan before and after the networks.

    Written once by `renalmap prepare`, carried unchanged through training into the bundle, and read
    from there by inference: no number in it stands anywhere else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1

    grid_size: int = Field(512, ge=64, multiple_of=8)
    """Edge of the square grid stage 1 sees, in pixels. Slices of this size are used as they are;
    others are fitted to it (`InPlaneFit`)."""

    outside_hu: float = -1024.0
    """HU of pixels that the grid has and the scan has not."""

    clip_hu: tuple[float, float] | None = (-200.0, 300.0)
    """HU are clipped to this range before normalisation; None leaves them."""

    normalisation: NormalisationKind = "slice_statistics"
    """`slice_statistics`: the paper's, per pixel of the grid. `global_zscore`: one mean and deviation
    of the training data. `volume_zscore`: each scan's own mean and deviation."""

    statistics_weighting: Literal["slice", "case"] = "slice"
    """Whether every training slice counts the same in the statistics (the paper), or every case."""

    deviation_floor_hu: float = Field(10.0, gt=0)
    """The least standard deviation that is divided by: air in the corners has almost none."""

    crop: CropMode = "blob"
    """One crop per connected blob, or the paper's literal one per slice about all foreground."""

    crop_size: int = Field(256, ge=32, multiple_of=8)
    """Edge of stage 2's square crop, in pixels of the grid."""

    crop_margin: int = Field(24, ge=0)
    """A blob that lies inside another blob's crop with this margin (pixels) needs no crop of its own."""

    localizer_threshold: float = Field(0.5, gt=0, lt=1)
    """Stage 1's foreground probability from which a pixel counts as kidney or tumour."""

    component_min_ml: float = Field(25.0, ge=0)
    """Stage 1's 3D components below this volume are dropped, unless the scan's first or last slice
    cuts them."""

    component_min_area_mm2: float = Field(100.0, ge=0)
    """Stage 1's 3D components whose largest axial section is below this area are dropped."""

    component_min_share: float = Field(0.02, ge=0, le=1)
    """Stage 1's 3D components below this share of the largest one's volume are dropped, unless the
    scan's first or last slice cuts them."""

    component_min_kidney_ml: float = Field(2.0, ge=0)
    """Stage 2's 3D components with less kidney (label 1) than this are dropped, unless the scan's first
    or last slice cuts them: a renal tumour grows out of a kidney."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.crop_size > self.grid_size:
            raise ValueError(f"crop_size {self.crop_size} exceeds grid_size {self.grid_size}")
        if self.clip_hu is not None and self.clip_hu[0] >= self.clip_hu[1]:
            raise ValueError(f"clip_hu must be (low, high), got {self.clip_hu}")
        return self
