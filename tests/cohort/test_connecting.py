"""What a cluster is asked for, and Slurm's job script; nothing here runs on a real Slurm."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from tests.processes import segment

from renalmap.api.cohort.connecting import ClusterRequest, check_request, slurm_settings
from renalmap.errors import ClusterError, ConfigError, MissingDependencyError

SCRIPT = """
import sys
from renalmap.api.cohort.connecting import ClusterRequest, slurm_cluster
pairs = tuple(tuple(text.split("=", 1)) for text in sys.argv[1:])
with slurm_cluster(ClusterRequest("slurm", slurm=pairs)) as cluster:
    print(cluster.job_script())
"""


def job_script(tmp_path, *pairs, **configured):
    """The script, from a Python of its own with a configuration of Dask's of its own."""
    pytest.importorskip("dask_jobqueue", reason="needs the extra cluster")
    (tmp_path / "jobqueue.yaml").write_text(json.dumps({"jobqueue": {"slurm": configured}}))
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT, *pairs],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "DASK_CONFIG": str(tmp_path), "HOME": str(tmp_path)},
    )
    return finished.stdout.strip().splitlines()


def test_slurms_job_script(tmp_path):
    lines = job_script(
        tmp_path,
        *("queue=cpu", "account=kidney", "walltime=02:00:00", "cores=8", "memory=16GiB"),
        *("directive=--constraint=avx2", "prologue=module load python/3.11"),
    )
    assert lines[0] == "#!/usr/bin/env bash"
    for expected in (
        "#SBATCH -J renalmap",
        "#SBATCH -p cpu",
        "#SBATCH -A kidney",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --mem=16G",
        "#SBATCH -t 02:00:00",
        "#SBATCH --constraint=avx2",
        "module load python/3.11",
    ):
        assert expected in lines
    worker = lines[-1].split()
    assert worker[:3] == [sys.executable, "-m", "distributed.cli.dask_worker"]
    assert worker[3].startswith("tls://")
    for option in ("--tls-ca-file", "--tls-cert", "--tls-key"):  # this run's own, in files of the user's
        assert worker[worker.index(option) + 1].startswith("~/.dask-jobqueue.worker.")
    assert "--no-dashboard" in worker
    assert not list(tmp_path.glob(".dask-jobqueue*")), "they go with the run"
    assert worker[worker.index("--nthreads") + 1] == "8"  # one process, one scan at a time, on all cores
    assert "--nworkers" not in worker


def test_slurms_defaults_yield_to_dasks_configuration(tmp_path):
    lines = job_script(tmp_path)
    assert "#SBATCH --cpus-per-task=4" in lines
    assert "#SBATCH --mem=8G" in lines
    configured = job_script(tmp_path, "memory=3GiB", cores=2, memory="5GiB", queue="night")
    assert "#SBATCH --cpus-per-task=2" in configured
    assert "#SBATCH --mem=3G" in configured
    assert "#SBATCH -p night" in configured


@pytest.mark.parametrize("pair", [("cores", "many"), ("partition", "cpu")])
def test_a_setting_for_slurm_that_is_not_valid(pair):
    with pytest.raises(ConfigError, match=f"got {pair[0]}={pair[1]}; expected one of queue, account"):
        slurm_settings(ClusterRequest("slurm", slurm=(pair,)))


def test_slurm_that_is_not_here(monkeypatch, tmp_path):
    pytest.importorskip("dask_jobqueue", reason="needs the extra cluster")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="Slurm is not installed on this machine"):
        check_request(ClusterRequest("slurm"))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ClusterRequest("http://host:8786"), "expected local, slurm, or the address of a scheduler"),
        (ClusterRequest("host:8786"), "the kind of cluster is unknown"),
        (ClusterRequest("local", slurm=(("queue", "x"),)), "--slurm is for --cluster slurm"),
        (ClusterRequest("tcp://host:8786", workers=2), "--workers is for clusters that are started"),
    ],
)
def test_requests_that_contradict_themselves(request_, message):
    with pytest.raises(ConfigError, match=message):
        check_request(request_)


@pytest.mark.parametrize("package", ["cryptography", "distributed", "dask_jobqueue"])
def test_a_package_that_is_not_installed(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'renalmap\[cluster\]'"):
        check_request(ClusterRequest("slurm" if package == "dask_jobqueue" else "local"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--workers", 2), "--workers and --slurm need --cluster"),
        (("--slurm", "queue=x"), "--workers and --slurm need --cluster"),
        (("--cluster", "slurm", "--slurm", "queue"), "expected KEY=VALUE"),
        (("--cluster", "nowhere"), "the kind of cluster is unknown"),
    ],
)
def test_the_commands_options(cohort, model, tmp_path, options, message):
    ended = segment(cohort, "--out", tmp_path / "out", "--model", model, *options)
    assert ended.code == 2
    assert message in ended.stderr
    assert not (tmp_path / "out").exists()


def test_in_process_no_package_of_a_cluster_is_imported(cohort, model, tmp_path):
    """Not even for a cohort with a table."""
    program = """
import sys
from renalmap.cli import main
sys.argv[0] = "renalmap"
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print([name for name in ("dask", "distributed", "dask_jobqueue", "pyarrow", "tornado") if name in sys.modules])
"""
    table = tmp_path / "t.csv"
    arguments = ("segment", cohort, "--out", tmp_path / "out", "--model", model, "--table", table, "-q")
    finished = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.splitlines()[-1] == "[]"
    assert table.read_text().count("\n") == 4
