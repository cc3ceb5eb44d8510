"""A data set of phantoms in KiTS19's layout, to run the whole chain on."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from renalmap.imaging import write_label_map, write_volume
from renalmap.imaging.files import make_folder, write_text_atomically
from renalmap.phantom.config import Phantom, PhantomConfig
from renalmap.phantom.make import make_phantom

_KITS19_ORIENTATION = "IPL"

_log = logging.getLogger(__name__)


def write_kits_layout(
    root: Path,
    n_cases: int,
    configs: PhantomConfig | Sequence[PhantomConfig],
    generator: np.random.Generator,
    *,
    first_number: int = 0,
) -> None:
    """Write `data/case_XXXXX/{imaging,segmentation}.nii.gz` and `data/kits.json` below a folder.

    The files are stored as KiTS19's, slices first (axis codes I P L), whatever the configuration's
    orientation. `kits.json` holds the keys that mean something for a phantom: `case_id`,
    `voxel_spacing`, `radiographic_size` (largest tumour, cm; null without) and `tumor_necrosis`.

    Args:
        root: the data set's folder; made if it does not exist.
        n_cases: how many cases; every case is another patient.
        configs: one configuration for all, or several that the cases take in turn.
        generator: source of all of them; each case has its own child.
        first_number: number of the first case, to keep the ids apart from another data set's.

    Raises:
        ValueError: `configs` is empty.
        OutputExistsError: a case's file exists.
    """
    choices = [configs] if isinstance(configs, PhantomConfig) else list(configs)
    if not choices:
        raise ValueError("write_kits_layout needs at least one configuration, got none")
    data = root / "data"
    make_folder(data)
    records = []
    for index, child in enumerate(generator.spawn(n_cases)):
        config = choices[index % len(choices)].model_copy(update={"orientation": _KITS19_ORIENTATION})
        phantom = make_phantom(config, child)
        folder = data / f"case_{first_number + index:05d}"
        folder.mkdir(exist_ok=True)
        write_volume(phantom.scan, folder / "imaging.nii.gz")
        write_label_map(phantom.labels, folder / "segmentation.nii.gz")
        records.append(_record(folder.name, phantom))
        _log.info("wrote %s (%d of %d)", folder, index + 1, n_cases)
    write_text_atomically(data / "kits.json", json.dumps(records, indent=2) + "\n")


def _record(case_id: str, phantom: Phantom) -> dict[str, Any]:
    z, y, x = phantom.scan.geometry.spacing_mm
    tumours = [lesion for lesion in phantom.lesions if lesion.kind == "tumour"]
    largest_mm = max((lesion.diameter_mm for lesion in tumours), default=None)
    return {
        "case_id": case_id,
        "radiographic_size": None if largest_mm is None else round(largest_mm / 10.0, 1),
        "tumor_necrosis": any(lesion.necrotic for lesion in tumours),
        "voxel_spacing": {"x_spacing": x, "y_spacing": y, "z_spacing": z},
    }
