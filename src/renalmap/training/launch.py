"""Which process this is, and of how many: alone, torchrun's or a Slurm step's. Without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from renalmap.errors import ConfigError


@dataclass(frozen=True)
class Launch:
    """The processes that train one network together, one per device.

    Attributes:
        launcher: who started them.
        devices: processes on each node.
        nodes: machines.
        rank: which one this is, from 0.
    """

    launcher: Literal["none", "torchrun", "slurm"] = "none"
    devices: int = 1
    nodes: int = 1
    rank: int = 0

    @property
    def world(self) -> int:
        """How many processes there are."""
        return self.devices * self.nodes

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """Which of `count` things fall to this process: every `world`-th."""
        return range(self.rank, count, self.world)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """What torchrun or srun wrote into the environment; one process without either.

        Raises:
            ConfigError: the tasks of a Slurm step are not spread evenly by `--ntasks-per-node`.
        """
        if "TORCHELASTIC_RUN_ID" in environment:
            devices = int(environment["LOCAL_WORLD_SIZE"])
            nodes = int(environment["WORLD_SIZE"]) // devices
            return cls("torchrun", devices, nodes, int(environment["RANK"]))
        # A batch script has SLURM_NTASKS as well; only srun's own tasks know of a step.
        tasks = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
        if tasks == 1:
            return cls()
        nodes = int(environment.get("SLURM_STEP_NUM_NODES", environment.get("SLURM_NNODES", "1")))
        asked = environment.get("SLURM_NTASKS_PER_NODE", "none")
        if asked != str(tasks // nodes) or tasks % nodes:
            raise ConfigError(
                "a Slurm step needs the same number of tasks on every node, given by --ntasks-per-node",
                got=f"{tasks} tasks on {nodes} nodes, --ntasks-per-node {asked}",
                hint="Give sbatch --nodes and --ntasks-per-node, one task per GPU",
            )
        return cls("slurm", tasks // nodes, nodes, int(environment["SLURM_PROCID"]))


ALONE = Launch()
