"""Verbs about data sets: fetch, inspect, prepare, phantom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from renalmap.cli.console import output, progress_bar, say, show_error, show_json, show_warning
from renalmap.cli.inspection import inspection_tables
from renalmap.cli.options import Crop, Json, Memory, Orientation, Quiet, output_option, set_read_budget
from renalmap.cli.tables import fetch_table, store_table


def fetch(
    dataset: Annotated[Literal["kits19", "kits21", "kits23"], typer.Argument(help="Which data set.")],
    out: Annotated[Path, output_option(help="The data set's folder.")],
    cases: Annotated[str, typer.Option(help="Case numbers, as in 0-9,160; default: all.")] = "",
    masks_only: Annotated[bool, typer.Option("--masks-only", help="Leave the imaging out.")] = False,
    base_url: Annotated[
        str | None,
        typer.Option(envvar="RENALMAP_FETCH_BASE_URL", help="A mirror that serves such a folder."),
    ] = None,
    masks_url: Annotated[
        str | None,
        typer.Option(envvar="RENALMAP_FETCH_MASKS_URL", help="In place of the GitHub repository."),
    ] = None,
    imaging_url: Annotated[
        str | None,
        typer.Option(envvar="RENALMAP_FETCH_IMAGING_URL", help="In place of the Hugging Face data set."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=32, help="Files to download at once.")] = 4,
    attempts: Annotated[
        int, typer.Option(min=1, help="Attempts in a row without a byte before a file is given up.")
    ] = 5,
    stall_s: Annotated[
        float, typer.Option(min=0.1, help="Seconds without data before a connection is dropped.")
    ] = 30.0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fetch KiTS19, KiTS21 or KiTS23.

    Files are saved in KiTS19's layout, which prepare reads. Existing files are checked and kept; after an
    interruption, the same command continues. Exit code 0: everything is there; 1: a file failed (the others are kept); 2: the request
    cannot be met; 130: interrupted.
    """
    from renalmap.api.fetch import FetchRequest
    from renalmap.api.fetch import fetch as fetch_dataset
    from renalmap.dataset.fetch.sources import Mirrors

    mirrors = Mirrors(base_url or None, masks_url or None, imaging_url or None)
    request = FetchRequest(dataset, cases, mirrors, masks_only, jobs, attempts, stall_s)
    try:
        with progress_bar(quiet=quiet or json, in_bytes=True) as bar:
            outcome = fetch_dataset(request, out, bar.show)
    except KeyboardInterrupt as interrupt:
        show_error("interrupted; complete files are kept, and the same command continues from here")
        raise typer.Exit(130) from interrupt
    if json:
        show_json(outcome)
    elif not quiet:
        output.print(fetch_table(outcome))
    for file in outcome.files:
        if file.note:
            show_warning(f"{out / file.path}: {file.note}: {file.status}")
        if file.error:
            show_error(file.error)
    if not outcome.complete:
        raise typer.Exit(1)


