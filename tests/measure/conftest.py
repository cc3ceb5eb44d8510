"""Fixtures of measurements."""

from __future__ import annotations

import pytest
from tests.measure.scene import Scene


@pytest.fixture
def two_kidneys() -> Scene:
    """Right kidney at x 80 mm, left one at 240 mm."""
    return Scene().kidney(80.0).kidney(240.0)
