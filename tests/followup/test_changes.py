"""Changes, their errors and doubling times, against sums done by hand."""

from __future__ import annotations

from math import hypot, pi

import numpy as np
import pytest
from tests.measure.scene import Scene

from renalmap.anatomy import Anatomy
from renalmap.followup.changes import Grid, change_of, doubling_time, surface_mm2


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.5, 0.8, 0.8), (5.0, 1.0, 1.0)])
def test_the_surface_of_a_ball(spacing_mm):
    made = Scene((60.0, 60.0, 60.0), spacing_mm).draw(2, (30.0, 30.0, 30.0), 20.0)
    (lesion,) = Anatomy.of(made.label_map).lesions
    assert surface_mm2([lesion.voxels], spacing_mm) == pytest.approx(4 * pi * 20.0**2, rel=0.04)


def test_errors_come_from_the_outline_and_the_voxels():
    grid = Grid((2.5, 0.8, 0.8), 0.5)
    assert grid.axial_sd_mm() == pytest.approx(2 * hypot(0.5, 0.8 / 12**0.5))
    assert grid.space_sd_mm() == pytest.approx(2 * hypot(0.5, 1.6 ** (1 / 3) / 12**0.5))
    coarse = Grid((5.0, 0.8, 0.8), 0.5)
    assert coarse.space_sd_mm() > grid.space_sd_mm()
    assert coarse.axial_sd_mm() == grid.axial_sd_mm()
    # Two readers of small renal masses differ by about 3 mm at most, on grids like this one (decision 42).
    found = change_of((20.0, 23.0), (grid.axial_sd_mm(),) * 2, None, digits=2)
    assert found.least == pytest.approx(3.05, abs=0.01)


def test_a_change_counts_beyond_its_error_and_per_year():
    found = change_of((10.0, 16.0), (1.0, 1.0), 731, digits=3)
    assert (found.change, found.percent, found.least) == (6.0, 60.0, 2.772)
    assert (found.verdict, found.per_year, found.least_per_year) == ("larger", 2.998, 1.385)
    assert change_of((16.0, 10.0), (1.0, 1.0), 731, digits=3).verdict == "smaller"
    small = change_of((10.0, 12.0), (1.0, 1.0), 29, digits=3)
    assert (small.verdict, small.per_year) == ("within error", None)
    assert change_of((0.0, 12.0), (1.0, 1.0), None, digits=3).percent is None


def test_the_doubling_time_is_that_of_exponential_growth():
    doubled = change_of((10.0, 20.0), (1.0, 1.0), 365, digits=3)
    found = doubling_time(doubled, 365)
    assert found is not None
    assert found.days == pytest.approx(365.0)
    assert found.from_days < 365.0 < found.to_days
    # After its own doubling time a volume has doubled; after the range's ends it is as far off as the error.
    for days, gain in ((found.from_days, 10.0 + 2.772), (found.to_days, 10.0 - 2.772)):
        assert 10.0 * 2.0 ** (365 / days) - 10.0 == pytest.approx(gain, abs=0.02)
    for numbers in ((10.0, 12.0), (20.0, 10.0)):
        assert doubling_time(change_of(numbers, (1.0, 1.0), 365, digits=3), 365) is None
    assert doubling_time(doubled, None) is None
    assert doubling_time(doubled, 20) is None


def test_the_error_of_a_volume_is_the_shell_of_its_surface():
    made = Scene((60.0, 60.0, 60.0), (1.0, 1.0, 1.0)).draw(2, (30.0, 30.0, 30.0), 20.0)
    (lesion,) = Anatomy.of(made.label_map).lesions
    shell_ml = 4 * pi * (20.5**3 - 19.5**3) / 3 / 1000
    assert Grid((1e-3,) * 3, 0.5).volume_sd_ml([]) == 0.0
    assert Grid((1.0,) * 3, 0.5).volume_sd_ml([lesion.voxels]) == pytest.approx(
        shell_ml * hypot(0.5, 1 / 12**0.5), rel=0.05
    )
    assert np.isfinite(shell_ml)
