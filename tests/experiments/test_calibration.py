"""A confidence is never judged on the patients it was fitted on."""

from __future__ import annotations

import numpy as np
from experiments.calibration import Outcome, cross_fitted


def test_confidences_come_from_the_other_folds():
    """Fold 1's outcomes are the opposite of the others': a fit that saw them would know."""
    generator = np.random.default_rng(0)
    found = []
    for fold in (0, 1, 2):
        for raw in generator.random(50):
            real = raw > 0.5
            found.append(Outcome("tumour", "p", fold, float(raw), float(real != (fold == 1))))
    claimed, observed = cross_fitted(found)
    own = np.array([one.fold == 1 for one in found])
    assert np.corrcoef(claimed[own], observed[own])[0, 1] < -0.5
