"""What nobody looked at teaches nothing and costs nothing: unknown voxels from the file to the loss."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from renalmap.dataset.cases import find_cases
from renalmap.dataset.prepare import prepare
from renalmap.dataset.split import Split
from renalmap.dataset.store import Store, StoreSettings
from renalmap.errors import LabelError
from renalmap.imaging.volume import Box
from renalmap.labels import UNKNOWN
from renalmap.preprocess import Plan
from renalmap.preprocess.intensity import SliceStatisticsAccumulator
from renalmap.training.batches import BatchMaker, mirrored_beyond, moved_into
from renalmap.training.losses import dice_ce_loss, tversky_loss
from renalmap.training.settings import AugmentSettings, TrainSettings
from renalmap.training.stages import reduce_slice
from renalmap.training.validation import validate

PLAN = Plan(grid_size=64, crop_size=32, crop_margin=4, statistics_weighting="case", clip_hu=(-200, 300))
KNOWN = slice(16, 48)


def slab(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A kidney with a tumour in the known middle of a slice; air and unknown about it."""
    hu, labels = np.full((64, 64), -1024, np.int16), np.full((64, 64), UNKNOWN, np.uint8)
    inside = np.zeros((32, 32), np.uint8)
    inside[8:24, 8:20] = 1
    inside[10:16, 8:14] = 2
    labels[KNOWN, KNOWN] = inside
    hu[KNOWN, KNOWN] = np.array([-100, 150, 60])[inside] + generator.normal(0, 5, inside.shape)
    return hu, labels


def write_slabs(root: Path, cases: dict[str, str]) -> Path:
    root.mkdir()
    generator = np.random.default_rng(3)
    with (root / "index.csv").open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(("name", "case", "patient", "z"))
        for case, patient in cases.items():
            for z in range(2):
                hu, labels = slab(generator)
                np.savez_compressed(root / f"{case}_{z}.npz", hu=hu, label=labels)
                table.writerow((f"{case}_{z}", case, patient, z))
    return root


@pytest.fixture(scope="module")
def slabs(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("slabs")
    root = write_slabs(folder / "data", {"slab_a": "a", "slab_b": "b"})
    split = Split(seed=0, train=("a",), validation=("b",), test=())
    return prepare(find_cases(root), folder / "store", StoreSettings(format="blosc2", plan=PLAN), split)


def settings(stage: str = "segment", **changes: object) -> TrainSettings:
    still = AugmentSettings(rotation_degrees=0, horizontal_flip=0, vertical_flip=0, shear=0, zoom=0)
    plain = {"stage": stage, "batch_size": 8, "steps": 10, "centre_jitter": 8, "augment": still}
    return TrainSettings.model_validate(plain | changes)


def test_the_patient_of_a_slice_may_have_another_name_than_its_case(slabs: Store):
    assert {entry.case_id: entry.patient for entry in slabs.entries} == {"slab_a": "a", "slab_b": "b"}


def test_statistics_and_intensities_know_nothing_of_the_margin(slabs: Store):
    values = np.concatenate(
        [slabs.slices.read("slab_a", index)[0][KNOWN, KNOWN].ravel() for index in range(2)]
    )
    assert slabs.statistics.global_mean_hu == pytest.approx(values.mean(), abs=1e-3)
    assert slabs.statistics.global_deviation_hu == pytest.approx(values.std(), abs=1e-3)
    entry = slabs.part("train")[0]
    assert (entry.min_hu, entry.max_hu) == (values.min(), values.max())
    assert entry.volume_mean_deviation_hu == pytest.approx((values.mean(), values.std()), abs=1e-3)
    assert entry.kidney_pixels[0] + entry.tumour_pixels[0] == 16 * 12
    # Where no case knows anything, a pixel is as all others are.
    assert slabs.statistics.mean_hu[0, 0] == pytest.approx(slabs.statistics.global_mean_hu)


def test_crops_lie_in_what_is_known(slabs: Store):
    batch = BatchMaker(slabs, settings()).make(0)
    assert not (batch.targets == UNKNOWN).any(), "a crop of 32 has room in the known 32"
    assert set(np.unique(batch.targets)) == {0, 1, 2}


def test_stage_1_keeps_the_unknown_apart(slabs: Store):
    targets = BatchMaker(slabs, settings("localize")).make(0).targets
    assert set(np.unique(targets)) == {0, 1, UNKNOWN}
    assert (targets == UNKNOWN).float().mean() == pytest.approx(0.75)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_margins_show_air_or_a_mirror_image(slabs: Store, probability: float):
    still = settings().augment.model_copy(update={"mirror_unknown": probability})
    images = BatchMaker(slabs, settings("localize", augment=still)).make(0).images
    air = slabs.normalisation(slabs.entries[0])(np.full((64, 64), -1024.0))[0, 0]
    margins = images[:, 0, :8]
    assert bool((margins == float(air)).all()) is (probability == 0)


def test_a_mirror_image_goes_on_without_a_step():
    hu = np.zeros((6, 6), np.float32)
    hu[2:4, 2:4] = [[1, 2], [3, 4]]
    known = np.zeros((6, 6), bool)
    known[2:4, 2:4] = True
    got = mirrored_beyond(hu, known)
    np.testing.assert_array_equal(got[2], [2, 1, 1, 2, 2, 1])
    np.testing.assert_array_equal(got[:, 2], [3, 1, 1, 3, 3, 1])
    np.testing.assert_array_equal(got[known], hu[known])


@pytest.mark.parametrize(
    ("start", "edge", "expected"),
    [(0, 20, 16), (40, 20, 28), (20, 20, 20), (0, 40, 8), (24, 40, 16), (10, 40, 10)],
)
def test_a_box_is_moved_into_the_known_or_about_it(start: int, edge: int, expected: int):
    box = Box((start, start), (start + edge, start + edge))
    moved = moved_into(box, (KNOWN, KNOWN))
    assert moved.start == (expected, expected)
    assert moved.shape == box.shape


def test_a_reduced_square_with_an_unknown_pixel_is_unknown():
    labels = np.zeros((4, 4), np.uint8)
    labels[:2, :2] = 1
    labels[3, 3] = UNKNOWN
    _, reduced = reduce_slice(np.zeros((4, 4), np.float32), labels, Plan(), 2)
    np.testing.assert_array_equal(reduced, [[1, 0], [0, UNKNOWN]])


@pytest.mark.parametrize("loss", [dice_ce_loss(), tversky_loss(0.3, 0.7)])
def test_a_loss_is_that_of_the_known_pixels_alone(loss):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 8, 8, generator=generator)
    classes = torch.randint(0, 3, (2, 1, 8, 8), generator=generator)
    known = loss(logits[..., :4], classes[..., :4])
    masked = classes.clone()
    masked[..., 4:] = UNKNOWN
    assert float(loss(logits, masked)) == pytest.approx(float(known), abs=1e-6)
    wild = logits.clone()
    wild[..., 4:] = 50.0
    wild.requires_grad_()
    loss(wild, masked).backward()
    assert wild.grad is not None
    assert not wild.grad[..., 4:].any()
    assert wild.grad[..., :4].any()


