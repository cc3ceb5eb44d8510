"""Draw the pictures of docs/gallery.md and docs/method.md: phantoms, segmented by the model that ships.

python -m website.gallery [--out docs/images] [--only method]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray

import renalmap
from renalmap.imaging.in_memory import volume_from_array
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.phantom import Lesion, Phantom, PhantomConfig, make_phantom
from renalmap.preprocess import crop_boxes
from renalmap.report.page import Ink, Page
from renalmap.report.palette import KIDNEY_COLOUR, TUMOUR_COLOUR
from renalmap.report.panel import GreyWindow, draw_panel

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS: Final = {KIDNEY: KIDNEY_COLOUR, TUMOUR: TUMOUR_COLOUR}
WINDOW: Final = GreyWindow(width_hu=400, level_hu=50)
COLOURS_IN_FILE: Final = 128
PANEL_PX: Final = 300
GAP_PX: Final = 8
TITLE_PX: Final = 26
NOTE_PX: Final = 18
SPACING_MM: Final = (5.0, 1.25, 1.25)
SHAPE: Final = (44, 320, 320)
TITLE: Final = Ink(16, "#22272e", bold=True)
NOTE: Final = Ink(13, "#57606a")


@dataclass(frozen=True, eq=False)
class Panel:
    """A picture with a title above and notes below."""

    title: str
    picture: Image
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane of a scan with labels, row 0 on top, square pixels."""

    hu: NDArray[Any]
    labels: NDArray[np.uint8]

    def draw(self, *, outlined: bool = True) -> Image:
        """As a panel, as high as its shape asks for."""
        rows, columns = self.hu.shape
        size_px = (PANEL_PX, round(PANEL_PX * rows / columns))
        colours = COLOURS if outlined else {}
        return draw_panel(self.hu, self.labels, colours, WINDOW, size_px)


def axial(hu: NDArray[Any], labels: NDArray[np.uint8], z: int, view: Any = ...) -> Plane:
    """An axial slice, or a part of it."""
    return Plane(hu[z][view], labels[z][view])


def coronal(hu: NDArray[Any], labels: NDArray[np.uint8], y: int, spacing_mm: Sequence[float]) -> Plane:
    """A coronal plane, head on top."""
    rows = np.arange(0, hu.shape[0] * spacing_mm[0], spacing_mm[2])
    z = np.minimum((rows / spacing_mm[0]).astype(int), hu.shape[0] - 1)[::-1]
    return Plane(hu[z, y], labels[z, y])


