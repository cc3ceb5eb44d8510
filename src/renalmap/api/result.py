"""What the Python API returns: labels in the axes of the caller's own image, numbers, warnings, files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from renalmap import __version__
from renalmap.anatomy import Anatomy, FlagCode
from renalmap.api.dicom_seg import dicom_source_of, name_structures
from renalmap.api.dicom_sr import findings_of, segments_of
from renalmap.api.report import doubts_of, exophytic_parts
from renalmap.errors import InputError
from renalmap.imaging import LabelMap, Volume, doubt_hounsfield, write_label_map
from renalmap.imaging.dicom_seg.writing import (
    DICOM_SUFFIX,
    SegAlgorithm,
    SegmentationType,
    build_dicom_seg,
    write_dicom,
)
from renalmap.imaging.dicom_sr.writing import SegReference, SrAlgorithm, build_dicom_sr
from renalmap.imaging.files import check_writable, write_text_atomically
from renalmap.imaging.in_memory import label_map_to_nibabel, label_map_to_sitk
from renalmap.imaging.nifti import NIFTI_SUFFIXES, is_nifti_name
from renalmap.inference.cascade import Segmentation
from renalmap.inference.quality import QualityReport, describe_quality
from renalmap.measure import Measurements, measure_anatomy
from renalmap.nephrometry import Nephrometry, score_anatomy
from renalmap.report.html import Names, ReportContents, report_page

AxisOrder = Literal["ijk", "kji"]
"""As the file and nibabel have them, or in reverse, as SimpleITK's arrays."""

REPORT_SUFFIX = ".html"


