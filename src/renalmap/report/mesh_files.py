"""Surfaces as STL and GLB files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from renalmap.imaging.files import replace_atomically
from renalmap.report.structures import Structure
from renalmap.report.surfaces import Surface

_RAS_TO_LPS: Final = np.array([-1.0, -1.0, 1.0])

_METRES_PER_MM: Final = 0.001
_HEADER_BYTES: Final = 80

_TRIANGLE: Final = np.dtype(
    [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")], align=False
)


def write_stl(surface: Surface, title: str, path: Path) -> None:
    """Write a binary STL in millimetres, x to the patient's left, y to the back, z to the head (LPS).

    These are DICOM's axes, which 3D Slicer expects of an STL; the header says so in its words. Two calls
    with the same surface write identical files.

    Args:
        surface: what to write.
        title: goes into the header's 80 bytes.
        path: an existing file is replaced.
    """
    corners = (surface.vertices_mm * _RAS_TO_LPS)[surface.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    triangles = np.zeros(len(corners), _TRIANGLE)
    triangles["normal"] = normals / np.where(lengths > 0, lengths, 1.0)
    triangles["corners"] = corners
    header = f"RenalMap {title}; SPACE=LPS; mm; not a medical device".encode("ascii", "replace")
    with replace_atomically(path) as temporary, temporary.open("wb") as stream:
        stream.write(header[:_HEADER_BYTES].ljust(_HEADER_BYTES))
        stream.write(np.uint32(len(triangles)).astype("<u4").tobytes())
        stream.write(triangles.tobytes())


def write_glb(surfaces: Sequence[tuple[Structure, Surface]], path: Path) -> None:
    """Write a binary glTF 2.0 in metres, x to the patient's left, y to the head, z to the front.

    That is glTF's own convention for something that stands upright and looks at the viewer; what viewers
    show is the patient standing in front of you, at the right size. Each structure is a node with its own
    name and colour; its volume is in the mesh's extras. There must be at least one; an existing file is replaced.
    """
    import trimesh  # noqa: PLC0415 - optional
    from trimesh.visual import TextureVisuals  # noqa: PLC0415
    from trimesh.visual.material import PBRMaterial  # noqa: PLC0415

    scene = trimesh.Scene()
    for structure, surface in surfaces:
        right, front, head = surface.vertices_mm.T
        vertices_m = np.column_stack([-right, head, front]) * _METRES_PER_MM
        extras = {
            "structure": structure.title,
            "volume_ml": round(surface.voxels_ml, 3),
            "axes": "x left, y head, z front; metres in the patient's coordinates",
            "note": "RenalMap; research use only, not a medical device",
        }
        mesh = trimesh.Trimesh(vertices_m, surface.faces, process=False, metadata=extras)
        colour = [*bytes.fromhex(structure.colour[1:]), 255]
        mesh.visual = TextureVisuals(
            material=PBRMaterial(
                name=structure.title, baseColorFactor=colour, metallicFactor=0.0, roughnessFactor=0.6
            )
        )
        scene.add_geometry(mesh, node_name=structure.name, geom_name=structure.name)
    data = scene.export(file_type="glb")
    with replace_atomically(path) as temporary:
        temporary.write_bytes(data)