def lay_out(panels: Sequence[Panel], path: Path, columns: int) -> None:
    """Panels in rows, as a PNG."""
    notes = max(len(panel.notes) for panel in panels)
    height = max(panel.picture.height for panel in panels)
    # A wider sheet is shown smaller.
    title, note_ink = (replace(ink, size_px=ink.size_px * columns // 3) for ink in (TITLE, NOTE))
    line_px = NOTE_PX * columns // 3
    step_x, step_y = PANEL_PX + GAP_PX, TITLE_PX + height + notes * line_px + 2 * GAP_PX
    rows = -(-len(panels) // columns)
    page = Page(columns * step_x - GAP_PX, rows * step_y - GAP_PX, "#ffffff")
    for index, panel in enumerate(panels):
        left, top = (index % columns) * step_x, (index // columns) * step_y
        page.write(panel.title, (left, top + TITLE_PX - 8), title)
        page.paste(panel.picture, (left, top + TITLE_PX))
        below = top + TITLE_PX + height + line_px
        for line, note in enumerate(panel.notes):
            page.write(note, (left, below + line * line_px), note_ink)
    page.save(path)
    _shrink(path)


def phantom(seed: int, *lesions: Lesion, **settings: Any) -> Phantom:
    """A phantom of the gallery's size, unless other settings are given."""
    usual = {"shape_zyx": SHAPE, "spacing_mm_zyx": SPACING_MM, "noise_hu": 10.0, "lesions": lesions}
    return make_phantom(PhantomConfig(**usual | settings), np.random.default_rng(seed))


def draw_method(segmenter: renalmap.Segmenter, path: Path) -> None:
    """One slice on its way through the cascade."""
    tumour = Lesion(diameter_mm=45.0, side="left", exophytic=0.5)
    made = phantom(19, tumour, shape_zyx=(44, 512, 512), spacing_mm_zyx=(5.0, 0.78, 0.78))
    found = segmenter.segment_volume(made.scan)
    alone = renalmap.Segmenter(options=renalmap.SegmentOptions(stage1_only=True))
    stage1 = alone.segment_volume(made.scan).segmentation
    z = int((made.labels.labels == TUMOUR).sum(axis=(1, 2)).argmax())
    hu, labels = made.scan.hu, found.label_map.labels
    plain = axial(hu, labels, z).draw(outlined=False)
    crops = plain.copy()
    for box in crop_boxes(stage1.label_map.labels[z] > 0, segmenter.bundle.plan):
        _frame(crops, [round(edge * PANEL_PX / hu.shape[2]) for edge in (*box.start, *box.stop)])
    first, second, third = (
        each.probabilities[region].full(hu.shape)[z]
        for each, region in (
            (stage1, "kidney"),
            (found.segmentation, "kidney"),
            (found.segmentation, "tumour"),
        )
    )
    panels = [
        Panel("1. A slice", plain, ("512 x 512, clipped and normalised",)),
        Panel("2. Stage 1, the localizer", _heat(plain, first, KIDNEY_COLOUR), ("kidney or tumour?",)),
        Panel("3. Crops", crops, ("about every blob that is left",)),
        Panel("4. Stage 2: kidney", _heat(plain, second, KIDNEY_COLOUR), ("kidney with tumour",)),
        Panel("5. Stage 2: tumour", _heat(plain, third, TUMOUR_COLOUR), ("the tumour alone",)),
        Panel("6. Labels", axial(hu, labels, z).draw(), ("after the rules, on the scan's own grid",)),
    ]
    body = (0, PANEL_PX // 8, PANEL_PX, PANEL_PX * 7 // 8)
    cut = [replace(panel, picture=panel.picture.crop(body)) for panel in panels]
    lay_out(cut, path, columns=3)


def draw_lesions(segmenter: renalmap.Segmenter, path: Path) -> None:
    """Lesions of several kinds: the truth above, what was found below."""
    examples = (
        ("Half outside", 3, Lesion(diameter_mm=40, side="left", exophytic=0.5, necrotic=False)),
        ("Inside", 5, Lesion(diameter_mm=30, side="right", exophytic=0.0, necrotic=False)),
        ("Dead core, 60 mm", 8, Lesion(diameter_mm=60, side="left", exophytic=0.4, necrotic=True)),
        ("Cyst (kidney in KiTS19)", 11, Lesion(kind="cyst", diameter_mm=35, side="right")),
    )
    above, below = [], []
    for title, seed, lesion in examples:
        made = phantom(seed, lesion)
        found = segmenter.segment_volume(made.scan).label_map
        z, y, x = (round(place) for place in made.lesions[0].centre_zyx_voxels)
        view = (slice(max(0, y - 60), y + 60), slice(max(0, x - 60), x + 60))
        true_ml, found_ml = (each.volume_ml(TUMOUR) for each in (made.labels, found))
        planes = [axial(made.scan.hu, each.labels, z, view) for each in (made.labels, found)]
        above.append(Panel(title, planes[0].draw(), (f"truth: tumour {true_ml:.1f} ml",)))
        below.append(Panel("", planes[1].draw(), (f"found: tumour {found_ml:.1f} ml",)))
    lay_out([*above, *below], path, columns=len(examples))


def draw_phases(segmenter: renalmap.Segmenter, path: Path) -> None:
    """One patient in three phases, and what the quality report says."""
    panels = []
    for phase in ("unenhanced", "arterial", "portal"):
        made = phantom(23, Lesion(diameter_mm=38, side="right", exophytic=0.4), phase=phase)
        found = segmenter.segment_volume(made.scan)
        z = int((made.labels.labels == TUMOUR).sum(axis=(1, 2)).argmax())
        told = found.quality.contrast.phase.replace("_", " ")
        flags = ", ".join(found.flags) or "no flag"
        picture = axial(made.scan.hu, found.label_map.labels, z).draw()
        panels.append(Panel(f"Made as {phase}", picture, (f"told: {told}", flags)))
    lay_out(panels, path, columns=3)


def draw_borders(segmenter: renalmap.Segmenter, path: Path) -> None:
    """What the scan's border cuts is said, never measured as if it were whole."""
    made = phantom(31)
    kidney = np.flatnonzero((made.labels.labels > 0).any(axis=(1, 2)))
    y = int((made.labels.labels > 0).sum(axis=(0, 2)).argmax())
    middle = int(kidney.mean())
    panels = []
    for title, part in (
        ("The whole scan", slice(0, None)),
        ("Begun too high", slice(middle, None)),
        ("Ended too low", slice(0, middle + 3)),
    ):
        hu = made.scan.hu[part]
        found = segmenter.segment_volume(volume_from_array(hu, made.scan.geometry.affine))
        sides = [f"{each.side} {each.parenchyma_ml:.0f} ml" for each in found.measurements.kidneys]
        picture = coronal(hu, found.label_map.labels, y, SPACING_MM).draw()
        flags = ", ".join(found.flags) or "no flag"
        panels.append(Panel(title, picture, (", ".join(sides), flags)))
    lay_out(panels, path, columns=3)


def _shrink(path: Path) -> None:
    """Few colours make a file half as large; nobody sees which."""
    from PIL import Image as Images  # noqa: PLC0415 - as elsewhere, only drawing needs Pillow

    with Images.open(path) as picture:
        small = picture.quantize(COLOURS_IN_FILE, method=Images.Quantize.MAXCOVERAGE)
    small.save(path, optimize=True)


def _heat(picture: Image, probability_u8: NDArray[np.uint8], colour: str) -> Image:
    """A probability laid over a picture in one colour."""
    from PIL import Image as Images  # noqa: PLC0415

    mask = Images.fromarray((probability_u8 * 0.8).astype(np.uint8)).resize(picture.size)
    painted = picture.copy()
    painted.paste(colour, (0, 0), mask)
    return painted


def _frame(picture: Image, corners: Sequence[int]) -> None:
    from PIL import ImageDraw  # noqa: PLC0415

    top, left, bottom, right = corners
    ImageDraw.Draw(picture).rectangle((left, top, right, bottom), outline="#f0e442", width=2)


PICTURES: Final[dict[str, Callable[[renalmap.Segmenter, Path], None]]] = {
    "method": draw_method,
    "lesions": draw_lesions,
    "phases": draw_phases,
    "borders": draw_borders,
}


def main(
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("docs/images"),
    only: Annotated[str | None, typer.Option(help="One of them.")] = None,
) -> None:
    """Draw the gallery's pictures."""
    segmenter = renalmap.Segmenter()
    for name, draw in PICTURES.items():
        if only in {None, name}:
            draw(segmenter, out / f"gallery_{name}.png")
            typer.echo(f"wrote {out / f'gallery_{name}.png'}")


if __name__ == "__main__":
    typer.run(main)
