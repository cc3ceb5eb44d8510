"""What `segment` can be asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from renalmap.api.beside import Beside
from renalmap.imaging import DicomChoice
from renalmap.imaging.dicom_seg.writing import DICOM_SUFFIX, SegmentationType
from renalmap.inference.cascade import SegmentOptions
from renalmap.inference.session import Device, Engine

OutputNames = Literal["scan", "kits-submission"]
OutputFormat = Literal["nifti", "dicom-seg"]


@dataclass(frozen=True)
class SegmentRequest:
    """What to segment with, and what to write.

    Attributes:
        model: the bundle's folder; None uses the one that ships with the package.
        device: `cpu` or `cuda`.
        engine: `onnxruntime`, or `openvino`, which is an extra.
        options: how to run.
        save_probabilities: write maps of kidney and tumour probability beside the labels.
        dicom: what to take of a path that holds several DICOM series or acquisitions.
        assume_hu: do not warn about values that cannot be HU.
        measure: also measure kidneys and lesions.
        nephrometry: also score tumours by R.E.N.A.L. and PADUA.
        overwrite: replace existing outputs.
        names: what outputs in a folder are called: `<scan's name>_seg.nii.gz`, or, as KiTS requires
            of submissions, `prediction_XXXXX.nii.gz`.
        format: `nifti` or `dicom-seg`; None goes by the output's name, and in a folder takes NIfTI.
        segmentation_type: of a DICOM SEG: `binary` or `labelmap`.
        sr: also write a structured report beside a DICOM SEG.
        beside: a report and surfaces to write beside the labels.
    """

    model: Path | None = None
    device: Device = "cpu"
    engine: Engine = "onnxruntime"
    options: SegmentOptions = field(default_factory=SegmentOptions)
    save_probabilities: bool = False
    dicom: DicomChoice = DicomChoice()
    assume_hu: bool = False
    measure: bool = False
    nephrometry: bool = False
    overwrite: bool = False
    names: OutputNames = "scan"
    format: OutputFormat | None = None
    segmentation_type: SegmentationType = "binary"
    sr: bool = False
    beside: Beside = field(default_factory=Beside)

    def format_of(self, out: Path) -> OutputFormat:
        """The format of what is written to a path."""
        dicom = out.name.lower().endswith(DICOM_SUFFIX) and not out.is_dir()
        return self.format or ("dicom-seg" if dicom else "nifti")
