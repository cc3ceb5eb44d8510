"""Kill commands by SIGKILL at many moments, and look at what is left: `python -m tests.kills segment fetch --moments 100`.

Half of the moments are file operations (the nth time that a file is opened for writing, renamed or removed, a folder made or
removed), drawn among all that a whole run makes; the others are moments of its duration. A run that ended before its moment came is
not counted, and another moment is drawn. After each kill

- every file under its own name must be whole,
- the same command must succeed, and leave the same files with the same bytes as a run that was never killed, and no others.

Each run is a fork of this process, which has imported everything and started nothing. With `--record FOLDER` each kill is a line of
its `kills.jsonl`, and what that holds already is not done again, nor are the commands' inputs made again.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from tests.kills.scenarios import SCENARIOS, Scenario

_OPERATIONS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def main() -> None:
    """Kill what is asked for; exit code 1 if anything was found wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("commands", nargs="*", choices=[*SCENARIOS, []], default=[])
    parser.add_argument("--moments", type=int, default=100, help="kills of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, help="a folder, whose record is continued")
    given = parser.parse_args()
    if given.record is not None:
        given.record.mkdir(exist_ok=True)
    record = _Record(given.record and given.record / "kills.jsonl")
    for name in given.commands or SCENARIOS:
        done = len(record.of(name))
        if done < given.moments:
            with tempfile.TemporaryDirectory() as root:
                command = _Kills(
                    name, Path(root), (given.record or Path(root)).absolute() / "inputs" / name
                )
                for number in range(done, given.moments):
                    record.add(command.kill(np.random.default_rng((given.seed, number))))
                command.scenario.close()
        _say(record.describe(name))
    sys.exit(any(kill["faults"] for kill in record.kills))


class _Record:
    """Every kill so far, in memory and in a file."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        there = path is not None and path.exists()
        self.kills = (
            [json.loads(line) for line in path.read_text().splitlines()] if path and there else []
        )

    def of(self, name: str) -> list[dict[str, Any]]:
        return [kill for kill in self.kills if kill["command"] == name]

    def add(self, kill: dict[str, Any]) -> None:
        self.kills.append(kill)
        for fault in kill["faults"]:
            _say(f"{kill}: {fault}")
        if self.path is not None:
            with self.path.open("a") as lines:
                lines.write(json.dumps(kill) + "\n")

    def describe(self, name: str) -> str:
        kills = self.of(name)
        at_operations = sum("at_operation" in kill["when"] for kill in kills)
        faults = sum(len(kill["faults"]) for kill in kills)
        operations = max((kill["operations"] for kill in kills), default=0)
        return (
            f"{name}: {len(kills)} kills before the end, {at_operations} of them at one of {operations} "
            f"operations; {faults} faults"
        )


class _Kills:
    """One command."""

    def __init__(self, name: str, root: Path, inputs: Path) -> None:
        self.name, self.root = name, root
        self.scenario = _in_a_fork_made(SCENARIOS[name], inputs)
        code = self._run(root / "reference", count=root / "operations")
        assert code == 0, f"{name} fails without being killed"
        operations, *modules = (root / "operations").read_text().split()
        self.operations = int(operations)
        for module in modules:
            with contextlib.suppress(Exception):  # so that no fork has to
                importlib.import_module(module)
        self.reference = _files(root / "reference")
        self.duration_s = 0.0
        self._run(root / "timed")

    def kill(self, random: np.random.Generator) -> dict[str, Any]:
        """Kill the command once before its end, and look; what was done and what was wrong."""
        out = self.root / "out"
        at_an_operation = bool(random.integers(2))
        while True:
            if at_an_operation:
                when: dict[str, Any] = {"at_operation": int(random.integers(1, self.operations + 1))}
            else:
                when = {"after_s": float(random.uniform(0, self.duration_s))}
            ended = self._run(out, **when)
            if ended == -signal.SIGKILL:
                break
            assert ended == 0, f"{self.name} fails without being killed"
            shutil.rmtree(out)
        faults = self._look(out)
        shutil.rmtree(out)
        return {"command": self.name, "operations": self.operations, "when": when, "faults": faults}

    def _look(self, out: Path) -> list[str]:
        faults = []
        for name, content in _files(out).items():
            path = out / name
            hidden = any(part.startswith(".") for part in Path(name).parts)
            if hidden:
                continue
            try:
                whole = self.scenario.is_whole(path, self.reference.get(name, content))
            except Exception as error:  # noqa: BLE001 -- not even readable
                whole = False
                _say(repr(error))
            if not whole:
                faults.append(f"{name} is not whole")
        if self._run(out) != 0:
            return [*faults, "the second run fails"]
        after = _files(out)
        faults += [f"{name} is left over" for name in after.keys() - self.reference.keys()]
        faults += [f"{name} is missing" for name in self.reference.keys() - after.keys()]
        for name in after.keys() & self.reference.keys():
            if _comparable(name) and after[name] != self.reference[name]:
                faults.append(f"{name} differs from a run that was never killed")
        return faults

    def _run(
        self, out: Path, *, at_operation: int = 0, after_s: float = 0.0, count: Path | None = None
    ) -> int:
        """The exit code of a run in a fork, negative for a signal."""
        if not out.exists():
            out.mkdir()
            self.scenario.set_up(out)
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _be_the_command(self.scenario, out, at_operation, count)
        if after_s:
            time.sleep(after_s)
            os.kill(child, signal.SIGKILL)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if ended == 0 and not after_s:  # how busy the machine is changes
            self.duration_s = time.monotonic() - began
        return ended


def _in_a_fork_made(kind: type[Scenario], inputs: Path) -> Scenario:
    """A scenario whose inputs another process made, so that none of its threads are here."""
    if kind.__name__ != "Fetch":  # whose input is a server in this process
        complete = inputs / "complete"
        if not complete.exists():
            shutil.rmtree(inputs, ignore_errors=True)
            child = os.fork()
            if child == 0:
                _exit_after(lambda: kind(inputs))
            assert os.waitpid(child, 0)[1] == 0, "the inputs could not be made"
            complete.touch()
        kind = type(kind.__name__, (kind,), {"make_inputs": lambda _: None})
    return kind(inputs)


def _be_the_command(scenario: Scenario, out: Path, at_operation: int, count: Path | None) -> None:
    seen = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
        if (writes or event in _OPERATIONS) and str(arguments[0]).startswith(str(out)):
            seen += 1
            if seen == at_operation:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)

    def work() -> None:
        scenario.run(out)
        if count is not None:
            count.write_text(" ".join([str(seen), *list(sys.modules)]))

    _exit_after(work)


def _exit_after(work: Any) -> None:
    try:
        work()
    except BaseException:  # noqa: BLE001 -- this process must not go on as its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and "tensorboard" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def _comparable(name: str) -> bool:
    """Whether a file's bytes say nothing of when and by whom it was made."""
    return not name.endswith((".json", "table.csv"))


if __name__ == "__main__":
    main()
