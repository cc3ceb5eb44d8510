"""nnU-Net's `dataset.json`: what the numbers in its label maps mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from renalmap.errors import DatasetError, named_errors
from renalmap.labels import BACKGROUND, CYST, KIDNEY, LABEL_NAMES, REGIONS, TUMOUR, UNKNOWN

_LABELS: Final = {
    "background": BACKGROUND,
    "kidney": KIDNEY,
    "tumor": TUMOUR,
    "tumour": TUMOUR,
    "kidney tumor": TUMOUR,
    "kidney tumour": TUMOUR,
    "cyst": CYST,
    "kidney cyst": CYST,
    "ignore": UNKNOWN,
}
_EXPECTED: Final = "labels named background, kidney, tumour (or tumor) and cyst"


def read_nnunet_labels(path: Path) -> tuple[tuple[int, int], ...]:
    """How the numbers in a raw data set's label maps translate into ours.

    Read are version 1 (`{"1": "kidney"}`), version 2 (`{"kidney": 1}`) and version 2's regions as
    nnU-Net's own conversion of KiTS23 writes them (`{"kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2}`),
    whose numbers are KiTS's. nnU-Net's ignore label becomes `UNKNOWN`.

    Returns:
        (stored value, label) in ascending order; empty if the numbers are KiTS's own.

    Raises:
        DatasetError: there is no such file, it is faulty, has several channels, or names other labels.
    """
    with named_errors(lambda got: DatasetError("this is not a dataset.json", where=path, got=got)):
        return _translation(_read(path), path)


def _translation(content: dict[str, Any], path: Path) -> tuple[tuple[int, int], ...]:
    channels = content.get("channel_names", content.get("modality", {"0": "CT"}))
    if len(channels) != 1:
        raise DatasetError(
            "the data set has several channels",
            where=path,
            got=", ".join(str(name) for name in channels.values()),
            expected="one, the CT",
        )
    labels = content["labels"]
    ignored = labels.get("ignore")
    if any(isinstance(value, list) for value in labels.values()):
        _check_regions({name: value for name, value in labels.items() if name != "ignore"}, path)
        if ignored is None:
            return ()
        return (*((label, label) for label in LABEL_NAMES), (_ignored_value(ignored, path), UNKNOWN))
    translation = {}
    for name, value in _version_2(labels).items():
        label = _LABELS.get(name.lower().replace("_", " ").replace("-", " "))
        if label is None:
            raise DatasetError("a label is unknown", where=path, got=repr(name), expected=_EXPECTED)
        translation[value] = label
    if all(value == label for value, label in translation.items()):
        return ()
    return tuple(sorted(translation.items()))


def _ignored_value(value: Any, path: Path) -> int:
    """The number of the ignore label beside KiTS's regions: any but theirs."""
    if not isinstance(value, int) or value in LABEL_NAMES:
        raise DatasetError(
            "the ignore label has the number of another",
            where=path,
            got=str(value),
            expected=f"a whole number above {max(LABEL_NAMES)}",
        )
    return value


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DatasetError(
            "nnU-Net's folders have no dataset.json",
            where=path,
            hint="It says what the numbers in the label maps mean; write it, or name the files in a cases.csv",
        )
    with named_errors(lambda got: DatasetError("this is not JSON", where=path, got=got)):
        content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        raise DatasetError("the labels are missing", where=path, expected=_EXPECTED)
    return content


def _version_2(labels: Mapping[str, Any]) -> dict[str, int]:
    if all(name.isdecimal() for name in labels):
        return {str(name): int(value) for value, name in labels.items()}
    return {name: int(value) for name, value in labels.items()}


def _check_regions(labels: Mapping[str, Any], path: Path) -> None:
    known = {
        "background": {BACKGROUND},
        "kidney": REGIONS["kidney_and_masses"],
        "masses": REGIONS["masses"],
        "tumor": REGIONS["tumour"],
        "tumour": REGIONS["tumour"],
    }
    for name, value in labels.items():
        values = set(value) if isinstance(value, list) else {value}
        if known.get(name) != values:
            raise DatasetError(
                "a region is not one of KiTS23's",
                where=path,
                got=f"{name}: {sorted(values)}",
                expected="kidney [1, 2, 3], masses [2, 3], tumour 2 of "
                + ", ".join(f"{number} {label}" for number, label in LABEL_NAMES.items()),
            )
