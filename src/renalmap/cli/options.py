"""Options that verbs share, each defined once, and the groups in which the help shows them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from typer.core import TyperCommand

SCAN_HELP: Final = "NIfTI file; or DICOM: a folder, a .zip, a DICOMDIR, an enhanced CT."

input_option = partial(typer.Option, rich_help_panel="Input")
output_option = partial(typer.Option, rich_help_panel="Output")
model_option = partial(typer.Option, rich_help_panel="Model and rules")
speed_option = partial(typer.Option, rich_help_panel="Speed")
dicom_option = partial(typer.Option, rich_help_panel="DICOM")
cohort_option = partial(typer.Option, rich_help_panel="Cohort")

_GROUPS: Final = (
    *("Arguments", "Input", "Output", "Model and rules", "Speed", "DICOM", "Cohort", "Options"),
)


class Grouped(TyperCommand):
    """A verb whose help shows its options in groups: typer itself does so only in boxes."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each group, in plain text."""
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in _GROUPS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            default = "Options" if parameter.param_type_name == "option" else "Arguments"
            if record is not None:
                groups[getattr(parameter, "rich_help_panel", None) or default].append(record)
        for name, records in groups.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)


Scan = Annotated[Path, typer.Argument(help=SCAN_HELP)]

Series = Annotated[
    str | None, dicom_option(help="Which DICOM series: its UID or number, as info shows it.")
]
Acquisition = Annotated[
    int | None, dicom_option(help="Which acquisition of a DICOM series that holds several.")
]
Resample = Annotated[
    bool, dicom_option("--resample", help="Correct a tilted gantry or uneven slice spacing.")
]
AllowMissingSlices = Annotated[
    bool,
    dicom_option(
        "--allow-missing-slices", help="Accept a series even if some of its slices seem to be missing."
    ),
]

Orientation = Annotated[
    Literal["sform", "qform"] | None,
    input_option(help="Which matrix of a NIfTI file is right, if its two contradict each other."),
]
AssumeHu = Annotated[bool, input_option("--assume-hu", help="The values are HU: do not warn.")]

Device = Annotated[Literal["cpu", "cuda"], speed_option(help="Where to run.")]
Engine = Annotated[
    Literal["onnxruntime", "openvino"],
    speed_option(help="What runs the networks; OpenVINO is an optional extra."),
]
Threads = Annotated[
    int | None, speed_option(min=1, help="Slices processed at once; default: number of cores.")
]


def set_read_budget(context: typer.Context, value: float | None) -> float | None:
    """Every read until the verb has ended, in whatever process, stays within the budget."""
    if value is not None:
        from renalmap.imaging.budget import read_budget

        context.with_resource(read_budget(value))
    return value


Memory = Annotated[
    float | None,
    speed_option(
        "--memory-gb",
        min=0.01,
        callback=set_read_budget,
        help="Memory that reading a scan may take; default: a quarter of all.",
    ),
]

Crop = Annotated[Literal["blob", "slice"] | None, typer.Option(help="Stage 2's crops.")]

Protocol = Annotated[
    Literal["kits19", "kits23"],
    typer.Option(help="kits23: kidney and masses, masses, tumour; label 3 is a cyst."),
]
Csv = Annotated[Path | None, output_option(help="Write the cases as CSV.")]
Plot = Annotated[Path | None, output_option(help="Draw Dice against tumour volume as PNG.")]
Surface = Annotated[bool, typer.Option(help="Surface distances; they take most of the time.")]

AnonymizeReport = Annotated[
    bool, output_option("--anonymize-report", help="No names and no paths in the report.")
]
Overwrite = Annotated[bool, output_option("--overwrite", help="Replace existing files.")]
LabelMaps = Annotated[list[Path], typer.Argument(help="Label maps, or folders of them.")]
ScanOfOne = Annotated[
    Path | None,
    input_option("--scan", help="The scan of a single label map: NIfTI file or DICOM folder."),
]
Json = Annotated[bool, output_option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, output_option("--quiet", "-q", help="No progress bar and no table.")]
