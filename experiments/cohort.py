"""The material at hand: what it is, which fold each patient is in, and stores made of it.

python -m experiments.cohort        # prints who is in which fold
"""

from __future__ import annotations

import csv
import io
import logging
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from renalmap.config import load_settings
from renalmap.dataset.cases import Case, find_cases
from renalmap.dataset.prepare import prepare
from renalmap.dataset.split import Split
from renalmap.dataset.store import Store, StoreSettings
from renalmap.imaging import read_label_map, write_label_map
from renalmap.imaging.files import write_text_atomically
from renalmap.labels import KIDNEY, TUMOUR, UNKNOWN
from renalmap.phantom import PhantomConfig, write_kits_layout
from renalmap.preprocess import Plan
from renalmap.training.synthesis import LesionShapes
from renalmap.training.synthesis.fields import gaussian_blur

HERE = Path(__file__).parent
DATA = Path("../shared/data")

Part = str
"""Who is trained on: `fold0` (all but the patients of fold 0) or `all`."""
ALL: Part = "all"

SLAB_PIXELS = slice(95, 415)
"""Rows and columns of the official slice that a slab holds."""

SINUS_SIGMA_PX = 1.0
SINUS_BELOW_HU = 40.0
"""Fat, urine and cysts are darker than this; medulla, even before the contrast agent reaches it, is not."""
SINUS_BELOW_PARENCHYMA_HU = 50.0
VESSELS_SIGMA_PX = 3.0
VESSELS_AMONG = 0.25
"""A pixel with this share of sinus about it, by a Gaussian, is a vessel in it."""

logger = logging.getLogger(__name__)

_PREPARING = threading.Lock()
"""All stores share slices, and `prepare` lets one run at a time write into a folder."""


class Scan(BaseModel):
    """A whole scan with its mask."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case_id: str
    patient: str
    image: Path
    mask: Path
    fold: int
    acquisition: int | None = None
    scored: bool = True
    cyst_as_kidney: bool = False


class PhantomSettings(BaseModel):
    """The phantoms that every fold trains on; cases take the kinds in turn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cases: int
    seed: int
    first_number: int
    kinds: tuple[PhantomConfig, ...]


