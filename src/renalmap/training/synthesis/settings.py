"""How often, how large and how bright synthetic lesions are."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _ascending(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError("a range's first number must not exceed its second")
    return limits


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]
"""Drawn evenly between the two."""
Probability = Annotated[float, Field(ge=0, le=1)]


class SynthesisSettings(BaseModel):
    """Settings of `Synthesiser`. With the defaults it does nothing: the five probabilities are 0.

    The brightness of a tumour is given by its *uptake*: 0 is as bright as soft tissue without contrast agent
    (`unenhanced_hu`), 1 as bright as the kidney of the same slice. In 18 KiTS19 cases
    whose slices show both, medians gave -0.1 to 0.9, 0.4 on average.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tumour: Probability = 0.0
    """Probability that a slice with enough kidney gets a tumour (label 2)."""
    cyst: Probability = 0.0
    """Probability that it gets a cyst, which is labelled kidney (1), as KiTS19 does."""
    enhancement: Probability = 0.0
    """Probability that the kidneys' contrast phase is changed."""
    full_pelvis: Probability = 0.0
    """Probability that the kidneys' hollow is full of urine or contrast agent, and stays background."""
    bowel: Probability = 0.0
    """Probability that loops of bowel full of oral contrast agent lie in the fat, near the kidneys where there are any."""
    another: Probability = 0.15
    """Probability of one more lesion of a kind where there is one."""
    kidney_min_mm2: float = Field(250.0, gt=0)
    """A kidney's section must have this much to grow a lesion."""

    tumour_diameter_mm: Range = (6.0, 110.0)
    """Equivalent diameters; drawn from a triangle over their logarithm."""
    tumour_mode_mm: float = Field(28.0, gt=0)
    """The top of that triangle."""
    scale: Range = (0.7, 1.4)
    """How far a section of the bank may be shrunk or magnified to get the diameter."""
    cyst_diameter_mm: Range = (5.0, 60.0)
    cyst_mode_mm: float = Field(14.0, gt=0)
    swallowed_max: Probability = 0.7
    """Largest share of a kidney's section that a lesion may replace."""
    large_mm: float = Field(60.0, gt=0)
    """From this diameter on `large_swallowed_max` holds instead."""
    large_swallowed_max: Probability = 0.95
    push: Range = (0.0, 0.25)
    """How far the tissue around a lesion is pushed aside, as a share of the lesion's radius."""

    unenhanced_hu: float = 35.0
    """Soft tissue without contrast agent."""
    dull_share: float = Field(0.40, ge=0)
    """Weight of dull, even tumours (papillary, chromophobe)."""
    mixed_share: float = Field(0.45, ge=0)
    """Weight of uneven tumours, often with dead cores (clear cell)."""
    bright_share: float = Field(0.15, ge=0)
    """Weight of tumours about as bright as the kidney, some with a scar (oncocytoma, clear cell)."""
    dull_uptake: Range = (-0.1, 0.35)
    mixed_uptake: Range = (0.25, 0.9)
    bright_uptake: Range = (0.65, 1.1)
    dull_texture_hu: Range = (2.0, 7.0)
    """Standard deviation of a tumour's own texture, without the scan's noise."""
    mixed_texture_hu: Range = (8.0, 22.0)
    bright_texture_hu: Range = (4.0, 14.0)
    texture_mm: Range = (2.0, 7.0)
    """Size of the texture's grains."""
    necrosis: Probability = 0.7
    """Probability of a dead core in a mixed tumour of `large_mm` and more; smaller and dull ones have less."""
    necrosis_hu: Range = (8.0, 38.0)
    necrosis_share: Range = (0.1, 0.65)
    """Share of the tumour's section that is dead."""
    scar: Probability = 0.3
    """Probability of a central scar in a bright tumour."""
    rim: Probability = 0.25
    """Probability of a rim or pseudocapsule."""
    rim_hu: Range = (-25.0, 30.0)
    """What the rim adds."""
    vessels: Probability = 0.3
    """Probability that a mixed tumour shows cut vessels as bright as the kidney, or brighter."""
    calcification: Probability = 0.05
    calcification_hu: Range = (150.0, 450.0)
    cyst_hu: Range = (-2.0, 20.0)
    dense_cyst: Probability = 0.06
    """Probability that a cyst is a hyperdense one."""
    dense_cyst_hu: Range = (50.0, 80.0)
    edge_mm: Range = (0.5, 1.0)
    """Standard deviation of the blur at a lesion's border: the scanner's resolution and partial volume."""

    @property
    def any(self) -> bool:
        """Whether anything may change at all."""
        return max(self.tumour, self.cyst, self.enhancement, self.full_pelvis, self.bowel) > 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.dull_share + self.mixed_share + self.bright_share <= 0:
            raise ValueError("one of dull_share, mixed_share and bright_share must be above 0")
        for limits, mode in (
            (self.tumour_diameter_mm, self.tumour_mode_mm),
            (self.cyst_diameter_mm, self.cyst_mode_mm),
        ):
            if not 0 < limits[0] <= mode <= limits[1]:
                raise ValueError("the most likely diameter must lie in its range, above 0")
        return self
