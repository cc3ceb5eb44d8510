"""Models: train a stage, export a bundle. Torch is imported when these are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from renalmap import __version__
from renalmap.bundle import Bundle
from renalmap.config import load_settings, read_toml
from renalmap.dataset.store import Store
from renalmap.errors import BundleError, ConfigError, OutputExistsError
from renalmap.extras import import_extra
from renalmap.recipes import RecipeName, read_recipe
from renalmap.report import check_charts_available, draw_learning_rates, draw_training_curve

if TYPE_CHECKING:
    from renalmap.training.loop import StepReport, TrainResult
    from renalmap.training.settings import Stage, TrainSettings


STAGES: Final[tuple[Stage, ...]] = ("localize", "segment")


def load_train_settings(
    stage: Stage, config: Path | None, flags: Mapping[str, Any], recipe: RecipeName | None = None
) -> TrainSettings:
    """Training settings of a stage: defaults, a recipe, a TOML file, then flags that are not None.

    The file's tables `[localize]` and `[segment]` are of one stage alone, all else of both.

    Raises:
        InputError: the file is missing or a setting is wrong.
    """
    if config is not None:
        _refuse_stage(config)
    settings: TrainSettings = load_settings(
        _training("settings").TrainSettings,
        config,
        {**flags, "stage": stage},
        read_recipe(recipe, stage),
        table=stage,
        tables=STAGES,
    )
    return settings


def _refuse_stage(config: Path) -> None:
    content = read_toml(config)
    tables = [content, *(content[stage] for stage in STAGES if isinstance(content.get(stage), dict))]
    if any("stage" in table for table in tables):
        raise ConfigError(
            "a file of settings does not say which stage is trained",
            where=config,
            got="stage",
            hint="Give --stage; what is of one stage alone goes into the table of its name",
        )


def train_stage(
    store: Path,
    settings: TrainSettings,
    run: Path,
    *,
    initial: Path | None = None,
    report: StepReport = lambda *_: None,
) -> TrainResult:
    """Train one stage on a prepared store, and draw its curve.

    Raises:
        InputError: as `Store.open` and `train`.
        MissingDependencyError: torch or matplotlib is not installed; found out before training begins.
    """
    check_charts_available()
    result = _train(Store.open(store), settings, run, initial, report)
    _training("pooling").leave_processes()
    return result


def _train(
    store: Store, settings: TrainSettings, run: Path, initial: Path | None, report: StepReport
) -> TrainResult:
    result: TrainResult = _training("loop").train(store, settings, run, initial=initial, report=report)
    if result.leads:
        draw_training_curve(_training("log").read_log(result.log), run / "training_curve.png")
    return result


def train_stages(
    store: Path,
    settings: Mapping[Stage, TrainSettings],
    run: Path,
    report: Callable[[Stage, int, float, object], None] = lambda *_: None,
) -> dict[Stage, TrainResult]:
    """Train both stages, one after the other, in the folders `localize` and `segment` of a run.

    Args:
        store: a prepared store.
        settings: of either stage.
        run: the folder. What is finished in it is not done again.
        report: told (stage, steps done, loss, the validation if there was one).

    Returns:
        How each stage's run ended. Under torchrun or srun the processes have parted by then: a process
        calls this once.

    Raises:
        RenalMapError: as `train_stage`; what can be known of stage 2 before stage 1 is, before it.
    """
    check_charts_available()
    _training("export")  # what it needs to be installed is not found missing after days
    opened = Store.open(store)
    for stage in STAGES:
        _training("loop").check_run(opened, settings[stage], run / stage)
    results = {
        stage: _train(opened, settings[stage], run / stage, None, partial(report, stage))
        for stage in STAGES
    }
    # Not between the stages: processes that have parted do not meet again.
    _training("pooling").leave_processes()
    return results


def check_own_bundle(folder: Path) -> None:
    """Refuse to put a run's bundle where something else lies.

    Raises:
        OutputExistsError: the folder exists and is no bundle.
    """
    if not folder.exists():
        return
    try:
        Bundle.open(folder)
    except BundleError as error:
        raise OutputExistsError(
            "the run's bundle would replace something else",
            where=folder,
            got="no bundle",
            hint="Move it away, or give another --out",
        ) from error


def is_leading_process() -> bool:
    """Whether this process is alone, or the one of torchrun's or srun's that reports."""
    leads: bool = _training("launch").Launch.from_environment().leads
    return leads


def find_learning_rate(
    store: Path,
    settings: TrainSettings,
    run: Path,
    *,
    initial: Path | None = None,
    report: Callable[[int, int, float], None] = lambda *_: None,
) -> float | None:
    """Try learning rates out in a short training, and chart them: `find_lr.png` and `find_lr.csv` in `run`.

    Nothing else of the run is touched.

    Args:
        store: a prepared store.
        settings: of the run that the rate is for.
        run: the run's folder, made if it is missing.
        initial: a checkpoint to start from, as the run would.
        report: told (steps done, most steps, loss).

    Returns:
        A suggestion; None where the loss never fell.

    Raises:
        InputError: as `train_stage`; more than one process.
    """
    check_charts_available()
    rates = _training("rates")
    found = rates.find_learning_rate(
        Store.open(store),
        settings,
        initial=initial,
        report=lambda done, loss: report(done, rates.STEPS, loss),
    )
    run.mkdir(parents=True, exist_ok=True)
    found.write(run / "find_lr.csv")
    losses = {"loss": found.losses, "smoothed loss": found.smoothed}
    draw_learning_rates(found.rates, losses, found.suggestion, run / "find_lr.png")
    suggestion: float | None = found.suggestion
    return suggestion


@dataclass(frozen=True)
class ExportRequest:
    """What goes into a bundle besides the networks.

    Attributes:
        card: a model card; without one, the card says only what was trained on.
        rules: a TOML file with values for the Plan's fields that only inference reads.
        calibration: the calibration of confidences.
        overwrite: replace a bundle that exists.
    """

    card: Path | None = None
    rules: Path | None = None
    calibration: Path | None = None
    overwrite: bool = False


def export_model(
    store: Path,
    localizer: Sequence[Path],
    segmenter: Sequence[Path],
    out: Path,
    request: ExportRequest = ExportRequest(),
) -> Bundle:
    """Make a bundle of trained checkpoints.

    Args:
        store: the store all were trained on.
        localizer: stage 1's checkpoint, or several to be averaged; a run's folder stands for its best.
        segmenter: stage 2's, likewise.
        out: the bundle's folder.
        request: what else goes into it.

    Raises:
        RenalMapError: as `export_bundle`.
    """
    opened = Store.open(store)
    export = _training("export")
    extras = export.BundleExtras(
        card=(
            _default_card(opened, len(localizer), len(segmenter))
            if request.card is None
            else request.card.read_text(encoding="utf-8")
        ),
        rules={} if request.rules is None else read_toml(request.rules),
        calibration=request.calibration,
    )
    bundle: Bundle = export.export_bundle(
        opened,
        _checkpoints(localizer),
        _checkpoints(segmenter),
        out,
        extras,
        overwrite=request.overwrite,
    )
    return bundle


def _checkpoints(paths: Sequence[Path]) -> list[Path]:
    best: str = _training("loop").BEST
    return [path / best if path.is_dir() else path for path in paths]


def _default_card(store: Store, localizers: int, segmenters: int) -> str:
    cases = ", ".join(f"{len(store.part(part))} {part}" for part in ("train", "validation", "test"))
    averaged = ""
    if localizers > 1 or segmenters > 1:
        averaged = f"Averaged over networks: {localizers} in stage 1, {segmenters} in stage 2.\n\n"
    return (
        "# Model card\n\n"
        f"Made by RenalMap {__version__} from {len(store.entries)} cases ({cases}).\n\n"
        f"{averaged}"
        "Accuracy: not stated. Measure it with `renalmap test` on patients it was not trained on.\n\n"
        "Not a medical device. Research use only.\n"
    )


def _training(module: str) -> Any:
    return import_extra(f"renalmap.training.{module}", "training")
