"""Every setting of a training run."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from renalmap.preprocess.plan import CropMode, NormalisationKind, Plan

Stage = Literal["localize", "segment"]
Precision = Literal["32-true", "16-mixed", "bf16-mixed"]


class AugmentSettings(BaseModel):
    """How far training images are changed. The paper names rotation, flips, shear and zoom, no ranges."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rotation_degrees: float = Field(15.0, ge=0, le=180)
    """Drawn evenly from minus to plus this angle."""
    horizontal_flip: float = Field(0.5, ge=0, le=1)
    """Probability of exchanging left and right."""
    vertical_flip: float = Field(0.5, ge=0, le=1)
    """Probability of exchanging front and back."""
    shear: float = Field(0.1, ge=0, lt=1)
    """Drawn evenly from minus to plus this slope."""
    zoom: float = Field(0.15, ge=0, lt=1)
    """Magnification drawn evenly from 1 - zoom to 1 + zoom."""
    gain: float = Field(0.0, ge=0, lt=1)
    """HU are multiplied by an even draw from 1 - gain to 1 + gain."""
    offset_hu: float = Field(0.0, ge=0)
    """An even draw from minus to plus this is added to all HU."""
    noise_hu: float = Field(0.0, ge=0)
    """Standard deviation of white noise, drawn evenly from 0 to this."""
    blur: float = Field(0.0, ge=0, le=1)
    """Probability of a 3x3 binomial blur: softer kernels and JPEG'd slices."""


class TrainSettings(BaseModel):
    """Settings of `renalmap train`. The defaults are the paper's, and ours where it is silent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Stage
    seed: int = 0
    steps: int = Field(20_000, ge=1)
    """Batches to train on."""
    batch_size: int = Field(8, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    """`cosine` lowers the learning rate to a hundredth over the run."""
    tversky_alpha: float = Field(0.3, ge=0)
    """Weight of false positives."""
    tversky_beta: float = Field(0.7, ge=0)
    """Weight of false negatives."""
    crop: CropMode | None = None
    """Stage 2's crops, instead of what the store's Plan says."""
    normalisation: NormalisationKind | None = None
    """Normalisation, instead of what the store's Plan says. Both stages of a bundle must agree."""
    patch_size: int | None = Field(None, ge=32, multiple_of=8)
    """Stage 1 only: train on patches of this edge; None takes whole slices, as the paper."""
    whole_slice_steps: int = Field(0, ge=0)
    """Stage 1 with patches: the last steps are on whole slices, so that batch norm sees them."""
    foreground_share: float = Field(0.5, ge=0, le=1)
    """Stage 1: share of a batch drawn from slices with kidney or tumour."""
    negative_share: float = Field(0.0, ge=0, le=1)
    """Stage 2: share of a batch cut from slices without kidney and tumour, so that it learns to refuse
    stage 1's mistakes. The paper has none."""
    tumour_share: float = Field(0.25, ge=0, le=1)
    """Share of a batch drawn from slices with tumour (part of `foreground_share`)."""
    case_balance: float = Field(0.0, ge=0, le=1)
    """0: every slice is as likely; 1: every case is as likely, however many slices it has."""
    centre_jitter: int = Field(32, ge=0)
    """Crops and patches about foreground are moved by up to this many pixels."""
    validate_every: int = Field(500, ge=1)
    """Steps between validations (and checkpoints)."""
    validation_stride: int = Field(1, ge=1)
    """Validate on every k-th slice of a case."""
    augment: AugmentSettings = AugmentSettings()
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Precision = "32-true"
    threads: int | None = Field(None, ge=1)
    """Torch threads on the CPU; None takes all cores."""
    prefetch: int = Field(2, ge=1)
    """Batches made ahead by threads."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.stage == "segment" and self.patch_size is not None:
            raise ValueError("patch_size is for stage 1; stage 2's crop size is in the store's Plan")
        if self.whole_slice_steps > self.steps:
            raise ValueError("whole_slice_steps exceeds steps")
        if self.tumour_share > self.drawn_foreground_share:
            raise ValueError("tumour_share is a part of the foreground's share and cannot exceed it")
        return self

    def plan(self, plan: Plan) -> Plan:
        """A store's Plan with this run's changes."""
        changes = {"crop": self.crop, "normalisation": self.normalisation}
        return plan.model_copy(update={name: new for name, new in changes.items() if new is not None})

    @property
    def drawn_foreground_share(self) -> float:
        """Share of a batch drawn from slices with kidney or tumour, in either stage."""
        return self.foreground_share if self.stage == "localize" else 1.0 - self.negative_share

    @property
    def out_channels(self) -> int:
        """Classes of the network: background and foreground, or background, kidney and tumour."""
        return 2 if self.stage == "localize" else 3