class Cohort(BaseModel):
    """What `cohort.toml` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folds: int
    seed: int
    slices: Path
    slabs: Path
    masks: Path
    scans: tuple[Scan, ...]
    phantoms: PhantomSettings


class Material:
    """A cohort on disk: the data, and a working folder that receives what is made of it.

    Args:
        cohort: what there is.
        data: the folder its paths are relative to.
        work: receives relabelled masks, phantoms, shapes and stores; what is there is kept.
    """

    def __init__(self, cohort: Cohort, data: Path, work: Path) -> None:
        self.cohort, self.data, self.work = cohort, data, work
        work.mkdir(parents=True, exist_ok=True)

    def slice_cases(self) -> tuple[Case, ...]:
        """The cases of single slices."""
        return find_cases(self.data / self.cohort.slices)

    def slab_cases(self) -> tuple[Case, ...]:
        """The cases of KiTS19 slabs, on whole slices whose margins are unknown."""
        root = self.work / "slabs"
        if not (root / "index.csv").exists():  # written last
            write_slabs(self.data / self.cohort.slabs, root)
        return find_cases(root)

    def slices_of(self) -> dict[str, int]:
        """How many single slices and slices of slabs there are of each patient."""
        counts = Counter[str]()
        for case in self.slice_cases():
            counts[case.patient] += len(case.slice_files)
        for path in sorted((self.data / self.cohort.slabs).glob("case_*.npz")):
            (z,) = read_slab(path, "z")
            counts[path.stem] += z.size
        return dict(counts)

    def slab_spacing_mm(self, case_id: str) -> tuple[float, float, float]:
        """Spacing (z, y, x) of a slab's slices: along z the median of the gaps between them."""
        spacing_mm, z = read_slab(self._slab(case_id), "spacing_mm", "z")
        z_mm, y_mm, x_mm = (float(each) for each in spacing_mm)
        return z_mm * float(np.median(np.diff(z)) if z.size > 1 else 1.0), y_mm, x_mm

    def slab_labels(self, case_id: str) -> NDArray[np.uint8]:
        """A slab's official labels, nothing left open but what lies beyond it: axes (z, y, x), 512 x 512."""
        (official,) = read_slab(self._slab(case_id), "label")
        labels = np.full((len(official), 512, 512), UNKNOWN, np.uint8)
        labels[:, SLAB_PIXELS, SLAB_PIXELS] = official
        return labels

    def _slab(self, case_id: str) -> Path:
        return self.data / self.cohort.slabs / f"{case_id.removeprefix('slab_')}.npz"

    def folds(self) -> dict[str, int]:
        """Every real patient's fold.

        Patients of slabs and single slices are dealt out source by source, those with most slices first, so
        that the folds are about equally large. A patient's scan, slabs and slices are in one fold.
        """
        folds = {scan.patient: scan.fold for scan in self.cohort.scans}
        generator = np.random.default_rng(self.cohort.seed)
        counts = self.slices_of()
        by_source: dict[str, list[str]] = {}
        for patient in sorted(counts.keys() - folds.keys()):
            by_source.setdefault(patient.split("_")[0], []).append(patient)
        for patients in by_source.values():
            order = [patients[number] for number in generator.permutation(len(patients))]
            loads = np.zeros(self.cohort.folds)
            for patient in sorted(order, key=lambda one: -counts[one]):
                fold = int(generator.choice(np.flatnonzero(loads == loads.min())))
                folds[patient] = fold
                loads[fold] += counts[patient]
        return folds

    def part(self, fold: int) -> Part:
        """The name of a fold's part."""
        return f"fold{fold}"

    def store(self, plan: Plan, name: str, part: Part) -> Store:
        """The store of a part, whose held-out patients are its validation.

        Slices are prepared once and shared by all stores of the working folder; split and statistics are
        the store's own.
        """
        with _PREPARING:
            return self._store(plan, name, part)

    def _store(self, plan: Plan, name: str, part: Part) -> Store:
        cases = self._cases()
        real = self.folds()
        everybody = tuple(sorted({case.patient for case in cases}))
        held_out = tuple(sorted(p for p, fold in real.items() if part == self.part(fold)))
        train = tuple(patient for patient in everybody if patient not in held_out)
        split = Split(seed=self.cohort.seed, train=train, validation=held_out, test=())
        whole = Split(seed=self.cohort.seed, train=everybody, validation=(), test=())
        pixels = prepare(cases, self.work / "slices", StoreSettings(format="blosc2", plan=Plan()), whole)
        root = self.work / "stores" / name
        if not root.exists():
            root.mkdir(parents=True)
            for folder in ("slices", "cases"):
                (root / folder).symlink_to((pixels.root / folder).resolve())
        return prepare(cases, root, StoreSettings(format="blosc2", plan=plan), split)

    def shapes(self) -> Path:
        """The bank of tumour sections, made of KiTS19's masks."""
        path = self.work / "lesion_shapes.npz"
        if not path.exists():
            LesionShapes.from_masks(self.data / self.cohort.masks).save(path)
        return path

    def mask(self, scan: Scan) -> Path:
        """A scan's mask in KiTS19's labels."""
        original = self.data / scan.mask
        if not scan.cyst_as_kidney:
            return original
        path = self.work / "masks" / scan.mask.name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            label_map = read_label_map(original)
            label_map.labels[label_map.labels == TUMOUR] = KIDNEY
            write_label_map(label_map, path)
        return path

    def _cases(self) -> tuple[Case, ...]:
        return (
            *self.slice_cases(),
            *self.slab_cases(),
            *find_cases(self._manifest()),
            *find_cases(self._phantoms()),
        )

    def _manifest(self) -> Path:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("case_id", "patient", "image", "mask", "acquisition"))
        for scan in self.cohort.scans:
            files = ((self.data / scan.image).resolve(), self.mask(scan).resolve())
            writer.writerow((scan.case_id, scan.patient, *files, scan.acquisition or ""))
        write_text_atomically(self.work / "scans.csv", text.getvalue())
        return self.work / "scans.csv"

    def _phantoms(self) -> Path:
        root, settings = self.work / "phantoms", self.cohort.phantoms
        if not (root / "data" / "kits.json").exists():  # written last
            logger.info("making %d phantoms", settings.cases)
            write_kits_layout(
                root,
                settings.cases,
                settings.kinds,
                np.random.default_rng(settings.seed),
                first_number=settings.first_number,
            )
        return root