@dataclass(frozen=True, eq=False)
class Result:
    """A segmented scan.

    It holds on to the voxels of the scan: with thousands of scans, save each result and let it go.

    Attributes:
        volume: the scan, axes (z, y, x) in canonical orientation, HU.
        segmentation: everything the cascade found, on the same grid: labels, probabilities, what was dropped.
        anatomy: the kidneys and lesions in it, read once.
        quality: what to know before trusting it.
        seconds: for each step: read, stage1, stage2, postprocess, quality.
        bundle_sha256: which model was used.
        axis_order: of `labels`.
    """

    volume: Volume = field(repr=False)
    segmentation: Segmentation = field(repr=False)
    anatomy: Anatomy = field(repr=False)
    quality: QualityReport = field(repr=False)
    seconds: Mapping[str, float]
    bundle_sha256: str
    axis_order: AxisOrder = "ijk"

    @property
    def label_map(self) -> LabelMap:
        """Labels with axes (z, y, x) in canonical orientation, and their position in the patient."""
        return self.segmentation.label_map

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """Labels with the shape and axis order of the scan as it was given.

        0 background, 1 kidney, 2 tumour. An array's or a nibabel image's axes; those of
        `SimpleITK.GetArrayFromImage` (slice, row, column) for a SimpleITK image; for a path, those in which
        nibabel reads the file, and for DICOM (column, row, slice) with slices from the feet to the head. It
        is a copy: changing it changes nothing else.
        """
        stored = self.label_map.geometry.source.from_canonical(self.label_map.labels)
        return np.array(stored if self.axis_order == "ijk" else stored.transpose(), order="C")

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4), index in `labels` to world coordinates (mm, RAS+ as in NIfTI)."""
        affine = self.label_map.geometry.source.affine.copy()
        if self.axis_order == "kji":
            affine[:, :3] = affine[:, 2::-1]
        return affine

    @cached_property
    def measurements(self) -> Measurements:
        """Kidneys and lesions in ml, mm and HU, measured when first asked for.

        A structure that was not found is left out, never listed as 0; docs/measurements.md explains each number.
        """
        return measure_anatomy(self.anatomy)

    @cached_property
    def nephrometry(self) -> Nephrometry:
        """R.E.N.A.L. and PADUA of each tumour, computed when first asked for; docs/nephrometry.md explains each number."""
        return score_anatomy(self.anatomy, self.measurements)

    @property
    def flags(self) -> tuple[FlagCode, ...]:
        """The quality report's flags, empty if nothing is remarkable; docs/quality.md explains each."""
        return tuple(self.quality.flags)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What to know first, in sentences that begin with the scan's name."""
        return self.warnings_about(self.volume.name)

    def warnings_about(self, scan: Path | str) -> tuple[str, ...]:
        """Doubt whether the values are HU, what the reader assumed, what the flags say: a sentence each.

        Args:
            scan: what the sentences call it.
        """
        doubt = doubt_hounsfield(self.volume)
        first = () if doubt is None else (doubt.warning(scan),)
        flagged = (f"{scan}: {text}" for text in describe_quality(self.quality, self.anatomy))
        return (*first, *self.volume.notes, *flagged)

    @property
    def kidney_found(self) -> bool:
        """Whether any voxel is kidney or tumour."""
        return self.segmentation.kidney_found

    def to_nibabel(self) -> Any:
        """The labels as a nibabel image on the scan's grid, with the scan's header codes and units."""
        return label_map_to_nibabel(self.label_map)

    def to_sitk(self) -> Any:
        """The labels as a SimpleITK image on the scan's grid.

        Raises:
            MissingDependencyError: SimpleITK is not installed.
        """
        return label_map_to_sitk(self.label_map)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write a file in the format given by its name, as `renalmap segment` would have written it.

        Args:
            path: `.nii.gz` or `.nii` for the labels on the scan's own grid; `.dcm` for a DICOM SEG, of a
                scan that was read from DICOM; `.html` for a report, which names neither scan nor patient.
            overwrite: replace a file that exists.

        Returns:
            The path.

        Raises:
            InputError: the format is unknown, or a DICOM SEG of a scan that is not DICOM.
            LabelError: a DICOM SEG would be empty, which is not allowed.
            OutputExistsError: the file exists.
            PathMissingError: its folder does not.
        """
        path = Path(path)
        if path.name.lower().endswith(DICOM_SUFFIX):
            self.save_dicom_seg(path, overwrite=overwrite)
            return path
        if path.suffix.lower() == REPORT_SUFFIX:
            self.save_report(path, overwrite=overwrite)
            return path
        if not is_nifti_name(path):
            raise InputError(
                "the suffix of the output decides its format, and this one is unknown",
                where=path,
                got=path.suffix or "no suffix",
                expected=f"a name that ends in {', '.join((*NIFTI_SUFFIXES, DICOM_SUFFIX))} or {REPORT_SUFFIX}",
            )
        write_label_map(self.label_map, path, overwrite=overwrite)
        return path

    def save_report(self, path: Path, *, names: Names | None = None, overwrite: bool = False) -> None:
        """Write an HTML report.

        Args:
            path: the file, of whatever name.
            names: what the report calls its scan; None for a report without names.
            overwrite: replace an existing file.

        Raises:
            OutputExistsError: the file exists.
            PathMissingError: its folder does not.
        """
        check_writable(path, overwrite=overwrite)
        contents = ReportContents(
            scan=self.volume,
            labels=self.label_map,
            measurements=self.measurements,
            names=names,
            quality=self.quality,
            nephrometry=self.nephrometry,
            exophytic=exophytic_parts(self.anatomy),
            cautions=doubts_of(self.volume, anonymize=names is None),
            bundle_sha256=self.bundle_sha256,
        )
        write_text_atomically(path, report_page(contents))

    def save_dicom_seg(
        self,
        path: Path,
        *,
        segmentation_type: SegmentationType = "binary",
        sr: Path | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write a DICOM SEG that refers to the scan's DICOM slices.

        Args:
            path: the file, of whatever name.
            segmentation_type: `binary`, or `labelmap` for the newer kind.
            sr: where to write a structured report with the measurements, which refers to it; None for nowhere.
            overwrite: replace files that exist.

        Raises:
            InputError: the scan was not read from DICOM, or its identifiers are gone.
            LabelError: no kidney was found: a DICOM SEG must not be empty.
        """
        structures = name_structures(self.anatomy)
        source = dicom_source_of(self.volume, Path(self.volume.name))
        algorithm = SegAlgorithm(__version__, self.bundle_sha256)
        if sr is not None:
            check_writable(sr, overwrite=overwrite)
        dataset = build_dicom_seg(structures, source, algorithm, segmentation_type)
        write_dicom(dataset, path, overwrite=overwrite)
        if sr is None:
            return
        segments = segments_of(structures, dataset)
        findings = findings_of(self.anatomy, self.measurements, self.nephrometry, segments)
        reference = SegReference.of(dataset, source, path)
        measurer = SrAlgorithm(__version__, self.bundle_sha256)
        write_dicom(build_dicom_sr(findings, reference, source, measurer), sr, overwrite=overwrite)
