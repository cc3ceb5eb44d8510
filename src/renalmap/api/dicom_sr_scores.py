"""R.E.N.A.L. and PADUA in a structured report: each component's value and points, totals and classes."""

from __future__ import annotations

from collections.abc import Iterator

from renalmap.imaging.dicom_sr.codes import (
    ANTERIOR,
    HIGH,
    LOW,
    MILLIMETRE,
    MODERATE,
    NEITHER,
    NO_UNITS,
    NOT_ASSESSABLE,
    PERCENT,
    POSTERIOR,
    ScoreCodes,
)
from renalmap.imaging.dicom_sr.writing import Judgement, Quantity
from renalmap.measure import Diameter
from renalmap.nephrometry import Component, LesionNephrometry, Score

_LETTERS = {"a": ANTERIOR, "p": POSTERIOR, "x": NEITHER}
_FACES = ("A", "face")
"""Components that give a letter and no points."""

_RISKS = {"low": LOW, "moderate": MODERATE, "high": HIGH}


def score_quantities(scored: LesionNephrometry | None) -> Iterator[Quantity]:
    """Every number of both scores; what was not assessed has none, and so has a cyst."""
    if scored is None:
        return
    for score in (scored.renal, scored.padua):
        codes = ScoreCodes.of(score.name)
        for component in score.components:
            line = scored.to_sinus if component.code == "N" else None
            yield from _component(component, codes, line)
        if score.total is not None:
            yield Quantity(codes.total, score.total, NO_UNITS)
        else:
            least, most = score.total_range
            yield Quantity(codes.least, least, NO_UNITS)
            yield Quantity(codes.most, most, NO_UNITS)


def _component(component: Component, codes: ScoreCodes, line: Diameter | None) -> Iterator[Quantity]:
    if component.value is not None:
        share = component.unit != "mm"
        value = round(100.0 * component.value, 1) if share else round(component.value, 2)
        unit = PERCENT if share else MILLIMETRE
        yield Quantity(
            codes.value(component.code), value, unit, line_mm=None if line is None else line.ends_mm
        )
    if component.points is not None:
        yield Quantity(codes.points(component.code), component.points, NO_UNITS)


def score_judgements(scored: LesionNephrometry | None) -> Iterator[Judgement]:
    """Letters and classes of both scores; and what was not assessable, a total among it; none of a cyst."""
    if scored is None:
        return
    for score in (scored.renal, scored.padua):
        codes = ScoreCodes.of(score.name)
        for component in score.components:
            if component.not_assessable is not None:
                faces = component.code in _FACES
                yield Judgement(codes.letter if faces else codes.points(component.code), NOT_ASSESSABLE)
            elif component.letter is not None:
                yield Judgement(codes.letter, _LETTERS[component.letter])
        yield from _total(score, codes)


def _total(score: Score, codes: ScoreCodes) -> Iterator[Judgement]:
    if score.total is None:
        yield Judgement(codes.total, NOT_ASSESSABLE)
    if score.risk is not None:
        yield Judgement(codes.risk, _RISKS[score.risk])
