"""What a run of the benchmarks leaves behind: everything measured, round by round, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

Runtime = Literal["eager", "onnxruntime", "openvino"]


@dataclass(frozen=True)
class Spread:
    """The least, the middle and the largest of several rounds."""

    least: float
    middle: float
    largest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """The spread of at least one value."""
        return cls(min(values), median(values), max(values))

    @classmethod
    def of_ratios(cls, numerators: Sequence[float], denominators: Sequence[float]) -> Self:
        """Ratios of what was measured in the same round: the machine's drift cancels.

        Raises:
            ValueError: the two were not measured in as many rounds.
        """
        pairs = zip(numerators, denominators, strict=True)
        return cls.of([numerator / denominator for numerator, denominator in pairs])


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Machine(_Record):
    """What the figures were taken on; nothing that names it."""

    cpu: str
    cores: int
    vector_units: tuple[str, ...]
    memory_gb: float
    system: str
    versions: dict[str, str]
    load_before: float
    """Processes that wanted a core in the minute before; anything above 0 blurs the times."""


class CommandRun(_Record):
    """One whole process, from its start to its end."""

    seconds: float
    cpu_s: float
    peak_mb: float
    stages: dict[str, float] = {}
    """Seconds by part, as the process itself reports them."""


class CommandResult(_Record):
    """A command, round by round.

    Attributes:
        title: what it is called in tables.
        slices: of the CT it works on; None where it reads none.
        cores: how many it keeps busy.
        runs: one a round; empty if skipped.
        skipped: why it was not measured.
    """

    title: str
    slices: int | None = None
    cores: int = 1
    runs: tuple[CommandRun, ...] = ()
    skipped: str | None = None

    @property
    def seconds(self) -> list[float]:
        """Of every round."""
        return [run.seconds for run in self.runs]

    @property
    def seconds_alone(self) -> list[float]:
        """What every round takes on cores that nobody else uses: of one thread, its CPU seconds."""
        return [run.cpu_s if self.cores == 1 else run.seconds for run in self.runs]

    @property
    def peak_mb(self) -> float:
        """The largest of all rounds."""
        return max(run.peak_mb for run in self.runs)

    def stage_seconds(self) -> dict[str, float]:
        """The median of every part; `start` is what no part accounts for: Python, imports, models."""
        parts = list(dict.fromkeys(part for run in self.runs for part in run.stages))
        middle = {part: median(run.stages.get(part, 0.0) for run in self.runs) for part in parts}
        if not middle:
            return {}
        return {"start": median(run.seconds - sum(run.stages.values()) for run in self.runs)} | middle


class Lane(_Record):
    """How cores are shared out: `streams` inputs in work at once, each on `threads` threads."""

    threads: int = 1
    streams: int = 1

    @property
    def cores(self) -> int:
        """How many it keeps busy."""
        return self.threads * self.streams

    @property
    def title(self) -> str:
        """In tables."""
        if self.streams > 1:
            return f"{self.streams} streams"
        return f"{self.threads} thread{'' if self.threads == 1 else 's'}"


class Turn(_Record):
    """One round of a network, for 100 slices of 512x512."""

    seconds: float
    cpu_s: float


class NetworkResult(_Record):
    """A network at random weights, round by round.

    Attributes:
        network: the key of `benchmarks.networks.NETWORKS`.
        runtime: what executes it.
        lane: threads and streams.
        turns: one a round; empty if skipped.
        peak_mb: of a process that holds only this.
        skipped: why it was not measured.
    """

    network: str
    runtime: Runtime
    lane: Lane
    turns: tuple[Turn, ...] = ()
    peak_mb: float | None = None
    skipped: str | None = None

    @property
    def seconds(self) -> list[float]:
        """Of every round."""
        return [turn.seconds for turn in self.turns]

    @property
    def seconds_alone(self) -> list[float]:
        """What every round takes on cores that nobody else uses.

        One thread a stream never waits for another, so its CPU seconds are that; threads that share an
        input wait in a loop, which counts as CPU seconds too, so there it is what the clock says.
        """
        if self.lane.threads > 1:
            return self.seconds
        return [turn.cpu_s / self.lane.streams for turn in self.turns]


class FloorRun(_Record):
    """What the machine can do at best, in one round."""

    threads: int
    gmac_per_s: float
    gb_per_s: float


class Work(_Record):
    """What a network has to do for 100 slices, counted, not measured."""

    gmac: float
    """1e9 multiply-accumulates, of convolutions and linear layers."""
    traffic_gb: float
    """1e9 bytes that convolutions read and write if nothing stays in a cache."""


class Size(_Record):
    """What an installation takes on disk, and its largest packages."""

    title: str
    megabytes: float
    largest: dict[str, float] = {}


class Results(_Record):
    """A run."""

    name: str
    rounds: int
    machine: Machine
    segment: tuple[CommandResult, ...] = ()
    starts: tuple[CommandResult, ...] = ()
    networks: tuple[NetworkResult, ...] = ()
    floor: tuple[FloorRun, ...] = ()
    work: dict[str, Work] = {}
    sizes: tuple[Size, ...] = ()

    def completed_by(self, earlier: Self) -> Self:
        """With an earlier run's figures, if it was on the same processor with the same versions."""
        facts = ("cpu", "cores", "system", "versions")
        if any(getattr(self.machine, fact) != getattr(earlier.machine, fact) for fact in facts):
            return self
        return earlier.model_copy(update={"rounds": self.rounds, "machine": self.machine})
