"""What a fold's model does on the patients it never saw: whole scans and slabs in 3D, single slices one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import cc3d
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from rich.table import Table

from experiments.cohort import Material
from renalmap.bundle import Bundle
from renalmap.dataset.store import CaseEntry, Store
from renalmap.evaluation import dice, region_mask
from renalmap.imaging import Volume, build_geometry, read_label_map, read_volume
from renalmap.imaging.connected import connected_blobs
from renalmap.inference.cascade import Cascade, SegmentOptions
from renalmap.labels import TUMOUR, is_known

ASSUMED_SPACING_MM = (5.0, 0.78, 0.78)
"""Of single slices, which do not tell theirs; so "wider than 2 cm" is wider than 26 pixels."""

WIDE_MM = 20.0
DETECTED_SHARE = 0.1
"""A tumour counts as touched if at least this share of its voxels is called tumour."""

VOLUME_BINS_ML: Final = (8.0, 30.0, 100.0)
"""Between small, medium, large and very large tumours."""

UNENHANCED = frozenset({"unenhanced_3mm"})

Kind = Literal["scan", "slab", "slice"]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A scan, a slab or a single slice of a patient who was not trained on.

    Attributes:
        kind: which of the three.
        case_id: its case.
        patient: whose.
        z: the slice's number in its case; None for a scan or a slab.
        volume: what is segmented, axes (z, y, x).
        reference: its labels, of the same shape; `UNKNOWN` beyond a slab.
    """

    kind: Kind
    case_id: str
    patient: str
    z: int | None
    volume: Volume
    reference: NDArray[np.uint8]


class CaseScore(BaseModel):
    """A scan, a slab or a slice. "kidney" is kidney with tumour; Dice is NaN where neither has the region."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    kind: Kind
    case: str
    patient: str
    z: int | None
    kidney_dice: float
    tumour_dice: float
    kidney_ml: float
    called_kidney_ml: float
    tumour_ml: float
    called_tumour_ml: float
    hit_tumour_ml: float
    components: int
    wide_tumours: int = 0
    wide_tumours_touched: int = 0

    @property
    def volume_error(self) -> float:
        """Called volume against the reference's, as a share of it."""
        return self.called_kidney_ml / self.kidney_ml - 1.0

    @property
    def touched(self) -> bool:
        """Whether its tumour was."""
        return self.hit_tumour_ml >= DETECTED_SHARE * self.tumour_ml


class FoldScores(BaseModel):
    """All held-out patients of a fold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fold: int
    cases: tuple[CaseScore, ...]
    fingerprint: str = ""


def score_bundle(material: Material, store: Store, bundle: Bundle, fold: int) -> FoldScores:
    """Score a cascade on a fold's patients."""
    cascade = Cascade(bundle)
    options = SegmentOptions(threads=1)
    cases = [
        score_case(one, cascade.segment(one.volume, options).label_map.labels)
        for one in held_out(material, store, fold)
    ]
    return FoldScores(fold=fold, cases=tuple(cases))


def held_out(material: Material, store: Store, fold: int) -> Iterator[HeldOut]:
    """What a fold's models are judged on: whole scans, slabs, single slices."""
    for scan in material.cohort.scans:
        if scan.fold == fold and scan.scored:
            volume = read_volume(material.data / scan.image, acquisition=scan.acquisition)
            reference = read_label_map(material.mask(scan)).labels
            yield HeldOut("scan", scan.case_id, scan.patient, None, volume, reference)
    whole = {scan.case_id for scan in material.cohort.scans}
    entries = [entry for entry in store.part("validation") if entry.case_id not in whole]
    for entry in sorted(entries, key=lambda entry: not entry.case_id.startswith("slab_")):
        if entry.case_id.startswith("slab_"):
            yield _slab(material, store, entry)
        else:
            yield from _slices(store, entry)


def _slab(material: Material, store: Store, entry: CaseEntry) -> HeldOut:
    """Judged by the official labels, not by what training leaves open of them."""
    hu = np.stack([store.slices.read(entry.case_id, index)[0] for index in range(len(entry.z_indices))])
    volume = stacked_volume(hu, entry.case_id, material.slab_spacing_mm(entry.case_id))
    labels = material.slab_labels(entry.case_id)
    return HeldOut("slab", entry.case_id, entry.patient, None, volume, labels)


def _slices(store: Store, entry: CaseEntry) -> Iterator[HeldOut]:
    for index, z in enumerate(entry.z_indices):
        hu, reference = store.slices.read(entry.case_id, index)
        volume = stacked_volume(hu[None], entry.case_id)
        yield HeldOut("slice", entry.case_id, entry.patient, z, volume, reference[None])


def stacked_volume(
    hu: NDArray[Any], name: str, spacing_mm: tuple[float, float, float] = ASSUMED_SPACING_MM
) -> Volume:
    """Slices (z, y, x), the patient's back towards the bottom, as a scan."""
    affine = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], float)
    affine[:3, :3] *= spacing_mm
    return Volume(np.rint(hu).astype(np.int16), build_geometry(hu.shape, affine), name)


