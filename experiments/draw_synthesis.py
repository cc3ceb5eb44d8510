"""Draw the pictures of docs/synthesis.md: lesions on a phantom's slice, never on a patient's.

python experiments/draw_synthesis.py [--out docs/images]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from renalmap.labels import KIDNEY, TUMOUR
from renalmap.phantom import PhantomConfig, make_phantom
from renalmap.report.page import Ink, Page
from renalmap.report.palette import KIDNEY_COLOUR, TUMOUR_COLOUR
from renalmap.report.panel import GreyWindow, draw_panel
from renalmap.training.synthesis import LesionShapes, Synthesiser, SynthesisSettings
from renalmap.training.synthesis.enhancement import Phase, change_phase

COLOURS = {KIDNEY: KIDNEY_COLOUR, TUMOUR: TUMOUR_COLOUR}
WINDOW = GreyWindow(width_hu=360, level_hu=80)
SPACING_MM = (0.75, 0.75)
PANEL_PX = 160
"""Edge of the square of the slice that is shown, pixel for pixel."""
HU_STEP = 12.0
"""Coarser greys make smaller files."""
GAP_PX = 4
TITLE_PX = 24

ONE_TUMOUR = {"tumour": 1.0, "another": 0.0, "rim": 0.0, "calcification": 0.0, "vessels": 0.0}
DULL = {"dull_share": 1.0, "mixed_share": 0.0, "bright_share": 0.0}
MIXED = {"dull_share": 0.0, "mixed_share": 1.0, "bright_share": 0.0}
BRIGHT = {"dull_share": 0.0, "mixed_share": 0.0, "bright_share": 1.0}
EXAMPLES: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("dull, 22 mm", 6, ONE_TUMOUR | DULL | {"tumour_diameter_mm": (22, 22), "tumour_mode_mm": 22}),
    (
        "mixed, dead core, 48 mm",
        11,
        ONE_TUMOUR | MIXED | {"tumour_diameter_mm": (48, 48), "tumour_mode_mm": 48, "necrosis": 1.0},
    ),
    (
        "bright, scar, 34 mm",
        2,
        ONE_TUMOUR
        | BRIGHT
        | {"tumour_diameter_mm": (34, 34), "tumour_mode_mm": 34, "scar": 1.0, "necrosis": 0.0},
    ),
    ("dull, 75 mm", 6, ONE_TUMOUR | DULL | {"tumour_diameter_mm": (75, 75), "tumour_mode_mm": 75}),
    (
        "cyst, 26 mm",
        6,
        {
            "cyst": 1.0,
            "another": 0.0,
            "dense_cyst": 0.0,
            "cyst_diameter_mm": (26, 26),
            "cyst_mode_mm": 26,
        },
    ),
)
"""Title, seed and settings of each column."""
PHASES: tuple[tuple[str, Phase], ...] = (
    ("as it was", Phase(35.0, 1.0, 1.0)),
    ("no contrast agent", Phase(35.0, 0.05, 0.05)),
    ("weaker", Phase(35.0, 0.5, 0.5)),
    ("stronger", Phase(35.0, 1.4, 1.4)),
    ("corticomedullary", Phase(35.0, 1.5, 0.45)),
)


@dataclass(frozen=True, eq=False)
class Scene:
    """A slice: HU and labels, axes (y, x)."""

    hu: NDArray[np.float32]
    labels: NDArray[np.uint8]


def healthy_scene(seed: int = 2) -> Scene:
    """The slice with the most kidney of a phantom without lesions."""
    config = PhantomConfig(
        shape_zyx=(24, 512, 512), spacing_mm_zyx=(5.0, *SPACING_MM), lesions=(), noise_hu=9.0
    )
    phantom = make_phantom(config, np.random.default_rng(seed))
    labels = phantom.labels.labels
    z = int(np.argmax((labels == KIDNEY).sum(axis=(1, 2))))
    return Scene(phantom.scan.hu[z].astype(np.float32), labels[z])


def draw_lesions(scene: Scene, path: Path) -> None:
    """A column for each example: the slice before, after, and after with its labels' outlines."""
    columns = []
    for title, seed, settings in EXAMPLES:
        synthesiser = Synthesiser(SynthesisSettings(**settings), LesionShapes.analytic())
        generator = np.random.default_rng(seed)
        after = Scene(*synthesiser.apply(scene.hu, scene.labels, SPACING_MM, generator))
        changed = (after.labels != scene.labels) | (np.abs(after.hu - scene.hu) > 40)
        view = _view_about(changed)
        columns.append((title, [(scene, view, False), (after, view, False), (after, view, True)]))
    _draw_page(columns, path)


def draw_phases(scene: Scene, path: Path) -> None:
    """The same kidney in several phases."""
    view = _view_about(_one_kidney(scene.labels))
    columns = []
    for title, phase in PHASES:
        changed = change_phase(scene.hu, scene.labels, phase, SPACING_MM)
        columns.append((title, [(Scene(changed, scene.labels), view, False)]))
    _draw_page(columns, path)


Panel = tuple[Scene, tuple[slice, slice], bool]


def _draw_page(columns: Sequence[tuple[str, list[Panel]]], path: Path) -> None:
    rows = len(columns[0][1])
    step = PANEL_PX + GAP_PX
    page = Page(len(columns) * step - GAP_PX, TITLE_PX + rows * step - GAP_PX, "#ffffff")
    for column, (title, panels) in enumerate(columns):
        page.write(title, (column * step, TITLE_PX - 8), Ink(13, "#22272e"))
        for row, (scene, view, outlined) in enumerate(panels):
            colours = COLOURS if outlined else {}
            picture = draw_panel(
                np.round(scene.hu[view] / HU_STEP) * HU_STEP,
                scene.labels[view],
                colours,
                WINDOW,
                (PANEL_PX, PANEL_PX),
            )
            page.paste(picture, (column * step, TITLE_PX + row * step))
    page.save(path)


def _view_about(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    centres = [int(np.median(places)) for places in np.nonzero(mask)]
    starts = [
        min(max(centre - PANEL_PX // 2, 0), length - PANEL_PX)
        for centre, length in zip(centres, mask.shape, strict=True)
    ]
    return slice(starts[0], starts[0] + PANEL_PX), slice(starts[1], starts[1] + PANEL_PX)


def _one_kidney(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    half: NDArray[np.bool_] = labels == KIDNEY
    half[:, : labels.shape[1] // 2] = False
    return half


def main(
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("docs/images"),
) -> None:
    """Draw both pictures."""
    scene = healthy_scene()
    draw_lesions(scene, out / "synthesis_lesions.png")
    draw_phases(scene, out / "synthesis_phases.png")


if __name__ == "__main__":
    typer.run(main)
