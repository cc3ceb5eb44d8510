"""A synthetic abdominal CT with known labels, for the demonstration, the tests and training."""

from renalmap.phantom.config import Lesion, LesionTruth, Phantom, PhantomConfig
from renalmap.phantom.kits import write_kits_layout
from renalmap.phantom.make import make_phantom

__all__ = ["Lesion", "LesionTruth", "Phantom", "PhantomConfig", "make_phantom", "write_kits_layout"]
