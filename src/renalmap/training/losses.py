"""The paper's loss."""

from __future__ import annotations

from collections.abc import Callable

from monai.losses.tversky import TverskyLoss
from torch import Tensor


def tversky_loss(alpha: float, beta: float) -> Callable[[Tensor, Tensor], Tensor]:
    """1 - TP / (TP + alpha FP + beta FN), soft, after a softmax (Salehi et al. 2017, arXiv:1706.05721).

    Pooled over the batch, because the index of a slice without foreground says nothing; then the mean
    over the foreground classes.

    Args:
        alpha: weight of false positives.
        beta: weight of false negatives.

    Returns:
        A function of logits (N, C, H, W) and classes (N, 1, H, W).
    """
    loss: Callable[[Tensor, Tensor], Tensor] = TverskyLoss(
        include_background=False, softmax=True, to_onehot_y=True, alpha=alpha, beta=beta, batch=True
    )
    return loss
