"""Verbs for existing label maps: report, mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from renalmap.cli.console import output, say, show_json
from renalmap.cli.options import (
    Acquisition,
    AllowMissingSlices,
    AnonymizeReport,
    Json,
    Memory,
    Orientation,
    Overwrite,
    Resample,
    Series,
    input_option,
    output_option,
)
from renalmap.cli.tables import number, table

Segmentation = Annotated[Path, typer.Argument(help="A label map: 1 kidney, 2 tumour, 3 cyst.")]


def report(
    segmentation: Segmentation,
    scan: Annotated[Path, input_option(help="The scan it was made from.")],
    out: Annotated[Path, output_option(help="The HTML file to write.")],
    series: Series = None,
    acquisition: Acquisition = None,
    resample: Resample = False,
    allow_missing_slices: AllowMissingSlices = False,
    orientation: Orientation = None,
    anonymize_report: AnonymizeReport = False,
    memory_gb: Memory = None,
    overwrite: Overwrite = False,
) -> None:
    """Write an HTML report with a viewer, to open offline."""
    from renalmap.api.report import report as write_report
    from renalmap.imaging import DicomChoice

    dicom = DicomChoice(series, acquisition, resample, allow_missing_slices, orientation)
    write_report(segmentation, scan, out, dicom=dicom, anonymize=anonymize_report, overwrite=overwrite)
    say(f"wrote {out}")


def mesh(
    segmentation: Segmentation,
    out: Annotated[Path, output_option(help="A folder for the files.")],
    scan: Annotated[
        Path | None, input_option(help="Its scan, which makes left and right more certain.")
    ] = None,
    format: Annotated[str, output_option(help="stl, glb, or both.")] = "stl,glb",
    series: Series = None,
    acquisition: Acquisition = None,
    resample: Resample = False,
    allow_missing_slices: AllowMissingSlices = False,
    orientation: Orientation = None,
    memory_gb: Memory = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write surfaces for planning and 3D printing (STL, GLB)."""
    from renalmap.api.mesh import mesh as write_mesh
    from renalmap.api.mesh import parse_formats
    from renalmap.imaging import DicomChoice

    made = write_mesh(
        segmentation,
        out,
        scan=scan,
        dicom=DicomChoice(series, acquisition, resample, allow_missing_slices, orientation),
        formats=parse_formats(format),
        overwrite=overwrite,
    )
    if json:
        show_json(made)
        return
    listed = table("Surfaces", "structure", "voxels ml", "surface ml", "triangles")
    for one in made.structures:
        listed.add_row(
            one.structure, number(one.voxels_ml, 2), number(one.surface_ml, 2), str(one.triangles)
        )
    output.print(listed)
    if made.left_out:
        say(
            f"left out: {made.left_out} parts below {made.left_out_below_ml:g} ml, "
            f"{made.left_out_ml:.3f} ml in all"
        )
    say(f"wrote {out}")
