"""Small synthetic files of every format that RenalMap reads, made in code, and how each is read."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
    SegmentationStorage,
    generate_uid,
)

from renalmap.api.cohort.sidecar import read_marker, read_sidecar
from renalmap.api.info import info
from renalmap.bundle import Bundle, write_sums
from renalmap.config import load_settings
from renalmap.dataset.cases import open_case
from renalmap.dataset.cohort import find_cohort
from renalmap.dataset.layouts import read_dataset
from renalmap.dataset.split import Split
from renalmap.dataset.store import CaseEntry, Store, StoreFormat, StoreSettings, slice_store, write_entry
from renalmap.imaging import DicomChoice, read_label_map, read_volume
from renalmap.preprocess import Plan, SliceStatistics
from renalmap.training.synthesis.shapes import LesionShapes

Read = Callable[[Path], object]

SIDECAR = {
    "format_version": 2,
    "renalmap_version": "0",
    "bundle_sha256": "0" * 64,
    "options": {"measure": False},
    "run": "a",
    "source": {"size": 1, "mtime_ns": 1, "sha256": ""},
    "outputs": {"scan_seg.nii.gz": "0" * 64},
    "report": {"name": "scan", "scan": "scan.nii.gz", "status": "ok"},
}
MARKER = {"run": "a", "attempt": 1, "host": "here", "pid": 1}


@dataclass(frozen=True)
class Kind:
    """A format: a folder of small files, which of them are damaged, and how the folder is read."""

    name: str
    files: dict[str, bytes]
    read: Read
    damaged: tuple[str, ...] = ()
    prepare: Read = lambda _: None
    """What an attacker does afterwards: new check sums."""

    @property
    def targets(self) -> tuple[str, ...]:
        return self.damaged or tuple(sorted(self.files))


def make_kinds(scratch: Path) -> tuple[Kind, ...]:
    """Every format; `scratch` is an empty folder to make them in."""
    slices = {f"study/{number}.dcm": ct_slice(number) for number in range(2)}
    kinds = [
        Kind("nifti", {"scan.nii": nifti(np.int16)}, lambda root: read_volume(root / "scan.nii")),
        Kind("nifti float", {"scan.nii": nifti(np.float64)}, lambda root: read_volume(root / "scan.nii")),
        Kind("nifti gzip", {"scan.nii.gz": gzip.compress(nifti(np.int16))}, lambda root: read_volume(root / "scan.nii.gz")),
        Kind("nifti labels", {"labels.nii": nifti(np.uint8)}, lambda root: read_label_map(root / "labels.nii")),
        Kind("dicom", slices, _inform),
        *(
            Kind(f"dicom {name}", slices | {"study/1.dcm": ct_slice(1, syntax)}, _read_study, ("study/1.dcm",))
            for name, syntax in (
                ("rle", RLELossless),
                ("jpeg-ls", JPEGLSLossless),
                ("jpeg 2000", JPEG2000Lossless),
                ("deflated", DeflatedExplicitVRLittleEndian),
            )
        ),
        Kind("dicom enhanced", {"study/0.dcm": enhanced()}, _read_study),
        Kind("dicom cohort", {f"all/{name}": content for name, content in slices.items()}, lambda root: find_cohort([root / "all"])),
        Kind("dicom zip", {"study.zip": packed(slices)}, lambda root: read_volume(root / "study.zip")),
        Kind("dicomdir", slices | {"DICOMDIR": directory(slices)}, lambda root: read_volume(root / "DICOMDIR"), ("DICOMDIR",)),
        Kind("dicom seg", {"seg.dcm": seg()}, lambda root: read_label_map(root / "seg.dcm")),
        Kind("sidecar", _json_files({"scan_seg.sidecar.json": SIDECAR, ".scan_seg.in-work.json": MARKER}), _read_sidecar),
        Kind("toml", {"plan.toml": b"grid_size = 64\ncrop_size = 32\nclip_hu = [-80.0, 304.0]\n[nested]\na = {b = 1}\n"}, lambda root: load_settings(Plan, root / "plan.toml", tables=("nested",))),
        Kind("nnunet", _json_files({"dataset.json": {"channel_names": {"0": "CT"}, "labels": {"background": 0, "kidney": 1, "tumor": 2, "ignore": 3}}}) | {"imagesTr/a_0000.nii": nifti(np.int16), "labelsTr/a.nii": nifti(np.uint8)}, read_dataset, ("dataset.json",)),
        Kind("kits table", _json_files({"kits.json": [{"case_id": "case_00000", "gender": "male"}]}) | {"case_00000/segmentation.nii.gz": b""}, read_dataset, ("kits.json",)),
        Kind("case table", {"cases.csv": b"case_id,patient,image,mask,acquisition\na,p,scan.nii,scan.nii,1\n", "scan.nii": nifti(np.int16)}, read_dataset, ("cases.csv",)),
        Kind("slices", {"index.csv": b"name,case,z\n0,a,0\n1,a,1\n", "0.npz": npz(**_pixels()), "1.npz": npz(**_pixels())}, _read_slices),
        Kind("shapes", {"shapes.npz": _made(scratch / "shapes.npz", LesionShapes.analytic(count=3).save)}, lambda root: LesionShapes.load(root / "shapes.npz")),
        *(_store(scratch / name, name) for name in ("npz", "blosc2")),
        _bundle(scratch / "bundle"),
    ]  # fmt: skip
    return tuple(kinds)


def _read_study(root: Path) -> object:
    return read_volume(root / "study", resample=True)


def _inform(root: Path) -> object:
    return info(root / "study", dicom=DicomChoice()), read_volume(root / "study")


def _read_sidecar(root: Path) -> object:
    output = root / "scan_seg.nii.gz"
    return read_sidecar(output), read_marker(output)


def _read_slices(root: Path) -> object:
    return [list(open_case(case).slices) for case in read_dataset(root).cases]


def _read_store(root: Path) -> object:
    store = Store.open(root)
    return [
        (
            store.slices.count(entry.case_id),
            store.slices.read(entry.case_id, 0),
            store.normalisation(entry),
        )
        for entry in store.entries
    ]


def _json_files(content: dict[str, Any]) -> dict[str, bytes]:
    return {name: json.dumps(each).encode() for name, each in content.items()}


def _made(path: Path, save: Callable[[Path], object]) -> bytes:
    save(path)
    return path.read_bytes()


def _below(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _pixels() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    return {
        "hu": generator.normal(0, 100, (64, 64)).astype(np.float32),
        "label": generator.integers(0, 3, (64, 64), np.uint8),
    }


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _statistics(grid: int) -> SliceStatistics:
    return SliceStatistics(
        np.zeros((grid, grid), np.float32), np.full((grid, grid), 100, np.float32), 0.0, 100.0
    )


def _store(root: Path, store_format: StoreFormat) -> Kind:
    root.mkdir(parents=True)
    plan = Plan(grid_size=64, crop_size=32, crop_margin=4)
    pixels = _pixels()
    slice_store(root, store_format).write_case(
        "a", [(z, pixels["hu"], pixels["label"]) for z in range(2)], 2
    )
    write_entry(root, CaseEntry(case_id="a", patient="a", shape=(64, 64), spacing_mm=(1, 1, 1), z_indices=(0, 1), kidney_pixels=(1, 1), tumour_pixels=(1, 1), min_hu=0, p01_hu=0, p50_hu=0, p99_hu=0, max_hu=0, outlier=False, volume_mean_deviation_hu=(0, 1)))  # fmt: skip
    (root / "store.json").write_text(StoreSettings(format=store_format, plan=plan).model_dump_json())
    Split(seed=0, train=("a",), validation=(), test=()).save(root / "split.json")
    _statistics(64).save(root / "slice_statistics.npz")
    return Kind(f"store {store_format}", _below(root), _read_store)


def _bundle(root: Path) -> Kind:
    """Its graphs are none: what is tried here is what is read before a graph is."""
    root.mkdir(parents=True)
    (root / "plan.json").write_text(Plan(grid_size=64, crop_size=32, crop_margin=4).model_dump_json())
    _statistics(64).save(root / "slice_statistics.npz")
    curve = {"raw": [0.0, 1.0], "confidence": [0.0, 1.0], "n": 3}
    (root / "calibration.json").write_text(json.dumps({"kidney": curve, "patients": 3}))
    for name in ("localizer.onnx", "segmenter.onnx", "MODEL_CARD.md"):
        (root / name).write_bytes(b"a graph")
    write_sums(root)
    damaged = ("plan.json", "slice_statistics.npz", "calibration.json")
    return Kind("bundle", _below(root), Bundle.open, damaged, prepare=write_sums)


def nifti(dtype: Any) -> bytes:
    generator = np.random.default_rng(0)
    voxels = generator.integers(0, 3, (6, 5, 4)).astype(dtype)
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_xyzt_units("mm")
    image = nib.Nifti1Image(voxels, np.diag([-0.8, 0.8, 3.0, 1.0]), header)
    return bytes(image.to_bytes())


def _dataset(number: int, sop_class: str, syntax: str = ExplicitVRLittleEndian) -> Any:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = UID(sop_class)
    uid = generate_uid(entropy_srcs=[str(number), sop_class])
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid
    for name in ("Study", "Series"):
        setattr(dataset, f"{name}InstanceUID", generate_uid(entropy_srcs=[name]))
    dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame"])
    dataset.PatientName, dataset.PatientID, dataset.Modality = "Phantom^A", "1", "CT"
    dataset.SeriesDescription, dataset.SeriesNumber = "Abdomen", 4
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 36, 40, 1
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    return dataset


def _saved(dataset: Any) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def ct_slice(number: int, syntax: str = ExplicitVRLittleEndian) -> bytes:
    dataset = _dataset(number, CTImageStorage)
    dataset.ImageType, dataset.AcquisitionNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], 1
    dataset.InstanceNumber = number + 1
    dataset.ImagePositionPatient = [-4.0, -4.0, 2.5 * number]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness = [0.8, 0.8], 2.5
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.ConvolutionKernel = "B30f"
    dataset.PixelData = (
        np.random.default_rng(number).integers(0, 1200, (36, 40)).astype(np.int16).tobytes()
    )
    dataset["PixelData"].VR = "OW"
    if syntax == DeflatedExplicitVRLittleEndian:
        dataset.file_meta.TransferSyntaxUID = syntax
    elif syntax != ExplicitVRLittleEndian:
        dataset.compress(syntax)
    return _saved(dataset)


def enhanced() -> bytes:
    dataset = _dataset(0, EnhancedCTImageStorage)
    dataset.ImageType, dataset.NumberOfFrames = ["ORIGINAL", "PRIMARY", "VOLUME"], 3
    shared = Dataset()
    shared.PixelMeasuresSequence = [_item(PixelSpacing=[0.8, 0.8], SliceThickness=2.5)]
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    shared.PixelValueTransformationSequence = [
        _item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    ]
    frames = [
        _item(PlanePositionSequence=[_item(ImagePositionPatient=[-4.0, -4.0, 2.5 * number])])
        for number in range(3)
    ]
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    dataset.PixelData = (
        np.random.default_rng(0).integers(0, 1200, (3, 36, 40)).astype(np.int16).tobytes()
    )
    dataset["PixelData"].VR = "OW"
    return _saved(dataset)


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def packed(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def directory(files: dict[str, bytes]) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["directory"])
    dataset.FileSetID = "FUZZ"
    dataset.DirectoryRecordSequence = Sequence(
        [_item(DirectoryRecordType="IMAGE", ReferencedFileID=name.upper().split("/")) for name in files]
    )
    return _saved(dataset)


def seg() -> bytes:
    dataset = _dataset(0, SegmentationStorage)
    dataset.Modality, dataset.SegmentationType, dataset.NumberOfFrames = "SEG", "BINARY", 3
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit, dataset.PixelRepresentation = 0, 0
    kidney = _item(CodeValue="64033007", CodingSchemeDesignator="SCT", CodeMeaning="Kidney")
    dataset.SegmentSequence = [
        _item(SegmentNumber=1, SegmentLabel="Kidney", SegmentedPropertyTypeCodeSequence=[kidney])
    ]
    shared = _item(
        PixelMeasuresSequence=[
            _item(PixelSpacing=[0.8, 0.8], SliceThickness=2.5, SpacingBetweenSlices=2.5)
        ],
        PlaneOrientationSequence=[_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=1)],
    )
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [
        _item(PlanePositionSequence=[_item(ImagePositionPatient=[-4.0, -4.0, 2.5 * number])])
        for number in range(3)
    ]
    bits = np.random.default_rng(0).integers(0, 2, 3 * 36 * 40)
    dataset.PixelData = np.packbits(bits, bitorder="little").tobytes()
    dataset["PixelData"].VR = "OB"
    return _saved(dataset)
