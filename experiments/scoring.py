"""What a fold's model does on the patients it never saw: whole scans in 3D, single slices one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from rich.table import Table

from experiments.cohort import Material
from renalmap.bundle import Bundle
from renalmap.dataset.store import Store
from renalmap.evaluation import dice, region_mask
from renalmap.imaging import Volume, build_geometry, read_label_map, read_volume
from renalmap.imaging.connected import connected_blobs
from renalmap.inference.cascade import Cascade, SegmentOptions
from renalmap.inference.components import drop_small
from renalmap.inference.placement import Placement
from renalmap.labels import TUMOUR
from renalmap.preprocess import InPlaneFit, Normalisation
from renalmap.training.checkpoint import load_network

ASSUMED_SPACING_MM = (5.0, 0.78, 0.78)
"""Of single slices, which do not tell theirs; so "wider than 2 cm" is wider than 26 pixels."""

WIDE_MM = 20.0
DETECTED_SHARE = 0.1
"""A tumour counts as detected if at least this share of its pixels is called tumour."""

FALSE_ALARM_PIXELS = 25
"""Tumour called on a slice without one counts from this area, 15 mm2."""

UNENHANCED = frozenset({"unenhanced_3mm"})

Segment = Callable[[Volume], NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A scan or a single slice of a patient who was not trained on.

    Attributes:
        case_id: its case.
        patient: whose.
        z: the slice's number in its case; None for a whole scan.
        volume: what is segmented, axes (z, y, x).
        reference: its labels, of the same shape.
    """

    case_id: str
    patient: str
    z: int | None
    volume: Volume
    reference: NDArray[np.uint8]


class SliceScore(BaseModel):
    """One slice. Dice is NaN where neither has the region."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    patient: str
    z: int
    kidney_dice: float
    tumour_dice: float
    kidney_pixels: int
    tumour_pixels: int
    called_kidney_pixels: int
    called_tumour_pixels: int
    wide_tumours: int
    wide_tumours_detected: int


class ScanScore(BaseModel):
    """One whole scan. "kidney" is kidney with tumour."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    case: str
    kidney_dice: float
    kidney_ml: float
    called_kidney_ml: float
    called_tumour_ml: float
    components: int

    @property
    def volume_error(self) -> float:
        """Called volume against the reference's, as a share of it."""
        return self.called_kidney_ml / self.kidney_ml - 1.0


class FoldScores(BaseModel):
    """All held-out patients of a fold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fold: int
    slices: tuple[SliceScore, ...]
    scans: tuple[ScanScore, ...]
    fingerprint: str = ""


def score_bundle(material: Material, store: Store, bundle: Bundle, fold: int) -> FoldScores:
    """Score a cascade on a fold's patients."""
    cascade = Cascade(bundle)
    options = SegmentOptions(threads=1)

    def segment(volume: Volume) -> NDArray[np.uint8]:
        return cascade.segment(volume, options).label_map.labels

    return _score(material, store, segment, fold)


def score_one_stage(material: Material, store: Store, checkpoint: Path, fold: int) -> FoldScores:
    """Score a single network with three classes on whole slices, with the Plan's rule for components."""
    network, progress = load_network(checkpoint)
    plan = progress.plan

    def segment(volume: Volume) -> NDArray[np.uint8]:
        _, rows, columns = volume.geometry.shape
        spacing_mm = volume.geometry.spacing_mm
        fit = InPlaneFit(rows, columns, spacing_mm[1:], plan.grid_size)
        normalisation = Normalisation.from_plan(plan, store.statistics)
        labels = np.empty(volume.geometry.shape, np.uint8)
        for z, hu in enumerate(volume.hu):
            image = torch.from_numpy(normalisation(fit.to_grid(hu, plan.outside_hu)))
            with torch.inference_mode():
                found = network(image[None, None])[0].argmax(dim=0)
            labels[z] = fit.from_grid(found.numpy().astype(np.uint8))
        drop_small(labels, Placement.whole(labels.shape, spacing_mm), plan)
        return labels

    return _score(material, store, segment, fold)


def held_out(material: Material, store: Store, fold: int) -> Iterator[HeldOut]:
    """What a fold's models are judged on: whole scans, then single slices."""
    for scan in material.cohort.scans:
        if scan.fold == fold and scan.scored:
            volume = read_volume(material.data / scan.image, acquisition=scan.acquisition)
            reference = read_label_map(material.mask(scan)).labels
            yield HeldOut(scan.case_id, scan.patient, None, volume, reference)
    whole = {scan.case_id for scan in material.cohort.scans}
    for entry in store.part("validation"):
        if entry.case_id in whole:
            continue
        for index, z in enumerate(entry.z_indices):
            hu, reference = store.slices.read(entry.case_id, index)
            volume = slice_volume(hu, entry.case_id)
            yield HeldOut(entry.case_id, entry.patient, z, volume, reference[None])


