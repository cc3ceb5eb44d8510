"""The Plan refuses what cannot be meant."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from renalmap.preprocess import Plan


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
        ({"clip_hu": (300, -200)}, "clip_hu must be"),
        ({"deviation_floor_hu": 0}, "greater than 0"),
        ({"localizer_threshold": 1}, "less than 1"),
        ({"format_version": 2}, "Input should be 1"),
    ],
)
def test_plan_refuses(settings: dict[str, object], fault: str):
    with pytest.raises(ValidationError, match=fault):
        Plan.model_validate(settings)
