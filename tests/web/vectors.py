"""Cases that Python made, for the page's TypeScript: what goes in and what comes out of the functions it repeats."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tests.web.dicom_vectors import dicom_cases
from tests.web.nifti_vectors import nifti_cases

from renalmap.anatomy.body import track_body
from renalmap.bundle import Bundle
from renalmap.imaging import LabelMap, Volume, build_geometry
from renalmap.imaging.nifti_writing import label_map_header
from renalmap.inference.cascade import Cascade, SegmentOptions
from renalmap.inference.components import DroppedComponent, drop_small, drop_unconnected
from renalmap.inference.localizing import _PERHAPS
from renalmap.inference.placement import Placement
from renalmap.inference.probability import GridProbabilities
from renalmap.inference.rules import ScanFacts, apply_rules
from renalmap.inference.search import SliceSearch, search_pitch
from renalmap.inference.smoothing import gaussian_weights, smooth_across_slices
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.measure import measure_label_map
from renalmap.phantom import PhantomConfig, make_phantom
from renalmap.preprocess import InPlaneFit, Plan, crop_boxes

Case = dict[str, Any]

ALL_RULES: Final[dict[str, Any]] = {
    "grid_size": 64,
    "crop_size": 32,
    "crop_margin": 4,
    "peel_fat_mm": 1.5,
    "fill_holes_mm2": 40.0,
    "component_min_ml": 2.0,
    "component_min_area_mm2": 30.0,
    "component_min_share": 0.1,
    "component_min_kidney_ml": 1.0,
    "tumour_min_ml": 0.5,
    "tumour_min_area_mm2": 40.0,
    "tumour_min_mean_probability": 0.5,
    "tumour_min_peak_probability": 0.6,
    "keep": "two_kidneys",
    "kidney_joined_mm": 9.0,
    "further_kidney_min_ml": 4.0,
}


def write_vectors(folder: Path, make_bundle: Callable[..., Path]) -> None:
    """Write a JSON file of cases for each part of the page."""
    generator = np.random.default_rng(17)
    parts: dict[str, list[Case]] = {
        "plan": [{"defaults": Plan().model_dump(mode="json")}],
        "fit": list(_fits(generator)),
        "crops": list(_crops(generator)),
        "components": list(_components(generator)),
        "smoothing": list(_smoothing(generator)),
        "search": list(_searches()),
        "rules": list(_rules(generator)),
        "body": list(_bodies()),
        "nifti": list(nifti_cases(folder, generator, _volume)),
        "dicom": list(dicom_cases(folder, _volume)),
        "anatomy": list(_anatomies(generator)),
        "cascade": list(_cascades(make_bundle)),
    }
    folder.mkdir(exist_ok=True)
    for name, cases in parts.items():
        (folder / f"{name}.json").write_text(json.dumps(cases))


def packed(values: NDArray[Any]) -> Case:
    """An array as JSON holds it."""
    plain = np.ascontiguousarray(values)
    data = base64.b64encode(zlib.compress(plain.tobytes())).decode()
    return {"shape": list(values.shape), "dtype": plain.dtype.str, "data": data}


def volume_of(hu: NDArray[Any], spacing_mm: Sequence[float], name: str = "scan") -> Volume:
    """A volume whose axes are canonical as stored."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing_mm[0], -spacing_mm[1], -spacing_mm[2]
    affine[3, 3] = 1.0
    return Volume(hu, build_geometry(hu.shape, affine), name)


def _fits(generator: np.random.Generator) -> Iterator[Case]:
    for rows, columns, spacing in (
        (64, 64, (0.8, 0.8)),
        (40, 51, (0.9, 0.7)),
        (150, 90, (0.5, 0.6)),
        (20, 20, (2.0, 1.1)),
    ):
        fit = InPlaneFit(rows, columns, spacing, 64)
        values = generator.integers(-1000, 1000, (rows, columns)).astype(np.int16)
        labels = generator.integers(0, 3, (64, 64)).astype(np.uint8)
        yield {
            "spacing_mm": spacing,
            "values": packed(values),
            "on_grid": packed(fit.to_grid(values, -1024.0)),
            "grid_spacing_mm": fit.grid_spacing_mm,
            "labels": packed(labels),
            "back": packed(fit.from_grid(labels)),
        }


def _crops(generator: np.random.Generator) -> Iterator[Case]:
    base = {"grid_size": 64, "crop_size": 48, "crop_margin": 4}
    for changes in ({}, {"narrow_crop_size": 32}, {"crop": "slice"}):
        for count in (0, 1, 3, 6):
            mask = blobs(generator, (1, 64, 64), count)[0] > 0
            plan = Plan(**base, **changes)
            boxes = crop_boxes(mask, plan)
            yield {
                "plan": plan.model_dump(mode="json"),
                "mask": packed(mask.view(np.uint8)),
                "boxes": [[box.start, box.stop] for box in boxes],
            }


