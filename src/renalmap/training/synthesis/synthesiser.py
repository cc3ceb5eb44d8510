"""Change a training slice: contrast phase first, then a full pelvis, then cysts, then tumours, then bowel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.masks import BoolPlane, bounding_slices
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.training.synthesis.bowel import add_bowel
from renalmap.training.synthesis.enhancement import change_phase, draw_phase
from renalmap.training.synthesis.fields import FloatPlane
from renalmap.training.synthesis.lesion import Site, draw_lesion
from renalmap.training.synthesis.paint import paint_lesion
from renalmap.training.synthesis.pelvis import draw_pelvis, fill_pelvis
from renalmap.training.synthesis.settings import SynthesisSettings
from renalmap.training.synthesis.shapes import LesionShapes
from renalmap.training.synthesis.surroundings import body_inside, find_kidneys, is_clipped

SITE_MARGIN_MM = 75.0
"""How far from the kidney's bounding box a lesion may reach."""


class Synthesiser:
    """Paints synthetic lesions on slices with kidneys, after Hu et al. 2023 (CVPR); tumours have outlines of `shapes`."""

    def __init__(self, settings: SynthesisSettings, shapes: LesionShapes) -> None:
        self._settings = settings
        self._shapes = shapes

    def apply(
        self,
        hu: NDArray[np.float32],
        labels: NDArray[np.uint8],
        spacing_mm: tuple[float, float],
        generator: np.random.Generator,
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Draw and apply changes: a pure function of the arguments and the generator's state.

        Args:
            hu: (rows, columns); if it is clipped to 0..255, it stays so.
            labels: the same shape: 0, 1, 2.
            spacing_mm: pixel spacing (row, column).
            generator: of all random numbers.

        Returns:
            New arrays; equal to the old ones if nothing was drawn, or if there is too little kidney and no bowel.
        """
        settings = self._settings
        changed = hu.astype(np.float32)
        labels = labels.copy()
        wanted = [
            generator.random() < share
            for share in (settings.enhancement, settings.cyst, settings.tumour)
        ]
        # Drawn only if requested, so that settings without it draw what they always drew.
        full = settings.full_pelvis > 0 and generator.random() < settings.full_pelvis
        bowel = settings.bowel > 0 and generator.random() < settings.bowel
        if np.count_nonzero(labels == KIDNEY) < self._least_px(spacing_mm):
            full, wanted = False, [False] * len(wanted)
        if not (full or bowel or any(wanted)):
            return changed, labels
        if wanted[0]:
            phase = draw_phase(settings.unenhanced_hu, generator)
            changed = change_phase(changed, labels, phase, spacing_mm)
        if full:
            changed = fill_pelvis(changed, labels, draw_pelvis(generator))
        if bowel or any(wanted[1:]):
            body = body_inside(hu)
            for label, is_wanted in ((KIDNEY, wanted[1]), (TUMOUR, wanted[2])):
                if is_wanted:
                    changed, labels = self._grow(changed, labels, (label, body), spacing_mm, generator)
            if bowel:
                changed = add_bowel(changed, labels, body, spacing_mm, generator)
        if is_clipped(hu):
            changed = np.clip(changed, 0, 255)
        return changed, labels

    def _grow(
        self,
        hu: FloatPlane,
        labels: NDArray[np.uint8],
        what: tuple[int, BoolPlane],
        spacing_mm: tuple[float, float],
        generator: np.random.Generator,
    ) -> tuple[FloatPlane, NDArray[np.uint8]]:
        """Grow one or two lesions of a label."""
        label, body = what
        for _ in range(1 + int(generator.random() < self._settings.another)):
            site = self._choose_site(hu, labels, body, spacing_mm, generator)
            if site is None:
                break
            lesion = draw_lesion(site, label, self._settings, self._shapes, generator)
            if lesion is not None:
                hu, labels = paint_lesion(hu, labels, lesion)
        return hu, labels

    def _choose_site(
        self,
        hu: FloatPlane,
        labels: NDArray[np.uint8],
        body: BoolPlane,
        spacing_mm: tuple[float, float],
        generator: np.random.Generator,
    ) -> Site | None:
        """The surroundings of one of the kidneys that are large enough; None if there are none."""
        least_px = self._least_px(spacing_mm)
        kidneys = [
            one for one in find_kidneys(labels) if np.count_nonzero(one & (labels == KIDNEY)) >= least_px
        ]
        if not kidneys:
            return None
        kidney = kidneys[int(generator.integers(len(kidneys)))]
        box = bounding_slices(kidney, int(SITE_MARGIN_MM / min(spacing_mm)))
        start = (box[0].start, box[1].start)
        return Site(hu[box], labels[box], kidney[box], body[box], start, spacing_mm)

    def _least_px(self, spacing_mm: tuple[float, float]) -> float:
        return self._settings.kidney_min_mm2 / (spacing_mm[0] * spacing_mm[1])
