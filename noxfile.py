"""What `make nightly` runs: the tests under every Python that is installed, and with the lowest dependencies.

`.venv/bin/nox --list` names the sessions; `.venv/bin/nox -s lowest -- tests/imaging` runs some tests in one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import nox

PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
FOR_USERS: Final = ("charts", "cluster", "evaluation", "fetch", "mesh", "openvino", "train")

nox.options.default_venv_backend = (
    "venv"  # pip, as the Makefile: uv would not see constraints.txt's torch everywhere
)
nox.options.error_on_missing_interpreters = False

_pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
if _pyenv.is_dir():  # its commands find only the versions that are switched on
    os.environ["PYENV_VERSION"] = ":".join(
        sorted((each.name for each in _pyenv.glob("3.*")), reverse=True)
    )


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests with the versions that constraints.txt pins."""
    session.install("-c", "constraints.txt", "-e", ".[dev]")
    run_tests(session)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """All tests with the lowest versions that pyproject.toml allows, but PyTorch as pinned and the newest tools."""
    folder = Path(session.create_tmp())
    versions, torch = folder / "lowest.txt", folder / "torch.txt"
    pins = Path("constraints.txt").read_text().splitlines()
    torch.write_text(next(pin for pin in pins if pin.startswith("torch==")))  # older: gigabytes of CUDA
    extras = [argument for extra in FOR_USERS for argument in ("--extra", extra)]
    resolve = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--resolution", "lowest-direct"]
    resolve += ["--override", str(torch), "--output-file", str(versions)]
    session.run_install(*resolve, *extras, "pyproject.toml", external=True)
    session.install("-c", str(versions), "-e", ".[dev]")
    run_tests(session)


def run_tests(session: nox.Session) -> None:
    """Pytest with what stands behind `--`; all tests in two processes without it."""
    session.run(
        "pytest", *(session.posargs or ("-n", "2", "--dist", "loadfile")), env={"OMP_NUM_THREADS": "1"}
    )
