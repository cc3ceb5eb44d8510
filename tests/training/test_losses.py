"""The Tversky loss against the paper's formula, written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.losses.dice import DiceCELoss
from monai.losses.tversky import TverskyLoss

from renalmap.training.losses import dice_ce_loss, make_loss, tversky_loss
from renalmap.training.settings import TrainSettings


def written_out(logits: np.ndarray, classes: np.ndarray, alpha: float, beta: float) -> float:
    """1 - TP / (TP + alpha FP + beta FN), pooled over the batch, mean over foreground classes."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    losses = []
    for label in range(1, logits.shape[1]):
        p, g = probabilities[:, label], (classes[:, 0] == label).astype(np.float64)
        hits = (p * g).sum()
        index = hits / (hits + alpha * (p * (1 - g)).sum() + beta * ((1 - p) * g).sum())
        losses.append(1 - index)
    return float(np.mean(losses))


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (0.5, 0.5), (0.9, 0.1)])
def test_loss_is_the_papers_formula(channels: int, alpha: float, beta: float):
    generator = np.random.default_rng(5)
    logits = generator.normal(0, 2, (4, channels, 16, 16))
    classes = generator.integers(0, channels, (4, 1, 16, 16))
    classes[2] = 0  # a slice without foreground counts through its false positives only
    got = tversky_loss(alpha, beta)(torch.from_numpy(logits), torch.from_numpy(classes))
    assert float(got) == pytest.approx(written_out(logits, classes, alpha, beta), abs=1e-5)


@pytest.mark.parametrize("channels", [2, 3])
def test_losses_and_gradients_are_monais(channels: int):
    """MONAI's losses know nothing of several processes; on one they are the reference."""
    options: dict[str, Any] = {
        "include_background": False,
        "softmax": True,
        "to_onehot_y": True,
        "batch": True,
    }
    theirs = {
        "dice_ce": DiceCELoss(**options),
        "tversky": TverskyLoss(**options, alpha=0.3, beta=0.7),
    }
    generator = torch.Generator().manual_seed(channels)
    classes = torch.randint(0, channels, (3, 1, 16, 16), generator=generator)
    start = torch.randn(3, channels, 16, 16, generator=generator)
    for name, reference in theirs.items():
        gradients, values = [], []
        for loss in (make_loss(TrainSettings(stage="localize", loss=name)), reference):
            logits = start.clone().requires_grad_()
            value = loss(logits, classes)
            value.backward()
            values.append(float(value.detach()))
            gradients.append(logits.grad)
        assert values[0] == pytest.approx(values[1], rel=1e-6)
        torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-8)


def sure_of(classes: torch.Tensor) -> torch.Tensor:
    """Logits that give these classes (N, 1, H, W) probability 1."""
    one_hot = torch.nn.functional.one_hot(classes[:, 0], 2).permute(0, 3, 1, 2)
    return one_hot.float() * 80 - 40


def test_false_negatives_cost_more_than_false_positives():
    truth = torch.zeros(1, 1, 10, 10, dtype=torch.long)
    truth[..., :4, :] = 1
    missed, invented = truth.clone(), truth.clone()
    missed[..., 2:4, :] = 0
    invented[..., 4:6, :] = 1
    loss = tversky_loss(0.3, 0.7)
    assert float(loss(sure_of(missed), truth)) == pytest.approx(1 - 20 / (20 + 0.7 * 20), abs=1e-4)
    assert float(loss(sure_of(invented), truth)) == pytest.approx(1 - 40 / (40 + 0.3 * 20), abs=1e-4)
    assert float(loss(sure_of(truth), truth)) == pytest.approx(0, abs=1e-4)


def test_empty_slice_beside_a_full_one_is_pooled_with_it():
    truth = torch.zeros(2, 1, 8, 8, dtype=torch.long)
    truth[0, :, 2:6, 2:6] = 1
    assert float(tversky_loss(0.3, 0.7)(sure_of(truth), truth)) == pytest.approx(0, abs=1e-4)


def test_dice_ce_is_the_soft_dice_and_the_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, 8, generator=generator)
    classes = torch.randint(0, 3, (2, 1, 8, 8), generator=generator)
    probabilities = torch.softmax(logits, dim=1)
    dice = []
    for label in (1, 2):
        truth = (classes[:, 0] == label).float()
        own = probabilities[:, label]
        dice.append(2 * (own * truth).sum() / (own.sum() + truth.sum()))
    chosen = probabilities.gather(1, classes)
    expected = 1 - torch.stack(dice).mean() - chosen.log().mean()
    assert float(dice_ce_loss()(logits, classes)) == pytest.approx(float(expected), abs=1e-4)


def test_settings_choose_the_loss():
    logits, classes = torch.randn(1, 2, 8, 8), torch.ones(1, 1, 8, 8, dtype=torch.long)
    for name, loss in (("tversky", tversky_loss(0.3, 0.7)), ("dice_ce", dice_ce_loss())):
        made = make_loss(TrainSettings(stage="localize", loss=name))
        assert float(made(logits, classes)) == pytest.approx(float(loss(logits, classes)))
