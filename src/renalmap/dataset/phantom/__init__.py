"""A synthetic abdominal CT with known labels, for the demonstration, the tests and training."""

from renalmap.dataset.phantom.config import Lesion, LesionTruth, Phantom, PhantomConfig
from renalmap.dataset.phantom.kits import write_kits_layout
from renalmap.dataset.phantom.make import make_phantom

__all__ = ["Lesion", "LesionTruth", "Phantom", "PhantomConfig", "make_phantom", "write_kits_layout"]
