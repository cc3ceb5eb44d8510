"""Run by torchrun: both stages, one after the other, by processes that meet once.

torchrun --nproc-per-node 2 both_stages.py STORE SETTINGS.toml RUN
"""

from __future__ import annotations

import sys
from pathlib import Path

from renalmap.api.train import STAGES, load_train_settings, train_stages

if __name__ == "__main__":
    store, config, run = map(Path, sys.argv[1:])
    train_stages(store, {stage: load_train_settings(stage, config, {}) for stage in STAGES}, run)
