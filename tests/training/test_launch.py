"""Which process this is, by what torchrun and srun write into the environment."""

from __future__ import annotations

import pytest

from renalmap.errors import ConfigError
from renalmap.training.devices import make_fabric
from renalmap.training.launch import ALONE, Launch
from renalmap.training.settings import TrainSettings

TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8", "RANK": "5"}
SBATCH = {"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "4", "SLURM_PROCID": "0"}
SRUN = SBATCH | {"SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "6"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ALONE),
        (TORCHRUN, Launch("torchrun", 4, 2, 5)),
        (SRUN, Launch("slurm", 4, 2, 6)),
        (SBATCH, ALONE),
        (SRUN | {"SLURM_STEP_NUM_TASKS": "1"}, ALONE),
        (SRUN | TORCHRUN, Launch("torchrun", 4, 2, 5)),
    ],
    ids=["alone", "torchrun", "srun", "a batch script", "srun of one task", "torchrun under srun"],
)
def test_the_environment_tells(environment: dict[str, str], expected: Launch):
    assert Launch.from_environment(environment) == expected
    assert expected.leads == (expected.rank == 0)


@pytest.mark.parametrize(
    "changes",
    [{"SLURM_STEP_NUM_TASKS": "7"}, {"SLURM_NTASKS_PER_NODE": "8"}, {"SLURM_NTASKS_PER_NODE": None}],
)
def test_tasks_must_be_spread_evenly_and_say_so(changes: dict[str, str | None]):
    environment = {name: value for name, value in (SRUN | changes).items() if value is not None}
    with pytest.raises(ConfigError, match=r"the same number of tasks on every node.*--ntasks-per-node"):
        Launch.from_environment(environment)


def test_shares_are_disjoint_and_whole():
    shares = [list(Launch("torchrun", 3, 1, rank).share(8)) for rank in range(3)]
    assert shares == [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert list(ALONE.share(3)) == [0, 1, 2]


def test_what_cannot_be_shared_out_is_refused_before_anybody_is_waited_for():
    three = Launch("torchrun", 3, 1, 0)
    with pytest.raises(ConfigError, match=r"shared out evenly.*batch_size 8, 3 processes"):
        make_fabric(TrainSettings(stage="segment"), three)
    with pytest.raises(ConfigError, match="for one process"):
        make_fabric(TrainSettings(stage="segment", batch_size=9, compile=True), three)


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(
        ConfigError, match=r"the device is not available.*expected mps, 1 on this machine"
    ):
        make_fabric(TrainSettings(stage="segment", accelerator="mps"), ALONE)
