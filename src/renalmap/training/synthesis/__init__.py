"""Synthetic tumours and cysts, painted on real slices during training, so that their labels cost nothing."""

from renalmap.training.synthesis.settings import SynthesisSettings
from renalmap.training.synthesis.shapes import LesionShapes
from renalmap.training.synthesis.synthesiser import Synthesiser

__all__ = ["LesionShapes", "SynthesisSettings", "Synthesiser"]