def slice_volume(hu: NDArray[Any], name: str) -> Volume:
    """A single slice as a scan."""
    affine = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], float)
    affine[:3, :3] *= ASSUMED_SPACING_MM
    return Volume(np.rint(hu).astype(np.int16)[None], build_geometry((1, *hu.shape), affine), name)


def _score(material: Material, store: Store, segment: Segment, fold: int) -> FoldScores:
    slices, scans = [], []
    for one in held_out(material, store, fold):
        labels = segment(one.volume)
        if one.z is None:
            scans.append(_score_scan(one, labels))
        else:
            slices.append(_score_slice(one, one.z, labels))
    return FoldScores(fold=fold, slices=tuple(slices), scans=tuple(scans))


def _score_scan(one: HeldOut, labels: NDArray[np.uint8]) -> ScanScore:
    voxel_ml = one.volume.geometry.voxel_ml
    called, true = region_mask(labels, "kidney"), region_mask(one.reference, "kidney")
    _, count = cc3d.connected_components(called, connectivity=26, return_N=True)
    return ScanScore(
        case=one.case_id,
        kidney_dice=dice(called, true),
        kidney_ml=float(true.sum()) * voxel_ml,
        called_kidney_ml=float(called.sum()) * voxel_ml,
        called_tumour_ml=float((labels == TUMOUR).sum()) * voxel_ml,
        components=int(count),
    )


def _score_slice(one: HeldOut, z: int, labels: NDArray[np.uint8]) -> SliceScore:
    called = {region: region_mask(labels, region) for region in ("kidney", "tumour")}
    true = {region: region_mask(one.reference, region) for region in ("kidney", "tumour")}
    wide = list(_wide_tumours(true["tumour"][0]))
    return SliceScore(
        patient=one.patient,
        z=z,
        kidney_dice=dice(called["kidney"], true["kidney"]),
        tumour_dice=dice(called["tumour"], true["tumour"]),
        kidney_pixels=int(true["kidney"].sum()),
        tumour_pixels=int(true["tumour"].sum()),
        called_kidney_pixels=int(called["kidney"].sum()),
        called_tumour_pixels=int(called["tumour"].sum()),
        wide_tumours=len(wide),
        wide_tumours_detected=sum(
            float(called["tumour"][0][tumour].mean()) >= DETECTED_SHARE for tumour in wide
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
    """Header and rows of the table of arms: means over folds of the folds' means, with their sd."""
    header = ["arm", *_COLUMNS]
    rows = []
    for title, folds in results.items():
        values = {name: [measure(fold) for fold in folds] for name, measure in _COLUMNS.items()}
        rows.append([title, *(_mean_sd(found) for found in values.values())])
    return header, rows


def arms_table(results: Mapping[str, Sequence[FoldScores]]) -> Table:
    """The same for the terminal."""
    header, rows = arms_rows(results)
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    return table


def _mean_sd(values: Sequence[float]) -> str:
    known = np.array([value for value in values if not np.isnan(value)])
    if known.size == 0:
        return "none"
    spread = known.std(ddof=1) if known.size > 1 else float("nan")
    return f"{known.mean():.3f} ± {spread:.3f}"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _enhanced(fold: FoldScores) -> list[ScanScore]:
    return [scan for scan in fold.scans if scan.case not in UNENHANCED]


def _detected(fold: FoldScores) -> float:
    wide = sum(one.wide_tumours for one in fold.slices)
    return sum(one.wide_tumours_detected for one in fold.slices) / wide if wide else float("nan")


def _false_alarms(fold: FoldScores) -> float:
    without = [one for one in fold.slices if one.kidney_pixels and not one.tumour_pixels]
    return _mean([one.called_tumour_pixels >= FALSE_ALARM_PIXELS for one in without])


_COLUMNS: Mapping[str, Callable[[FoldScores], float]] = {
    "scans: kidney Dice 3D": lambda fold: _mean([scan.kidney_dice for scan in _enhanced(fold)]),
    "scans: volume error": lambda fold: _mean([abs(scan.volume_error) for scan in _enhanced(fold)]),
    "scans: false tumour ml": lambda fold: _mean([scan.called_tumour_ml for scan in _enhanced(fold)]),
    "slices: kidney Dice": lambda fold: _mean(
        [one.kidney_dice for one in fold.slices if one.kidney_pixels]
    ),
    "slices with tumour: kidney Dice": lambda fold: _mean(
        [one.kidney_dice for one in fold.slices if one.tumour_pixels]
    ),
    "slices: tumour Dice": lambda fold: _mean(
        [one.tumour_dice for one in fold.slices if one.tumour_pixels]
    ),
    "tumours over 2 cm found": _detected,
    "slices without: tumour called": _false_alarms,
}
