"""Surfaces against analytic ellipsoids: volume, place, closedness, direction; and their files."""

from __future__ import annotations

import struct
import sys

import numpy as np
import pytest

from renalmap.anatomy import Anatomy, Voxels
from renalmap.errors import MissingDependencyError
from renalmap.imaging.field import smooth_field
from renalmap.imaging.orientation import build_geometry
from renalmap.imaging.volume import Box, LabelMap
from renalmap.phantom import Lesion, PhantomConfig, make_phantom
from renalmap.report.mesh_files import write_glb, write_stl
from renalmap.report.structures import Structure, find_structures
from renalmap.report.surfaces import make_surface

trimesh = pytest.importorskip("trimesh", reason="needs the extra mesh")
pytest.importorskip("skimage", reason="needs the extra mesh")

SEMI_AXES_MM = np.array([38.0, 21.0, 27.0])
CENTRE_RAS_MM = np.array([-70.0, 30.0, -410.0])

SPACINGS = [(1.0, 1.0, 1.0), (2.5, 0.78, 0.78), (5.0, 0.7, 0.7), (0.5, 0.92, 0.92)]


def grid(spacing_mm, turn_degrees=0.0):
    """A geometry of 130 mm along z, 80 along y and x, about the centre; turned about z if asked."""
    shape = tuple(
        int(np.ceil(extent / step)) for extent, step in zip((130, 80, 80), spacing_mm, strict=True)
    )
    angle = np.radians(turn_degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array(
        [[0, 0, -spacing_mm[2]], [0, -spacing_mm[1], 0], [spacing_mm[0], 0, 0]]
    )
    affine[:3, 3] = CENTRE_RAS_MM - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return build_geometry(shape, affine)


def ellipsoid(geometry, centre_ras_mm=CENTRE_RAS_MM, semi_axes_mm=SEMI_AXES_MM):
    """Its mask: semi-axes along the grid's (z, y, x)."""
    offset = np.linalg.inv(geometry.affine) @ np.append(centre_ras_mm, 1.0)
    indices = np.indices(geometry.shape).reshape(3, -1).T - offset[:3]
    radius = np.linalg.norm(indices * geometry.spacing_mm / semi_axes_mm, axis=1)
    return (radius <= 1.0).reshape(geometry.shape)


def structure(mask):
    return Structure("left_kidney", 1, Voxels(Box((0, 0, 0), mask.shape), mask))


def closed(surface):
    mesh = trimesh.Trimesh(surface.vertices_mm, surface.faces, process=False)
    return mesh.is_watertight and mesh.is_winding_consistent


@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_an_ellipsoid_keeps_volume_place_and_form(spacing_mm):
    geometry = grid(spacing_mm)
    mask = ellipsoid(geometry)
    surface = make_surface(structure(mask), geometry)
    true_ml = 4 / 3 * np.pi * np.prod(SEMI_AXES_MM) / 1000
    assert surface.voxels_ml == pytest.approx(mask.sum() * np.prod(spacing_mm) / 1000)
    assert surface.volume_ml == pytest.approx(surface.voxels_ml, rel=0.02)
    assert surface.volume_ml == pytest.approx(true_ml, rel=0.02)
    assert closed(surface)
    away = surface.vertices_mm - CENTRE_RAS_MM
    radius = np.linalg.norm(away[:, ::-1] / SEMI_AXES_MM, axis=1)
    off_mm = np.abs(radius - 1) * np.linalg.norm(away, axis=1) / radius
    assert off_mm.mean() < 0.12 * max(spacing_mm)
    assert off_mm.max() < 0.6 * max(spacing_mm)
    assert np.abs(away.mean(axis=0)).max() < 0.6
    corners = surface.vertices_mm[surface.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outwards = np.einsum("ij,ij->i", normals, corners.mean(axis=1) - CENTRE_RAS_MM)
    assert (outwards > 0).mean() > 0.999


def test_the_steps_of_thick_slices_are_gone():
    """Between slices 5 mm apart the normals turn as the ellipsoid's do, and not by right angles."""
    geometry = grid((5.0, 0.7, 0.7))
    surface = make_surface(structure(ellipsoid(geometry)), geometry)
    corners = surface.vertices_mm[surface.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normals, axis=1, keepdims=True)
    true = (corners.mean(axis=1) - CENTRE_RAS_MM) / SEMI_AXES_MM[::-1] ** 2
    true /= np.linalg.norm(true, axis=1, keepdims=True)
    cosines = np.einsum("ij,ij->i", normals / area, true)
    degrees = np.degrees(np.arccos(cosines.clip(-1, 1)))
    assert np.average(degrees, weights=area[:, 0]) < 10


def test_an_oblique_grid_is_followed():
    geometry = grid((2.5, 0.8, 0.8), turn_degrees=20)
    surface = make_surface(structure(ellipsoid(geometry)), geometry)
    assert closed(surface)
    away = surface.vertices_mm - CENTRE_RAS_MM
    assert np.abs(away.mean(axis=0)).max() < 0.6
    # The x semi-axis, 27 mm, is turned by 20 degrees with the grid.
    along = np.array([np.cos(np.radians(20)), np.sin(np.radians(20)), 0.0])
    assert np.abs(away @ along).max() == pytest.approx(27.0, abs=1.0)


def test_a_mask_at_the_scans_border_is_closed_there():
    geometry = grid((2.5, 0.8, 0.8))
    top_mm = CENTRE_RAS_MM[2] + (geometry.shape[0] - 1) / 2 * 2.5
    mask = ellipsoid(geometry, centre_ras_mm=(*CENTRE_RAS_MM[:2], top_mm))
    assert mask[-1].any()
    surface = make_surface(structure(mask), geometry)
    assert closed(surface)
    assert surface.volume_ml == pytest.approx(surface.voxels_ml, rel=0.02)
    # The last slice's voxels end half a slice above its middle.
    assert 0.0 < surface.vertices_mm[:, 2].max() - top_mm < 2.5


def test_slices_a_thousand_times_as_thick_as_pixels_cost_no_more():
    """Smoothing across slices reaches as far as a slice is thick: over 735 such pixels it took minutes."""
    field, _ = smooth_field(np.ones((2, 30, 30), np.bool_), (49.0, 0.06, 0.06))
    assert field.size < 1_000_000


def test_a_small_lesion_keeps_its_volume():
    geometry = grid((3.0, 0.8, 0.8))
    surface = make_surface(structure(ellipsoid(geometry, semi_axes_mm=np.full(3, 3.5))), geometry)
    assert surface.voxels_ml < 0.25
    assert surface.volume_ml == pytest.approx(surface.voxels_ml, rel=0.02)
    assert closed(surface)


def test_ragged_masks_are_closed_without_crumbs():
    """Noise on the border, single holes and crumbs: what networks and people leave behind."""
    geometry = grid((2.5, 0.8, 0.8))
    inner = ellipsoid(geometry, semi_axes_mm=SEMI_AXES_MM - 3)
    noise = np.random.default_rng(3).random(geometry.shape) < 0.5
    mask = inner | (ellipsoid(geometry) & noise)
    mask[26, 50, 50] = False
    surface = make_surface(structure(mask), geometry)
    mesh = trimesh.Trimesh(surface.vertices_mm, surface.faces, process=False)
    assert mesh.is_watertight
    assert mesh.body_count == 1
    assert surface.volume_ml == pytest.approx(surface.voxels_ml, rel=0.02)


# Structures.


@pytest.fixture(scope="module")
def phantom():
    config = PhantomConfig(
        shape_zyx=(48, 144, 160),
        spacing_mm_zyx=(4.0, 2.4, 2.4),
        lesions=(
            Lesion(diameter_mm=45, side="left", exophytic=0.5),
            Lesion(diameter_mm=24, side="right", exophytic=0.1),
        ),
    )
    return make_phantom(config, np.random.default_rng(19))


def test_a_phantom_becomes_two_kidneys_and_two_tumours(phantom):
    structures = find_structures(Anatomy.of(phantom.labels, phantom.scan))
    assert [one.name for one in structures.found] == [
        "left_kidney",
        "right_kidney",
        "tumour_1",
        "tumour_2",
    ]
    voxels = {
        label: sum(one.voxels.size for one in structures.found if one.label == label) for label in (1, 2)
    }
    voxel_ml = phantom.labels.geometry.voxel_ml
    for label, ml in phantom.volumes_ml.items():
        assert voxels[label] * voxel_ml == pytest.approx(ml, rel=0.001)
    centre_x = {}
    for one in structures.found:
        surface = make_surface(one, phantom.labels.geometry)
        assert closed(surface)
        assert surface.volume_ml == pytest.approx(surface.voxels_ml, rel=0.02)
        centre_x[one.name] = surface.vertices_mm[:, 0].mean()
    # RAS+: the patient's left has the smaller x.
    assert centre_x["left_kidney"] < centre_x["right_kidney"]
    assert abs(centre_x["tumour_1"] - centre_x["left_kidney"]) < 60


def test_specks_are_left_out_and_counted(phantom):
    marked = phantom.labels.labels.copy()
    marked[0, 0, :2] = 2
    marked[0, 5, 5] = 1
    structures = find_structures(Anatomy.of(LabelMap(marked, phantom.labels.geometry)))
    assert len(structures.found) == 4
    assert structures.left_out == 2
    assert structures.left_out_ml == pytest.approx(3 * phantom.labels.geometry.voxel_ml)


def test_cysts_are_solids_of_their_own(phantom):
    marked = phantom.labels.labels.copy()
    marked[marked == 2] = 3
    names = [
        one.name for one in find_structures(Anatomy.of(LabelMap(marked, phantom.labels.geometry))).found
    ]
    assert names == ["left_kidney", "right_kidney", "cyst_1", "cyst_2"]


# Files.


@pytest.fixture(scope="module")
def made():
    geometry = grid((2.5, 0.8, 0.8))
    one = structure(ellipsoid(geometry))
    return one, make_surface(one, geometry)


def test_an_stl_is_in_lps_millimetres_and_says_so(made, tmp_path):
    path = tmp_path / "kidney.stl"
    write_stl(made[1], "left kidney", path)
    data = path.read_bytes()
    assert b"SPACE=LPS" in data[:80]
    assert not data.startswith(b"solid")
    assert struct.unpack("<I", data[80:84])[0] == len(made[1].faces)
    assert len(data) == 84 + 50 * len(made[1].faces)
    mesh = trimesh.load(path)
    assert mesh.is_watertight
    assert mesh.volume / 1000 == pytest.approx(made[1].volume_ml, rel=1e-4)
    assert np.allclose(mesh.bounds.mean(axis=0), CENTRE_RAS_MM * [-1, -1, 1], atol=1.5)
    again = tmp_path / "again.stl"
    write_stl(made[1], "left kidney", again)
    assert again.read_bytes() == data


def test_a_glb_is_in_metres_with_the_head_up_and_the_face_to_the_viewer(made, tmp_path):
    path = tmp_path / "kidney.glb"
    write_glb([made], path)
    scene = trimesh.load(path)
    assert list(scene.geometry) == ["left_kidney"]
    (mesh,) = scene.geometry.values()
    assert mesh.is_watertight
    assert mesh.volume * 1e6 == pytest.approx(made[1].volume_ml, rel=1e-3)
    right, front, head = CENTRE_RAS_MM / 1000
    assert np.allclose(mesh.bounds.mean(axis=0), [-right, head, front], atol=0.0015)
    assert np.allclose(mesh.extents, 2 * SEMI_AXES_MM[[2, 0, 1]] / 1000, atol=0.002)
    assert mesh.metadata["structure"] == "left kidney"
    assert mesh.metadata["volume_ml"] == pytest.approx(made[1].voxels_ml, abs=0.001)
    assert mesh.visual.material.baseColorFactor.tolist() == [0x56, 0xB4, 0xE9, 255]


@pytest.mark.parametrize("package", ["skimage", "trimesh"])
def test_without_the_extra_the_message_names_it(monkeypatch, package):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    mask = np.ones((4, 4, 4), bool)
    with pytest.raises(MissingDependencyError, match=r"pip install 'renalmap\[mesh\]'"):
        make_surface(structure(mask), grid((2.0, 2.0, 2.0)))
