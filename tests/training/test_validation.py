"""Dice per case over all its slices, by networks whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from renalmap.dataset.split import Split
from renalmap.dataset.store import Store
from renalmap.preprocess import Normalisation, crop_boxes, cut_crop
from renalmap.training.validation import ValidationResult, validate

CPU = torch.device("cpu")


class Reads(nn.Module):
    """A network that knows the labels of every image of the store by heart."""

    def __init__(self, store: Store, stage: str, *, misses: frozenset[tuple[str, int]] = frozenset()):
        super().__init__()
        self.answers: dict[bytes, np.ndarray] = {}
        self.classes = 2 if stage == "localize" else 3
        normalisation = Normalisation.from_plan(store.plan, store.statistics)
        for entry in store.entries:
            for index in range(len(entry.z_indices)):
                hu, labels = store.slices.read(entry.case_id, index)
                image = normalisation(hu)
                answer = labels * ((entry.case_id, index) not in misses)
                if stage == "localize":
                    self.answers[image.tobytes()] = (answer > 0).astype(np.uint8)
                    continue
                for box in crop_boxes(labels > 0, store.plan):
                    self.answers[cut_crop(image, box).tobytes()] = cut_crop(answer, box)

    def forward(self, images: Tensor) -> Tensor:
        known = torch.from_numpy(self.answers[images[0, 0].numpy().tobytes()]).long()
        return nn.functional.one_hot(known, self.classes).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize("stage", ["localize", "segment"])
def test_a_perfect_network_has_dice_1(store: Store, stage):
    result = validate(Reads(store, stage), store, stage, 1, CPU)
    regions = {"kidney"} if stage == "localize" else {"kidney", "tumour"}
    assert dict(result.dice) == dict.fromkeys(regions, 1.0)
    assert result.score == 1.0


def test_cases_without_the_region_do_not_count(store: Store):
    result = validate(Reads(store, "segment"), store, "segment", 1, CPU)
    assert dict(result.cases) == {"kidney": 2, "tumour": 1}, "case e has no tumour"


def test_slices_are_pooled_before_dice_is_taken(store: Store):
    """Case d's slices with kidney differ in size: missing one is not a Dice of one half."""
    only_d = replace(store, split=Split(seed=0, train=("a", "b", "c", "e"), validation=("d",), test=()))
    sizes = [int((store.slices.read("d", index)[1] > 0).sum()) for index in (0, 2)]
    assert sizes[0] != sizes[1]
    network = Reads(store, "localize", misses=frozenset({("d", 0)}))
    result = validate(network, only_d, "localize", 1, CPU)
    assert result.dice["kidney"] == pytest.approx(2 * sizes[1] / (sizes[1] + sum(sizes)))
    assert abs(result.dice["kidney"] - 0.5) > 0.01


def test_false_positives_in_empty_slices_count(store: Store):
    class Everywhere(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([torch.zeros_like(images[:, 0]), torch.ones_like(images[:, 0])], dim=1)

    only_d = replace(store, split=Split(seed=0, train=("a", "b", "c", "e"), validation=("d",), test=()))
    kidney = sum(int((store.slices.read("d", index)[1] > 0).sum()) for index in range(3))
    result = validate(Everywhere(), only_d, "localize", 1, CPU)
    assert result.dice["kidney"] == pytest.approx(2 * kidney / (kidney + 3 * 64 * 64))


def test_kidney_is_kidney_with_tumour_and_scores_are_the_mean(store: Store):
    class TumourAsKidney(Reads):
        def forward(self, images: Tensor) -> Tensor:
            logits = super().forward(images)
            return torch.cat([logits[:, :1], logits[:, 1:2] + logits[:, 2:], logits[:, 2:] * 0], dim=1)

    result = validate(TumourAsKidney(store, "segment"), store, "segment", 1, CPU)
    assert dict(result.dice) == {"kidney": 1.0, "tumour": 0.0}
    assert result.score == 0.5


def test_stride_leaves_slices_out(store: Store):
    misses = frozenset({("d", 1), ("d", 2), ("e", 1)})
    network = Reads(store, "localize", misses=misses)
    assert validate(network, store, "localize", 3, CPU).score == 1.0
    assert validate(network, store, "localize", 1, CPU).score < 1.0


def test_without_validation_cases_the_score_is_0_and_dice_unknown(store: Store):
    nobody = replace(store, split=Split(seed=0, train=tuple("abcde"), validation=(), test=()))
    result = validate(Reads(store, "segment"), nobody, "segment", 1, CPU)
    assert np.isnan(list(result.dice.values())).all()
    assert result.score == 0.0


def test_a_result_reads_well():
    result = ValidationResult({"kidney": 0.91234, "tumour": float("nan")}, {"kidney": 3, "tumour": 0})
    assert str(result) == "kidney Dice 0.912, tumour Dice nan"
    assert result.score == pytest.approx(0.91234)
