"""Putting a phantom together, slice by slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from renalmap.imaging.volume import LabelArray, LabelMap, Volume
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.phantom.bowel import Bowel, paint_bowel
from renalmap.phantom.canvas import NoiseFields, View, blank_slice
from renalmap.phantom.config import LesionTruth, Phantom, PhantomConfig
from renalmap.phantom.grid import Grid, make_grid
from renalmap.phantom.kidneys import Kidney, draw_kidneys, paint_kidney, paint_perirenal_fat
from renalmap.phantom.lesions import PlacedLesion, paint_fat_halo, paint_lesion, place_lesions
from renalmap.phantom.scanner import HIGHEST_HU, LOWEST_HU, NoiseMaker, blend_neighbours, noise_strength
from renalmap.phantom.shapes import Field, point
from renalmap.phantom.skeleton import paint_muscles, paint_spine
from renalmap.phantom.tissues import Tissues, draw_tissues
from renalmap.phantom.trunk import Trunk, paint_lungs, paint_ribs, paint_table, paint_wall
from renalmap.phantom.vessels import Vessels, paint_vessels
from renalmap.phantom.viscera import Viscera, paint_viscera


@dataclass(frozen=True)
class Patient:
    """Everything about one synthetic patient, independent of any grid."""

    trunk: Trunk
    tissues: Tissues
    kidneys: tuple[Kidney, Kidney]
    lesions: tuple[PlacedLesion, ...]
    viscera: Viscera
    bowel: Bowel
    vessels: Vessels
    noise: NoiseFields
    table: bool

    @classmethod
    def draw(cls, config: PhantomConfig, generator: np.random.Generator) -> Patient:
        """Draw a patient; the grid's shape and spacing have no part in it."""
        trunk = Trunk.draw(generator)
        tissues = draw_tissues(config.phase, generator, randomise=config.randomise_tissues)
        kidneys = draw_kidneys(trunk, generator)
        wanted = config.drawn_lesions(generator)
        return cls(
            trunk=trunk,
            tissues=tissues,
            kidneys=kidneys,
            lesions=place_lesions(wanted, kidneys, trunk, tissues, generator),
            viscera=Viscera.draw(trunk, generator),
            bowel=Bowel.draw(trunk, kidneys, generator),
            vessels=Vessels.draw(trunk, kidneys, generator),
            noise=NoiseFields.draw(generator),
            table=config.table,
        )


def make_phantom(config: PhantomConfig, generator: np.random.Generator) -> Phantom:
    """A synthetic abdominal CT with known labels.

    The anatomy is drawn in millimetres before anything depends on the grid: one seed gives one
    patient at any shape and spacing. Short scans (up to 140 mm) are centred on the kidneys, longer
    ones reach further up, to the lung bases and the heart. A grid narrower than about 340 mm cuts
    the body off, as a real field of view would.

    Args:
        config: grid, phase, lesions.
        generator: source of the anatomy and of the noise; the same state gives the same arrays.

    Returns:
        The scan (int16 HU, axes z y x) and its labels: kidney 1 (parenchyma and cysts, without sinus
        fat, pelvis and vessels, as in KiTS19), tumour 2. A kidney beyond the grid has no voxels.
    """
    patient = Patient.draw(config, generator)
    grid = make_grid(config)
    labels = np.zeros(config.shape_zyx, np.uint8)
    planes = _planes(patient, grid, labels)
    hu = np.empty(config.shape_zyx, np.int16)
    noise = NoiseMaker(config.shape_zyx[1:], config.spacing_mm_zyx[1:])
    for index, plane in enumerate(blend_neighbours(planes, config.shape_zyx[0])):
        depth = patient.trunk.depth(*grid.points(index))
        if config.noise_hu > 0.0:
            plane += config.noise_hu * noise_strength(depth) * noise.draw(generator)  # noqa: PLW2901
        hu[index] = np.rint(np.clip(plane, LOWEST_HU, HIGHEST_HU)).astype(np.int16)
    label_map = LabelMap(labels, grid.geometry, "phantom")
    return Phantom(
        scan=Volume(hu, grid.geometry, "phantom"),
        labels=label_map,
        volumes_ml={label: label_map.volume_ml(label) for label in (KIDNEY, TUMOUR)},
        lesions=tuple(_truth(lesion, grid) for lesion in patient.lesions),
        phase=config.phase,
    )


def _planes(patient: Patient, grid: Grid, labels: LabelArray) -> Iterator[Field]:
    """HU of one plane after the other, infinitely thin; fills `labels` on the way."""
    for index, z_mm in enumerate(grid.z_mm):
        view = blank_slice(float(z_mm), grid.y_mm, grid.x_mm, patient.noise, patient.tissues.air)
        _paint(view, patient)
        labels[index] = view.labels
        yield view.hu


def _paint(view: View, patient: Patient) -> None:
    """Paint one slice, from what is pushed aside to what pushes."""
    trunk, tissues = patient.trunk, patient.tissues
    if patient.table:
        paint_table(view, trunk, tissues)
    wall = paint_wall(view, trunk, tissues)
    paint_lungs(view, trunk, tissues)
    paint_bowel(view, patient.bowel, tissues)
    paint_viscera(view, trunk, patient.viscera, tissues)
    for kidney in patient.kidneys:
        paint_perirenal_fat(view, kidney, tissues)
    paint_muscles(view, trunk, tissues)
    paint_vessels(view, trunk, patient.vessels, tissues)
    paint_ribs(view, trunk, tissues, wall)
    paint_spine(view, trunk, tissues)
    for lesion in patient.lesions:
        paint_fat_halo(view, lesion, tissues)
    for kidney in patient.kidneys:
        paint_kidney(view, kidney, tissues)
    for lesion in sorted(patient.lesions, key=lambda lesion: lesion.asked.kind):  # cysts first
        paint_lesion(view, lesion, tissues)


def _truth(lesion: PlacedLesion, grid: Grid) -> LesionTruth:
    voxel = grid.voxel(lesion.body.centre_mm)
    world = grid.geometry.affine @ np.array([*voxel, 1.0])
    return LesionTruth(
        kind=lesion.asked.kind,
        side=lesion.kidney.side,
        diameter_mm=lesion.asked.diameter_mm,
        centre_zyx_voxels=voxel,
        centre_ras_mm=point(world[:3]),
        exophytic=lesion.exophytic,
        necrotic=lesion.necrotic,
    )
