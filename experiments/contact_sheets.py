"""Left-out patients to look at: what was called beside the reference, slice by slice, drawn at random.

python -m experiments.contact_sheets --fold 0      # patients' pictures: they stay in runs/, which is not committed
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from experiments.cohort import DATA, load_material
from experiments.crossval import JUDGED_ARM, WORK
from experiments.options import open_fold
from experiments.scoring import HeldOut, held_out, score_case
from renalmap.inference.cascade import Cascade, SegmentOptions
from renalmap.labels import KIDNEY, TUMOUR, is_foreground
from renalmap.report.palette import KIDNEY_COLOUR, TUMOUR_COLOUR
from renalmap.report.panel import GreyWindow, draw_panel

COLOURS = {KIDNEY: KIDNEY_COLOUR, TUMOUR: TUMOUR_COLOUR}
WINDOW = GreyWindow(width_hu=400, level_hu=50)
SLICES = 6
PANEL_PX = 260
MARGIN_PX = 24


def draw_sheet(one: HeldOut, called: NDArray[np.uint8]) -> Image.Image:
    """What was called (above) and the reference (below), on slices spread evenly over what either shows."""
    reference = np.where(is_foreground(one.reference), one.reference, 0).astype(np.uint8)
    either = (called > 0) | (reference > 0)
    shown = np.flatnonzero(either.any(axis=(1, 2)))
    if shown.size == 0:
        shown = np.arange(either.shape[0])
    chosen = shown[np.unique(np.linspace(0, shown.size - 1, SLICES).astype(int))]
    rows, columns = _square(np.asarray(either.any(axis=0)))
    score = score_case(one, called)
    sheet = Image.new("RGB", (PANEL_PX * SLICES, 2 * PANEL_PX + MARGIN_PX), "white")
    title = (
        f"{one.case_id}: kidney + tumour {score.kidney_dice:.3f}, tumour {score.tumour_dice:.3f}, "
        f"tumour called / there {score.called_tumour_ml:.1f} / {score.tumour_ml:.1f} ml"
    )
    ImageDraw.Draw(sheet).text((6, 5), title, fill="black")
    for column, z in enumerate(chosen):
        for row, labels in enumerate((called, reference)):
            panel = draw_panel(
                np.asarray(one.volume.hu[z], np.float32)[rows, columns],
                labels[z][rows, columns],
                COLOURS,
                WINDOW,
                (PANEL_PX, PANEL_PX),
            )
            sheet.paste(panel, (column * PANEL_PX, MARGIN_PX + row * PANEL_PX))
    return sheet


def _square(shown: NDArray[np.bool_], margin: int = 20) -> tuple[slice, slice]:
    """A square about what is shown in any slice, as far as the slice reaches."""
    places = np.argwhere(shown) if shown.any() else np.argwhere(np.ones_like(shown))
    low, high = places.min(axis=0) - margin, places.max(axis=0) + margin + 1
    edge = min(int((high - low).max()), *shown.shape)
    starts = np.clip((low + high - edge) // 2, 0, np.array(shown.shape) - edge)
    return slice(starts[0], starts[0] + edge), slice(starts[1], starts[1] + edge)


def main(
    fold: Annotated[int, typer.Option(help="Whose held-out patients.")] = 0,
    count: Annotated[int, typer.Option(help="How many scans and slabs.")] = 20,
    seed: Annotated[int, typer.Option(help="Draws them.")] = 0,
    work: Annotated[Path, typer.Option(help="Where `crossval run` was; receives `sheets/`.")] = WORK,
    data: Annotated[Path, typer.Option(help="The data's folder.")] = DATA,
) -> None:
    """Segment and draw."""
    material = load_material(work, data)
    bundle, store = open_fold(material, JUDGED_ARM, fold)
    cascade = Cascade(bundle)
    cases = [one for one in held_out(material, store, fold) if one.kind != "slice"]
    drawn = np.random.default_rng(seed).permutation(len(cases))[:count]
    out = work / "sheets"
    out.mkdir(exist_ok=True)
    for number in sorted(drawn.tolist()):
        one = cases[number]
        called = cascade.segment(one.volume, SegmentOptions(threads=1)).label_map.labels
        draw_sheet(one, called).save(out / f"{one.case_id}.png")
        typer.echo(out / f"{one.case_id}.png")


if __name__ == "__main__":
    typer.run(main)
