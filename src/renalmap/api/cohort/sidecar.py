"""What is written beside an output: what made it, from what, and that it is complete.

A sidecar is written last, so a segmentation with a matching one is complete. While a scan is being processed, a
hidden marker takes its place: an output with a marker was left by a killed run and is not somebody else's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from glob import escape
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from renalmap.config import sha256_of
from renalmap.dataset.source import FileState, files_below
from renalmap.imaging.files import remove_left_overs, write_text_atomically
from renalmap.imaging.nifti import scan_name
from renalmap.text import json_text

SIDECAR_SUFFIX: Final = ".sidecar.json"
MARKER_SUFFIX: Final = ".in-work.json"

_Model = TypeVar("_Model", bound=BaseModel)


class Sidecar(BaseModel):
    """What made an output. `outputs` maps paths relative to the sidecar to SHA-256."""

    model_config = ConfigDict(extra="forbid")

    format_version: Literal[2] = 2
    renalmap_version: str
    bundle_sha256: str
    options: dict[str, Any]
    """Those of the request that affect what is written."""
    run: str
    """The run that made it, by a random name."""
    source: FileState
    outputs: dict[str, str]
    report: Any
    """The scan's outcome, a `CaseOutcome`; damaged, it is the outcome that is lost and not what it is about."""


class Marker(BaseModel):
    """A scan being processed, and by whom."""

    model_config = ConfigDict(extra="forbid")

    run: str
    attempt: int
    host: str
    pid: int


def sidecar_path(output: Path) -> Path:
    """Where an output's sidecar lies."""
    return output.with_name(f"{scan_name(output)}{SIDECAR_SUFFIX}")


def marker_path(output: Path) -> Path:
    """Where the marker lies while an output is being made."""
    return output.with_name(f".{scan_name(output)}{MARKER_SUFFIX}")


def read_sidecar(output: Path) -> Sidecar | None:
    """An output's sidecar; None if there is none that this version reads."""
    return _read(Sidecar, sidecar_path(output))


def read_marker(output: Path) -> Marker | None:
    """The marker of an output being made; None if there is none."""
    return _read(Marker, marker_path(output))


def write_sidecar(sidecar: Sidecar, output: Path) -> None:
    """Write an output's sidecar, atomically."""
    write_text_atomically(sidecar_path(output), json_text(sidecar, indent=1) + "\n")


def write_marker(marker: Marker, output: Path) -> None:
    """Mark an output as being made, atomically."""
    write_text_atomically(marker_path(output), json_text(marker) + "\n")


def remove_temporary_files(output: Path) -> None:
    """Remove what a killed process left of an output, its sidecar or its marker."""
    name = escape(scan_name(output))
    for pattern in (f"{name}[._]*", f".{name}.*"):
        remove_left_overs(output.parent, pattern)


def hash_outputs(outputs: tuple[Path, ...], beside: Path) -> dict[str, str]:
    """SHA-256 of files, by their paths relative to the folder of `beside`."""
    return {os.path.relpath(path, beside.parent): sha256_of(path) for path in outputs}


def scan_files(scan: Path) -> list[Path]:
    """The scan's files; of a DICOMDIR those beside and below it, which it lists."""
    return files_below(scan.parent if scan.name.upper() == "DICOMDIR" else scan)


def find_difference(
    sidecar: Sidecar, made_by: Mapping[str, Any], scan: Path, output: Path
) -> str | None:
    """Why an output with a sidecar is not what a run would make; None if it is.

    Args:
        sidecar: the output's.
        made_by: the run's `renalmap_version`, `bundle_sha256` and `options`.
        scan: what the run would segment.
        output: what the run would write.
    """
    if sidecar.bundle_sha256 != made_by["bundle_sha256"]:
        return f"made by another bundle ({sidecar.bundle_sha256[:12]})"
    if sidecar.renalmap_version != made_by["renalmap_version"]:
        return f"made by RenalMap {sidecar.renalmap_version}"
    if sidecar.options != made_by["options"]:
        return f"made with other options ({_differing(sidecar.options, made_by['options'])})"
    if not scan.exists() or not sidecar.source.describes(scan_files(scan)):
        return "the scan is not the one it was made from"
    return _find_damage(sidecar, output)


def _find_damage(sidecar: Sidecar, output: Path) -> str | None:
    for name, digest in sidecar.outputs.items():
        path = output.parent / name
        if not path.is_file():
            return f"incomplete: {name} is missing"
        if sha256_of(path) != digest:
            return f"{name} has been changed or damaged since"
    return None


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they come back from a JSON file."""
    content: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return content


def _differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Names of the options that differ, those in groups as `group.name`."""
    names = []
    for name in sorted(theirs.keys() | ours.keys()):
        left, right = theirs.get(name), ours.get(name)
        if left == right:
            continue
        if isinstance(left, dict) and isinstance(right, dict):
            names += [f"{name}.{each}" for each in _differing(left, right).split(", ")]
        else:
            names.append(name)
    return ", ".join(names)


def _read(model: type[_Model], path: Path) -> _Model | None:
    try:
        return model.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):  # pydantic's and JSON's are ValueErrors
        return None