def test_a_batch_of_which_nothing_is_known_costs_nothing():
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = dice_ce_loss()(logits, torch.full((1, 1, 4, 4), UNKNOWN))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("stage", ["localize", "segment"])
def test_validation_counts_nothing_beyond_the_known(slabs: Store, stage):
    """A network that calls everything: false only where the reference says so."""

    class Everything(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = torch.zeros(1, 2 if stage == "localize" else 3, *x.shape[-2:])
            logits[:, 1] = 1.0
            return logits

    result = validate(Everything(), slabs, stage, 1, torch.device("cpu"))
    foreground = 16 * 12
    known = 32 * (32 if stage == "localize" else 30)  # the crop about the kidney leaves two columns out
    assert result.dice["kidney"] == pytest.approx(2 * foreground / (known + foreground))


def test_a_slice_of_which_nothing_is_known_is_refused(tmp_path: Path):
    root = write_slabs(tmp_path / "data", {"x": "x"})
    np.savez_compressed(
        root / "x_1.npz", hu=np.zeros((64, 64), np.int16), label=np.full((64, 64), UNKNOWN, np.uint8)
    )
    split = Split(seed=0, train=("x",), validation=(), test=())
    with pytest.raises(Exception, match="1 of 1 cases failed") as raised:
        prepare(find_cases(root), tmp_path / "s", StoreSettings(format="npz", plan=PLAN), split)
    (failure,) = raised.value.failures  # type: ignore[attr-defined]
    assert isinstance(failure, LabelError)
    assert "every voxel of a mask is unknown" in str(failure)
    assert "x_1.npz" in str(failure)


def test_statistics_of_nothing_known_are_refused():
    accumulator = SliceStatisticsAccumulator(4)
    accumulator.add(np.zeros((4, 4)), np.zeros((4, 4)))
    with pytest.raises(Exception, match="at least one training slice with a known pixel"):
        accumulator.finish()


# How often what is drawn.


def test_tumour_sizes_are_drawn_equally_often(store: Store):
    """One case weighs nine times the other; once a limit lies between their tumours, both are as likely."""
    entries = [
        entry.model_copy(update={"tumour_pixels": tuple(20 * each for each in entry.tumour_pixels)})
        if entry.case_id == "b"
        else entry
        for entry in store.entries
    ]
    larger = replace(store, entries=tuple(entries))

    def share_of_a(limits_mm: tuple[float, ...] = ()) -> float:
        chosen = settings(tumour_share=1.0, case_weights={"a": 9.0}, tumour_bins_mm=limits_mm)
        maker = BatchMaker(larger, chosen)
        drawn = [entry.case_id for step in range(30) for entry in maker.draw(step).entries]
        return drawn.count("a") / len(drawn)

    assert share_of_a() == pytest.approx(0.9, abs=0.06)
    assert share_of_a((20.0,)) == pytest.approx(0.5, abs=0.1)
    assert share_of_a((1.0, 200.0)) == pytest.approx(0.9, abs=0.06)
    with pytest.raises(ValueError, match="tumour_bins_mm must rise"):
        settings(tumour_bins_mm=(5.0, 5.0))


def test_stage_2_meets_what_lies_beyond_the_kidney(store: Store):
    """With `near_mm`, crops of empty slices lie where the kidney of the nearest slice is."""
    chosen = settings(negative_share=1.0, tumour_share=0.0, near_mm=30.0, centre_jitter=0)
    drawn = BatchMaker(store, chosen).draw(0)
    centres = [
        [(low + high) / 2 for low, high in zip(box.start, box.stop, strict=True)] for box in drawn.boxes
    ]
    for y, x in centres:
        assert abs(y - 30) <= 8
        assert min(abs(x - 16), abs(x - 48)) <= 8
    with pytest.raises(ValueError, match="near_mm is for stage 2"):
        settings("localize", near_mm=3.0)