def _components(generator: np.random.Generator) -> Iterator[Case]:
    for number in range(6):
        labels = blobs(generator, (14, 40, 44), 9)
        placement = Placement((number % 2, 3, 5), 15, (3.0, 1.1, 0.9))
        plan = Plan(**{**ALL_RULES, "component_min_ml": (0.5, 2.0, 6.0)[number % 3]})
        kept = labels.copy()
        judge = number >= 3
        dropped = drop_small(kept, placement, plan, judge_kidney=judge)
        perhaps = np.where(labels == KIDNEY, KIDNEY, np.where(labels > 0, _PERHAPS, 0)).astype(np.uint8)
        joined = perhaps.copy()
        drop_unconnected(joined, KIDNEY)
        yield {
            "plan": plan.model_dump(mode="json"),
            "placement": asdict(placement),
            "judge_kidney": judge,
            "labels": packed(labels),
            "kept": packed(kept),
            "dropped": _dropped(dropped),
            "perhaps": packed(perhaps),
            "joined": packed(joined),
        }


def _smoothing(generator: np.random.Generator) -> Iterator[Case]:
    for sigma_mm, distance_mm in ((2.0, 1.0), (2.0, 3.0), (3.0, 20.0)):
        values = generator.integers(0, 256, (9, 10, 11)).astype(np.uint8)
        weights = gaussian_weights(sigma_mm, distance_mm)
        smooth = values.copy()
        smooth_across_slices(smooth, weights)
        yield {
            "sigma_mm": sigma_mm,
            "distance_mm": distance_mm,
            "values": packed(values),
            "weights": weights.tolist(),
            "smooth": packed(smooth),
        }


