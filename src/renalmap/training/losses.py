"""The paper's loss, and the one it is compared with; both are pooled over the whole batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from renalmap.labels import UNKNOWN
from renalmap.training.pooling import count_processes, sum_over_processes
from renalmap.training.settings import TrainSettings

Loss = Callable[[Tensor, Tensor], Tensor]
"""A function of logits (N, C, H, W) and classes (N, 1, H, W). Pixels of class `UNKNOWN` count nowhere."""

_SMOOTHING = 1e-5
"""Added to numerator and denominator, as in MONAI: a class that is neither there nor predicted costs nothing."""


def make_loss(settings: TrainSettings) -> Loss:
    """The loss a run asks for."""
    if settings.loss == "dice_ce":
        return dice_ce_loss()
    return tversky_loss(settings.tversky_alpha, settings.tversky_beta)


def tversky_loss(alpha: float, beta: float) -> Loss:
    """1 - TP / (TP + alpha FP + beta FN), soft, after a softmax (Salehi et al. 2017, arXiv:1706.05721).

    Pooled over the whole batch, however many processes share it, because the index of a slice without
    foreground means nothing; then averaged over the foreground classes.

    Args:
        alpha: weight of false positives.
        beta: weight of false negatives.
    """

    def loss(logits: Tensor, classes: Tensor) -> Tensor:
        hits, predicted, actual = _pooled_counts(logits, classes)
        missed = alpha * (predicted - hits) + beta * (actual - hits)
        index: Tensor = (hits + _SMOOTHING) / (hits + missed + _SMOOTHING)
        return (1 - index).mean()

    return loss


def dice_ce_loss() -> Loss:
    """1 - soft Dice, pooled over the batch like `tversky_loss`, plus the pixels' mean cross-entropy.

    False positives and false negatives weigh the same, and the cross-entropy sees slices without
    foreground (nnU-Net's choice: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z).
    """

    def loss(logits: Tensor, classes: Tensor) -> Tensor:
        hits, predicted, actual = _pooled_counts(logits, classes)
        dice: Tensor = 1 - (2 * hits + _SMOOTHING) / (predicted + actual + _SMOOTHING)
        known = (classes != UNKNOWN).sum().clamp(min=1)  # a batch may hold nothing that is known
        summed = functional.cross_entropy(logits, classes[:, 0], ignore_index=UNKNOWN, reduction="sum")
        return dice.mean() + sum_over_processes(summed / known) / count_processes()

    return loss


def _pooled_counts(logits: Tensor, classes: Tensor) -> Tensor:
    """Soft true positives, predicted and actual pixels of every foreground class: (3, C - 1)."""
    probabilities = torch.softmax(logits, dim=1)[:, 1:] * (classes != UNKNOWN)
    foreground = torch.arange(1, logits.shape[1], device=logits.device).view(1, -1, 1, 1)
    actual = (classes == foreground).to(logits.dtype)
    counts = [(probabilities * actual), probabilities, actual]
    return sum_over_processes(torch.stack([count.sum(dim=(0, 2, 3)) for count in counts]))
