"""The viewer's planes and controls, and the data its scripts read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from string import Template
from typing import Final

import numpy as np

from renalmap.imaging.volume import SliceNames
from renalmap.inference.quality import DroppedEntry
from renalmap.measure.measurements import Diameter, LesionMeasurement
from renalmap.report.html.assets import read_asset
from renalmap.report.html.contents import ReportContents
from renalmap.report.html.marks import (
    Mark,
    candidate_marks,
    measured_marks,
    nephrometry_marks,
    packed_mark,
)
from renalmap.report.html.packing import Packing, pack_greys, pack_labels
from renalmap.report.palette import LABEL_COLOURS

WINDOWS: Final = (
    ("Soft tissue", 400, 40),
    ("Kidney", 250, 100),
    ("Narrow", 150, 40),
    ("Wide", 1500, 150),
    ("Bone", 1800, 400),
    ("Lung", 1500, -600),
)
"""Presets: name, width and level in HU."""

_MINUS: Final = "\N{MINUS SIGN}"


PANES: Final = (
    ("axial", "Axial", ("R", "L", "A", "P")),
    ("coronal", "Coronal", ("R", "L", "S", "I")),
    ("sagittal", "Sagittal", ("A", "P", "S", "I")),
)
"""Name, title, and the directions at the left, right, top and bottom edge."""


def viewer_section(contents: ReportContents, packing: Packing) -> str:
    """The stage and its controls, driven by the scripts."""
    windows = "".join(
        f'<label><input type="radio" name="window" value="{width},{level}"{" checked" if at == 0 else ""}> '
        f"{name} <small>{width} / {str(level).replace('-', _MINUS)}</small></label>"
        for at, (name, width, level) in enumerate(WINDOWS)
    )
    return Template(read_asset("viewer.html")).substitute(
        windows_count=len(WINDOWS),
        cut=escape(_what_is_missing(packing, contents.scan.geometry.shape[0])),
        panes="".join(_pane(*pane) for pane in PANES),
        sliders="".join(_sliders(contents, packing)),
        windows=windows,
        jumps=_jumps(contents, packing),
        accuracy=escape(_accuracy(packing)),
    )


def _pane(name: str, title: str, letters: Sequence[str]) -> str:
    edges = zip(("left", "right", "top", "bottom"), letters, strict=True)
    extra = '<span class="shown" id="shown" aria-hidden="true"></span><span class="pointer" id="pointer" aria-hidden="true"></span>'
    return (
        f'<div class="pane {name}"><canvas id="{name}" tabindex="0" role="img" aria-describedby="viewer-help" '
        f'aria-label="{title} plane of the CT with the outlines of kidneys and tumours"></canvas>'
        + "".join(
            f'<span class="edge {edge}" aria-hidden="true">{letter}</span>' for edge, letter in edges
        )
        + f'<output class="place" id="{name}-place" for="{name}-slice"></output>'
        f"{extra if name == 'axial' else ''}</div>"
    )


def _sliders(contents: ReportContents, packing: Packing) -> Iterator[str]:
    start = packing.nearest(_start_zyx(contents))
    for (name, title, _), axis in zip(PANES, (2, 1, 0), strict=True):
        yield (
            f'<label class="slider" for="{name}-slice">{title}<input type="range" id="{name}-slice" min="0" '
            f'max="{packing.size_xyz[axis] - 1}" value="{start[axis]}" step="1"></label>'
        )


def viewer_data(contents: ReportContents, packing: Packing) -> str:
    """What the scripts read, axes (x, y, z), as JSON from which no text can break out."""
    scale, geometry = packing.scale, contents.scan.geometry
    edges, affine = scale.edges_hu, geometry.affine
    z_mm, y_mm, x_mm = geometry.spacing_mm
    corner_mm = affine @ (packing.slices[0], packing.rows[0], packing.columns[0], 1)
    steps = (1, 1, packing.every)
    data = {
        "size": packing.size_xyz,
        "voxel_mm": [x_mm, y_mm, z_mm * packing.every],
        "counts": geometry.shape[::-1],
        "numbers": [
            [1 + index for index in kept]
            for kept in (range(*packing.columns), range(*packing.rows), packing.slices)
        ],
        "first_mm": corner_mm[:3].tolist(),
        "step_mm": [float(affine[axis, 2 - axis]) * step for axis, step in enumerate(steps)],
        "start": packing.nearest(_start_zyx(contents)),
        "instances": [dicom_name(contents.slice_names(z), uid=True) for z in packing.slices],
        "marks": [
            packed_mark(mark, packing)
            for mark in (*_line_marks(contents), *candidate_marks(contents.quality))
        ],
        "values_hu": scale.values_hu.tolist(),
        "errors_hu": ((edges[1:] - edges[:-1]) / 2).tolist(),
        "colours": {str(label): colour for label, colour in LABEL_COLOURS.items()},
        "labels": list(pack_labels(contents.labels, packing, contents.exophytic)),
        "greys": list(pack_greys(contents.scan, packing)),
    }
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _line_marks(contents: ReportContents) -> Iterator[Mark]:
    """Scores have the tumours' longest diameters among their lines; cysts, and tumours not scored, their own."""
    measured, scored = contents.measurements, contents.nephrometry
    if scored is not None:
        yield from nephrometry_marks(scored, contents.scan.geometry.spacing_mm)
    known = set() if scored is None else {lesion.lesion for lesion in scored.lesions}
    yield from measured_marks([lesion for lesion in measured.lesions if lesion.id not in known])


