"""The viewer's controls and the data its script reads."""

from __future__ import annotations

import json
from html import escape
from string import Template
from typing import Final

from renalmap.report.html.assets import read_asset
from renalmap.report.html.contents import ReportContents
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


def viewer_section(contents: ReportContents, packing: Packing) -> str:
    """The stage and its controls, driven by `viewer.js`."""
    count = contents.scan.geometry.shape[0]
    windows = "".join(
        f'<label><input type="radio" name="window" value="{width},{level}"{" checked" if at == 0 else ""}> '
        f"{name} <small>{width} / {str(level).replace('-', _MINUS)}</small></label>"
        for at, (name, width, level) in enumerate(WINDOWS)
    )
    return Template(read_asset("viewer.html")).substitute(
        windows_count=len(WINDOWS),
        cut=escape(_what_is_missing(packing, count)),
        last=len(packing.slices) - 1,
        first=_first_shown(contents, packing),
        windows=windows,
        jumps=_jumps(contents, packing),
        accuracy=escape(_accuracy(packing)),
    )


def viewer_data(contents: ReportContents, packing: Packing) -> str:
    """What the script reads, as JSON from which no text can break out."""
    scale = packing.scale
    affine = contents.scan.geometry.affine
    heights_mm = [float((affine @ (z, 0, 0, 1))[2]) for z in packing.slices]
    (top, bottom), (left, right) = packing.rows, packing.columns
    step_mm = contents.scan.geometry.spacing_mm
    edges = scale.edges_hu
    data = {
        "width": right - left,
        "height": bottom - top,
        "pixel_mm": [step_mm[2], step_mm[1]],
        "slices": packing.slices,
        "count": contents.scan.geometry.shape[0],
        "positions": [f"{'S' if mm >= 0 else 'I'} {abs(mm):.1f} mm" for mm in heights_mm],
        "values_hu": scale.values_hu.tolist(),
        "errors_hu": ((edges[1:] - edges[:-1]) / 2).tolist(),
        "colours": {str(label): colour for label, colour in LABEL_COLOURS.items()},
        "labels": list(pack_labels(contents.labels, packing)),
        "greys": list(pack_greys(contents.scan, packing)),
    }
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _first_shown(contents: ReportContents, packing: Packing) -> int:
    measured = contents.measurements
    if measured.lesions:
        return packing.nearest(measured.lesions[0].slice)
    if measured.kidneys:
        return packing.nearest(round(measured.kidneys[0].centroid.voxel_zyx[0]))
    return len(packing.slices) // 2


def _jumps(contents: ReportContents, packing: Packing) -> str:
    measured = contents.measurements
    places = [(f"{one.kind.capitalize()} {one.id}", one.slice) for one in measured.lesions]
    for kidney in measured.kidneys:
        name = "Kidney" if kidney.side is None else f"{kidney.side.capitalize()} kidney"
        places.append((name, round(kidney.centroid.voxel_zyx[0])))
    return "".join(
        f'<button type="button" data-slice="{packing.nearest(z)}">{escape(name)}</button>'
        for name, z in places
    )


def _what_is_missing(packing: Packing, count: int) -> str:
    if len(packing.slices) == count:
        return ""
    first, last = packing.slices[0] + 1, packing.slices[-1] + 1
    every = packing.slices[1] - packing.slices[0] if len(packing.slices) > 1 else 1
    which = f"slices {first} to {last}" + (f", every {every}." if every > 1 else "")
    return f"To keep the file small, the viewer shows {which} of {count}; everything was measured on all of them."


def _accuracy(packing: Packing) -> str:
    scale = packing.scale
    return (
        f"Grey values are exact to {scale.error_hu:g} HU from -200 to 344 HU and to {scale.coarse_error_hu:g} HU "
        "beyond, down to -1024 and up to 1344 HU. Measurements use the original."
    ).replace("-", _MINUS)
