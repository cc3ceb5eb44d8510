"""What kind of DICOM object, of reconstruction kernel and of contrast phase the headers speak of."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

Kernel = Literal["soft tissue", "unknown", "sharp"]

CT_CLASSES: Final = {
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
}
"""CT, enhanced CT, legacy converted enhanced CT (DICOM PS3.4 B.5)."""
_REPORT_CLASSES: Final = "1.2.840.10008.5.1.4.1.1.88."
_DOSE_REPORT_CLASS: Final = "1.2.840.10008.5.1.4.1.1.88.67"
_SECONDARY_CAPTURE_CLASSES: Final = "1.2.840.10008.5.1.4.1.1.7"
_SCOUTS: Final = {"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM"}
_PROJECTION: Final = re.compile(
    r"MIP|\bM(AX|IN|N) ?IP\b|PROJECTION|RENDER|\b(VRT|VR|SSD|CPR)\b|3D EDITOR"
)
SCOUT: Final = "scout"
SCREENSHOT: Final = "no position in the patient (a screenshot)"
MULTI_FRAME: Final = "multi-frame, without a position for each frame"
COLOUR: Final = "in colour"


def why_no_ct_image(dataset: Any) -> str | None:
    """Why a DICOM object does not contain a CT image, from its top-level tags; None if it does.

    Objects whose SOP class and modality were stripped are given the benefit of the doubt.
    """
    sop_class = str(dataset.get("SOPClassUID") or "")
    modality = str(dataset.get("Modality") or "").upper()
    described = f"{dataset.get('SeriesDescription') or ''} {dataset.get('ImageType') or ''}".upper()
    known_other = sop_class != "" and sop_class not in CT_CLASSES
    many = int(dataset.get("NumberOfFrames") or 1) > 1
    rules = (
        (sop_class == _DOSE_REPORT_CLASS or (known_other and "DOSE" in described), "dose report"),
        (sop_class.startswith(_REPORT_CLASSES), "report, not an image"),
        (sop_class.startswith(_SECONDARY_CAPTURE_CLASSES), "secondary capture"),
        (modality not in ("CT", ""), f"{modality}, not CT"),
        (not dataset.get("Rows"), "no image"),
        (int(dataset.get("SamplesPerPixel") or 1) > 1, COLOUR),
        (many and not dataset.get("PerFrameFunctionalGroupsSequence"), MULTI_FRAME),
        (known_other, "another kind of object, not a CT image"),
    )
    return next((reason for applies, reason in rules if applies), None)


def why_no_ct_slice(tags: dict[str, Any], image_type: tuple[str, ...]) -> str | None:
    """Why a CT image or frame is not a slice to segment; None if it is.

    Args:
        tags: ImagePositionPatient, ImageOrientationPatient and PixelSpacing, any of them None.
        image_type: ImageType's or FrameType's values, upper case.
    """
    if _SCOUTS & set(image_type):
        return SCOUT
    lengths = (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2))
    lacking = [name for name, length in lengths if len(tags[name] or ()) != length]
    if lacking and "SECONDARY" in image_type:
        return SCREENSHOT
    return f"no {', '.join(lacking)}" if lacking else None


def is_projection(image_type: tuple[str, ...]) -> bool:
    """Whether a slice's values are not those of one place: maximum intensities, renderings, curved planes.

    Manufacturers prefix such words (CT_SOM5 MIP). Reformats and averages are still HU.
    """
    return any(_PROJECTION.search(value.replace("_", " ")) for value in image_type)


_SOFT_WORDS: Final = re.compile(r"SOFT|STANDARD|STND|SMOOTH|BODY|ABDOMEN|DETAIL|^[ABC]$|WEICH")
_SHARP_WORDS: Final = re.compile(r"BONE|LUNG|EDGE|SHARP|ULTRA|CHST|KNOCHEN|LUNGE|^Y[A-D]$|^[DEFL]$")
_SIEMENS: Final = re.compile(r"^[A-Z]{1,2}(\d{2})[A-Z]*$")
_CANON: Final = re.compile(r"^FC(\d{2})$")
_SIEMENS_SHARP_FROM: Final = 50
_CANON_SHARP: Final = (*range(30, 40), *range(50, 60), *range(80, 90))


_DESCRIBED: Final = re.compile(
    r"\b(?:(?P<sharp>LUNG|BONE|SHARP|LUNGE|KNOCHEN)|(?P<soft>SOFT|WEICH\w*))\b"
)


def kernel_kind(kernel: str, description: str = "") -> Kernel:
    """Whether a reconstruction kernel is meant for soft tissue.

    By the manufacturers' naming: GE's words; Siemens's and UIH's number, which grows with sharpness (B30f, Br40d,
    Bl57); Canon's FC series; Philips's letters.

    Args:
        kernel: ConvolutionKernel; of several values the first decides.
        description: SeriesDescription, whose words for lung, bone and soft tissue count if the kernel's
            name explains nothing.

    Returns:
        `unknown` for a name that none of these explains, and for none at all.
    """
    name = kernel.split("\\", maxsplit=1)[0].strip().upper()
    if canon := _CANON.match(name):
        return "sharp" if int(canon[1]) in _CANON_SHARP else "soft tissue"
    if siemens := _SIEMENS.match(name):
        return "sharp" if int(siemens[1]) >= _SIEMENS_SHARP_FROM else "soft tissue"
    if _SHARP_WORDS.search(name):
        return "sharp"
    if _SOFT_WORDS.search(name):
        return "soft tissue"
    described = _DESCRIBED.search(description.upper().replace("_", " "))
    if described is None:
        return "unknown"
    return "sharp" if described["sharp"] else "soft tissue"


_PHASES: Final = {
    "unenhanced": r"non[- ]?con\w*|no contrast|without( contrast)?|w/?o( con\w*)?|unenhanced|native?|plain|ncct",
    "arterial": r"art|arterial|arteriell|corticomedullary|cortico",
    "portal": r"pv|pvp|port|portal|portovenous|ven|venous|venos",
    "nephrographic": r"nephro|nephrographic|nephrogenic|parenchymal",
    "excretory": r"excretory|excretion|urographic|uro|delay|delayed|late",
}
_PHASE_PATTERNS: Final = {
    phase: re.compile(rf"(?<![a-z])({words})(?![a-z])", re.IGNORECASE)
    for phase, words in _PHASES.items()
}


def phase_from_words(*texts: str) -> str | None:
    """The contrast phase that descriptions name; None if they name none, or several."""
    joined = " ".join(texts).replace("_", " ")
    named = [phase for phase, pattern in _PHASE_PATTERNS.items() if pattern.search(joined)]
    return named[0] if len(named) == 1 else None
