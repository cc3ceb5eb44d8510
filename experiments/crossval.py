"""Cross-validated comparisons: train every arm's networks fold by fold, score them on held-out patients.

    python -m experiments.crossval run base tversky --jobs 2    # resumable; arms are experiments/arms/*.toml
    python -m experiments.crossval table                        # the rows of docs/results.md

Two arms that agree on a stage share its training. Checkpoints are the last ones, never the best by
validation: the held-out patients choose nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic import BaseModel, ConfigDict
from rich.console import Console

from experiments.cohort import DATA, HERE, Material, Part, load_material
from experiments.scoring import FoldScores, arms_rows, arms_table, score_bundle
from renalmap.bundle import Bundle
from renalmap.config import lay_over, parse_settings, read_toml
from renalmap.dataset.store import Store
from renalmap.imaging.files import write_text_atomically
from renalmap.preprocess import Plan
from renalmap.preprocess.plan import LOCALIZER_FIELDS, SEGMENTER_FIELDS, TRAINING_FIELDS
from renalmap.recipes import RecipeName, RecipePart, read_recipe
from renalmap.training.export import BundleExtras, export_bundle
from renalmap.training.settings import Stage, TrainSettings

WORK = Path("runs/crossval")
ROOT_ARM = "base"
JUDGED_ARM = "base"
"""The arm whose folds give the bundle's figures, rules and calibration."""
FIRST_FOLD: Part = "fold0"
CHECKPOINT = "last.safetensors"
RESULTS = HERE / "results"

Work = Annotated[Path, typer.Option(help="Receives stores and runs; what is there is kept.")]

app = typer.Typer(add_completion=False, no_args_is_help=True)
logger = logging.getLogger(__name__)

_EXPORTING = threading.Lock()
"""torch.export cannot be called from two threads at once."""


class Arm(BaseModel):
    """One row of the table: what it changes of its parent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    parent: str = ROOT_ARM
    recipe: RecipeName | None = None
    """The root's: what of the package lies below everything."""
    continues: str | None = None
    """The arm whose networks of fold 0 this one starts from. It has seen the other folds' patients: it is never scored."""
    plan: dict[str, Any] = {}
    localize: dict[str, Any] = {}
    segment: dict[str, Any] = {}


@dataclass(frozen=True)
class Recipe:
    """An arm with all that its ancestors say."""

    name: str
    title: str
    plan: Plan
    localize: TrainSettings
    segment: TrainSettings
    continues: Recipe | None = None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What is trained."""
        return get_args(Stage)

    def settings(self, stage: Stage) -> TrainSettings:
        """Of a stage."""
        return self.localize if stage == "localize" else self.segment


def load_recipe(name: str, shapes: Path) -> Recipe:
    """An arm of `experiments/arms`, laid over its ancestors.

    Raises:
        InputError: a file is missing or a setting is wrong.
    """
    arm = _read_arm(name)
    merged = _tables_of(arm)
    ancestor, last = arm, name
    while last != ROOT_ARM:
        last = ancestor.parent
        ancestor = _read_arm(last)
        merged = lay_over(_tables_of(ancestor), merged)
    where = HERE / "arms" / f"{name}.toml"
    for stage in get_args(Stage):
        merged[stage] |= {"stage": stage}
        if any(merged[stage].get("synthesis", {}).values()):
            merged[stage] |= {"lesion_shapes": str(shapes)}
        merged[stage].setdefault("validate_every", merged[stage]["steps"])
    return Recipe(
        name=name,
        title=arm.title,
        plan=parse_settings(Plan, merged["plan"], where=where),
        localize=parse_settings(TrainSettings, merged["localize"], where=where),
        segment=parse_settings(TrainSettings, merged["segment"], where=where),
        continues=load_recipe(arm.continues, shapes) if arm.continues else None,
    )


def _read_arm(name: str) -> Arm:
    path = HERE / "arms" / f"{name}.toml"
    return parse_settings(Arm, read_toml(path), where=path)


def _tables_of(arm: Arm) -> dict[str, Any]:
    own = {"plan": arm.plan, "localize": arm.localize, "segment": arm.segment}
    return lay_over({part: read_recipe(arm.recipe, part) for part in get_args(RecipePart)}, own)


def store_of(material: Material, plan: Plan, part: Part) -> Store:
    """A part's store for a Plan; its name is a hash of the Plan."""
    return material.store(plan, f"{_digest(plan.model_dump_json())}-{part}", part)


def run_folder(work: Path, recipe: Recipe, stage: Stage, part: Part) -> Path:
    """Where a stage of an arm is trained: arms that agree on it share the folder."""
    unseen = SEGMENTER_FIELDS if stage == "localize" else LOCALIZER_FIELDS
    # Without defaults, so that a setting that is new to the package does not rename what was trained.
    text = recipe.plan.model_dump_json(include=set(TRAINING_FIELDS - unseen), exclude_defaults=True)
    text += recipe.settings(stage).model_dump_json(exclude_defaults=True)
    if recipe.continues is not None:
        text += run_folder(work, recipe.continues, stage, FIRST_FOLD).name
    return work / "runs" / f"{stage}-{_digest(text)}-{part}"


