"""Where the KiTS data sets are, and under which names.

The masks and the table of cases are in the challenges' repositories on GitHub, the imaging of all three in
one data set on Hugging Face (neheller/kits19, `starter_code/get_imaging_v2.py`). `docs/fetch.md` says which of
this was looked up, and where.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit, urlunsplit

from renalmap.errors import ConfigError

DatasetName = Literal["kits19", "kits21", "kits23"]
FileKind = Literal["table", "mask", "imaging"]

TABLE_PATH: Final = "data/kits.json"
MASK_PATH: Final = "data/{case}/segmentation.nii.gz"
IMAGING_PATH: Final = "data/{case}/imaging.nii.gz"


@dataclass(frozen=True)
class Source:
    """The addresses of a data set.

    Attributes:
        masks: base URL of the masks and the table.
        table_path: the table of cases below it.
        mask_path: a mask below it, with `{case}`.
        case_numbers: the cases that have a mask.
    """

    masks: str
    table_path: str
    mask_path: str
    case_numbers: tuple[int, ...]


SOURCES: Final[dict[DatasetName, Source]] = {
    "kits19": Source(
        "https://raw.githubusercontent.com/neheller/kits19/master",
        "data/kits.json",
        "data/{case}/segmentation.nii.gz",
        tuple(range(210)),
    ),
    "kits21": Source(
        "https://raw.githubusercontent.com/neheller/kits21/master",
        "kits21/data/kits.json",
        "kits21/data/{case}/aggregated_MAJ_seg.nii.gz",
        tuple(range(300)),
    ),
    "kits23": Source(
        "https://raw.githubusercontent.com/neheller/kits23/main",
        "dataset/kits23.json",
        "dataset/{case}/segmentation.nii.gz",
        (*range(300), *range(400, 589)),
    ),
}
IMAGING_SOURCE: Final = "https://huggingface.co/datasets/neheller/KiTS-Challenge-Imaging/resolve/main"
IMAGING_SOURCE_PATH: Final = "images/{case}.nii.gz"


@dataclass(frozen=True)
class Mirrors:
    """Servers that stand in for the official ones.

    Attributes:
        base: serves a data set in KiTS19's layout, as `renalmap fetch` writes it.
        masks: stands in for `Source.masks`, with the same paths below it; before `base`.
        imaging: stands in for `IMAGING_SOURCE`, likewise.
    """

    base: str | None = None
    masks: str | None = None
    imaging: str | None = None


OFFICIAL: Final = Mirrors()


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch.

    Attributes:
        path: where it goes in the data set's folder, with `/`.
        url: where it comes from.
        kind: what it must turn out to be.
        case: the case it belongs to; empty for the table.
    """

    path: str
    url: str
    kind: FileKind
    case: str = ""

    @property
    def shown_url(self) -> str:
        """The URL without a password."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def list_files(
    dataset: DatasetName, case_numbers: tuple[int, ...], mirrors: Mirrors, *, masks_only: bool
) -> tuple[RemoteFile, ...]:
    """The files of some cases: the table first, then each case's mask and imaging.

    Raises:
        ConfigError: a mirror is not an HTTP address.
    """
    for url in (mirrors.base, mirrors.masks, mirrors.imaging):
        _check_url(url)
    source = SOURCES[dataset]
    table_url = _url(mirrors.masks, mirrors.base, source.masks, source.table_path, TABLE_PATH)
    files = [RemoteFile(TABLE_PATH, table_url, "table")]
    for case in map("case_{:05d}".format, case_numbers):
        url = _url(mirrors.masks, mirrors.base, source.masks, source.mask_path, MASK_PATH)
        files.append(RemoteFile(MASK_PATH.format(case=case), url.format(case=case), "mask", case))
        if not masks_only:
            url = _url(mirrors.imaging, mirrors.base, IMAGING_SOURCE, IMAGING_SOURCE_PATH, IMAGING_PATH)
            files.append(
                RemoteFile(IMAGING_PATH.format(case=case), url.format(case=case), "imaging", case)
            )
    return tuple(files)


def _url(own: str | None, base: str | None, official: str, official_path: str, path: str) -> str:
    if own is None and base is not None:
        return f"{base.rstrip('/')}/{path}"
    return f"{(own or official).rstrip('/')}/{official_path}"


def _check_url(url: str | None) -> None:
    if url is not None and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc):
        raise ConfigError(
            "a mirror's address is not valid", got=repr(url), expected="http://... or https://..."
        )


def parse_cases(text: str, dataset: DatasetName) -> tuple[int, ...]:
    """The case numbers that `0-9,160` names; all of the data set for an empty text.

    Both ends of a range must be cases; numbers between that are none (KiTS23 has no 300 to 399) are left
    out.

    Raises:
        ConfigError: the text is not such a list, or names a case that the data set does not have.
    """
    known = SOURCES[dataset].case_numbers
    if not text.strip():
        return known
    chosen: set[int] = set()
    for part in (part.strip() for part in text.split(",")):
        found = re.fullmatch(r"(\d{1,5})(?:\s*-\s*(\d{1,5}))?", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last:
            raise ConfigError(
                "--cases is not a list of case numbers", got=repr(part), expected="as in 0-9,160"
            )
        missing = [number for number in (first, last) if number not in known]
        if missing:
            raise ConfigError(f"{dataset} has no case {missing[0]} with a mask", expected=_ranges(known))
        chosen.update(number for number in known if first <= number <= last)
    return tuple(sorted(chosen))


def _ranges(numbers: tuple[int, ...]) -> str:
    starts = [number for number in numbers if number - 1 not in numbers]
    ends = [number for number in numbers if number + 1 not in numbers]
    return ", ".join(f"{start} to {end}" for start, end in zip(starts, ends, strict=True))