def read_slab(path: Path, *names: str) -> list[NDArray[Any]]:
    """Some of a slab's arrays, by their names."""
    with np.load(path, allow_pickle=False) as slab:
        return [slab[name] for name in names]


def write_slabs(source: Path, root: Path) -> None:
    """KiTS19 slabs as a data set of single slices (`index.csv`), on the official slices' 512 x 512 pixels.

    HU are `hu_offset + hu_slope * grey`, dithered within a grey's width. Beyond the slab they are air and the
    label is `UNKNOWN`, and so is what `disputed_kidney` marks.

    Args:
        source: the slabs, one `case_XXXXX.npz` per patient.
        root: receives the slices.
    """
    root.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("name", "case", "patient", "z"))
    for path in sorted(source.glob("case_*.npz")):
        generator = np.random.default_rng([int(path.stem.split("_")[1]), 19])
        with np.load(path, allow_pickle=False) as slab:
            arrays = {name: slab[name] for name in slab.files}
        dither = generator.uniform(-0.5, 0.5, arrays["grey"].shape)
        values = arrays["hu_offset"] + arrays["hu_slope"][:, None, None] * (arrays["grey"] + dither)
        kidney_hu = values[(arrays["label"] == KIDNEY) & (values > 0)]
        parenchyma_hu = float(np.median(kidney_hu)) if kidney_hu.size else 0.0
        for value, label, z in zip(values, arrays["label"], arrays["z"], strict=True):
            hu, labels = np.full((512, 512), -1024, np.int16), np.full((512, 512), UNKNOWN, np.uint8)
            hu[SLAB_PIXELS, SLAB_PIXELS] = np.rint(value)
            disputed = disputed_kidney(value, label, parenchyma_hu)
            labels[SLAB_PIXELS, SLAB_PIXELS] = np.where(disputed, UNKNOWN, label)
            name = f"{path.stem}_z{int(z):04d}"
            np.savez_compressed(root / f"{name}.npz", hu=hu, label=labels)
            writer.writerow((name, f"slab_{path.stem}", path.stem, int(z)))
    write_text_atomically(root / "index.csv", table.getvalue())


def disputed_kidney(
    hu: NDArray[np.floating], labels: NDArray[np.uint8], parenchyma_hu: float
) -> NDArray[np.bool_]:
    """Where KiTS19's labels say kidney and the masks of whole scans here would say sinus: fat, fluid, and vessels in them.

    KiTS19's annotators drew around the kidney; its sinus is labelled with it, a straight line across the hilum. The
    masks of whole scans, CURVAS and AMOS22 leave it out. Cysts are as dark and are marked here, too: both conventions
    call them kidney, so that nothing wrong is learnt from leaving them open.

    Args:
        hu: (rows, columns).
        labels: of the same shape, in KiTS19's convention.
        parenchyma_hu: the kidney's median.
    """
    smooth = gaussian_blur(hu.astype(np.float32), SINUS_SIGMA_PX)
    dark: NDArray[np.bool_] = smooth < min(SINUS_BELOW_HU, parenchyma_hu - SINUS_BELOW_PARENCHYMA_HU)
    kidney = labels == KIDNEY
    vessels = gaussian_blur((dark & kidney).astype(np.float32), VESSELS_SIGMA_PX) > VESSELS_AMONG
    disputed: NDArray[np.bool_] = kidney & (dark | vessels)
    return disputed


def load_material(work: Path, data: Path = DATA) -> Material:
    """The cohort of `cohort.toml`, with a working folder."""
    return Material(load_settings(Cohort, HERE / "cohort.toml"), data, work)


def main() -> None:
    """Print who is in which fold."""
    material = load_material(Path("runs/crossval"))
    table = Table("fold", "patients", "of them with whole scans", "single slices")
    folds, slices = material.folds(), material.slices_of()
    for fold in range(material.cohort.folds):
        patients = [patient for patient, number in folds.items() if number == fold]
        scans = [scan.patient for scan in material.cohort.scans if scan.fold == fold]
        count = sum(number for patient, number in slices.items() if folds[patient] == fold)
        table.add_row(str(fold), ", ".join(patients), ", ".join(dict.fromkeys(scans)), str(count))
    Console().print(table)


if __name__ == "__main__":
    main()