def score_case(one: HeldOut, labels: NDArray[np.uint8]) -> CaseScore:
    """Compare labels with the reference, where there is one."""
    known = is_known(one.reference)
    voxel_ml = one.volume.geometry.voxel_ml
    called = {region: region_mask(labels, region) & known for region in ("kidney", "tumour")}
    true = {region: region_mask(one.reference, region) for region in ("kidney", "tumour")}
    _, count = cc3d.connected_components(called["kidney"], connectivity=26, return_N=True)
    wide = list(_wide_tumours(true["tumour"][0])) if one.kind == "slice" else []
    return CaseScore(
        kind=one.kind,
        case=one.case_id,
        patient=one.patient,
        z=one.z,
        kidney_dice=dice(called["kidney"], true["kidney"]),
        tumour_dice=dice(called["tumour"], true["tumour"]),
        kidney_ml=float(true["kidney"].sum()) * voxel_ml,
        called_kidney_ml=float(called["kidney"].sum()) * voxel_ml,
        tumour_ml=float(true["tumour"].sum()) * voxel_ml,
        called_tumour_ml=float(called["tumour"].sum()) * voxel_ml,
        hit_tumour_ml=float((called["tumour"] & true["tumour"]).sum()) * voxel_ml,
        components=int(count),
        wide_tumours=len(wide),
        wide_tumours_touched=sum(
            float((labels[0] == TUMOUR)[tumour].mean()) >= DETECTED_SHARE for tumour in wide
        ),
    )


def _wide_tumours(tumour: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """The 8-connected tumours of a slice whose extent along an axis is over `WIDE_MM`."""
    components, count = connected_blobs(tumour)
    for number in range(1, count + 1):
        one = components == number
        extents = [np.ptp(np.flatnonzero(one.any(axis=axis))) + 1 for axis in (0, 1)]
        if max(extents) * ASSUMED_SPACING_MM[1] > WIDE_MM:
            yield one


def arms_rows(results: Mapping[str, Sequence[FoldScores]]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of arms: over all held-out patients of all folds together."""
    header = ["arm", *_COLUMNS]
    rows = []
    for title, folds in results.items():
        cases = [case for fold in folds for case in fold.cases]
        rows.append([title, *(column(cases) for column in _COLUMNS.values())])
    return header, rows


def arms_table(results: Mapping[str, Sequence[FoldScores]]) -> Table:
    """The same for the terminal."""
    header, rows = arms_rows(results)
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    return table


def mean_sd(values: Sequence[float]) -> str:
    """Mean ± standard deviation over cases, NaN left out, and of how many."""
    known = np.array([value for value in values if not np.isnan(value)])
    if known.size == 0:
        return "none"
    spread = known.std(ddof=1) if known.size > 1 else float("nan")
    return f"{known.mean():.3f} ± {spread:.3f} ({known.size})"


def enhanced_scans(cases: Sequence[CaseScore]) -> list[CaseScore]:
    """Whole scans with contrast agent."""
    return [case for case in cases if case.kind == "scan" and case.case not in UNENHANCED]


def slabs_by_volume(cases: Sequence[CaseScore], bin_number: int) -> list[CaseScore]:
    """Slabs whose tumour lies in a bin of `VOLUME_BINS_ML`; they hold no more than a part of it."""
    return [
        case
        for case in cases
        if case.kind == "slab" and np.digitize(case.tumour_ml, VOLUME_BINS_ML) == bin_number
    ]


def _of(kind: Kind, cases: Sequence[CaseScore]) -> list[CaseScore]:
    return [case for case in cases if case.kind == kind]


def _false_tumour_ml(cases: Sequence[CaseScore]) -> str:
    healthy = [case.called_tumour_ml for case in enhanced_scans(cases) if case.tumour_ml == 0]
    return f"{sum(healthy):.1f} in {len(healthy)}" if healthy else "none"


def _count(cases: Sequence[CaseScore]) -> str:
    with_tumour = [case for case in _of("slab", cases) if case.tumour_ml > 0]
    return f"{sum(case.touched for case in with_tumour)} of {len(with_tumour)}"


def _wide(cases: Sequence[CaseScore]) -> str:
    slices = _of("slice", cases)
    return (
        f"{sum(one.wide_tumours_touched for one in slices)} of {sum(one.wide_tumours for one in slices)}"
    )


def _small_to_large(cases: Sequence[CaseScore]) -> str:
    means = []
    for number in range(len(VOLUME_BINS_ML) + 1):
        found = [case.tumour_dice for case in slabs_by_volume(cases, number) if case.tumour_ml > 0]
        means.append(f"{np.mean(found):.2f} ({len(found)})" if found else "none")
    return " / ".join(means)


def _median_tumour(cases: Sequence[CaseScore]) -> str:
    found = [case.tumour_dice for case in _of("slab", cases) if case.tumour_ml > 0]
    return f"{np.median(found):.3f}" if found else "none"


_COLUMNS: Mapping[str, Callable[[Sequence[CaseScore]], str]] = {
    "scans: kidney + tumour": lambda cases: mean_sd([one.kidney_dice for one in enhanced_scans(cases)]),
    "scans: volume error": lambda cases: mean_sd(
        [abs(one.volume_error) for one in enhanced_scans(cases)]
    ),
    "scans: false tumour ml": _false_tumour_ml,
    "slabs: kidney + tumour": lambda cases: mean_sd([one.kidney_dice for one in _of("slab", cases)]),
    "slabs: tumour": lambda cases: mean_sd(
        [one.tumour_dice for one in _of("slab", cases) if one.tumour_ml > 0]
    ),
    "median": _median_tumour,
    "< 8 / 8-30 / 30-100 / > 100 ml": _small_to_large,
    "touched": _count,
    "slices: kidney + tumour": lambda cases: mean_sd(
        [one.kidney_dice for one in _of("slice", cases) if one.kidney_ml > 0]
    ),
    "slices: tumour": lambda cases: mean_sd(
        [one.tumour_dice for one in _of("slice", cases) if one.tumour_ml > 0]
    ),
    "over 2 cm touched": _wide,
}
