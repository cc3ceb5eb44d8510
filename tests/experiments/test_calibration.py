"""A confidence is never judged on the patients it was fitted on."""

from __future__ import annotations

import numpy as np
from experiments.calibration import Outcome, cross_fitted


def test_confidences_come_from_other_patients():
    """One patient's outcomes are the opposite of the others': a fit that saw them would know."""
    generator = np.random.default_rng(0)
    found = []
    for patient in ("a", "b", "c"):
        for raw in generator.random(50):
            real = raw > 0.5
            found.append(Outcome("tumour", patient, float(raw), float(real != (patient == "b"))))
    claimed, observed = cross_fitted(found)
    own = np.array([one.patient == "b" for one in found])
    assert np.corrcoef(claimed[own], observed[own])[0, 1] < -0.5