def train(material: Material, recipe: Recipe, stage: Stage, parts: Sequence[Part]) -> None:
    """Train a stage on several parts, one after the other in one process; what is done stays done."""
    folders = {part: run_folder(material.work, recipe, stage, part) for part in parts}
    waiting = {part: at for part, at in folders.items() if not (at / "run.json").is_file()}
    if not waiting:  # run.json is written last
        return
    settings = recipe.settings(stage)
    arguments = []
    for part, folder in waiting.items():
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomically(folder / "config.json", settings.model_dump_json(exclude_unset=True))
        arguments += [str(store_of(material, recipe.plan, part).root), str(folder)]
    if recipe.continues is not None:
        before = run_folder(material.work, recipe.continues, stage, FIRST_FOLD)
        arguments += ["--initial", str(before / CHECKPOINT)]
    logger.info("%s: training %s on %s", recipe.name, stage, ", ".join(waiting))
    threads = str(settings.threads or os.cpu_count())
    with (next(iter(waiting.values())) / "output.txt").open("a", encoding="utf-8") as output:
        subprocess.run(  # noqa: S603 -- our own module
            [sys.executable, "-m", "experiments.train", *arguments],
            check=True,
            stdout=output,
            stderr=output,
            env={**os.environ, "OMP_NUM_THREADS": threads},
        )


def train_all(material: Material, recipes: Sequence[Recipe], parts: Sequence[Part], jobs: int) -> None:
    """Train all stages of arms on parts, several processes at once: first what others continue."""
    before = [recipe.continues for recipe in recipes if recipe.continues is not None]
    for wanted, on in ((before, (FIRST_FOLD,)), (recipes, parts)):
        tasks = {
            run_folder(material.work, recipe, stage, on[0]): (recipe, stage)
            for recipe in wanted
            for stage in recipe.stages
        }
        for recipe, _ in tasks.values():  # made one by one: they share slices
            for part in on:
                store_of(material, recipe.plan, part)
        with ThreadPoolExecutor(jobs) as pool:
            done = [pool.submit(train, material, *task, on) for task in tasks.values()]
            for one in done:
                one.result()


def score(material: Material, recipe: Recipe, fold: int) -> FoldScores:
    """Score an arm on a fold's patients, or find it done. Its networks are trained."""
    path = material.work / "scores" / recipe.name / f"fold{fold}.json"
    part = material.part(fold)
    folders = {stage: run_folder(material.work, recipe, stage, part) for stage in recipe.stages}
    fingerprint = _digest("".join(folder.name for folder in folders.values()))
    if path.is_file():
        known = FoldScores.model_validate_json(path.read_text(encoding="utf-8"))
        if known.fingerprint == fingerprint:
            return known
    store = store_of(material, recipe.plan, part)
    scores = score_bundle(material, store, bundle_of(material, recipe, part), fold)
    scores = scores.model_copy(update={"fingerprint": fingerprint})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, scores.model_dump_json(indent=1) + "\n")
    return scores


def bundle_folder(material: Material, recipe: Recipe, part: Part) -> Path:
    """Where `score` leaves an arm's bundle of one part."""
    return material.work / "bundles" / recipe.name / part


def bundle_of(material: Material, recipe: Recipe, part: Part) -> Bundle:
    """An arm's bundle of one part, for scoring."""
    checkpoints = [
        run_folder(material.work, recipe, stage, part) / CHECKPOINT for stage in get_args(Stage)
    ]
    store = store_of(material, recipe.plan, part)
    with _EXPORTING:
        return export_bundle(
            store,
            checkpoints[0],
            checkpoints[1],
            bundle_folder(material, recipe, part),
            BundleExtras(card="For scoring only.\n"),
            overwrite=True,
        )


@app.command()
def run(
    arms: Annotated[list[str], typer.Argument(help="Names of files in experiments/arms.")],
    work: Work = WORK,
    data: Annotated[Path, typer.Option(help="The data's folder.")] = DATA,
    jobs: Annotated[int, typer.Option(min=1, help="Folds in work at once, each a process.")] = 2,
    folds: Annotated[list[int] | None, typer.Option("--fold", help="Only these folds.")] = None,
) -> None:
    """Train and score arms fold by fold, and write them to `experiments/results/ARM.json`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    material = load_material(work, data)
    recipes = [load_recipe(name, material.shapes()) for name in arms]
    for recipe in recipes:
        if recipe.continues is not None:
            raise typer.BadParameter(
                f"{recipe.name} continues networks that have seen all patients but fold 0's"
            )
    wanted = folds or list(range(material.cohort.folds))
    train_all(material, recipes, [material.part(fold) for fold in wanted], jobs)
    with ThreadPoolExecutor(jobs) as pool:
        for recipe in recipes:
            scores = list(pool.map(lambda fold, arm=recipe: score(material, arm, fold), wanted))
            _write_result(recipe, scores)
    Console().print(arms_table(_read_results()))


@app.command()
def table() -> None:
    """Print the rows of all arms that were run, from `experiments/results`."""
    typer.echo(markdown_table(_read_results()))


def markdown_table(results: Mapping[str, Sequence[FoldScores]]) -> str:
    """The table as docs/results.md shows it."""
    header, rows = arms_rows(results)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _write_result(recipe: Recipe, scores: Sequence[FoldScores]) -> None:
    """Other folds, scored before, stay."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{recipe.name}.json"
    known = _read_folds(path) if path.is_file() else []
    folds = {fold.fold: fold for fold in (*known, *scores)}
    text = json.dumps(
        {"folds": [folds[fold].model_dump(mode="json") for fold in sorted(folds)]}, indent=1
    )
    write_text_atomically(path, text + "\n")


def _read_results() -> dict[str, list[FoldScores]]:
    found = {}
    for arm in sorted(HERE.glob("arms/*.toml")):
        path = RESULTS / f"{arm.stem}.json"
        if not path.is_file():
            continue
        found[_read_arm(arm.stem).title] = _read_folds(path)
    return found


def _read_folds(path: Path) -> list[FoldScores]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return [FoldScores.model_validate(fold) for fold in content["folds"]]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


if __name__ == "__main__":
    app()
