"""Options of `segment` for cohorts, and what is shown while one is in work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from renalmap.cli.console import ProgressBar, messages, progress_bar
from renalmap.errors import ConfigError

if TYPE_CHECKING:
    from renalmap.api.cohort import ClusterRequest, CohortReport, CohortRequest, Listener
    from renalmap.api.request import SegmentRequest
    from renalmap.api.segment import SegmentReport

Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Keep scans that are complete and made by the same bundle and options."
    ),
]
TableFile = Annotated[
    Path | None, typer.Option("--table", help="Write a row for each scan: a .csv or .parquet file.")
]
ClusterAddress = Annotated[
    str | None,
    typer.Option("--cluster", help="Do scans on Dask workers: local, slurm, or tcp://scheduler:8786."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes of --cluster local, jobs of --cluster slurm.")
]
Retries = Annotated[
    int, typer.Option(min=0, help="How often a scan is begun again after its worker died.")
]
ClusterTimeout = Annotated[
    float, typer.Option(min=0.1, help="Seconds to wait for the scheduler, and for workers.")
]
Slurm = Annotated[
    list[str] | None,
    typer.Option("--slurm", help="KEY=VALUE for Slurm's jobs, as queue=cpu; may be repeated."),
]


def cluster_request(
    address: str | None, workers: int | None, retries: int, timeout_s: float, slurm: Sequence[str]
) -> ClusterRequest | None:
    """What the options ask of a cluster; None without --cluster.

    Raises:
        ConfigError: an option needs --cluster, or a setting is no KEY=VALUE.
    """
    if address is None:
        if workers is not None or slurm:
            raise ConfigError("--workers and --slurm need --cluster")
        return None
    from renalmap.api.cohort import ClusterRequest

    pairs = []
    for text in slurm:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError("a setting for Slurm is not valid", got=text, expected="KEY=VALUE")
        pairs.append((key, value))
    return ClusterRequest(address, workers, retries, timeout_s, tuple(pairs))


def segment_showing_progress(
    scans: Sequence[Path], out: Path, request: SegmentRequest, how: CohortRequest, *, quiet: bool
) -> SegmentReport | CohortReport:
    """Segment one scan, or a cohort."""
    from renalmap.api.cohort import segment_cohort
    from renalmap.api.outputs import short_name
    from renalmap.api.segment import segment_scans
    from renalmap.dataset.cohort import find_cohort

    cohort = find_cohort(scans)
    with progress_bar(quiet=quiet) as bar:
        if not cohort.is_several and not (how.resume or how.table or how.cluster):
            return segment_scans(
                scans,
                out,
                request,
                lambda scan, what, done, total: bar.show(f"{short_name(scan)}: {what}", done, total),
            )
        return segment_cohort(cohort, out, request, how, _listener(bar, quiet=quiet))


@contextmanager
def listening(*, quiet: bool) -> Iterator[Listener]:
    """A progress bar for whoever segments a cohort to tell."""
    with progress_bar(quiet=quiet) as bar:
        yield _listener(bar, quiet=quiet)


def _listener(bar: ProgressBar, *, quiet: bool) -> Listener:
    from renalmap.api.cohort import Listener

    def announce(text: str) -> None:
        if not quiet:
            messages.print(text, soft_wrap=True, markup=False, highlight=False)

    return Listener(bar.show, announce)
