"""Tables of scored cases: summaries, Dice by tumour size, CSV and JSON.

A metric can be undefined in a case (NaN: no tumour on either side) or infinite (HD95 of a tumour that
only one side has). Undefined values are left out of every statistic and counted. Infinite ones are
left out of mean and standard deviation and counted, but included in median, minimum and maximum, so that a
missed tumour cannot improve the median distance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from math import inf, isnan, nan
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from renalmap.evaluation.cases import CaseScore
from renalmap.evaluation.kits23 import Kits23Score
from renalmap.imaging.files import csv_text

COLUMNS: Final = tuple(field.name for field in fields(CaseScore))
"""Column names of the CSV and keys of the JSON, in order; units are part of the names."""

Score = CaseScore | Kits23Score
"""What a table holds; the fields of its cases are its columns."""

TUMOUR_VOLUME_EDGES_ML: Final = (8.0, 30.0, 100.0)
"""Default edges between volume bins: KiTS19's lower quartile, its median, and a large tumour."""


@dataclass(frozen=True)
class MetricSummary:
    """How one metric is distributed over cases.

    Attributes:
        n: cases with a finite value: those behind `mean` and `sd`.
        n_undefined: cases in which the metric is undefined.
        n_infinite: cases in which it is infinite.
        mean: mean of the finite values; NaN without any.
        sd: sample standard deviation (n - 1 below the line) of the finite values; NaN for n < 2.
        median: median of finite and infinite values; NaN without any.
        min: smallest of them.
        max: largest of them.
    """

    n: int
    n_undefined: int
    n_infinite: int
    mean: float
    sd: float
    median: float
    min: float
    max: float


@dataclass(frozen=True)
class Summary:
    """A summary of a table of cases.

    Attributes:
        n_cases: cases in the table.
        metrics: by column name; a metric that was computed in no case is absent.
    """

    n_cases: int
    metrics: Mapping[str, MetricSummary]


@dataclass(frozen=True)
class VolumeBin:
    """Tumour Dice of the cases whose reference tumour volume lies in a half-open range.

    Attributes:
        from_ml: lower end, inside the bin (cases without a tumour are in no bin).
        to_ml: upper end, outside the bin; infinite in the last.
        n: cases.
        n_missed: cases with tumour Dice 0.
        mean: mean tumour Dice; NaN without cases.
        sd: sample standard deviation; NaN for n < 2.
    """

    from_ml: float
    to_ml: float
    n: int
    n_missed: int
    mean: float
    sd: float


def columns_of(scores: Sequence[Score]) -> tuple[str, ...]:
    """Column names of a table of these cases; `COLUMNS` where there are none."""
    return tuple(field.name for field in fields(scores[0])) if scores else COLUMNS


def summarise(scores: Sequence[Score]) -> Summary:
    """Mean, standard deviation, median and range of every metric over cases.

    The top of this module says how undefined and infinite values are treated. Without cases there are no metrics.
    """
    computed: dict[str, list[float]] = {
        metric: [value for score in scores if (value := getattr(score, metric)) is not None]
        for metric in columns_of(scores)
        if metric != "case"
    }
    metrics = {name: _summarise_values(values) for name, values in computed.items() if values}
    return Summary(n_cases=len(scores), metrics=metrics)


def dice_by_tumour_volume(
    scores: Sequence[Score], edges_ml: Sequence[float] = TUMOUR_VOLUME_EDGES_ML
) -> tuple[VolumeBin, ...]:
    """Tumour Dice by tumour volume in the reference: small tumours are the ones that fail.

    Args:
        scores: the cases; those without a tumour in the reference are in no bin.
        edges_ml: ascending volumes between bins, all above 0; the first bin starts at 0 ml and the
            last is open.

    Returns:
        One bin more than there are edges, in ascending order; bins may be empty.

    Raises:
        ValueError: the edges do not ascend from above 0.
    """
    bounds = (0.0, *edges_ml, inf)
    if any(low >= high for low, high in pairwise(bounds)):
        raise ValueError(f"edges_ml must ascend from above 0, got {tuple(edges_ml)}")
    with_tumour = [score for score in scores if score.tumour_reference_ml > 0.0]
    return tuple(
        _fill_bin(low, high, [s.tumour_dice for s in with_tumour if low <= s.tumour_reference_ml < high])
        for low, high in pairwise(bounds)
    )


def scores_to_csv(scores: Sequence[Score]) -> str:
    """The cases as CSV text: one header row of `columns_of`, one row per case, in the given order.

    NaN is written as `nan`, infinity as `inf`; what was not computed is an empty field.
    """
    return csv_text(columns_of(scores), (asdict(score) for score in scores))


def scores_to_json(
    scores: Sequence[Score],
    edges_ml: Sequence[float] = TUMOUR_VOLUME_EDGES_ML,
    failed: Mapping[str, str] | None = None,
) -> str:
    """The cases, their summary and the Dice by tumour volume as strict JSON text.

    JSON has neither NaN nor infinity: both are null, as is what was not computed. `n_undefined` and
    `n_infinite` in the summary say how many there are of each.

    Args:
        scores: the cases.
        edges_ml: as in `dice_by_tumour_volume`.
        failed: cases that could not be scored, and why; None if there cannot be any.

    Returns:
        An object with "cases", "summary" and "tumour_dice_by_volume"; with `failed` also "failed".
    """
    document: dict[str, Any] = {
        "cases": scores,
        "summary": summarise(scores),
        "tumour_dice_by_volume": dice_by_tumour_volume(scores, edges_ml),
    }
    if failed is not None:
        document["failed"] = [{"case": case, "error": error} for case, error in failed.items()]
    return to_json(document, indent=2, inf_nan_mode="null").decode() + "\n"


def _summarise_values(values: Sequence[float]) -> MetricSummary:
    defined = np.array([value for value in values if not isnan(value)])
    finite = defined[np.isfinite(defined)]
    mean, sd = _mean_and_sd(finite)
    middle, low, high = (
        (np.median(defined), defined.min(), defined.max()) if defined.size else (nan, nan, nan)
    )
    return MetricSummary(
        n=finite.size,
        n_undefined=len(values) - defined.size,
        n_infinite=defined.size - finite.size,
        mean=mean,
        sd=sd,
        median=float(middle),
        min=float(low),
        max=float(high),
    )


def _mean_and_sd(values: NDArray[np.float64]) -> tuple[float, float]:
    mean = float(values.mean()) if values.size else nan
    sd = float(values.std(ddof=1)) if values.size > 1 else nan
    return mean, sd


def _fill_bin(from_ml: float, to_ml: float, dices: Sequence[float]) -> VolumeBin:
    mean, sd = _mean_and_sd(np.array(dices, dtype=np.float64))
    missed = sum(value == 0.0 for value in dices)
    return VolumeBin(from_ml, to_ml, n=len(dices), n_missed=missed, mean=mean, sd=sd)
