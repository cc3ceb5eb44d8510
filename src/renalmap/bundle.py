"""The bundle: the deliverable model folder, verified by hash whenever it is opened.

```
BUNDLE/
  localizer.onnx  segmenter.onnx   normalised slices or crops in, probabilities out
  plan.json                        every preprocessing decision
  slice_statistics.npz             mean and standard-deviation slice of the training data
  MODEL_CARD.md                    what it was trained on, how good it is, what it is not for
  SHA256SUMS                       of all of these; `sha256sum --check` reads it
```
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from renalmap.config import sha256_of
from renalmap.errors import BundleError, StoreError
from renalmap.imaging.files import write_text_atomically
from renalmap.preprocess import Plan, SliceStatistics

LOCALIZER_FILE = "localizer.onnx"
SEGMENTER_FILE = "segmenter.onnx"
PLAN_FILE = "plan.json"
STATISTICS_FILE = "slice_statistics.npz"
CARD_FILE = "MODEL_CARD.md"
SUMS_FILE = "SHA256SUMS"

HASHED_FILES = (LOCALIZER_FILE, SEGMENTER_FILE, PLAN_FILE, STATISTICS_FILE, CARD_FILE)

NETWORK_INPUT = "image"
"""Name of both graphs' input, (N, 1, H, W) float32."""
NETWORK_OUTPUT = "probabilities"
"""Name of both graphs' output, (N, C, H, W) float32: foreground; or background, kidney, tumour."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """An opened, verified model folder.

    Attributes:
        root: the folder.
        plan: every preprocessing decision.
        statistics: the training data's.
        digest: SHA-256 of SHA256SUMS: names the bundle's whole content.
    """

    root: Path
    plan: Plan
    statistics: SliceStatistics
    digest: str

    @property
    def localizer(self) -> Path:
        """Stage 1's graph."""
        return self.root / LOCALIZER_FILE

    @property
    def segmenter(self) -> Path:
        """Stage 2's graph."""
        return self.root / SEGMENTER_FILE

    @classmethod
    def open(cls, root: Path) -> Bundle:
        """Open a bundle and verify every file.

        Raises:
            BundleError: it is missing, lacks a file, a file's hash is not the one written down, or the
                Plan or the statistics cannot be read.
        """
        _verify(root)
        text = (root / PLAN_FILE).read_text(encoding="utf-8")
        try:
            plan = Plan.model_validate_json(text)
            statistics = SliceStatistics.load(root / STATISTICS_FILE)
        except ValidationError as error:
            raise BundleError(
                "the bundle's Plan is not one this version reads",
                where=root / PLAN_FILE,
                got=str(error),
                hint="Update renalmap, or export the model again",
            ) from error
        except StoreError as error:
            raise BundleError(error.what, where=error.where, got=error.got) from error
        sums = (root / SUMS_FILE).read_bytes()
        return cls(
            root=root,
            plan=plan,
            statistics=statistics,
            digest=hashlib.sha256(sums).hexdigest(),
        )


def default_bundle_path() -> Path:
    """The bundle that ships inside the package."""
    return Path(__file__).parent / "default_bundle"


def write_sums(root: Path) -> None:
    """Seal a bundle whose files are all in place: write SHA256SUMS.

    Raises:
        BundleError: a file is missing.
    """
    _check_present(root, HASHED_FILES)
    lines = [f"{sha256_of(root / name)}  {name}\n" for name in HASHED_FILES]
    write_text_atomically(root / SUMS_FILE, "".join(lines))


def _verify(root: Path) -> None:
    if not root.is_dir():
        raise BundleError("the bundle does not exist", where=root, expected="a folder made by export")
    _check_present(root, (*HASHED_FILES, SUMS_FILE))
    lines = (root / SUMS_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    expected = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in HASHED_FILES:
        got = sha256_of(root / name)
        if got != expected.get(name):
            raise BundleError(
                "a file of the bundle was changed or damaged",
                where=root / name,
                got=f"SHA-256 {got[:16]}…",
                expected=f"{(expected.get(name) or 'no hash')[:16]}…",
                hint="Install or export the bundle again",
            )


def _check_present(root: Path, names: tuple[str, ...]) -> None:
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        raise BundleError(
            "the bundle is incomplete",
            where=root,
            got=f"no {', '.join(missing)}",
            expected=", ".join(names),
        )