def inspect(
    dataset: Annotated[
        Path,
        typer.Argument(help="A KiTS19, KiTS21, KiTS23 or nnU-Net folder, or a table (cases.csv)."),
    ],
    html: Annotated[Path | None, output_option(help="Write a page with a picture of each case.")] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Cases at once; each takes up to 1 GB.")
    ] = 1,
    orientation: Orientation = None,
    memory_gb: Memory = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a data set before training on it.

    Files, grids, spacing, labels, holes, islands, borders, intensities, duplicates, second phases, and
    published issues of single KiTS cases. Masks without imaging are enough. Exit code 0: no error; 1: at
    least one case has an error; 2: there is no data set.
    """
    from renalmap.api.inspect import inspect as inspect_all

    with progress_bar(quiet=quiet or json) as bar:
        bar.show("inspecting", 0, 0)
        outcome = inspect_all(
            dataset,
            html=html,
            orientation=orientation,
            jobs=jobs,
            progress=bar.show,
        )
    if json:
        show_json(outcome)
    elif not quiet:
        output.print(*inspection_tables(outcome))
        if html is not None:
            say(f"wrote {html}")
    if outcome.worst == "error":
        raise typer.Exit(1)


def prepare(
    datasets: Annotated[
        list[Path],
        typer.Argument(help="KiTS or nnU-Net folders, folders of single slices, or tables (cases.csv)."),
    ],
    out: Annotated[Path, output_option(help="The store's folder.")],
    store: Annotated[
        Literal["npz", "blosc2"], typer.Option(help="The paper's format, or the fast one.")
    ] = "npz",
    n_test: Annotated[int, typer.Option(min=0, help="Patients to test on.")] = 20,
    n_validation: Annotated[
        int | None, typer.Option(min=0, help="Patients to validate on; default: a tenth of the rest.")
    ] = None,
    test: Annotated[str, typer.Option(help="Patients to test on, by name: a,b,c.")] = "",
    validation: Annotated[str, typer.Option(help="Patients to validate on, by name: a,b,c.")] = "",
    split: Annotated[Path | None, typer.Option(help="An existing split.json.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    recipe: Annotated[
        Literal["paper", "renalmap"] | None,
        typer.Option(help="The paper's Plan to the letter, or the bundle's."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file of Plan settings, which override the recipe's.")
    ] = None,
    crop: Crop = None,
    exclude: Annotated[
        str, typer.Option(help="Cases to leave out, by id: a,b,c; the split stays the same.")
    ] = "",
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Cases at once; default: cores.")
    ] = None,
    memory_gb: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            callback=set_read_budget,
            help="For all cases together; default: three quarters of what is free.",
        ),
    ] = None,
    orientation: Orientation = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn a data set into a store: slices, split, statistics.

    Slices on the network's grid, the split by patient, the slice statistics of the training cases and a
    table of intensities. After an interruption it continues where it stopped; cases whose files have changed are
    prepared again. Exit code 0: the store is complete; 1: cases failed (the others are kept); 2: the
    input cannot be used, or the disk is too small.
    """
    from renalmap.api.prepare import PrepareRequest, SplitRequest, load_plan
    from renalmap.api.prepare import prepare as prepare_store
    from renalmap.errors import CasesFailedError

    plan = load_plan(config, {"crop": crop}, recipe)
    drawn = SplitRequest(seed, n_test, n_validation, _names(test), _names(validation), split)
    request = PrepareRequest(store, drawn, jobs, memory_gb, _names(exclude), orientation)
    try:
        with progress_bar(quiet=quiet or json) as bar:
            outcome = prepare_store(
                datasets,
                out,
                plan,
                request,
                bar.show,
            )
    except CasesFailedError as error:
        for failure in error.failures:
            show_error(str(failure))
        raise
    if json:
        show_json(outcome)
    elif not quiet:
        output.print(store_table(outcome))
        if outcome.slices_per_s is not None:
            say(
                f"prepared {outcome.prepared_slices} slices of {outcome.prepared_cases} cases in "
                f"{outcome.seconds:.0f} s: {outcome.slices_per_s:.1f} slices/s with {outcome.jobs} jobs"
            )


def phantom(
    out: Annotated[Path, output_option(help="The data set's folder.")],
    cases: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed for all of them.")] = 0,
    config: Annotated[Path | None, typer.Option(help="A TOML file with [[phantoms]].")] = None,
    first_number: Annotated[int, typer.Option(min=0, help="Number of the first case.")] = 0,
) -> None:
    """Write synthetic CTs with known labels.

    The folder has KiTS19's layout: data/case_XXXXX/imaging.nii.gz and segmentation.nii.gz.
    """
    from renalmap.api.phantom import phantom as write_phantoms

    with progress_bar() as bar:
        bar.show(f"making {cases} phantom{'' if cases == 1 else 's'}", 0, 0)
        write_phantoms(out, cases=cases, seed=seed, config=config, first_number=first_number)
    say(f"wrote {out}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