def dicom_name(names: SliceNames, *, uid: bool = False) -> str:
    """A slice's names in a PACS, in DICOM's words; empty if it has none that may be told."""
    parts = [
        None if names.frame_number is None else f"frame {names.frame_number}",
        None if names.instance_number is None else f"InstanceNumber {names.instance_number}",
        f"SOPInstanceUID {names.sop_instance_uid}" if uid and names.sop_instance_uid else None,
    ]
    return ", ".join(part for part in parts if part)


def _start_zyx(contents: ReportContents) -> Sequence[float]:
    measured = contents.measurements
    if measured.lesions:
        return place_of(measured.lesions[0])
    if measured.kidneys:
        return measured.kidneys[0].centroid.voxel_zyx
    return [size / 2 for size in contents.scan.geometry.shape]


def place_of(lesion: LesionMeasurement) -> Sequence[float]:
    """The middle of a lesion's longest axial diameter, in voxels (z, y, x)."""
    return _middle(lesion.longest_axial_diameter)


def _middle(line: Diameter) -> Sequence[float]:
    return [(low + high) / 2 for low, high in zip(line.start.voxel_zyx, line.end.voxel_zyx, strict=True)]


def middle_of(candidate: DroppedEntry) -> Sequence[float]:
    """The middle of a candidate's box on the slice of its centre, in voxels (z, y, x)."""
    _, y, x = np.array(candidate.box_zyx).mean(axis=0).tolist()
    return candidate.slice, y, x


def show_button(text: str, what: str, place: tuple[int, int, int]) -> str:
    """A button that shows a place, as (x, y, z) of the kept voxels, in the viewer; `what` is for screen readers."""
    at = ",".join(map(str, place))
    return f'<button type="button" data-at="{at}" aria-label="{escape(text)}: show {escape(what)} in the viewer">{escape(text)}</button>'


def _jumps(contents: ReportContents, packing: Packing) -> str:
    measured = contents.measurements
    places = [(f"{one.kind.capitalize()} {one.id}", place_of(one)) for one in measured.lesions]
    for kidney in measured.kidneys:
        name = "Kidney" if kidney.side is None else f"{kidney.side.capitalize()} kidney"
        places.append((name, kidney.centroid.voxel_zyx))
    scored = () if contents.nephrometry is None else contents.nephrometry.lesions
    places += [(f"N of tumour {one.lesion}", _middle(one.to_sinus)) for one in scored if one.to_sinus]
    for number, candidate in enumerate(contents.candidates, start=1):
        places.append((f"Left out {number}", middle_of(candidate)))
    return "".join(show_button(name, "it", packing.nearest(place)) for name, place in places)


def _what_is_missing(packing: Packing, count: int) -> str:
    if len(packing.slices) == count:
        return ""
    first, last = packing.slices[0] + 1, packing.slices[-1] + 1
    which = f"slices {first} to {last}" + (f", every {packing.every}." if packing.every > 1 else "")
    return f"To keep the file small, the viewer shows {which} of {count}; everything was measured on all of them."


def _accuracy(packing: Packing) -> str:
    scale = packing.scale
    return (
        f"Grey values are exact to {scale.error_hu:g} HU from -200 to 344 HU and to {scale.coarse_error_hu:g} HU "
        "beyond, down to -1024 and up to 1344 HU. Measurements use the original."
    ).replace("-", _MINUS)
