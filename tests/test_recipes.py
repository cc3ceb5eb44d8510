"""Recipes are valid, and the paper's is the paper's."""

from __future__ import annotations

from typing import get_args

import pytest

from renalmap.api.train import load_train_settings
from renalmap.preprocess import Plan
from renalmap.recipes import RecipeName, read_recipe
from renalmap.training.settings import TrainSettings


@pytest.mark.parametrize("name", get_args(RecipeName))
def test_recipes_are_valid_in_every_part(name: RecipeName):
    Plan.model_validate(read_recipe(name, "plan"))
    for stage in ("localize", "segment"):
        TrainSettings.model_validate(read_recipe(name, stage) | {"stage": stage})


def test_without_a_name_there_is_no_recipe():
    assert read_recipe(None, "plan") == {}


def test_the_papers_recipe_is_what_the_paper_says():
    plan = Plan.model_validate(read_recipe("paper", "plan"))
    assert (plan.normalisation, plan.crop, plan.crop_size) == ("slice_statistics", "slice", 256)
    assert (plan.grid_size, plan.localizer_reduction) == (512, 1)
    for stage in ("localize", "segment"):
        settings = load_train_settings(stage, None, {}, "paper")
        assert settings.loss == "tversky"
        assert (settings.tversky_alpha, settings.tversky_beta) == (0.3, 0.7)
        assert (settings.learning_rate, settings.schedule, settings.batch_size) == (1e-3, "constant", 8)
        assert settings.patch_size is None
        assert not settings.synthesis.any
        augment = settings.augment
        assert augment.horizontal_flip == augment.vertical_flip == 0.5
        assert augment.gain == augment.noise_hu == augment.blur == augment.resolution == 0


def test_a_file_and_flags_lie_over_the_recipe(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("steps = 700\n[augment]\nzoom = 0.4\n", encoding="utf-8")
    settings = load_train_settings("segment", path, {"batch_size": 3}, "renalmap")
    assert (settings.steps, settings.batch_size, settings.augment.zoom) == (700, 3, 0.4)
    assert settings.augment.vertical_flip == 0, "the rest of the table is the recipe's"
    assert settings.synthesis.tumour > 0
