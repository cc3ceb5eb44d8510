"""Every arm of the comparison can be read, and changes what its title says and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiments.cohort import HERE
from experiments.crossval import load_recipe, run_folder
from experiments.options import OPTIONS, Option, Options

from renalmap.bundle import Bundle, default_bundle_path
from renalmap.config import load_settings
from renalmap.preprocess.plan import TRAINING_FIELDS

SHAPES = Path("shapes.npz")
WORK = Path("work")
ARMS = sorted(path.stem for path in HERE.glob("arms/*.toml"))


@pytest.mark.parametrize("name", ARMS)
def test_arms_are_read(name: str):
    recipe = load_recipe(name, SHAPES)
    assert recipe.localize.stage == "localize"
    assert recipe.segment.stage == "segment"


@pytest.mark.parametrize("name", [arm for arm in ARMS if arm not in ("base", "bundle")])
def test_an_arm_differs_from_the_base(name: str):
    arm, base = load_recipe(name, SHAPES), load_recipe("base", SHAPES)
    assert any(
        run_folder(WORK, arm, stage, "fold0") != run_folder(WORK, base, stage, "fold0")
        for stage in base.stages
    )


def test_folds_are_trained_apart():
    recipe = load_recipe("base", SHAPES)
    folders = {run_folder(WORK, recipe, "segment", part) for part in ("fold0", "fold1", "all")}
    assert len(folders) == 3


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
