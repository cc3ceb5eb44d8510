"""A run's log: one CSV row per step, and TensorBoard's curves."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from renalmap.imaging.files import write_text_atomically
from renalmap.training.validation import ValidationResult

LOG_COLUMNS = ("step", "loss", "learning_rate", "kidney_dice", "tumour_dice", "score")


class Log:
    """Writes a row after every step. Opened again, it drops the steps after the last checkpoint."""

    def __init__(self, run: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 -- slow, only training needs it

        self.path = run / "log.csv"
        text = io.StringIO()
        kept = csv.writer(text, lineterminator="\n")
        kept.writerows([LOG_COLUMNS, *_rows_until(self.path, step)])
        # Whole before it takes the old one's place: killed here, no row is lost.
        write_text_atomically(self.path, text.getvalue())
        self._handle = self.path.open("a", newline="", encoding="utf-8", buffering=1)
        self._writer = csv.writer(self._handle, lineterminator="\n")
        self._board = SummaryWriter(run / "tensorboard", purge_step=step + 1)

    def write(
        self, step: int, loss: float, learning_rate: float, result: ValidationResult | None
    ) -> None:
        """Add a step; where it was validated, on disk when this returns."""
        row: dict[str, float] = {"loss": loss, "learning_rate": learning_rate}
        if result is not None:
            row |= {f"{name}_dice": value for name, value in result.dice.items()}
            row["score"] = result.score
        for name, value in row.items():
            self._board.add_scalar(name, value, step)
        # Nine digits tell any two single-precision numbers apart.
        self._writer.writerow(
            [step, *[f"{row[name]:.9g}" if name in row else "" for name in LOG_COLUMNS[1:]]]
        )
        if result is not None:
            self._handle.flush()
            os.fsync(self._handle.fileno())
            self._board.flush()

    def close(self) -> None:
        """Close the files."""
        self._handle.close()
        self._board.close()


def read_log(path: Path) -> list[dict[str, str]]:
    """The rows of a run's log, as text by column."""
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def _rows_until(path: Path, step: int) -> list[list[str]]:
    """The first rows of a log, one per step; a row truncated by a kill lies behind every checkpoint."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.reader(handle))[1 : step + 1]
