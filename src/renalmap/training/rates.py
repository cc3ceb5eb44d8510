"""The learning-rate range test (Smith 2017, arXiv:1506.01186): short, on a network that is thrown away."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from renalmap.dataset.store import Store
from renalmap.errors import ConfigError
from renalmap.imaging.files import csv_text, write_text_atomically
from renalmap.training.batches import BatchMaker, stream_ahead
from renalmap.training.checkpoint import load_initial_weights
from renalmap.training.launch import Launch
from renalmap.training.loop import as_trained, make_synthesiser
from renalmap.training.settings import TrainSettings
from renalmap.training.trainer import Trainer

STEPS = 100
RATES = (1e-6, 1.0)
"""The rate grows evenly in its logarithm from the first to the last."""

_SMOOTHING = 0.9
_DIVERGED = 2.0
_LEAST_FALL = 1e-3  # of the loss, while the rate grows e-fold
_SKIPPED = 10  # the smoothed loss has to settle


@dataclass(frozen=True)
class RateTest:
    """What a range test saw.

    Attributes:
        rates: learning rate of each step.
        losses: of each step's batch.
        smoothed: exponentially weighted means of the losses.
        suggestion: the rate at which the smoothed loss fell fastest; None where it never fell.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None

    def write(self, path: Path) -> None:
        """Write rates and losses as CSV, atomically."""
        columns = ("learning_rate", "loss", "smoothed")
        rows = zip(self.rates, self.losses, self.smoothed, strict=True)
        write_text_atomically(
            path, csv_text(columns, (dict(zip(columns, row, strict=True)) for row in rows))
        )


def find_learning_rate(
    store: Store,
    settings: TrainSettings,
    *,
    initial: Path | None = None,
    on_step: Callable[[int, float], None] = lambda *_: None,
) -> RateTest:
    """Train on the run's first batches at a growing rate, until the loss has doubled or the steps are over.

    `on_step` is called with the number of steps done and the loss; otherwise the arguments are those of `loop.train`.

    Raises:
        ConfigError: there is more than one process.
        StoreError: there is nothing to train on.
    """
    launch = Launch.from_environment()
    if launch.world > 1:
        raise ConfigError("the learning-rate test is for one process", got=f"{launch.world} processes")
    store = as_trained(store, settings)
    maker = BatchMaker(store, settings, make_synthesiser(store, settings), launch)
    trainer = Trainer(settings, maker, launch)
    if initial is not None:
        load_initial_weights(initial, trainer.network)
    rates = np.geomspace(*RATES, STEPS).tolist()
    losses: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    for step, batch in enumerate(stream_ahead(maker.make, 0, STEPS, settings.prefetch)):
        losses.append(trainer.step(step, batch, rates[step]))
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * losses[-1]
        smoothed.append(mean / (1 - _SMOOTHING ** (step + 1)))
        on_step(step + 1, losses[-1])
        if not math.isfinite(losses[-1]) or smoothed[-1] > _DIVERGED * min(smoothed):
            break
    used = tuple(rates[: len(losses)])
    return RateTest(used, tuple(losses), tuple(smoothed), suggest_rate(used, smoothed))


def suggest_rate(rates: tuple[float, ...], smoothed: list[float]) -> float | None:
    """The rate at which the smoothed loss falls fastest over the rate's logarithm; None if it hardly falls."""
    if len(rates) <= _SKIPPED + 1:
        return None
    falls = np.gradient(np.asarray(smoothed), np.log(rates))[_SKIPPED:]
    falls = np.where(np.isfinite(falls), falls, 0.0)
    if falls.min() > -_LEAST_FALL:
        return None
    return float(rates[_SKIPPED + int(falls.argmin())])
