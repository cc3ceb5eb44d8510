"""Train one stage on several stores, one after the other, in a process of its own.

    python -m experiments.train STORE RUN [STORE RUN ...] [--initial CHECKPOINT]

Each RUN holds the settings, `config.json`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from renalmap.dataset.store import Store
from renalmap.training.loop import train
from renalmap.training.settings import TrainSettings


def main() -> None:
    """Train, or continue."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", type=Path, nargs="+")
    parser.add_argument("--initial", type=Path)
    arguments = parser.parse_args()
    for root, run in zip(arguments.pairs[::2], arguments.pairs[1::2], strict=True):
        text = (run / "config.json").read_text(encoding="utf-8")
        settings = TrainSettings.model_validate_json(text)
        train(Store.open(root), settings, run, initial=arguments.initial)


if __name__ == "__main__":
    main()
