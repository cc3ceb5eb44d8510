"""The results as tables for a terminal, and the ratios that count."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.table import Table

from benchmarks.end_to_end import EAGER, SEGMENT
from benchmarks.networks import NETWORKS
from benchmarks.results import CommandResult, NetworkResult, Results, Spread
from benchmarks.runtimes import RUNTIMES
from renalmap.cli.tables import table

YARDSTICK = "enet"


def spread_text(spread: Spread) -> str:
    """`middle (least to largest)`, to three figures of the middle."""
    digits = max(0, 2 - max(0, math.floor(math.log10(spread.middle)))) if spread.middle > 0 else 2
    if spread.least == spread.largest:
        return f"{spread.middle:.{digits}f}"
    return f"{spread.middle:.{digits}f} ({spread.least:.{digits}f} to {spread.largest:.{digits}f})"


def result_tables(results: Results) -> Iterator[Table | str]:
    """All that was measured."""
    machine = results.machine
    yield (
        f"{machine.cpu}, {machine.cores} cores ({', '.join(machine.vector_units)}), "
        f"{machine.memory_gb:g} GB; {machine.system}; load before: {machine.load_before:g}; "
        f"{results.rounds} rounds, interleaved: median (least to largest)"
    )
    if results.segment:
        yield segment_table(results.segment)
        yield stage_table(results.segment)
        yield from _eager_ratios(results.segment)
    if results.starts:
        yield starts_table(results.starts)
    if results.networks:
        yield network_table(results)
    if results.floor:
        yield floor_table(results)
    if results.sizes:
        yield sizes_table(results)


def segment_table(commands: Sequence[CommandResult]) -> Table:
    """Whole commands: seconds, per 100 slices, and peak memory."""
    made = table("From command to file", "command", "slices", "s", "s per 100", "CPU s", "peak MB")
    for command in commands:
        if not command.runs or not command.slices:
            continue
        per_100 = [100 * seconds / command.slices for seconds in command.seconds]
        made.add_row(
            command.title,
            str(command.slices),
            spread_text(Spread.of(command.seconds)),
            f"{Spread.of(per_100).middle:.1f}",
            f"{Spread.of([run.cpu_s for run in command.runs]).middle:.1f}",
            f"{command.peak_mb:.0f}",
        )
    return made


def stage_table(commands: Sequence[CommandResult]) -> Table:
    """Median seconds of each part."""
    stages = [(command, command.stage_seconds()) for command in commands]
    parts = list(dict.fromkeys(part for _, seconds in stages for part in seconds))
    made = table("Seconds by part, median", "command", "slices", *parts)
    for command, seconds in stages:
        cells = [f"{seconds[part]:.2f}" if part in seconds else "" for part in parts]
        made.add_row(command.title, str(command.slices), *cells)
    return made


def eager_ratios(commands: Sequence[CommandResult]) -> dict[tuple[str, int], Spread]:
    """How many times longer the yardstick takes on as many cores, by our command's title and slices."""
    yardsticks = {(each.slices, each.cores): each for each in commands if each.title.startswith(EAGER)}
    pairs = [
        (command, yardsticks[command.slices, command.cores])
        for command in commands
        if command.title.startswith(SEGMENT) and (command.slices, command.cores) in yardsticks
    ]
    return {
        (command.title, command.slices or 0): Spread.of_ratios(
            yardstick.seconds_alone, command.seconds_alone
        )
        for command, yardstick in pairs
    }


def _eager_ratios(commands: Sequence[CommandResult]) -> Iterator[str]:
    for (title, slices), ratio in eager_ratios(commands).items():
        yield f"{EAGER} takes {spread_text(ratio)} times as long as {title} ({slices} slices)"


def starts_table(commands: Sequence[CommandResult]) -> Table:
    """How long things take to start."""
    made = table("To start", "command", "ms", "CPU ms")
    for command in commands:
        if command.skipped:
            made.add_row(command.title, command.skipped, "")
            continue
        cpu_s = Spread.of([run.cpu_s for run in command.runs]).middle
        spread = Spread.of([1000 * seconds for seconds in command.seconds])
        made.add_row(command.title, spread_text(spread), f"{1000 * cpu_s:.0f}")
    return made


