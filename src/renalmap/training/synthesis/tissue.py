"""What a lesion is made of: every random number about its brightness, drawn before it is painted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from renalmap.training.synthesis.settings import Range, SynthesisSettings


@dataclass(frozen=True)
class Tissue:
    """A lesion's substance; lengths in mm.

    Attributes:
        mean_hu: of the living part.
        texture_hu: standard deviation of its texture.
        texture_mm: size of the texture's grains; a second texture is three times as coarse.
        core_share: share of the section that is dead, or scar.
        core_hu: its brightness.
        core_ragged: how irregular the core's border is, 0 to 1.
        core_grain: size of that irregularity, as a share of the lesion's radius.
        rim_hu: what the outermost `rim_mm` add.
        rim_mm: the rim's thickness.
        specks: how many small bright spots there are: calcium, or vessels.
        speck_hu: their brightness.
    """

    mean_hu: float
    texture_hu: float = 0.0
    texture_mm: float = 3.0
    core_share: float = 0.0
    core_hu: float = 0.0
    core_ragged: float = 0.5
    core_grain: float = 0.2
    rim_hu: float = 0.0
    rim_mm: float = 1.5
    specks: int = 0
    speck_hu: float = 0.0


def draw_tumour_tissue(
    settings: SynthesisSettings, diameter_mm: float, kidney_hu: float, generator: np.random.Generator
) -> Tissue:
    """Draw the substance of a tumour in a kidney of this brightness; the larger, the more often its core is dead."""
    shares = np.array([settings.dull_share, settings.mixed_share, settings.bright_share])
    kind = int(generator.choice(3, p=shares / shares.sum()))
    uptake = (settings.dull_uptake, settings.mixed_uptake, settings.bright_uptake)[kind]
    textures = (settings.dull_texture_hu, settings.mixed_texture_hu, settings.bright_texture_hu)
    # Without contrast agent nothing is uneven, and a core is hardly darker.
    enhancement_hu = max(kidney_hu - settings.unenhanced_hu, 0.0)
    strength = min(enhancement_hu / 80.0, 1.0)
    mean_hu = settings.unenhanced_hu + _draw(uptake, generator) * enhancement_hu
    mean_hu += generator.normal(0, 4)
    core_share, core_hu, core_ragged = _draw_core(settings, kind, diameter_mm, generator)
    has_rim = generator.random() < settings.rim
    specks, speck_hu = _draw_specks(settings, kind, diameter_mm, kidney_hu, generator)
    return Tissue(
        mean_hu=mean_hu,
        texture_hu=_draw(textures[kind], generator) * (0.25 + 0.75 * strength),
        texture_mm=_draw(settings.texture_mm, generator),
        core_share=core_share,
        core_hu=min(core_hu, mean_hu - 5),
        core_ragged=core_ragged,
        core_grain=float(generator.uniform(0.1, 0.3)),
        rim_hu=_draw(settings.rim_hu, generator) * strength if has_rim else 0.0,
        rim_mm=float(generator.uniform(0.8, 2.5)),
        specks=specks,
        speck_hu=speck_hu,
    )


def draw_cyst_tissue(settings: SynthesisSettings, generator: np.random.Generator) -> Tissue:
    """Draw a cyst's content, which has no texture: water or, rarely, something denser."""
    dense = generator.random() < settings.dense_cyst
    return Tissue(mean_hu=_draw(settings.dense_cyst_hu if dense else settings.cyst_hu, generator))


def _draw_core(
    settings: SynthesisSettings, kind: int, diameter_mm: float, generator: np.random.Generator
) -> tuple[float, float, float]:
    """Share, brightness and raggedness of the dead core or the scar; a share of 0 where there is none."""
    large = float(np.clip((diameter_mm - 12) / (settings.large_mm - 12), 0, 1))
    probability = settings.necrosis * large * (0.4, 1.0, 0.5)[kind]
    core_hu = _draw(settings.necrosis_hu, generator)
    ragged = float(generator.uniform(0.45, 0.95))
    if generator.random() < probability:
        return _draw(settings.necrosis_share, generator), core_hu, ragged
    if kind == 2 and diameter_mm > 18 and generator.random() < settings.scar:
        # A scar lies in the middle.
        return float(generator.uniform(0.04, 0.12)), core_hu + 25, 0.4 * ragged
    return 0.0, core_hu, ragged


def _draw_specks(
    settings: SynthesisSettings,
    kind: int,
    diameter_mm: float,
    kidney_hu: float,
    generator: np.random.Generator,
) -> tuple[int, float]:
    """Count and brightness of bright spots: calcium anywhere, or vessels in a mixed tumour."""
    if generator.random() < settings.calcification:
        return int(generator.integers(1, 4)), _draw(settings.calcification_hu, generator)
    if kind == 1 and generator.random() < settings.vessels:
        most = 2 + int(diameter_mm / 8)
        return int(generator.integers(1, most)), kidney_hu * float(generator.uniform(0.9, 1.5))
    return 0, 0.0


def _draw(limits: Range, generator: np.random.Generator) -> float:
    return float(generator.uniform(*limits))
