"""The shipped bundle from scratch: `make bundle`, or `python -m experiments.bundle`.

Both networks are trained on every patient at hand with the recipe of `experiments/arms/bundle.toml`, exported
with the rules of `rules.toml` and the calibration of `calibration.json`. Interrupted, it continues.

    python -m experiments.bundle --weights experiments/weights    # the shipped networks, exported again
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated, get_args

import typer

from experiments.calibration import OUT as CALIBRATION
from experiments.cohort import ALL, DATA, HERE, load_material
from experiments.crossval import CHECKPOINT, load_recipe, run_folder, store_of, train_all
from experiments.options import RULES
from renalmap.bundle import default_bundle_path
from renalmap.config import read_toml
from renalmap.training.export import BundleExtras, export_bundle
from renalmap.training.settings import Stage

CARD = HERE / "MODEL_CARD.md"


def main(
    out: Annotated[Path | None, typer.Option(help="The bundle; by default the one shipped.")] = None,
    work: Annotated[Path, typer.Option(help="Receives stores and runs.")] = Path("runs/bundle"),
    data: Annotated[Path, typer.Option(help="The data's folder.")] = DATA,
    jobs: Annotated[int, typer.Option(min=1, help="Networks trained at once.")] = 2,
    weights: Annotated[
        Path | None, typer.Option(help="Export the networks in this folder; train none.")
    ] = None,
) -> None:
    """Train both networks on everybody, and export them."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for noisy in ("renalmap", "onnx_ir", "onnxscript"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    began = time.perf_counter()
    material = load_material(work, data)
    recipe = load_recipe("bundle", material.shapes())
    if weights is None:
        train_all(material, [recipe], [ALL], jobs)
        localizer, segmenter = (
            run_folder(work, recipe, stage, ALL) / CHECKPOINT for stage in get_args(Stage)
        )
    else:
        localizer, segmenter = weights / "localizer.safetensors", weights / "segmenter.safetensors"
    extras = BundleExtras(
        card=CARD.read_text(encoding="utf-8"),
        rules=read_toml(RULES),
        calibration=CALIBRATION if CALIBRATION.is_file() else None,
    )
    bundle = export_bundle(
        store_of(material, recipe.plan, ALL),
        localizer,
        segmenter,
        out or default_bundle_path(),
        extras,
        overwrite=True,
    )
    minutes = (time.perf_counter() - began) / 60
    typer.echo(f"wrote {bundle.root} ({bundle.digest[:16]}) in {minutes:.0f} minutes")


if __name__ == "__main__":
    typer.run(main)