def network_table(results: Results) -> Table:
    """Networks alone, beside ENet in the same runtime and lane, and beside the floor."""
    made = table(
        "Networks at random weights, s per 100 slices of 512x512",
        *("network", "runtime", "cores", "s", "times ENet there", "times fastest ENet"),
        *("times floor", "CPU s", "peak MB"),
    )
    for row in results.networks:
        names = (NETWORKS[row.network].title, RUNTIMES[row.runtime][0], row.lane.title)
        if row.skipped:
            made.add_row(*names, row.skipped, "", "", "", "", "")
            continue
        there, fastest = times_enet(results.networks, row)
        above = times_floor(results, row)
        made.add_row(
            *names,
            spread_text(Spread.of(row.seconds)),
            "" if there is None else f"{there.middle:.1f}",
            "" if fastest is None else spread_text(fastest),
            "" if above is None else f"{above:.1f}",
            f"{Spread.of([turn.cpu_s for turn in row.turns]).middle:.2f}",
            "" if row.peak_mb is None else f"{row.peak_mb:.0f}",
        )
    return made


def fastest_enet(rows: Sequence[NetworkResult], cores: int) -> NetworkResult | None:
    """Whole-slice ENet where it is fastest on so many cores."""
    ours = [row for row in rows if row.network == YARDSTICK and row.lane.cores == cores and row.turns]
    return min(ours, key=lambda row: Spread.of(row.seconds_alone).middle, default=None)


def times_enet(rows: Sequence[NetworkResult], row: NetworkResult) -> tuple[Spread | None, Spread | None]:
    """Seconds alone of a row over those of ENet on as many cores: in the row's runtime, and in any."""
    in_runtime = fastest_enet([each for each in rows if each.runtime == row.runtime], row.lane.cores)
    in_any = fastest_enet(rows, row.lane.cores)
    same, fastest = (
        None if other is None else Spread.of_ratios(row.seconds_alone, other.seconds_alone)
        for other in (in_runtime, in_any)
    )
    return same, fastest


def times_floor(results: Results, row: NetworkResult) -> float | None:
    """Median seconds alone of a row over those its multiply-accumulates need at the GEMM rate."""
    seconds = gemm_seconds(results, row.network, row.lane.threads)
    if seconds is None:
        return None
    # Streams are single threads that do not meet: each has the rate of one.
    return Spread.of(row.seconds_alone).middle / (seconds / row.lane.streams)


def gemm_seconds(results: Results, network: str, threads: int) -> float | None:
    """What 100 slices need at the median measured GEMM rate; None where it was not measured."""
    rates = [run.gmac_per_s for run in results.floor if run.threads == threads]
    if not rates or network not in results.work:
        return None
    return results.work[network].gmac / Spread.of(rates).middle


def floor_table(results: Results) -> Table:
    """The machine's rates, and what each network's 100 slices need at them."""
    made = table(
        "Floor, for 100 slices", "network", "threads", "GMAC", "s at GEMM rate", "GB", "s at bandwidth"
    )
    for threads in sorted({run.threads for run in results.floor}):
        runs = [run for run in results.floor if run.threads == threads]
        gmac = Spread.of([run.gmac_per_s for run in runs])
        bandwidth = Spread.of([run.gb_per_s for run in runs])
        made.add_row(
            "this machine, per second", str(threads), spread_text(gmac), "", spread_text(bandwidth)
        )
        for network, work in results.work.items():
            made.add_row(
                NETWORKS[network].title,
                str(threads),
                f"{work.gmac:.0f}",
                f"{work.gmac / gmac.middle:.2f}",
                f"{work.traffic_gb:.1f}",
                f"{work.traffic_gb / bandwidth.middle:.2f}",
            )
    return made


def sizes_table(results: Results) -> Table:
    """What installations take."""
    made = table("On disk", "installation", "MB", "largest packages, MB")
    for size in results.sizes:
        largest = ", ".join(f"{name} {megabytes:.0f}" for name, megabytes in size.largest.items())
        made.add_row(size.title, f"{size.megabytes:.0f}", largest)
    return made
