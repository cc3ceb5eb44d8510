"""Commands killed at a few moments; `python -m tests.kills --moments 100` does it at many."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="needs the extra train")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
def test_what_a_kill_leaves_is_whole_and_the_same_command_completes_it():
    commands = ("segment", "cohort", "prepare", "fetch", "test")
    ended = subprocess.run(
        [sys.executable, "-m", "tests.kills", *commands, "--moments", "4"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("; 0 faults") == len(commands)
