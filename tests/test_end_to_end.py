"""From a data set to a scored model by three commands, prepare, train and test, on phantoms."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from renalmap.api.request import SegmentRequest
from renalmap.api.segment import segment
from renalmap.bundle import Bundle
from renalmap.cli import main
from renalmap.evaluation import dice
from renalmap.imaging import read_geometry, read_label_map
from renalmap.inference.cascade import SegmentOptions

PHANTOMS = """
[[phantoms]]
shape_zyx = [18, 96, 96]
spacing_mm_zyx = [10, 4.2, 4.2]
noise_hu = 5
tumour_diameter_mm = [40, 60]
cysts = 0
table = false
"""
# Five training patients make noisy slice statistics: the floor keeps them from drowning the sixth.
PLAN = """
grid_size = 96
crop_size = 64
crop_margin = 4
clip_hu = [-100, 250]
deviation_floor_hu = 50
"""
# Images this small are overhead only: one thread takes half the time of two.
TRAINING = """
steps = 120
validate_every = 60
learning_rate = 5e-3
schedule = "cosine"
batch_size = 4
centre_jitter = 4
threads = 1
tumour_share = 0.5
validation_stride = 2
[augment]
rotation_degrees = 5
vertical_flip = 0
shear = 0
zoom = 0.05
[segment]
steps = 180
validate_every = 90
"""
STEPS = {"localize": 120, "segment": 180}


def renalmap(*arguments):
    """Run a command to its end, which must be a good one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["renalmap", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code, arguments


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder in which everything up to the bundle was made."""
    root = tmp_path_factory.mktemp("end_to_end")
    for name, text in (("phantoms", PHANTOMS), ("plan", PLAN), ("training", TRAINING)):
        (root / f"{name}.toml").write_text(text)
    renalmap("phantom", "--out", root / "set", "--cases", 7, "--config", root / "phantoms.toml")
    store, config = root / "store", ("--config", root / "training.toml")
    plan = ("--config", root / "plan.toml")
    renalmap("prepare", root / "set", "--out", store, *plan, "--n-test", 1, "--n-validation", 1)
    renalmap("train", store, "--out", root / "run", *config)
    return root


@pytest.fixture(scope="module")
def unseen(work):
    """The one case that neither training nor validation saw."""
    split = json.loads((work / "store" / "split.json").read_text())
    (case,) = split["test"]
    assert len(split["train"]) == 5
    assert len({case, *split["train"], *split["validation"]}) == 7
    return case


def test_training_leaves_what_is_needed_to_repeat_it(work):
    for stage, steps in STEPS.items():
        run = work / "run" / stage
        assert (run / "training_curve.png").read_bytes().startswith(b"\x89PNG")
        assert json.loads((run / "settings.json").read_text())["steps"] == steps
        record = json.loads((run / "run.json").read_text())
        assert record["package_versions"]["torch"]
        assert record["seed"] == 0
        rows = (run / "log.csv").read_text().splitlines()
        assert len(rows) == steps + 1
        losses = [float(row.split(",")[1]) for row in rows[1:]]
        assert np.mean(losses[-20:]) < 0.75 * np.mean(losses[:20])


def test_the_bundle_carries_the_stores_plan_and_statistics(work):
    bundle = Bundle.open(work / "run" / "bundle")
    assert bundle.plan.grid_size == 96
    assert bundle.plan.clip_hu == (-100.0, 250.0)
    assert bundle.statistics.mean_hu.shape == (96, 96)
    assert "5 train" in (work / "run" / "bundle" / "MODEL_CARD.md").read_text()


def test_an_unseen_case_is_segmented_and_evaluated(work, unseen, capsys):
    folder = work / "set" / "data" / unseen
    predictions, scan = work / "predictions", folder / "imaging.nii.gz"
    capsys.readouterr()

    model = ("--model", work / "run" / "bundle")
    command = ("test", work / "store", work / "set", *model, "--out", predictions)
    renalmap(*command, "--json", "--csv", work / "scores.csv")

    told = capsys.readouterr()
    assert "was not trained on" not in told.err, "the bundle is this store's"
    (case,) = json.loads(told.out)["cases"]
    found = read_label_map(predictions / f"{unseen}_seg.nii.gz")
    truth = read_label_map(folder / "segmentation.nii.gz")
    assert found.geometry.matches(read_geometry(scan), tolerance_mm=0.0)
    assert case["case"] == unseen
    assert case["kidney_dice"] == pytest.approx(dice(found.labels > 0, truth.labels > 0))
    assert case["tumour_dice"] == pytest.approx(dice(found.labels == 2, truth.labels == 2))
    assert case["kidney_reference_ml"] == pytest.approx(truth.volume_ml(1, 2))
    assert case["kidney_dice"] > 0.5
    assert case["tumour_dice"] > 0.1
    assert (work / "scores.csv").read_text().splitlines()[1].startswith(f"{unseen},")

    renalmap("overview", scan, predictions / f"{unseen}_seg.nii.gz", "--out", work / "overview.png")
    assert (work / "overview.png").read_bytes().startswith(b"\x89PNG")


def test_trained_networks_do_not_care_for_batches_and_threads(work, unseen, tmp_path):
    scan = work / "set" / "data" / unseen / "imaging.nii.gz"
    written = set()
    for number, options in enumerate(((1, 1), (2, 3), (4, 5))):
        out = tmp_path / f"{number}.nii.gz"
        segment([scan], out, SegmentRequest(work / "run" / "bundle", options=SegmentOptions(*options)))
        written.add(out.read_bytes())
    assert len(written) == 1
