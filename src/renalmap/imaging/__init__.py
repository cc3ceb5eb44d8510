"""Scans and label maps: read them, bring them into canonical orientation once, write them back."""

from renalmap.imaging.dicom.choice import DicomChoice
from renalmap.imaging.dicom_files.files import DicomFile
from renalmap.imaging.dicom_files.source import DicomSource, SourceInstance
from renalmap.imaging.hounsfield import HounsfieldDoubt, doubt_hounsfield
from renalmap.imaging.nifti_geometry import Orientation
from renalmap.imaging.nifti_writing import write_label_map, write_probability_map, write_volume
from renalmap.imaging.orientation import build_geometry
from renalmap.imaging.reading import read_geometry, read_label_map, read_volume
from renalmap.imaging.volume import Box, Geometry, LabelMap, SourceGrid, Volume, check_same_grid

__all__ = [
    "Box",
    "DicomChoice",
    "DicomFile",
    "DicomSource",
    "Geometry",
    "HounsfieldDoubt",
    "LabelMap",
    "Orientation",
    "SourceGrid",
    "SourceInstance",
    "Volume",
    "build_geometry",
    "check_same_grid",
    "doubt_hounsfield",
    "read_geometry",
    "read_label_map",
    "read_volume",
    "write_label_map",
    "write_probability_map",
    "write_volume",
]
