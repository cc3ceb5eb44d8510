"""The Plan: every preprocessing decision, frozen, stored with the data and in the bundle."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

NormalisationKind = Literal["slice_statistics", "global_zscore", "volume_zscore", "none"]
CropMode = Literal["blob", "slice"]
FlipAveraging = Literal["none", "segmenter", "both"]
KeepRule = Literal["all", "two_kidneys"]

LARGEST_GRID = 4096
"""No scanner's slices have more pixels along an edge."""
LARGEST_SMOOTHING_MM = 100.0
"""A kidney is not much longer."""

LOCALIZER_FIELDS = frozenset({"localizer_reduction"})
"""The fields of the Plan that only stage 1's training reads."""
SEGMENTER_FIELDS = frozenset({"crop", "crop_size", "crop_margin"})
"""The fields of the Plan that only stage 2's training reads."""
TRAINING_FIELDS = (
    LOCALIZER_FIELDS
    | SEGMENTER_FIELDS
    | {
        *("format_version", "grid_size", "outside_hu", "clip_hu"),
        *("normalisation", "statistics_weighting", "deviation_floor_hu"),
    }
)
"""The fields of the Plan that training reads. The others are rules of inference, free until export."""


class Plan(BaseModel):
    """What happens to a scan before and after the networks.

    Written once by `renalmap prepare`, carried unchanged through training into the bundle, and read
    from there by inference: no number in it stands anywhere else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format_version: Literal[1] = 1

    grid_size: int = Field(512, ge=64, le=LARGEST_GRID, multiple_of=8)
    """Edge of the square grid stage 1 sees, in pixels. Slices of this size are used as they are;
    others are fitted to it (`InPlaneFit`)."""

    outside_hu: float = -1024.0
    """HU of the grid's pixels that lie outside the scan."""

    clip_hu: tuple[float, float] | None = (-200.0, 300.0)
    """HU are clipped to this range before normalisation; None leaves them."""

    normalisation: NormalisationKind = "slice_statistics"
    """`slice_statistics`: the paper's, per pixel of the grid. `global_zscore`: one mean and deviation
    of the training data. `volume_zscore`: each scan's own mean and deviation. `none`: HU as they are."""

    statistics_weighting: Literal["slice", "case"] = "slice"
    """Whether every training slice counts the same in the statistics (the paper), or every case."""

    deviation_floor_hu: float = Field(10.0, gt=0)
    """The least standard deviation that is divided by: air in the corners has almost none."""

    localizer_reduction: Literal[1, 2] = 1
    """Stage 1 sees slices averaged over squares of this edge; its foreground is interpolated back. The
    paper's is 1. The bundle's graph does both, so that it takes and gives slices on the grid."""

    crop: CropMode = "blob"
    """One crop per connected blob, or the paper's literal one per slice about all foreground."""

    crop_size: int = Field(256, ge=32, multiple_of=8)
    """Edge of stage 2's square crop, in pixels of the grid."""

    crop_margin: int = Field(24, ge=0)
    """A blob that lies inside another blob's crop with this margin (pixels) does not need its own crop."""

    narrow_crop_size: int | None = Field(None, ge=32, multiple_of=8)
    """Edge of the crop about a blob that it holds with `crop_margin`; about larger blobs it is `crop_size`.
    None: about all. Training knows `crop_size` alone."""

    localizer_threshold: float = Field(0.5, gt=0, lt=1)
    """Stage 1's foreground probability from which a pixel counts as kidney or tumour."""

    localizer_low_threshold: float | None = Field(None, gt=0, lt=1)
    """Pixels from this probability count as well, if they are 26-connected in 3D to pixels from
    `localizer_threshold`; None: they do not."""

    flip_averaging: FlipAveraging = "none"
    """Which networks' probabilities are averaged over the image and its mirror image, left to right."""

    smoothing_sigma_mm: float = Field(0.0, ge=0, le=LARGEST_SMOOTHING_MM)
    """Stage 2's probabilities are smoothed across slices by a Gaussian of this standard deviation."""

    follow_gap_mm: float = Field(0.0, ge=0)
    """Stage 2 follows every kidney up and down beyond the slices in which stage 1 saw it, crop by crop, over
    gaps up to this long; 0: it does not."""

    follow_unsupported_mm: float = Field(20.0, ge=0)
    """It is followed this far through slices in which stage 1 does not agree."""

    follow_agreement: float = Field(0.05, ge=0, le=1)
    """Stage 1 agrees where its mean probability in what stage 2 found is at least this."""

    follow_min_probability: float = Field(0.7, ge=0, le=1)
    """Mean probability, by stage 2, below which a section is not taken for the kidney's."""

    follow_min_overlap: float = Field(0.4, ge=0, le=1)
    """Of a section and the one before it, the smaller must lie over the other by this share."""

    follow_growth_per_mm: float = Field(0.06, ge=0)
    """A section may be larger than the one before it by this share for every millimetre between them."""

    follow_hu: float = Field(40.0, gt=0)
    """How far a section's median HU may lie from the kidney's."""

    peel_fat_mm: float = Field(0.0, ge=0)
    """Fat at the border of kidney and tumour becomes background to this depth, slice by slice. Networks
    whose `clip_hu` starts at 0 cannot tell it from fluid."""

    fill_holes_mm2: float = Field(0.0, ge=0)
    """Background that kidney and tumour enclose in a slice is filled up to this area."""

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

    tumour_min_ml: float = Field(0.0, ge=0)
    """Tumours below this volume are relabelled kidney, unless the scan's first or last slice cuts them."""

    tumour_min_area_mm2: float = Field(0.0, ge=0)
    """Tumours that the scan's first or last slice cuts are relabelled kidney if their largest axial
    section is below this area."""

    tumour_min_mean_probability: float = Field(0.0, ge=0, le=1)
    """Tumours whose mean probability is below this are relabelled kidney."""

    tumour_min_peak_probability: float = Field(0.0, ge=0, le=1)
    """Tumours the 95th percentile of whose probability is below this are relabelled kidney."""

    keep: KeepRule = "all"
    """Whether any number of components stays, or two kidneys and what belongs to them."""

    kidney_crossing_share: float = Field(0.2, gt=0, le=0.5)
    """A component with this share of its kidney on either side of the body's midline is both kidneys."""

    kidney_joined_mm: float = Field(10.0, ge=0)
    """What lies within this distance of a kept kidney may belong to it."""

    further_kidney_min_ml: float = Field(40.0, ge=0)
    """A further component of at least this volume may be a third kidney: it stays."""

    further_kidney_min_share: float = Field(0.4, ge=0)
    """... if it also has this share of the second kidney's volume; of its section if the scan cuts it."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.grid_size % (8 * self.localizer_reduction):
            raise ValueError(
                f"grid_size {self.grid_size} is not a multiple of {8 * self.localizer_reduction}, which "
                f"localizer_reduction {self.localizer_reduction} needs"
            )
        if self.crop_size > self.grid_size:
            raise ValueError(f"crop_size {self.crop_size} exceeds grid_size {self.grid_size}")
        if self.narrow_crop_size is not None and self.narrow_crop_size > self.crop_size:
            raise ValueError(
                f"narrow_crop_size {self.narrow_crop_size} exceeds crop_size {self.crop_size}"
            )
        low = self.localizer_low_threshold
        if low is not None and low > self.localizer_threshold:
            raise ValueError(
                f"localizer_low_threshold {low} exceeds localizer_threshold {self.localizer_threshold}"
            )
        if self.clip_hu is not None and self.clip_hu[0] >= self.clip_hu[1]:
            raise ValueError(f"clip_hu must be (low, high), got {self.clip_hu}")
        return self
