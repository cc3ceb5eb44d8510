"""What `segment` writes beside the labels: a report and surfaces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from renalmap.api.mesh import MeshOutcome, write_meshes
from renalmap.api.result import Result
from renalmap.errors import ConfigError
from renalmap.imaging.files import make_folder
from renalmap.report.html import Names
from renalmap.report.surfaces import check_meshes_available

REPORT_SUFFIX = "_report.html"
NAMELESS = "scan"
OF_FILES = frozenset((".html", ".htm", ".pdf", ".stl", ".glb", ".json", ".csv", ".dcm", ".nii", ".gz"))
"""Suffixes that no folder of ours is meant to have."""


@dataclass(frozen=True)
class Beside:
    """What to write beside the labels, and where.

    Attributes:
        report: folder for reports, made if it is missing; None for none.
        mesh: folder for surfaces, made if it is missing; None for none.
        anonymize: neither names nor paths in reports; files are then called `scan_1_report.html`, ...
    """

    report: Path | None = None
    mesh: Path | None = None
    anonymize: bool = False

    def check(self) -> None:
        """Check before the work whether it can be written.

        Raises:
            ConfigError: a folder's name is a file's, or there is nothing to leave names out of.
            MissingDependencyError: a package that makes surfaces is not installed.
        """
        if self.anonymize and self.report is None and self.mesh is None:
            raise ConfigError(
                "--anonymize-report applies to a report, and none was requested",
                hint="Give --report DIR too",
            )
        for option, folder in (("--report", self.report), ("--mesh", self.mesh)):
            if folder is None or folder.is_dir():
                continue
            if folder.exists():
                raise ConfigError(f"{option} needs a folder", where=folder, got="a file")
            if folder.suffix.lower() in OF_FILES:
                raise ConfigError(f"{option} needs a folder", where=folder, got="the name of a file")
            if folder.name.startswith("-"):
                raise ConfigError(f"{option} needs a folder", where=folder, got="another option")
        if self.mesh is not None:
            check_meshes_available()

    def stem(self, name: str, number: int) -> str:
        """The prefix of a scan's files: its name, or without names its number, counted from 1."""
        return f"{NAMELESS}_{number}" if self.anonymize else name

    def report_path(self, stem: str) -> Path | None:
        """Where a scan's report goes; None if no report was requested."""
        return None if self.report is None else self.report / f"{stem}{REPORT_SUFFIX}"

    @property
    def absolute(self) -> Beside:
        """With paths that mean the same in another working directory."""
        report, mesh = (None if each is None else each.absolute() for each in (self.report, self.mesh))
        return replace(self, report=report, mesh=mesh)

    def make_folders(self) -> None:
        """Make the folders that were requested and are missing; what cannot be written to is refused."""
        for folder in (self.report, self.mesh):
            if folder is not None:
                make_folder(folder)

    def write(
        self, result: Result, names: Names, stem: str, *, overwrite: bool
    ) -> tuple[Path | None, MeshOutcome | None]:
        """Write what was requested, into folders that exist; `stem` gives the files' prefix.

        Returns:
            The report's path and what surfaces were written; None for what was not requested.

        Raises:
            OutputExistsError: a file exists.
        """
        report, meshes = self.report_path(stem), None
        if self.mesh is not None:
            meshes = write_meshes(result.anatomy, self.mesh, prefix=f"{stem}_", overwrite=overwrite)
        if report is not None:
            result.save_report(report, names=None if self.anonymize else names, overwrite=overwrite)
        return report, meshes
