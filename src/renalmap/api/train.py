"""From a store to trained networks and a bundle. Torch is imported only when this is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from renalmap.api.export import ExportRequest, export, training
from renalmap.api.listener import Listener
from renalmap.bundle import Bundle
from renalmap.config import load_settings, read_toml
from renalmap.dataset.store import Store
from renalmap.errors import ConfigError, as_output_error, is_full_disk
from renalmap.imaging.files import check_replaceable, make_folder, remove_left_overs
from renalmap.recipes import RecipeName, read_recipe
from renalmap.report import check_charts_available, draw_learning_rates, draw_training_curve

if TYPE_CHECKING:
    from renalmap.training.loop import OnStep, TrainResult
    from renalmap.training.settings import Stage, TrainSettings


STAGES: Final[tuple[Stage, ...]] = ("localize", "segment")


@dataclass(frozen=True)
class TrainRequest:
    """What to train.

    Attributes:
        stage: a single network; None trains both and makes a bundle.
        config: a TOML file of training settings, which override the recipe's.
        flags: settings that override the file's; None means not given.
        recipe: named settings to start from.
        initial: a checkpoint to start a stage from.
    """

    stage: Stage | None = None
    config: Path | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    recipe: RecipeName | None = None
    initial: Path | None = None

    def settings(self, run: Path, *, for_one: str | None = None) -> dict[Stage, TrainSettings]:
        """The settings of each stage that is to be trained.

        Args:
            run: the run's folder.
            for_one: what, apart from `initial`, makes sense only for one stage; for the error.

        Raises:
            ConfigError: the folder is a file, or something about one network is requested for both.
            InputError: the settings are wrong.
        """
        if run.is_file():
            raise ConfigError("--out needs a folder", where=run, got="a file")
        for_one = for_one or (None if self.initial is None else "--initial")
        if self.stage is None and for_one is not None:
            raise ConfigError(
                f"{for_one} is about a single network",
                got="both stages",
                hint="Give --stage localize or --stage segment",
            )
        stages = STAGES if self.stage is None else (self.stage,)
        return {each: load_train_settings(each, self.config, self.flags, self.recipe) for each in stages}


@dataclass(frozen=True)
class Trained:
    """The results of a training.

    Attributes:
        results: how each stage's run ended.
        bundle: made from the best of each; None for one stage, and in a process that does not write.
    """

    results: dict[Stage, TrainResult]
    bundle: Bundle | None = None


def train(
    store: Path, out: Path, request: TrainRequest = TrainRequest(), listener: Listener = Listener()
) -> Trained:
    """Train both networks on a prepared store and make a bundle from the best of each, or train one.

    Both go to the folders `localize` and `segment` of the run, and the bundle to `bundle`. After an interruption, the
    same call continues from the last checkpoint to the same weights. Under torchrun or srun, the processes share every batch.

    Args:
        store: a prepared store.
        out: the run's folder, made if it is missing.
        request: which stages, and their settings.
        listener: kept informed about steps and how each stage ended.

    Raises:
        RenalMapError: as `train_stages` and `export`; what can be known before the training, before
            it.
    """
    settings = request.settings(out)
    if request.stage is None:
        check_replaceable(out / "bundle", training("export").is_bundle, "the run's bundle")
    results = train_stages(store, settings, out, request.initial, listener)
    if not all(result.leads for result in results.values()):
        return Trained(results)
    for stage, result in results.items():
        if result.steps < settings[stage].steps:
            listener.announce(
                f"stopped at step {result.steps}: no better score in {settings[stage].patience} validations"
            )
        listener.announce(f"best validation score {result.best_score:.4f}: {result.best}")
    if request.stage is not None:
        return Trained(results)
    listener.progress("making graphs and comparing them with the networks", 0, 0)
    best = {stage: [result.best] for stage, result in results.items()}
    made = ExportRequest(overwrite=True)
    bundle = export(store, best["localize"], best["segment"], out / "bundle", made)
    return Trained(results, bundle)


def load_train_settings(
    stage: Stage, config: Path | None, flags: Mapping[str, Any], recipe: RecipeName | None = None
) -> TrainSettings:
    """Training settings of a stage: defaults, a recipe, a TOML file, then flags that are not None.

    The file's tables `[localize]` and `[segment]` apply to one stage, everything else to both.

    Raises:
        InputError: the file is missing or a setting is wrong.
    """
    if config is not None:
        _refuse_stage(config)
    settings: TrainSettings = load_settings(
        training("settings").TrainSettings,
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
            "a settings file does not say which stage is trained",
            where=config,
            got="stage",
            hint="Give --stage; settings for one stage go into the table of its name",
        )


def train_stages(
    store: Path,
    settings: Mapping[Stage, TrainSettings],
    run: Path,
    initial: Path | None = None,
    listener: Listener = Listener(),
) -> dict[Stage, TrainResult]:
    """Train one stage in a run's folder; or both, one after the other, in its folders `localize` and `segment`.

    What is finished there is not repeated. The stages' curves are drawn.

    Returns:
        How each stage's run ended. Under torchrun or srun the processes have parted by then, so a process can
        call this only once.

    Raises:
        InputError: as `Store.open` and `renalmap.training.loop.train`; for stage 2, too, before stage 1 is trained
            if it can be known by then.
        MissingDependencyError: torch or matplotlib is not installed; checked before training begins.
    """
    check_charts_available()
    folders = {stage: run / stage if len(settings) > 1 else run for stage in settings}
    if len(settings) > 1:
        training("export")  # so that a missing package is not found only after days
    opened, loop = Store.open(store), training("loop")
    for stage, folder in folders.items():
        loop.check_run(opened, settings[stage], folder)
    listener.progress("starting", 0, 0)
    results: dict[Stage, TrainResult] = {}
    for stage, folder in folders.items():
        on_step = _telling(settings[stage], listener)
        try:
            result = loop.train(opened, settings[stage], folder, initial=initial, on_step=on_step)
        except OSError as error:  # of the log, TensorBoard's files, the run's folder itself
            if not is_full_disk(error):
                raise
            raise as_output_error(folder, error) from error
        if result.leads:
            draw_training_curve(training("log").read_log(result.log), folder / "training_curve.png")
        results[stage] = result
    # Not between the stages: processes that have parted do not meet again.
    training("pooling").leave_processes()
    return results


def _telling(settings: TrainSettings, listener: Listener) -> OnStep:
    """Reports training steps, with the last validation."""
    latest = "not validated yet"

    def told(step: int, loss: float, validation: object) -> None:
        nonlocal latest
        latest = latest if validation is None else str(validation)
        listener.progress(f"{settings.stage}: loss {loss:.3f}  {latest}", step, settings.steps)

    return told


def is_leading_process() -> bool:
    """Whether this process is alone, or the one of torchrun's or srun's that reports."""
    leads: bool = training("launch").Launch.from_environment().leads
    return leads


def find_learning_rate(
    store: Path, run: Path, request: TrainRequest, listener: Listener = Listener()
) -> float | None:
    """Try out learning rates in a short training, and chart them: `find_lr.png` and `find_lr.csv` in `run`.

    The request is that of the run that the rate is for, of one stage; nothing else of the run is touched.

    Returns:
        A suggestion; None if the loss never fell.

    Raises:
        InputError: as `train_stages`; more than one process.
    """
    (settings,) = request.settings(run, for_one="--find-lr").values()
    check_charts_available()
    rates = training("rates")
    found = rates.find_learning_rate(
        Store.open(store),
        settings,
        initial=request.initial,
        on_step=lambda done, loss: listener.progress(f"loss {loss:.3f}", done, rates.STEPS),
    )
    make_folder(run)
    remove_left_overs(run)
    found.write(run / "find_lr.csv")
    losses = {"loss": found.losses, "smoothed loss": found.smoothed}
    draw_learning_rates(found.rates, losses, found.suggestion, run / "find_lr.png")
    suggestion: float | None = found.suggestion
    return suggestion
