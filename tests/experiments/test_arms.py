"""Every arm of the comparison can be read, and changes what its title says and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiments.cohort import HERE, PHANTOMS
from experiments.crossval import load_recipe, run_folder
from experiments.options import OPTIONS, Option, Options

from renalmap.bundle import Bundle, default_bundle_path
from renalmap.config import load_settings
from renalmap.preprocess.plan import TRAINING_FIELDS
from renalmap.training.settings import TrainSettings

SHAPES = Path("shapes.npz")
WORK = Path("work")
ARMS = sorted(path.stem for path in HERE.glob("arms/*.toml"))

ALONE_IN_STAGE_2 = {"crop_per_slice"}
ALONE_IN_STAGE_1 = {"full_resolution"}


@pytest.mark.parametrize("name", ARMS)
def test_arms_are_read_and_start_from_phantoms(name: str):
    recipe = load_recipe(name, SHAPES)
    assert recipe.localize.stage == "localize"
    assert recipe.segment.stage == "segment"
    if name == "phantoms":
        assert recipe.start is None
    else:
        assert recipe.start is not None
        assert recipe.start.name == "phantoms"


@pytest.mark.parametrize("name", [arm for arm in ARMS if arm not in ("base", "one_stage")])
def test_an_arm_differs_from_the_base_and_shares_what_it_can(name: str):
    arm, base = load_recipe(name, SHAPES), load_recipe("base", SHAPES)
    same = {
        stage: run_folder(WORK, arm, stage, "fold0") == run_folder(WORK, base, stage, "fold0")
        for stage in base.stages
    }
    expected = {"localize": name in ALONE_IN_STAGE_2, "segment": name in ALONE_IN_STAGE_1}
    assert same == expected


def test_folds_and_starts_are_trained_apart():
    recipe = load_recipe("base", SHAPES)
    folders = {run_folder(WORK, recipe, "segment", part) for part in ("fold0", "fold1", PHANTOMS)}
    assert len(folders) == 3


def test_one_stage_sees_whole_slices_with_as_many_pixels_as_both_stages():
    one, base = load_recipe("one_stage", SHAPES), load_recipe("base", SHAPES)
    assert one.stages == ("segment",)
    assert one.plan.crop_size == one.plan.grid_size == 512

    def pixels(settings: TrainSettings, whole: int) -> int:
        assert settings.patch_size is not None
        patches = settings.steps - settings.whole_slice_steps
        return patches * settings.patch_size**2 + settings.whole_slice_steps * whole**2

    both = pixels(base.localize, 256) + pixels(base.segment, 256)
    assert pixels(one.segment, 512) == pytest.approx(both, rel=0.05)


def test_options_change_rules_of_inference_only():
    options = load_settings(Options, OPTIONS).options
    bundle = Bundle.open(default_bundle_path())
    fixed = set(TRAINING_FIELDS - {"crop"})  # a segmenter may be given other crops than it learnt from
    for option in options:
        plan = option.bundle(bundle).plan
        assert plan.model_dump(include=fixed) == bundle.plan.model_dump(include=fixed)
    assert len({option.title for option in options}) == len(options)


def test_an_option_reaches_the_plan():
    bundle = Bundle.open(default_bundle_path())
    changed = Option(title="x", plan={"smoothing_sigma_mm": 7.5}).bundle(bundle)
    assert changed.plan.smoothing_sigma_mm == 7.5
