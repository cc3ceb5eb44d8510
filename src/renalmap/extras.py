"""Packages that RenalMap can do without: imported where needed, or named with how to install them."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from renalmap.errors import MissingDependencyError

_INSTALLED_BY: Final = {
    "SimpleITK": "SimpleITK",
    "blosc2": "'renalmap[train]'",
    "cryptography": "'renalmap[cluster]'",
    "dask": "'renalmap[cluster]'",
    "dask_jobqueue": "'renalmap[cluster]'",
    "distributed": "'renalmap[cluster]'",
    "highdicom": "highdicom",
    "httpx": "'renalmap[fetch]'",
    "matplotlib": "'renalmap[charts]'",
    "onnxruntime": "onnxruntime",
    "openvino": "'renalmap[openvino]'",
    "pyarrow": "'renalmap[cluster]'",
    "renalmap": "'renalmap[train]'",  # its part that sees torch
    "skimage": "'renalmap[mesh]'",
    "surface_distance": "'renalmap[evaluation]'",
    "trimesh": "'renalmap[mesh]'",
}


def import_extra(module: str, what: str, *, instead: str = "") -> Any:
    """Import a module that an extra of ours installs, or that needs what an extra installs.

    Args:
        module: its full name; the package must be in the list above.
        what: what needs it, for the message.
        instead: what else the user can do.

    Raises:
        MissingDependencyError: it, or something it needs, cannot be imported.
    """
    package = module.partition(".")[0]
    install = _INSTALLED_BY[package]
    try:
        return import_module(module)
    except ImportError as error:
        missing = (error.name or package).partition(".")[0]
        if missing == "renalmap":  # our own mistake, not a missing package
            raise
        raise MissingDependencyError(
            f"{what} needs the package {missing}",
            got=str(error),
            hint=f"Run: pip install {install}" + (f", or {instead}" if instead else ""),
        ) from error
