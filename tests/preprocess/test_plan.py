"""The Plan refuses what cannot be meant."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from renalmap.preprocess import Plan

RULES = (
    *("narrow_crop_size", "localizer_low_threshold", "flip_averaging", "smoothing_sigma_mm"),
    *("peel_fat_mm", "fill_holes_mm2", "keep"),
    *("tumour_min_ml", "tumour_min_area_mm2"),
    *("tumour_min_mean_probability", "tumour_min_peak_probability"),
    *("kidney_crossing_share", "kidney_joined_mm"),
    *("further_kidney_min_ml", "further_kidney_min_share"),
)


def test_plan_survives_json():
    plan = Plan(grid_size=128, crop_size=64, clip_hu=None, crop="slice")
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_plan_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Plan().grid_size = 256  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"grid": 512}, "Extra inputs"),
        ({"grid_size": 500}, "multiple of 8"),
        ({"crop_size": 520}, "crop_size 520 exceeds grid_size 512"),
        ({"narrow_crop_size": 264}, "narrow_crop_size 264 exceeds crop_size 256"),
        ({"clip_hu": (300, -200)}, "clip_hu must be"),
        ({"deviation_floor_hu": 0}, "greater than 0"),
        ({"localizer_threshold": 1}, "less than 1"),
        ({"format_version": 2}, "Input should be 1"),
        ({"localizer_low_threshold": 0.6}, "0.6 exceeds localizer_threshold 0.5"),
        ({"smoothing_sigma_mm": -1}, "greater than or equal to 0"),
        ({"keep": "one"}, "two_kidneys"),
    ],
)
def test_plan_refuses(settings: dict[str, object], fault: str):
    with pytest.raises(ValidationError, match=fault):
        Plan.model_validate(settings)


def test_a_plan_written_before_the_rules_turns_them_off():
    old = json.loads(Plan().model_dump_json())
    for name in RULES:
        del old[name]
    plan = Plan.model_validate(old)
    assert plan == Plan()
    assert (plan.flip_averaging, plan.smoothing_sigma_mm, plan.fill_holes_mm2) == ("none", 0.0, 0.0)
    assert (plan.localizer_low_threshold, plan.keep) == (None, "all")
    assert {getattr(plan, name) for name in RULES if name.startswith("tumour")} == {0.0}
