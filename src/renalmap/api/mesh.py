"""From label maps to surface files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict

from renalmap.anatomy import SPECK_BELOW_ML, Anatomy
from renalmap.errors import ConfigError, LabelError
from renalmap.imaging import DicomChoice, read_label_map, read_volume
from renalmap.imaging.files import check_writable, make_folder
from renalmap.report.mesh_files import write_glb, write_stl
from renalmap.report.structures import find_structures
from renalmap.report.surfaces import check_meshes_available, make_surface

MeshFormat = Literal["stl", "glb"]
MESH_FORMATS: Final[tuple[MeshFormat, ...]] = get_args(MeshFormat)

ALL_TOGETHER: Final = "all"
"""What the GLB with every structure is called."""


class MeshedStructure(BaseModel):
    """One structure's surface."""

    model_config = ConfigDict(extra="forbid")

    structure: str
    voxels_ml: float
    surface_ml: float
    triangles: int
    files: dict[str, str]
    """By format."""


class MeshOutcome(BaseModel):
    """What was written."""

    model_config = ConfigDict(extra="forbid")

    structures: list[MeshedStructure]
    all_together: str | None = None
    """The GLB with every structure."""
    left_out: int
    """Parts too small to be printed or to be sure of."""
    left_out_ml: float
    left_out_below_ml: float

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that was written."""
        together = () if self.all_together is None else (self.all_together,)
        return (*together, *(name for each in self.structures for name in each.files.values()))


def mesh(
    labels: Path,
    out: Path,
    *,
    scan: Path | None = None,
    dicom: DicomChoice = DicomChoice(),
    formats: Sequence[MeshFormat] = MESH_FORMATS,
    overwrite: bool = False,
) -> MeshOutcome:
    """Write the surfaces of an existing label map.

    Args:
        labels: 0 background, 1 kidney, 2 tumour, 3 cyst.
        out: a folder, made if it is missing.
        scan: the scan, which makes left and right more certain.
        dicom: what to take of a path that holds several DICOM series or acquisitions; `orientation` also of
            the label map.
        formats: what to write.
        overwrite: replace files that exist.

    Raises:
        LabelError: nothing is labelled, or a value is not a label.
        MissingDependencyError: scikit-image or trimesh is not installed.
        OutputExistsError: a file exists.
    """
    check_meshes_available()
    label_map = read_label_map(labels, dicom.orientation)
    volume = None if scan is None else read_volume(scan, dicom)
    if not label_map.labels.any():
        raise LabelError("nothing is labelled, so there is no surface", where=labels)
    return write_meshes(Anatomy.of(label_map, volume), out, formats=formats, overwrite=overwrite)


def write_meshes(
    anatomy: Anatomy,
    out: Path,
    *,
    prefix: str = "",
    formats: Sequence[MeshFormat] = MESH_FORMATS,
    overwrite: bool = False,
) -> MeshOutcome:
    """Write each structure's surface, and all of them together as one GLB; `prefix` begins every file's name.

    Raises:
        OutputExistsError: a file exists; none is written then.
    """
    check_meshes_available()
    structures = find_structures(anatomy)
    make_folder(out)
    files = {
        one.name: {form: out / f"{prefix}{one.name}.{form}" for form in formats}
        for one in structures.found
    }
    together = out / f"{prefix}{ALL_TOGETHER}.glb" if "glb" in formats and structures.found else None
    for path in (*(path for each in files.values() for path in each.values()), together):
        if path is not None:
            check_writable(path, overwrite=overwrite)
    surfaces = [(one, make_surface(one, anatomy.label_map.geometry)) for one in structures.found]
    for one, surface in surfaces:
        if "stl" in formats:
            write_stl(surface, one.title, files[one.name]["stl"])
        if "glb" in formats:
            write_glb([(one, surface)], files[one.name]["glb"])
    if together is not None:
        write_glb(surfaces, together)
    return MeshOutcome(
        structures=[
            MeshedStructure(
                structure=one.name,
                voxels_ml=round(surface.voxels_ml, 3),
                surface_ml=round(surface.volume_ml, 3),
                triangles=len(surface.faces),
                files={form: str(path) for form, path in files[one.name].items()},
            )
            for one, surface in surfaces
        ],
        all_together=None if together is None else str(together),
        left_out=structures.left_out,
        left_out_ml=round(structures.left_out_ml, 3),
        left_out_below_ml=SPECK_BELOW_ML,
    )


def parse_formats(text: str) -> tuple[MeshFormat, ...]:
    """The formats in a text like "stl,glb", in that order and once each.

    Raises:
        ConfigError: one is unknown, or there is none.
    """
    asked = {part.strip().lower() for part in text.split(",")}
    if not asked <= set(MESH_FORMATS):
        raise ConfigError(
            "the format of a surface is unknown",
            got=", ".join(sorted(asked - set(MESH_FORMATS))) or "none",
            expected=" or ".join(MESH_FORMATS),
        )
    return tuple(form for form in MESH_FORMATS if form in asked)
