"""Reading CT from DICOM: folders, studies, archives; which series; its slices into one volume."""

from renalmap.imaging.dicom.choice import DicomChoice
from renalmap.imaging.dicom.files import DicomFile
from renalmap.imaging.dicom.source import DicomSource, SourceInstance

__all__ = ["DicomChoice", "DicomFile", "DicomSource", "SourceInstance"]
