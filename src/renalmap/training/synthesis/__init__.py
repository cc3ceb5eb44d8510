"""Tumours and cysts that never were: painted on real slices while training, so that labels cost nothing."""

from renalmap.training.synthesis.settings import SynthesisSettings
from renalmap.training.synthesis.shapes import LesionShapes
from renalmap.training.synthesis.synthesiser import Synthesiser

__all__ = ["LesionShapes", "SynthesisSettings", "Synthesiser"]
