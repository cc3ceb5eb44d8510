"""How bright each tissue is, in HU, by contrast phase.

The means are rounded from what is usually reported for multiphase abdominal CT at 120 kVp; a patient
varies around them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from renalmap.phantom.config import Phase


@dataclass(frozen=True)
class Tissues:
    """Mean HU of every tissue of one patient."""

    cortex: float
    medulla: float
    liver: float
    spleen: float
    pancreas: float
    artery: float
    vein: float
    tumour: float
    bowel_wall: float
    muscle: float
    urine: float = 8.0
    necrosis: float = 22.0
    cyst: float = 10.0
    bile: float = 8.0
    fat: float = -104.0
    skin: float = 20.0
    bowel_water: float = 18.0
    oral_contrast: float = 260.0
    marrow: float = 170.0
    cortical_bone: float = 560.0
    disc: float = 85.0
    cord: float = 35.0
    cartilage: float = 110.0
    lung: float = -860.0
    air: float = -1000.0
    table: float = 190.0


_PHASES: Final = MappingProxyType(
    {
        "unenhanced": Tissues(
            cortex=32, medulla=31, liver=56, spleen=48, pancreas=40, artery=42, vein=41,
            tumour=36, bowel_wall=38, muscle=52, marrow=150,
        ),
        "arterial": Tissues(
            cortex=185, medulla=88, liver=72, spleen=125, pancreas=105, artery=300, vein=120,
            tumour=100, bowel_wall=85, muscle=58,
        ),
        "portal": Tissues(
            cortex=182, medulla=168, liver=110, spleen=120, pancreas=95, artery=152, vein=158,
            tumour=82, bowel_wall=88, muscle=60,
        ),
    }
)  # fmt: skip

_FIXED = frozenset({"air", "lung", "table", "skin", "cord", "urine", "necrosis", "cyst", "bile", "fat"})


def draw_tissues(phase: Phase, generator: np.random.Generator, *, randomise: bool) -> Tissues:
    """One patient's tissues: the phase's, varied by some per cent, or drawn from wide ranges.

    Args:
        phase: the contrast phase.
        generator: source of the variation.
        randomise: draw contrasts far beyond one phase's, so that a network cannot rely on them;
            a lesion stays apart from the parenchyma around it by at least 25 HU.
    """
    base = _PHASES[phase]
    varied = {
        item.name: float(getattr(base, item.name) * generator.normal(1.0, 0.05))
        for item in fields(base)
        if item.name not in _FIXED
    }
    tissues = replace(base, **varied, fat=float(generator.normal(base.fat, 4.0)))
    return _randomise(tissues, generator) if randomise else tissues


def _randomise(tissues: Tissues, generator: np.random.Generator) -> Tissues:
    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    cortex = between(25.0, 250.0)
    medulla = cortex * between(0.5, 1.0)
    gap = between(25.0, 110.0)
    darker = generator.random() < 0.85 and cortex > 60.0
    return replace(
        tissues,
        cortex=cortex,
        medulla=medulla,
        tumour=max(medulla - gap, 20.0) if darker else cortex + gap,
        liver=between(30.0, 180.0),
        spleen=between(30.0, 200.0),
        pancreas=between(20.0, 150.0),
        artery=between(30.0, 400.0),
        vein=between(30.0, 250.0),
        bowel_wall=between(20.0, 130.0),
        muscle=between(35.0, 85.0),
        oral_contrast=between(20.0, 500.0),
        marrow=between(80.0, 280.0),
        urine=between(-5.0, 30.0),
    )
