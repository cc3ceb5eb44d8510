"""Every setting of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from renalmap.preprocess.plan import CropMode, NormalisationKind, Plan
from renalmap.training.synthesis.settings import SynthesisSettings

Stage = Literal["localize", "segment"]
Precision = Literal["32-true", "16-mixed", "bf16-mixed"]
LossKind = Literal["tversky", "dice_ce"]


class AugmentSettings(BaseModel):
    """How far training images are changed. The paper names rotation, flips, shear and zoom, but no ranges."""

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
    resolution: float = Field(0.0, ge=0, le=1)
    """Probability of a coarser reconstruction: sampled 1.2 to 2.5 times wider and interpolated back."""
    levels_hu: float = Field(0.0, ge=0)
    """HU are rounded to steps drawn evenly from 0 to this: slices that were kept in few greys."""
    mirror_unknown: float = Field(0.0, ge=0, le=1)
    """Probability that unknown margins of a slice show the mirror image of what is known; otherwise they
    stay as the store has them. Their labels stay unknown."""
    soft_window: float = Field(0.0, ge=0, le=1)
    """Probability of clipping to 0..255 HU in whole numbers, as the available KiTS19 and CURVAS slices
    are: where the Plan's range is wider, clipped and full slices become the same to the network."""


class TrainSettings(BaseModel):
    """Settings of `renalmap train`. The defaults are the paper's, and ours where it is silent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Stage
    seed: int = 0
    steps: int = Field(20_000, ge=1)
    """Batches to train on."""
    batch_size: int = Field(8, ge=1)
    """Samples in a step, for all processes together: the devices share one batch."""
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    """`cosine` lowers the learning rate to a hundredth over the run."""
    loss: LossKind = "tversky"
    """`tversky`: the paper's. `dice_ce`: Dice and cross-entropy, added."""
    tversky_alpha: float = Field(0.3, ge=0)
    """Weight of false positives."""
    tversky_beta: float = Field(0.7, ge=0)
    """Weight of false negatives."""
    crop: CropMode | None = None
    """Stage 2's crops, instead of what the store's Plan says."""
    normalisation: NormalisationKind | None = None
    """Normalisation, instead of what the store's Plan says. Both stages of a bundle must agree."""
    localizer_reduction: Literal[1, 2] | None = None
    """Stage 1's reduction of slices, instead of what the store's Plan says."""
    patch_size: int | None = Field(None, ge=32, multiple_of=8)
    """Train on patches of this edge, in pixels the network sees; None takes whole slices and crops, as
    the paper."""
    whole_slice_steps: int = Field(0, ge=0)
    """With patches: the last steps are on whole slices or crops, so that batch norm sees them."""
    foreground_share: float = Field(0.5, ge=0, le=1)
    """Stage 1: share of a batch drawn from slices with kidney or tumour."""
    negative_share: float = Field(0.0, ge=0, le=1)
    """Stage 2: share of a batch cut from slices without kidney and tumour, so that it learns to refuse
    stage 1's mistakes. The paper has none."""
    tumour_share: float = Field(0.25, ge=0, le=1)
    """Share of a batch drawn from slices with tumour (part of `foreground_share`)."""
    case_balance: float = Field(0.0, ge=0, le=1)
    """0: every slice is as likely; 1: every case is as likely, however many slices it has."""
    tumour_bins_mm: tuple[float, ...] = ()
    """Slices with tumour are drawn equally often from cases whose largest tumour section has an equivalent
    diameter below the first limit, between the first two, ..., above the last: small tumours are few
    pixels. Empty: no such shares."""
    near_mm: float | None = Field(None, gt=0)
    """Stage 2: crops without kidney come from slices at most this far from the kidney's end, and lie where
    it would be: what stage 2 meets when it follows a kidney too far. None: from anywhere."""
    weight_averaging: float = Field(0.0, ge=0, lt=1)
    """Decay of an exponential moving average of the weights, which is what is validated and exported; 0
    has none (Polyak & Juditsky 1992; Tarvainen & Valpola 2017, arXiv:1703.01780)."""
    statistics_steps: int = Field(64, ge=1)
    """With averaged weights: batches from which their batch norm statistics are estimated before each validation."""
    case_weights: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Factors on how often cases are drawn, by a pattern of their ids (`phantom_*`); the first that
    matches counts, 1 without a match."""
    centre_jitter: int = Field(32, ge=0)
    """Crops and patches about foreground are moved by up to this many pixels."""
    validate_every: int = Field(500, ge=1)
    """Steps between validations (and checkpoints)."""
    validation_stride: int = Field(1, ge=1)
    """Validate on every k-th slice of a case."""
    patience: int | None = Field(None, ge=1)
    """Stop after this many validations in a row without a better score; None trains to the last step. Do not
    combine it with `schedule` cosine or `whole_slice_steps`, which depend on the last steps."""
    fold: int | None = Field(None, ge=0)
    """Cross-validation: validate on this fold, from 0, of the store's training and validation patients
    and train on the others. None takes the store's own split. Test patients stay test patients."""
    folds: int = Field(5, ge=2)
    """How many folds there are."""
    augment: AugmentSettings = AugmentSettings()
    augment_on_device: bool = False
    """Warp and normalise batches where the network is, instead of in the threads that make them ahead."""
    synthesis: SynthesisSettings = SynthesisSettings()
    """Synthetic tumours, cysts and contrast phases; off by default."""
    lesion_shapes: Path | None = None
    """Where synthesis takes its tumours' outlines from: a bank that `LesionShapes.save` wrote, or a folder
    of masks in KiTS19's layout. None: analytic shapes."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Precision = "32-true"
    """`bf16-mixed` or `16-mixed` (which scales gradients): convolutions in 16 bits, weights in 32."""
    sync_batch_norm: bool = True
    """With several processes: batch norm over the whole batch, as with one process, not over each one's part."""
    threads: int | None = Field(None, ge=1)
    """Torch threads on the CPU; None takes all cores."""
    prefetch: int = Field(2, ge=1)
    """Batches made ahead by threads."""
    compile: bool = False
    """Let torch compile the network (needs a C++ compiler; a minute the first time, then a step takes
    about two thirds of its time on a CPU)."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.stage == "segment" and self.localizer_reduction is not None:
            raise ValueError("localizer_reduction is for stage 1")
        if self.whole_slice_steps > self.steps:
            raise ValueError("whole_slice_steps exceeds steps")
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds}: folds are counted from 0")
        if list(self.tumour_bins_mm) != sorted(set(self.tumour_bins_mm)):
            raise ValueError("tumour_bins_mm must rise")
        if self.stage == "localize" and self.near_mm is not None:
            raise ValueError("near_mm is for stage 2")
        if self.tumour_share > self.drawn_foreground_share:
            raise ValueError("tumour_share is a part of the foreground's share and cannot exceed it")
        return self

    def plan(self, plan: Plan) -> Plan:
        """A store's Plan with this run's changes."""
        changes = self.model_dump(
            include={"crop", "normalisation", "localizer_reduction"}, exclude_none=True
        )
        return plan.model_copy(update=changes)

    def is_finishing(self, step: int) -> bool:
        """Whether a step is one of the last, on whole slices or crops."""
        return step >= self.steps - self.whole_slice_steps

    @property
    def drawn_foreground_share(self) -> float:
        """Share of a batch drawn from slices with kidney or tumour, in either stage."""
        return self.foreground_share if self.stage == "localize" else 1.0 - self.negative_share

    @property
    def out_channels(self) -> int:
        """Classes of the network: background and foreground, or background, kidney and tumour."""
        return 2 if self.stage == "localize" else 3
