"""Reading CT from DICOM: folders, studies, archives; which series; its slices into one volume."""
