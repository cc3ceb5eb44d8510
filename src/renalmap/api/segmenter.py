"""The entry point of the Python API: from a scan, wherever it is, to a `Result`."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from renalmap.anatomy import Anatomy
from renalmap.api.result import AxisOrder, Result
from renalmap.bundle import Bundle, default_bundle_path
from renalmap.errors import ConfigError, UnreadableImageError
from renalmap.imaging import Volume, read_volume
from renalmap.imaging.dicom.choice import DicomChoice
from renalmap.imaging.in_memory import (
    is_nibabel_image,
    is_sitk_image,
    volume_from_array,
    volume_from_nibabel,
    volume_from_sitk,
)
from renalmap.inference.cascade import Cascade, SegmentOptions
from renalmap.inference.quality import assess_quality
from renalmap.inference.session import Device, Engine, Runtime
from renalmap.progress import Progress

KINDS: Final = "a path, a nibabel image, a SimpleITK image, or an array with affine="


class Segmenter:
    """A model loaded once, for many scans.

    Args:
        model: a bundle's folder; None takes the one that ships with the package.
        engine: `onnxruntime`, or `openvino`, which is an extra.
        device: `cpu` or `cuda`.
        options: threads, and rules to follow instead of the bundle's.

    Raises:
        BundleError: the bundle is incomplete or damaged.
        ConfigError: the device is not available.
        MissingDependencyError: the engine is not installed.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        engine: Engine = "onnxruntime",
        device: Device = "cpu",
        options: SegmentOptions = SegmentOptions(),
    ) -> None:
        self.bundle = Bundle.open(default_bundle_path() if model is None else Path(model))
        self.options = options
        self._cascade = Cascade(self.bundle, Runtime(engine, device, options.threads))

    def segment(
        self,
        scan: Any,
        *,
        affine: ArrayLike | None = None,
        dicom: DicomChoice | None = None,
        progress: Progress = lambda *_: None,
    ) -> Result:
        """Segment a scan.

        Args:
            scan: the path of a NIfTI file or of DICOM (a folder, a `.zip`), a nibabel image, a SimpleITK image, or a
                three-dimensional array in HU.
            affine: with an array, and only then: (4, 4), index to world (mm, RAS+ as in NIfTI).
            dicom: what to take of a path that holds several DICOM series or acquisitions; of a NIfTI file or an image
                read from one, which `orientation` counts.
            progress: called after every slice.

        Returns:
            Labels, measurements, cautions. Where no kidney was found all labels are 0, and the flags say so.

        Raises:
            InputError: its child that names the trouble with the scan.
        """
        start = time.perf_counter()
        volume, axis_order = read_scan(scan, affine=affine, dicom=dicom)
        seconds = {"read": time.perf_counter() - start}
        result = self.segment_volume(volume, progress)
        return replace(result, seconds={**seconds, **result.seconds}, axis_order=axis_order)

    def segment_volume(self, volume: Volume, progress: Progress = lambda *_: None) -> Result:
        """Segment what `renalmap.imaging.read_volume` read; otherwise as `segment`."""
        found = self._cascade.segment(volume, self.options, progress)
        start = time.perf_counter()
        anatomy = Anatomy.of(found.label_map, volume, body=found.body)
        quality = assess_quality(anatomy, found, self.bundle.calibration)
        seconds = {**found.seconds, "quality": time.perf_counter() - start}
        return Result(volume, found, anatomy, quality, seconds, self.bundle.digest)


def segment(
    scan: Any,
    *,
    affine: ArrayLike | None = None,
    dicom: DicomChoice | None = None,
    model: str | os.PathLike[str] | None = None,
    engine: Engine = "onnxruntime",
    options: SegmentOptions = SegmentOptions(),
) -> Result:
    """Segment kidneys and tumours on one CT scan.

    The model is loaded on every call; for many scans, or a GPU, make a `Segmenter`.

    Args:
        scan: the path of a NIfTI file or of DICOM (a folder, a `.zip`), a nibabel image, a SimpleITK image, or a
            three-dimensional array in HU.
        affine: with an array, and only then: (4, 4), index to world (mm, RAS+ as in NIfTI).
        dicom: what to take of a path that holds several DICOM series or acquisitions; of a NIfTI file or an image
            read from one, which `orientation` counts.
        model: a bundle's folder; None takes the one that ships with the package.
        engine: `onnxruntime`, or `openvino`, which is an extra.
        options: threads, and rules to follow instead of the bundle's.

    Returns:
        Labels, measurements, cautions. Where no kidney was found all labels are 0, and the flags say so.

    Raises:
        InputError: its child that names the trouble with the scan, the model or the engine.
    """
    segmenter = Segmenter(model, engine=engine, options=options)
    return segmenter.segment(scan, affine=affine, dicom=dicom)


def read_scan(
    scan: Any, *, affine: ArrayLike | None = None, dicom: DicomChoice | None = None
) -> tuple[Volume, AxisOrder]:
    """A scan from wherever it is, and the axis order of its owner's arrays.

    Raises:
        UnreadableImageError: it is not of a kind that can be read.
        ConfigError: an affine for something that has its own, or a choice of DICOM series for an image.
        InputError: another kind of it that names the fault.
    """
    if affine is not None and not _is_array(scan):
        raise ConfigError(
            "an affine goes only with an array; files and images have their own",
            got=f"affine= and a {_kind(scan)}",
        )
    if isinstance(scan, (str, os.PathLike)):
        return read_volume(Path(scan), dicom), "ijk"
    orientation = None if dicom is None else dicom.orientation
    if dicom not in (None, DicomChoice(orientation=orientation)):
        raise ConfigError("only a path can hold several DICOM series", got=f"dicom= and a {_kind(scan)}")
    if is_sitk_image(scan):
        return volume_from_sitk(scan, orientation=orientation), "kji"
    if is_nibabel_image(scan):
        return volume_from_nibabel(scan, orientation=orientation), "ijk"
    if _is_array(scan):
        return volume_from_array(np.asarray(scan), affine), "ijk"
    raise UnreadableImageError(
        "this is not a scan",
        got=f"a {_kind(scan)}",
        expected=KINDS,
        hint="One scan per call: make a Segmenter and loop" if isinstance(scan, (list, tuple)) else None,
    )


def _is_array(scan: Any) -> bool:
    images = is_sitk_image(scan) or is_nibabel_image(scan)
    return isinstance(scan, np.ndarray) or (hasattr(scan, "__array__") and not images)


def _kind(scan: Any) -> str:
    return type(scan).__qualname__