def _searches() -> Iterator[Case]:
    for depth, spacing_mm in ((3, 5.0), (60, 1.0), (200, 1.0), (41, 3.0)):
        pitch = search_pitch(depth, spacing_mm)
        search = SliceSearch(depth, pitch, max(pitch - 1, 2))
        rounds = []
        while pending := search.pending():
            rounds.append(pending)
            for z in pending:
                search.note(z, found=depth // 3 <= z < depth // 2)
        yield {
            "depth": depth,
            "spacing_mm": spacing_mm,
            "pitch": pitch,
            "near": max(pitch - 1, 2),
            "rounds": rounds,
        }


def _rules(generator: np.random.Generator) -> Iterator[Case]:
    """Random kidneys and tumours; each rule alone, then all of them."""
    each = [
        {name: ALL_RULES[name] for name in ("grid_size", "crop_size", "crop_margin", *names)}
        for names in (
            ("peel_fat_mm",),
            ("fill_holes_mm2",),
            ("tumour_min_ml", "tumour_min_area_mm2"),
            ("tumour_min_mean_probability", "tumour_min_peak_probability"),
            ("keep", "kidney_joined_mm", "further_kidney_min_ml"),
        )
    ]
    for settings in (*each, ALL_RULES, ALL_RULES, ALL_RULES, ALL_RULES):
        shape = (16, 50, 60)
        labels = blobs(generator, shape, 12)
        plan = Plan(**settings)
        probability = GridProbabilities(
            (1, 2, 3),
            generator.integers(120, 256, shape).astype(np.uint8) * (labels > 0),
            np.zeros(shape, np.uint8),
        )
        probability.tumour[:] = probability.kidney * (labels == 2)
        hu = generator.normal(20, 90, shape).astype(np.float32)
        placement = Placement((1, 2, 3), 17, (3.0, 0.9, 0.8))
        ruled = labels.copy()
        outcome = apply_rules(
            ruled, probability, placement, plan, ScanFacts(lambda: 34.0, hu.__getitem__)
        )
        yield {
            "plan": plan.model_dump(mode="json"),
            "placement": asdict(placement),
            "midline_x": 34.0,
            "labels": packed(labels),
            "kidney": packed(probability.kidney),
            "tumour": packed(probability.tumour),
            "hu": packed(hu),
            "ruled": packed(ruled),
            "dropped": _dropped(outcome.dropped),
            "notes": outcome.notes,
        }


def _bodies() -> Iterator[Case]:
    for volume in (_phantom((20, 96, 96)), volume_of(np.zeros((3, 12, 12), np.int16), (5.0, 2.0, 2.0))):
        track = track_body(volume)
        yield {
            "volume": _volume(volume),
            "middle_x": [None if np.isnan(x) else x for x in track.middle_x],
            "at": track.at(np.arange(len(volume.hu))).tolist(),
        }


def _anatomies(generator: np.random.Generator) -> Iterator[Case]:
    """Kidneys and tumours at random places, with a body in the scan and without one."""
    shape = (20, 96, 96)
    nothing = volume_of(np.full(shape, -1000, np.int16), (6.0, 3.6, 4.0))
    for number, count in enumerate((0, 1, 1, 2, 2, 3, 5, 8, 12, 20)):
        volume = _phantom(shape) if number % 3 else nothing
        labels = blobs(generator, shape, count)
        labels[generator.random(shape) < 2e-4] = TUMOUR  # specks
        found = measure_label_map(LabelMap(labels, volume.geometry), volume)
        yield {
            "volume": _volume(volume),
            "labels": packed(labels),
            "kidneys": [_fields(kidney, _KIDNEY_FIELDS) for kidney in found.kidneys],
            "tumours": [_fields(lesion, _TUMOUR_FIELDS) for lesion in found.lesions],
            "flags": [flag.model_dump() for flag in found.flags],
        }


_KIDNEY_FIELDS: Final = ("id", "side", "parenchyma_ml", "tumour_ml", "length_mm")
_TUMOUR_FIELDS: Final = (
    *("id", "kidney", "side", "volume_ml"),
    *("longest_axial_diameter_mm", "slice", "borders"),
)


def _fields(measured: Any, names: Sequence[str]) -> Case:
    return {name: getattr(measured, name) for name in names}


def _cascades(make_bundle: Callable[..., Path]) -> Iterator[Case]:
    """Whole scans through hand-made networks that the page repeats: every pixel by itself."""
    mean_hu = 0.3  # no HU lies on a threshold
    loose = {"component_min_ml": 1.0, "component_min_area_mm2": 30.0}
    follow = {"follow_gap_mm": 7.0, "follow_min_probability": 0.3, "follow_hu": 120.0}
    cases: tuple[tuple[tuple[int, int, int], dict[str, Any]], ...] = (
        ((24, 128, 128), {}),
        ((24, 128, 128), {**loose, "smoothing_sigma_mm": 4.0, "keep": "two_kidneys"}),
        ((30, 100, 140), {**loose, "flip_averaging": "both", "narrow_crop_size": 32}),
        ((36, 128, 128), {**loose, **follow, "localizer_threshold": 0.999, "peel_fat_mm": 1.0}),
        ((40, 120, 120), {**loose, **follow, "localizer_low_threshold": 0.3, "crop": "slice"}),
        ((24, 128, 128), {**loose, "normalisation": "volume_zscore", "clip_hu": [-50, 250]}),
    )
    for shape, settings in cases:
        volume = _phantom(shape)
        root = make_bundle(mean_hu=mean_hu, **settings)
        bundle = Bundle.open(root)
        found = Cascade(bundle).segment(volume, SegmentOptions(threads=1))
        yield {
            "volume": _volume(volume),
            "plan": bundle.plan.model_dump(mode="json"),
            "statistics": {
                "mean_hu": mean_hu,
                "deviation_hu": 100.0,
                "npz": base64.b64encode((root / "slice_statistics.npz").read_bytes()).decode(),
            },
            "localizer": {"slopes": [20.0], "offsets": [-14.0]},
            "segmenter": {"slopes": [0.0, 40.0, 20.0], "offsets": [0.0, -44.0, -14.0]},
            "labels": packed(found.label_map.labels),
            "dropped": _dropped(found.dropped),
            "notes": found.notes,
        }


def blobs(generator: np.random.Generator, shape: Sequence[int], count: int) -> NDArray[np.uint8]:
    """Ellipsoids of kidney or tumour at random places, some of them with holes."""
    grid = np.indices(tuple(shape))
    labels = np.zeros(tuple(shape), np.uint8)
    for _ in range(count):
        radii = [1.0 + generator.uniform(0.05, 0.16) * size for size in shape]
        centre = [generator.uniform(0, size) for size in shape]
        terms = [
            ((axis - at) / radius) ** 2 for axis, at, radius in zip(grid, centre, radii, strict=True)
        ]
        distance = np.sum(terms, axis=0)
        labels[distance < 1.0] = generator.integers(1, 3)
        if generator.random() < 0.3:
            labels[distance < 0.1] = 0
    return labels


def _phantom(shape: tuple[int, int, int]) -> Volume:
    spacing = (120.0 / shape[0], 350.0 / shape[1], 380.0 / shape[2])
    config = PhantomConfig(shape_zyx=shape, spacing_mm_zyx=spacing, noise_hu=6.0)
    return make_phantom(config, np.random.default_rng(5)).scan


def _volume(volume: Volume) -> Case:
    return {
        "hu": packed(volume.hu),
        "spacing_mm": volume.geometry.spacing_mm,
        "label_map_header": base64.b64encode(
            label_map_header(volume.geometry.source).binaryblock
        ).decode(),
    }


def _dropped(dropped: Sequence[DroppedComponent]) -> list[Case]:
    return [asdict(each) for each in dropped]
