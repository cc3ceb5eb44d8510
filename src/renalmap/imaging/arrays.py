"""NumPy archives (`.npz`) from outside: named arrays, bounded before they are unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import RenalMapError, named_errors
from renalmap.imaging.budget import check_budget


def read_npz(
    path: Path,
    names: tuple[str, ...],
    name: Callable[[str], RenalMapError],
    most_bytes: int | None = None,
) -> list[NDArray[Any]]:
    """Read arrays of a `.npz` file.

    Args:
        path: the file.
        names: of the arrays, in the order in which they are returned.
        name: makes the error of a file that cannot be read, as for `named_errors`.
        most_bytes: of each array, NumPy's header included; None: the budget is the only limit.

    Raises:
        TooLargeError: they unpack to more than a read may take.
        RenalMapError: what `name` makes.
    """
    if not path.is_file():
        raise name("no such file")
    with named_errors(name), path.open("rb") as handle, zipfile.ZipFile(handle) as archive:
        arrays = []
        sizes = {each: archive.getinfo(f"{each}.npy").file_size for each in names}
        for each, size_bytes in sizes.items():
            if most_bytes is not None and size_bytes > most_bytes:
                raise ValueError(f"{each} has {size_bytes} bytes, more than {most_bytes}")
        check_budget(sum(sizes.values()), path)
        for each in names:
            with archive.open(f"{each}.npy") as member:
                arrays.append(_read_array(member, sizes[each]))
        return arrays


def _read_array(member: Any, size_bytes: int) -> NDArray[Any]:
    """One array: NumPy would allocate whatever shape its header claims."""
    version = np.lib.format.read_magic(member)
    read_header = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, is_fortran, dtype = read_header(member)
    claimed = prod(shape) * dtype.itemsize
    if dtype.hasobject or min(shape, default=0) < 0 or claimed > size_bytes:
        raise ValueError(f"an array of {shape} {dtype} in {size_bytes} bytes")
    values = np.frombuffer(member.read(), dtype, count=prod(shape))
    return values.reshape(shape, order="F" if is_fortran else "C").copy()
