"""Batches are a pure function of the step, in the shares that were asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from renalmap.dataset.split import Split
from renalmap.dataset.store import Store
from renalmap.errors import StoreError
from renalmap.imaging.volume import Box
from renalmap.preprocess import Normalisation, Plan
from renalmap.training.batches import BatchMaker, stream_ahead
from renalmap.training.launch import Launch
from renalmap.training.loop import make_synthesiser
from renalmap.training.normaliser import Normaliser
from renalmap.training.settings import AugmentSettings, TrainSettings
from renalmap.training.stages import reduce_slice
from renalmap.training.synthesis import LesionShapes
from renalmap.training.synthesis.shapes import Section


def settings(stage="segment", **changes) -> TrainSettings:
    return TrainSettings.model_validate({"stage": stage, "batch_size": 8, "steps": 10} | changes)


def test_a_step_gives_the_same_batch_however_often_and_in_any_order(store: Store):
    first, second = BatchMaker(store, settings()), BatchMaker(store, settings())
    batches = {step: first.make(step) for step in (0, 3, 1)}
    for step in (1, 0, 3):
        again = second.make(step)
        assert torch.equal(batches[step].images, again.images)
        assert torch.equal(batches[step].targets, again.targets)
    assert not torch.equal(batches[0].images, batches[1].images)
    other_seed = BatchMaker(store, settings(seed=1)).make(0)
    assert not torch.equal(batches[0].images, other_seed.images)


@pytest.mark.parametrize("ahead", [1, 3])
def test_threads_deliver_all_steps_in_order(store: Store, ahead: int):
    maker = BatchMaker(store, settings())
    streamed = list(stream_ahead(maker.make, 2, 7, ahead))
    assert len(streamed) == 5
    for step, batch in enumerate(streamed, start=2):
        assert torch.equal(batch.images, maker.make(step).images)


@pytest.mark.parametrize(
    ("changes", "edge", "classes"),
    [
        ({}, 32, {0, 1, 2}),
        ({"stage": "localize"}, 64, {0, 1}),
        ({"stage": "localize", "patch_size": 40}, 40, {0, 1}),
    ],
)
def test_shapes_and_classes(store: Store, changes, edge: int, classes: set[int]):
    maker = BatchMaker(store, settings(**changes))
    batches = [maker.make(step) for step in range(4)]
    for batch in batches:
        assert batch.images.shape == batch.targets.shape == (8, 1, edge, edge)
        assert batch.images.dtype == torch.float32
        assert batch.targets.dtype == torch.int64
    assert set(torch.stack([batch.targets for batch in batches]).unique().tolist()) == classes


def test_patches_give_way_to_whole_slices_at_the_end(store: Store):
    maker = BatchMaker(store, settings("localize", patch_size=32, whole_slice_steps=2))
    edges = [maker.make(step).images.shape[-1] for step in range(10)]
    assert edges == [32] * 8 + [64] * 2


def test_shares_of_a_batch_are_kept_exactly(store: Store, still: AugmentSettings):
    """On whole slices nothing is cut off, so every share can be counted."""
    shares = {"foreground_share": 0.5, "tumour_share": 0.25, "augment": still.model_dump()}
    maker = BatchMaker(store, settings("localize", **shares))
    for step in range(20):
        targets = maker.make(step).targets
        assert (targets.flatten(1).sum(dim=1) > 0).tolist() == [True] * 4 + [False] * 4


def test_stage_2_draws_no_slice_without_foreground(store: Store):
    maker = BatchMaker(store, settings(foreground_share=0, tumour_share=0, centre_jitter=0))
    for step in range(10):
        assert (maker.make(step).targets.flatten(1).amax(dim=1) > 0).all()


def test_the_tumour_share_shows_tumour_not_the_other_kidney(store: Store, still: AugmentSettings):
    maker = BatchMaker(store, settings(tumour_share=0.5, centre_jitter=0, augment=still.model_dump()))
    shown = torch.stack([(maker.make(step).targets == 2).flatten(1).any(dim=1) for step in range(20)])
    assert shown[:, :4].all()
    assert not shown[:, 4:].all()


def test_a_store_without_tumour_still_trains(store: Store):
    without = replace(
        store,
        entries=tuple(
            entry.model_copy(update={"tumour_pixels": tuple(0 for _ in entry.tumour_pixels)})
            for entry in store.entries
        ),
    )
    assert BatchMaker(without, settings(tumour_share=1.0)).make(0).images.shape[0] == 8


def test_images_are_normalised_as_the_plan_says(store: Store, still: AugmentSettings):
    plain = settings("localize", augment=still.model_dump(), foreground_share=0, tumour_share=0)
    image = BatchMaker(store, plain).make(0).images[0, 0].numpy()
    normalisation = Normalisation.from_plan(store.plan, store.statistics)
    candidates = [
        normalisation(store.slices.read(entry.case_id, index)[0])
        for entry in store.part("train")
        for index in range(len(entry.z_indices))
    ]
    assert any(np.array_equal(image, candidate) for candidate in candidates)


def test_volume_zscore_uses_each_cases_own_moments(store: Store, still: AugmentSettings):
    plan = store.plan.model_copy(update={"normalisation": "volume_zscore"})
    other = store.with_plan(Plan.model_validate(plan.model_dump()))
    image = BatchMaker(other, settings("localize", augment=still.model_dump())).make(0).images[0, 0]
    candidates = []
    for entry in other.part("train"):
        mean, deviation = entry.volume_mean_deviation_hu
        for index in range(len(entry.z_indices)):
            hu = other.slices.read(entry.case_id, index)[0].clip(-200, 300)
            candidates.append((hu - mean) / max(deviation, plan.deviation_floor_hu))
    assert any(np.allclose(image.numpy(), candidate, atol=1e-4) for candidate in candidates)


def test_case_balance_evens_out_cases(store: Store):
    """Case a has twice as many slices with foreground as b or c."""
    counts = {}
    for balance in (0.0, 1.0):
        maker = BatchMaker(store, settings(case_balance=balance, tumour_share=0))
        drawn = [
            maker._draw(np.random.default_rng([step, number]), number)[1]
            for step in range(100)
            for number in range(8)
        ]
        counts[balance] = np.bincount(drawn, minlength=3) / len(drawn)
    np.testing.assert_allclose(counts[0.0], [0.5, 0.25, 0.25], atol=0.06)
    np.testing.assert_allclose(counts[1.0], [1 / 3] * 3, atol=0.06)


def test_case_weights_change_how_often_cases_are_drawn(store: Store):
    """By pattern, the first that matches; 0 takes a case out."""
    weighted = settings(case_balance=1.0, tumour_share=0, case_weights={"a": 0.0, "[ab]": 3.0})
    maker = BatchMaker(store, weighted)
    drawn = [
        maker._draw(np.random.default_rng([step, number]), number)[1]
        for step in range(100)
        for number in range(8)
    ]
    share = np.bincount(drawn, minlength=3) / len(drawn)
    np.testing.assert_allclose(share, [0, 0.75, 0.25], atol=0.05)


def test_stage_1_sees_reduced_slices(store: Store, still: AugmentSettings):
    plan = Plan.model_validate(store.plan.model_dump() | {"localizer_reduction": 2})
    plain = settings("localize", augment=still.model_dump(), foreground_share=0, tumour_share=0)
    batch = BatchMaker(store.with_plan(plan), plain).make(0)
    assert batch.images.shape == batch.targets.shape == (8, 1, 32, 32)
    normalisation = Normalisation.from_plan(plan, store.statistics).reduced(2)
    candidates = []
    for entry in store.part("train"):
        for index in range(len(entry.z_indices)):
            hu = store.slices.read(entry.case_id, index)[0].clip(-200, 300).astype(np.float32)
            candidates.append(normalisation(hu.reshape(32, 2, 32, 2).mean(axis=(1, 3))))
    own = batch.images[0, 0].numpy()
    assert any(np.allclose(own, candidate, atol=1e-4) for candidate in candidates)


def test_a_reduced_pixel_takes_the_label_of_half_its_square():
    labels = np.zeros((4, 4), np.uint8)
    labels[0, :2], labels[2:, 2:] = 1, 2
    labels[2, 0] = 2
    hu = np.arange(16, dtype=np.float32).reshape(4, 4)
    plan = Plan(clip_hu=(0, 10))
    reduced, classes = reduce_slice(hu, labels, plan, 2)
    np.testing.assert_array_equal(classes, [[1, 0], [0, 2]])
    np.testing.assert_array_equal(reduced, [[2.5, 4.5], [(8 + 9 + 10 + 10) / 4, 10]])


def test_synthesis_adds_tumours_to_what_is_drawn(store: Store, still: AugmentSettings):
    wanted = {"tumour": 1.0, "kidney_min_mm2": 20, "tumour_diameter_mm": (6, 20), "tumour_mode_mm": 8}
    plain = settings(tumour_share=0, augment=still.model_dump(), synthesis=wanted)
    synthesiser = make_synthesiser(store, plain)
    with_lesions = BatchMaker(store, plain, synthesiser)
    without = BatchMaker(store, plain)
    shown = [
        sum(int((maker.make(step).targets == 2).flatten(1).any(dim=1).sum()) for step in range(5))
        for maker in (without, with_lesions)
    ]
    assert shown[1] > shown[0] + 5
    again = BatchMaker(store, plain, synthesiser).make(3)
    assert torch.equal(again.images, with_lesions.make(3).images)


def test_validation_cases_are_never_drawn(store: Store, still: AugmentSettings):
    marked = replace(store, split=Split(seed=0, train=("c",), validation=("a", "b", "d", "e"), test=()))
    maker = BatchMaker(marked, settings("localize", augment=still.model_dump()))
    normalisation = Normalisation.from_plan(store.plan, store.statistics)
    own = [normalisation(store.slices.read("c", index)[0]) for index in range(3)]
    for image in maker.make(0).images[:, 0].numpy():
        assert any(np.array_equal(image, candidate) for candidate in own)


def test_nothing_to_train_on_is_an_error(store: Store):
    empty = replace(store, split=Split(seed=0, train=(), validation=tuple("abcde"), test=()))
    with pytest.raises(StoreError, match="no training slice shows kidney or tumour"):
        BatchMaker(empty, settings())


def test_shapes_of_patients_kept_aside_are_not_drawn(store: Store, tmp_path):
    bank = LesionShapes(
        tuple(Section(np.ones((9, 9), bool), case_id, 0.5) for case_id in ("a", "d", "e", "z"))
    )
    bank.save(tmp_path / "bank.npz")
    wanted = settings(synthesis={"tumour": 1.0}, lesion_shapes=tmp_path / "bank.npz")
    synthesiser = make_synthesiser(store, wanted)
    assert synthesiser is not None
    assert [section.case_id for section in synthesiser._shapes.sections] == ["a", "z"]


def test_without_synthesis_there_is_no_synthesiser(store: Store):
    assert make_synthesiser(store, settings()) is None


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_one_batch_out_among_them(store: Store, world: int):
    wanted = settings(augment=AugmentSettings(noise_hu=10, blur=0.5, resolution=0.5).model_dump())
    whole = BatchMaker(store, wanted).make(3)
    for rank in range(world):
        part = BatchMaker(store, wanted, launch=Launch("torchrun", world, 1, rank)).make(3)
        assert torch.equal(part.images, whole.images[rank::world])
        assert torch.equal(part.targets, whole.targets[rank::world])


def test_each_process_gets_its_part_of_the_shares(store: Store, still: AugmentSettings):
    """Samples are dealt in turn: no process has all tumours."""
    wanted = settings("localize", tumour_share=0.25, augment=still.model_dump())
    for rank in range(2):
        targets = BatchMaker(store, wanted, launch=Launch("torchrun", 2, 1, rank)).make(0).targets
        assert (targets.flatten(1).sum(dim=1) > 0).tolist() == [True, True, False, False]


@pytest.mark.parametrize("kind", ["slice_statistics", "global_zscore", "volume_zscore", "none"])
@pytest.mark.parametrize("reduction", [1, 2])
def test_batches_are_normalised_to_the_bits_of_inference(store: Store, kind: str, reduction: int):
    plan = Plan.model_validate(store.plan.model_dump() | {"normalisation": kind})
    other = store.with_plan(plan)
    edge = plan.grid_size // reduction
    entries = [*other.entries[:3], other.entries[0]]
    boxes = [Box((0, 0), (16, 16)), Box((3, 5), (19, 21)), Box((edge - 16, 0), (edge, 16))]
    boxes.append(Box((8, 8), (24, 24)))
    hu = np.random.default_rng(0).normal(0, 300, (4, 1, 16, 16)).astype(np.float32)
    got = Normaliser(other, reduction)(torch.from_numpy(hu.copy()), boxes, entries)
    for number, (entry, box) in enumerate(zip(entries, boxes, strict=True)):
        whole = np.zeros((edge, edge), np.float32)
        whole[box.slices] = hu[number, 0]
        expected = other.normalisation(entry).reduced(reduction)(whole)[box.slices]
        np.testing.assert_array_equal(got[number, 0].numpy(), expected)
