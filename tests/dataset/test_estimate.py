"""Estimates from headers, and what memory a process may have."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from renalmap.dataset.cases import Case
from renalmap.dataset.estimate import available_memory_bytes, estimate_case, estimate_store_bytes
from renalmap.errors import NoImagesError, TruncatedFileError

MEGABYTE = 10**6
SLICES_FIRST = np.diag([-1.0, -1.0, -1.0, 1.0])[[2, 1, 0, 3]]


def case_of(folder, dtype, slices):
    image = folder / f"{np.dtype(dtype).name}_{slices}.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((slices, 64, 64), dtype), SLICES_FIRST), image)
    return Case("a", "a", image, image)


@pytest.mark.parametrize(("dtype", "bytes_per_voxel"), [(np.int16, 3), (np.uint8, 3), (np.float64, 5)])
def test_memory_grows_with_voxels_by_the_type_that_is_stored(tmp_path, dtype, bytes_per_voxel):
    few, many = (estimate_case(case_of(tmp_path, dtype, slices), 64) for slices in (10, 110))
    assert (few.slices, many.slices) == (10, 110)
    assert many.memory_bytes - few.memory_bytes == 100 * 64 * 64 * bytes_per_voxel
    assert 100 * MEGABYTE < few.memory_bytes < 300 * MEGABYTE


def test_single_slices_stream(tmp_path):
    files = tuple((z, tmp_path / f"{z}.npz") for z in range(1000))
    found = estimate_case(Case("a", "a", slice_files=files), 512)
    assert found.slices == 1000
    assert found.memory_bytes < 300 * MEGABYTE


def test_kits19_takes_as_much_disk_as_the_docs_say():
    assert estimate_store_bytes(45_424, 512, "blosc2") == pytest.approx(12e9, rel=0.02)
    assert estimate_store_bytes(45_424, 512, "npz") == pytest.approx(17e9, rel=0.02)


def test_a_case_whose_header_cannot_be_read_is_named(tmp_path):
    empty = tmp_path / "imaging.nii.gz"
    empty.touch()
    with pytest.raises(TruncatedFileError, match=r"imaging\.nii\.gz"):
        estimate_case(Case("a", "a", empty, empty), 64)
    with pytest.raises(NoImagesError, match=r"mask\.nii\.gz: a mask without imaging"):
        estimate_case(Case("a", "a", None, tmp_path / "mask.nii.gz"), 64)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def machine(tmp_path):
    """The files of a machine with 8 GB free, whose process is in no group."""
    write(tmp_path / "proc/meminfo", "MemTotal: 16000000 kB\nMemAvailable:    8000000 kB\n")
    write(tmp_path / "proc/self/cgroup", "")
    return tmp_path


def test_free_memory_is_what_the_system_says(machine):
    assert available_memory_bytes(machine) == 8_000_000 * 1024


def test_a_jobs_limit_counts_wherever_it_stands_above_the_process(machine):
    """Slurm sets the limit on the job's group, the process is in a step's below it (version 2)."""
    write(machine / "proc/self/cgroup", "0::/slurm/job_7/step_0\n")
    groups = machine / "sys/fs/cgroup"
    write(groups / "slurm/job_7/step_0/memory.max", "max\n")
    write(groups / "slurm/job_7/step_0/memory.current", "1\n")
    write(groups / "slurm/job_7/memory.max", f"{3_000 * MEGABYTE}\n")
    write(groups / "slurm/job_7/memory.current", f"{500 * MEGABYTE}\n")
    assert available_memory_bytes(machine) == 2_500 * MEGABYTE


def test_limits_of_version_1_count(machine):
    write(
        machine / "proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/x\n4:memory:/docker/abc\n0::/\n"
    )
    group = machine / "sys/fs/cgroup/memory/docker/abc"
    write(group / "memory.limit_in_bytes", f"{2_000 * MEGABYTE}\n")
    write(group / "memory.usage_in_bytes", f"{600 * MEGABYTE}\n")
    assert available_memory_bytes(machine) == 1_400 * MEGABYTE


def test_where_nothing_is_told_4_gb_are_assumed(tmp_path):
    assert available_memory_bytes(tmp_path) == 4_000 * MEGABYTE
    assert available_memory_bytes() > 0
