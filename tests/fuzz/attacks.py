"""Files made to cost memory, and what each costs: `python -m tests.fuzz.attacks [FOLDER ...]`.

Each is read in a process of its own, whose address space is limited; folders are read beside those made here.
"""

from __future__ import annotations

import gzip
import io
import resource
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
import pydicom
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless
from tests.fuzz.corpus import ct_slice, seg

from renalmap.errors import RenalMapError
from renalmap.imaging import read_geometry, read_label_map, read_volume

MIB: Final = 2**20
LIMIT_BYTES: Final = 16 * 2**30
"""Of address space: libraries reserve gigabytes that they never touch."""

READS: Final[dict[str, Callable[[Path], object]]] = {
    "scan": read_volume,
    "resampled": lambda path: read_volume(path, resample=True),
    "labels": read_label_map,
    "geometry": read_geometry,
}


def nifti_of(shape: tuple[int, ...], dtype: Any = np.int16, voxels: bytes = b"") -> bytes:
    """A header of a shape, and these voxels, whatever the header says."""
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    # The largest shape that 16 bits can say is that of a body.
    header.set_zooms((0.06,) * min(3, len(shape)) + (1.0,) * (len(shape) - 3))
    header.set_sform(np.diag([-0.06, 0.06, 0.06, 1.0]), code=1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    return bytes(header.binaryblock) + bytes(4) + voxels


def write_study(folder: Path, change: Callable[[Any], None]) -> Path:
    """Three slices, each changed as a dataset."""
    folder.mkdir()
    for number in range(3):
        dataset = pydicom.dcmread(io.BytesIO(ct_slice(number)))
        change(dataset)
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def compressed(
    syntax: str, find: bytes = b"", replace: bytes = b"", **tags: int
) -> Callable[[Any], None]:
    """What changes a slice: compressed, a part of its codestream replaced, tags set."""

    def change(dataset: Any) -> None:
        dataset.compress(syntax)
        assert find in dataset.PixelData
        dataset.PixelData = dataset.PixelData.replace(find, replace, 1) if find else dataset.PixelData
        for name, value in tags.items():
            setattr(dataset, name, value)

    return change


def run_length_bomb(dataset: Any) -> None:
    """A megabyte in each of two segments that unpack to 64 times that."""
    dataset.compress(RLELossless)
    size = 1_000_000
    header = np.array([2, 64, 64 + size, *[0] * 13], "<u4").tobytes()
    dataset.PixelData = encapsulate([header + b"\x81\0" * size])


def deflated_bomb(unpacked_bytes: int, group_length: int, padding: bytes = b"") -> bytes:
    """A deflated file that lies about the length of its file meta, or names its transfer syntax late."""
    meta = padding + b"\x02\x00\x10\x00UI\x16\x001.2.840.10008.1.2.1.99"
    length = b"\x02\x00\x00\x00UL\x04\x00" + (group_length or len(meta)).to_bytes(4, "little")
    return bytes(128) + b"DICM" + length + meta + _zeros(unpacked_bytes)


def crowded(content: bytes, item: bytes, count: int, *, defined: bool = True) -> bytes:
    """A slice with a sequence of frames before its pixels, which are so many items, or elements of a single one."""
    at = content.index(b"\xe0\x7f\x10\0")
    value = (
        item * count
        if item[:4] == ITEM[:4]
        else ITEM[:4] + (len(item) * count).to_bytes(4, "little") + item * count
    )
    length = len(value).to_bytes(4, "little") if defined else b"\xff" * 4
    end = b"" if defined else b"\xfe\xff\xdd\xe0\0\0\0\0"
    return content[:at] + b"\x00\x52\x30\x92SQ\0\0" + length + value + end + content[at:]


ITEM: Final = b"\xfe\xff\x00\xe0\0\0\0\0"
"""An empty one."""
ELEMENT: Final = b"\x28\x00\x30\x00DS\0\0"


def _zeros(unpacked_bytes: int) -> bytes:
    """Deflated zeros: one block again and again, which takes no time to make."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(bytes(16_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * (unpacked_bytes // 16_000_000) + packer.flush()


LATE: Final = b"\x02\x00\x02\x01OB\x00\x00" + (5000).to_bytes(4, "little") + bytes(5000)


def make_attacks(root: Path) -> Iterator[Path]:
    """Write them, one after the other."""
    square = {"Rows": 65535, "Columns": 65535}
    for name, change in (
        ("native, 65535 squared", lambda dataset: vars_of(dataset, square)),
        ("RLE, 65535 squared", compressed(RLELossless, b"", b"", **square)),
        ("JPEG-LS, 65535 squared", compressed(JPEGLSLossless, b"", b"", **square)),
        ("JPEG 2000, 65535 squared", compressed(JPEG2000Lossless, b"", b"", **square)),
        ("JPEG-LS frame of 60000 squared", compressed(JPEGLSLossless, b"\0\x24\0\x28", b"\xea\x60\xea\x60")),
        ("JPEG 2000 codestream of 60000 squared", compressed(JPEG2000Lossless, b"\0\0\0\x28\0\0\0\x24", b"\0\0\xea\x60" * 2)),
        ("JPEG 2000 of 16384 components", compressed(JPEG2000Lossless, b"\0\x01\x8f\x01\x01", b"\x40\0\x8f\x01\x01")),
        ("RLE bomb", run_length_bomb),
    ):  # fmt: skip
        yield write_study(root / name, change)
    for name, content in (
        ("header of 32767 cubed.nii", nifti_of((32767,) * 3, voxels=bytes(100))),
        ("gzip header of 32767 cubed.nii.gz", gzip.compress(nifti_of((32767,) * 3, voxels=bytes(100)))),
        ("deflated, 3 GB, group length too small.dcm", deflated_bomb(3 * 2**30, 8)),
        ("deflated, 3 GB, syntax after 5000 bytes.dcm", deflated_bomb(3 * 2**30, 0, LATE)),
    ):
        (root / name).write_bytes(content)
        yield root / name
    (root / "deflated DICOMDIR").mkdir()
    (root / "deflated DICOMDIR/DICOMDIR").write_bytes(deflated_bomb(3 * 2**30, 8))
    yield root / "deflated DICOMDIR"
    for name, item, defined in (
        ("4 million empty items", ITEM, True),
        ("4 million empty items, of undefined length", ITEM, False),
        ("4 million empty elements", ELEMENT, True),
    ):
        crowd = crowded(ct_slice(0), item, 4_000_000, defined=defined)
        (root / f"{name}.dcm").write_bytes(crowd)
        yield root / f"{name}.dcm"
    labels = nifti_of((512, 512, 4000), np.uint8)
    with gzip.open(root / "labels of 1 GB at 1000 to 1.nii.gz", "wb", 1) as packed:
        packed.write(labels)
        for _ in range(4000):
            packed.write(bytes(512 * 512))
    yield root / "labels of 1 GB at 1000 to 1.nii.gz"
    head = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = head.compress(nifti_of((2000, 2000, 1000))) + head.flush(zlib.Z_FULL_FLUSH)
    bomb = b"\x1f\x8b\x08" + bytes(6) + b"\xff" + start + _zeros(8_000_000_000) + bytes(8)
    (root / "gzip bomb of 8 GB.nii.gz").write_bytes(bomb)
    yield root / "gzip bomb of 8 GB.nii.gz"
    with zipfile.ZipFile(root / "member of 0.3 GB at 90 to 1.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(2):
            filling = np.random.default_rng(0).bytes(3_000_000) + bytes(297_000_000)
            archive.writestr(f"{number}.dcm", ct_slice(number) + (filling if number == 0 else b""))
    yield root / "member of 0.3 GB at 90 to 1.zip"
    dataset = pydicom.dcmread(io.BytesIO(seg()))
    vars_of(dataset, square)
    dataset.save_as(root / "SEG of 65535 squared.dcm", enforce_file_format=True)
    yield root / "SEG of 65535 squared.dcm"


def vars_of(dataset: Any, tags: dict[str, int]) -> None:
    """Set tags."""
    for name, value in tags.items():
        setattr(dataset, name, value)


def cost_of(path: Path) -> dict[str, tuple[str, float, float]]:
    """By way of reading: what came of it, MB of growth, seconds of processor time; in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.attacks", "--read", str(path)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    rows = [line.split("\t") for line in finished.stdout.splitlines()]
    if finished.returncode or len(rows) != len(READS):
        raise AssertionError(f"{path}: ended with {finished.returncode}\n{finished.stderr[-2000:]}")
    return {name: (became, float(grown), float(seconds)) for name, became, grown, seconds in rows}


def _read(path: Path) -> None:
    """What the process of its own does: the libraries first, so that their growth is not the file's."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    with tempfile.TemporaryDirectory() as folder:
        for number, syntax in enumerate((RLELossless, JPEGLSLossless, JPEG2000Lossless)):
            read_volume(write_study(Path(folder) / str(number), compressed(syntax)))
    for name, read in READS.items():
        before = resource.getrusage(resource.RUSAGE_SELF)
        try:
            read(path)
            became = "read"
        except RenalMapError as error:
            became = type(error).__name__
        after = resource.getrusage(resource.RUSAGE_SELF)
        grown_mb = (after.ru_maxrss - before.ru_maxrss) * 1024 / 1e6
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        sys.stdout.write(f"{name}\t{became}\t{grown_mb:.1f}\t{seconds:.2f}\n")


def main(arguments: list[str]) -> None:
    """Read one file, or make a table of all."""
    if arguments[:1] == ["--read"]:
        _read(Path(arguments[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        given = [
            path / "study" if (path / "study").is_dir() else next(path.glob("*.[nd]*"))
            for path in map(Path, arguments)
        ]
        for path in chain(given, make_attacks(Path(folder))):
            costs = cost_of(path)
            names = dict.fromkeys(became for became, _, _ in costs.values())
            grown_mb, seconds = (max(each[place] for each in costs.values()) for place in (1, 2))
            shown = path.parent.name if path in given else path.name
            sys.stdout.write(f"| {shown} | {', '.join(names)} | {grown_mb:.0f} | {seconds:.1f} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
