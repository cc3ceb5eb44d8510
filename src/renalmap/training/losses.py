"""The paper's loss, and the one it is compared with."""

from __future__ import annotations

from collections.abc import Callable

from monai.losses.dice import DiceCELoss
from monai.losses.tversky import TverskyLoss
from torch import Tensor

from renalmap.training.settings import TrainSettings

Loss = Callable[[Tensor, Tensor], Tensor]
"""A function of logits (N, C, H, W) and classes (N, 1, H, W)."""


def make_loss(settings: TrainSettings) -> Loss:
    """The loss a run asks for."""
    if settings.loss == "dice_ce":
        return dice_ce_loss()
    return tversky_loss(settings.tversky_alpha, settings.tversky_beta)


def tversky_loss(alpha: float, beta: float) -> Loss:
    """1 - TP / (TP + alpha FP + beta FN), soft, after a softmax (Salehi et al. 2017, arXiv:1706.05721).

    Pooled over the batch, because the index of a slice without foreground says nothing; then the mean
    over the foreground classes.

    Args:
        alpha: weight of false positives.
        beta: weight of false negatives.
    """
    loss: Loss = TverskyLoss(
        include_background=False, softmax=True, to_onehot_y=True, alpha=alpha, beta=beta, batch=True
    )
    return loss


def dice_ce_loss() -> Loss:
    """1 - soft Dice, pooled over the batch like `tversky_loss`, plus the pixels' mean cross-entropy.

    False positives and false negatives weigh the same, and the cross-entropy sees slices without
    foreground (nnU-Net's choice: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z).
    """
    loss: Loss = DiceCELoss(include_background=False, softmax=True, to_onehot_y=True, batch=True)
    return loss
