"""Which public names the reference of the Python API shows; mkdocstrings fills in their docstrings."""

from __future__ import annotations

from typing import Final

SECTIONS: Final = {
    "Segment": (
        "What `import renalmap` offers. [How to use it](../python.md).",
        (
            "renalmap.segment",
            "renalmap.Segmenter",
            "renalmap.Result",
            "renalmap.SegmentOptions",
            "renalmap.DicomChoice",
        ),
    ),
    "Measurements": (
        "What `Result.measurements` holds.",
        (
            "renalmap.measure.measure_label_map",
            "renalmap.measure.Measurements",
            "renalmap.measure.KidneyMeasurement",
            "renalmap.measure.LesionMeasurement",
            "renalmap.measure.Diameter",
            "renalmap.measure.Point",
            "renalmap.measure.Speck",
        ),
    ),
    "Nephrometry": (
        "What `Result.nephrometry` holds. [What each number means](../nephrometry.md).",
        (
            "renalmap.nephrometry.score_label_map",
            "renalmap.nephrometry.Nephrometry",
            "renalmap.nephrometry.LesionNephrometry",
            "renalmap.nephrometry.Score",
            "renalmap.nephrometry.Component",
            "renalmap.nephrometry.KidneyLandmarks",
            "renalmap.nephrometry.Plane",
        ),
    ),
    "Follow-up": (
        "Two scans of one patient. [What the fields mean](../follow-up.md).",
        (
            "renalmap.compare",
            "renalmap.api.compare.Visit",
            "renalmap.api.compare.CompareOutputs",
            "renalmap.api.compare.CompareOutcome",
            "renalmap.followup.compare_anatomies",
            "renalmap.followup.Timepoint",
            "renalmap.followup.Comparison",
            "renalmap.followup.KidneyComparison",
            "renalmap.followup.LesionComparison",
            "renalmap.followup.AlignmentReport",
            "renalmap.followup.Change",
            "renalmap.followup.DoublingTime",
            "renalmap.followup.Caution",
        ),
    ),
    "Anatomy": (
        "What `Result.anatomy` holds: the label map read once, which everything else is told from.",
        (
            "renalmap.anatomy.Anatomy",
            "renalmap.anatomy.Kidney",
            "renalmap.anatomy.Lesion",
            "renalmap.anatomy.Voxels",
            "renalmap.anatomy.Flag",
        ),
    ),
    "Quality": (
        "What a `Result` says about itself. [What the fields mean](../quality.md).",
        (
            "renalmap.inference.quality.QualityReport",
            "renalmap.inference.quality.KidneyReport",
            "renalmap.inference.quality.TumourReport",
            "renalmap.inference.phase.ContrastReport",
        ),
    ),
    "Scans and label maps": (
        "How RenalMap holds voxels, and where they lie in the patient.",
        (
            "renalmap.imaging.read_volume",
            "renalmap.imaging.read_label_map",
            "renalmap.imaging.write_label_map",
            "renalmap.imaging.Volume",
            "renalmap.imaging.LabelMap",
            "renalmap.imaging.Geometry",
            "renalmap.imaging.SourceGrid",
        ),
    ),
    "Scores": (
        "Against a reference. [How they are defined](../results.md).",
        ("renalmap.evaluation.evaluate_case", "renalmap.evaluation.CaseScore"),
    ),
    "The model": (
        "The folder that is loaded, and every decision in it.",
        (
            "renalmap.bundle.Bundle",
            "renalmap.preprocess.plan.Plan",
            "renalmap.inference.cascade.Segmentation",
        ),
    ),
    "Errors": ("Everything that is raised on purpose.", ("renalmap.errors",)),
}


def python_reference() -> str:
    """Markdown with an instruction to mkdocstrings for every name."""
    parts = ["# Python\n"]
    for title, (text, names) in SECTIONS.items():
        parts.append(f"\n## {title}\n\n{text}\n")
        parts += [f"\n::: {name}\n    options:\n      heading_level: 3\n" for name in names]
    return "".join(parts)
