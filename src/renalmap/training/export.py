"""Trained runs to a bundle: ONNX graphs that were compared with the networks they come from."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from renalmap.bundle import (
    CALIBRATION_FILE,
    CARD_FILE,
    HASHED_FILES,
    LOCALIZER_FILE,
    NETWORK_INPUT,
    NETWORK_OUTPUT,
    OPTIONAL_FILES,
    PLAN_FILE,
    SEGMENTER_FILE,
    STATISTICS_FILE,
    SUMS_FILE,
    Bundle,
    write_sums,
)
from renalmap.config import parse_settings
from renalmap.dataset.store import Store
from renalmap.errors import ConfigError, ExportMismatchError, OutputExistsError, StoreError
from renalmap.imaging.files import replace_folder_atomically, write_text_atomically
from renalmap.inference.session import ENGINES, Runtime, Session, is_installed, open_session
from renalmap.labels import is_foreground
from renalmap.networks.enet import INPUT_MULTIPLE, ENet
from renalmap.preprocess import Plan, crop_boxes, cut_crop
from renalmap.preprocess.plan import LOCALIZER_FIELDS, SEGMENTER_FIELDS, TRAINING_FIELDS
from renalmap.training.checkpoint import load_network
from renalmap.training.graph import AveragedProbabilities, Ensemble, Probabilities, stage_of
from renalmap.training.stages import on_grid

logger = logging.getLogger(__name__)

Checkpoints = Path | Sequence[Path]
"""One network's, or those of several whose probabilities are averaged: a cross-validation's folds."""

LABEL_TOLERANCE = 1e-5
"""Largest share of pixels whose label may differ between graph and network. Logits are not compared:
ties in pooling over constant air move unpooling positions between any two kernels."""

UNDECIDED_MARGIN = 1e-3

_OPSET = 18
_CHECKED_SLICES = 7  # an odd batch: exports have been seen to fix the batch size


@dataclass(frozen=True)
class BundleExtras:
    """What a bundle holds besides its networks.

    Attributes:
        card: text of the model card.
        rules: values for the Plan's fields that only inference reads, instead of the store's.
        calibration: the calibration of confidences, a file that `renalmap` wrote; None leaves the bundle
            uncalibrated.
    """

    card: str
    rules: Mapping[str, Any] = field(default_factory=dict)
    calibration: Path | None = None


def export_bundle(
    store: Store,
    localizer: Checkpoints,
    segmenter: Checkpoints,
    out: Path,
    extras: BundleExtras,
    *,
    overwrite: bool = False,
) -> Bundle:
    """Make a bundle of checkpoints trained on one store.

    Args:
        store: what both were trained on: gives Plan, slice statistics and the slices to compare on.
        localizer: stage 1's checkpoint, or several to be averaged.
        segmenter: stage 2's, likewise.
        out: the bundle's folder.
        extras: model card, rules, calibration.
        overwrite: replace a bundle that exists.

    Raises:
        ConfigError: a rule is not one of the Plan's, or its value is wrong.
        OutputExistsError: `out` exists and may not be replaced, or is not a bundle.
        StoreError: a checkpoint cannot be read, is of the other stage, was trained with another Plan, or
            none is given for a stage.
        ExportMismatchError: a graph's labels differ from its network's.
    """
    if out.exists() and not overwrite:
        raise OutputExistsError(
            "the bundle exists", where=out, hint="Give another --out, or --overwrite"
        )
    with replace_folder_atomically(out, is_bundle) as temporary:
        stage1, plan1 = _load_members(localizer, classes=2)
        stage2, plan2 = _load_members(segmenter, classes=3)
        plan = _join_plans(store.plan, plan1, plan2, extras.rules)
        whole, crops = _comparison_images(store.with_plan(plan))
        _export_checked(stage1, plan, whole, temporary / LOCALIZER_FILE)
        _export_checked(stage2, plan, crops, temporary / SEGMENTER_FILE)
        write_text_atomically(temporary / PLAN_FILE, plan.model_dump_json(indent=2) + "\n")
        store.statistics.save(temporary / STATISTICS_FILE)
        write_text_atomically(temporary / CARD_FILE, extras.card)
        if extras.calibration is not None:
            shutil.copyfile(extras.calibration, temporary / CALIBRATION_FILE)
        write_sums(temporary)
    return Bundle.open(out)


def is_bundle(folder: Path) -> bool:
    """Whether a folder holds a bundle's files, or nothing, and nothing that somebody else put there."""
    names = {path.name for path in folder.iterdir()}
    return not names or (SUMS_FILE in names and names <= {*HASHED_FILES, *OPTIONAL_FILES, SUMS_FILE})


def export_onnx(networks: Sequence[ENet], plan: Plan, path: Path) -> None:
    """Write the networks of a stage as one ONNX graph whose batch, height and width are free.

    Args:
        networks: in evaluation mode; of several the graph gives the mean of their probabilities.
        plan: says whether stage 1 is reduced. Height and width are to be multiples of 8, of a reduced
            stage 1 of 8 times its reduction.
        path: the file.
    """
    first = networks[0]
    graph = AveragedProbabilities(networks, plan) if len(networks) > 1 else Probabilities(first, plan)
    step = INPUT_MULTIPLE * (plan.localizer_reduction if stage_of(first) == "localize" else 1)
    batch = torch.export.Dim("batch", min=1, max=4096)
    rows, columns = (torch.export.Dim(name, min=1, max=512) for name in ("rows", "columns"))
    # It looks for torchvision, which nothing here needs, and says so four times.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # The exporter warns of its own deprecations on every call.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            (torch.zeros(2, first.in_channels, 4 * step, 6 * step),),
            dynamo=True,
            verbose=False,
            opset_version=_OPSET,
            input_names=[NETWORK_INPUT],
            output_names=[NETWORK_OUTPUT],
            dynamic_shapes={"image": {0: batch, 2: step * rows, 3: step * columns}},
        )
    if program is None:
        raise ExportMismatchError("the exporter made no graph", where=path)
    _save_without_traces(program.model_proto, path)


def _save_without_traces(model: object, path: Path) -> None:
    """Drop the source lines and names the exporter notes at every node: half of the file."""
    import onnx  # noqa: PLC0415 -- only export needs it

    assert isinstance(model, onnx.ModelProto)
    for holder in [model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer]:
        del holder.metadata_props[:]
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _load_members(checkpoints: Checkpoints, classes: int) -> tuple[list[ENet], Plan]:
    """The networks of a stage, and the Plan they share."""
    paths = [checkpoints] if isinstance(checkpoints, Path) else list(checkpoints)
    members = [_load_stage(path, classes) for path in paths]
    if not members:
        raise StoreError("no checkpoint is given for a stage", expected="at least one")
    first = members[0][1]
    for path, (_, plan) in zip(paths, members, strict=True):
        if _trained(plan) != _trained(first):
            raise StoreError(
                "networks to be averaged were trained with different Plans",
                where=path,
                got=plan.model_dump_json(),
                expected=first.model_dump_json(),
                hint="Train all folds with the same settings on the same store",
            )
    return [network for network, _ in members], first


def _load_stage(checkpoint: Path, classes: int) -> tuple[ENet, Plan]:
    network, progress = load_network(checkpoint)
    if network.out_channels != classes:
        raise StoreError(
            "the checkpoint is for the other stage",
            where=checkpoint,
            got=f"{network.out_channels} classes",
            expected=f"{classes} classes",
        )
    return network, progress.plan


def _join_plans(store: Plan, localizer: Plan, segmenter: Plan, rules: Mapping[str, Any]) -> Plan:
    """The bundle's Plan: what training fixed, and the rules that only inference reads.

    Each stage decides what the other never sees: stage 1 its reduction, stage 2 its crops.
    """
    joined = localizer.model_copy(update=segmenter.model_dump(include=set(SEGMENTER_FIELDS)))
    own = segmenter.model_copy(update=localizer.model_dump(include=set(LOCALIZER_FIELDS)))
    if _trained(joined) != _trained(own):
        raise StoreError(
            "the two stages were trained with different Plans",
            got=segmenter.model_dump_json(),
            expected=localizer.model_dump_json(),
            hint="Train both with the same settings on the same store",
        )
    free = {"normalisation", *SEGMENTER_FIELDS, *LOCALIZER_FIELDS}
    if _trained(store.model_copy(update=joined.model_dump(include=free))) != _trained(joined):
        raise StoreError(
            "the checkpoints were trained on another store",
            got=segmenter.model_dump_json(),
            expected=store.model_dump_json(),
        )
    fixed = sorted(rules.keys() & TRAINING_FIELDS)
    if fixed:
        raise ConfigError(
            "training has fixed these fields of the Plan; only inference rules can be set at export",
            got=", ".join(fixed),
        )
    return parse_settings(Plan, {**store.model_dump(), **_trained(joined), **rules}, where=None)


def _trained(plan: Plan) -> dict[str, Any]:
    return plan.model_dump(include=set(TRAINING_FIELDS))


def _export_checked(
    networks: Sequence[ENet], plan: Plan, images: NDArray[np.float32], path: Path
) -> None:
    export_onnx(networks, plan, path)
    reference = Ensemble([on_grid(network, plan, stage_of(network)) for network in networks])
    # A comparison of few pixels cannot resolve the share: one pixel of it may always differ.
    allowed = max(LABEL_TOLERANCE, 1.0 / (len(images) * images.shape[-2] * images.shape[-1]))
    for engine in filter(is_installed, ENGINES):
        session = open_session(path, Runtime(engine))
        share = compare_labels(reference, session, images)
        logger.info("%s in %s: %.2g of pixels differ from the network's", path.name, engine, share)
        if share > allowed:
            raise ExportMismatchError(
                "the exported graph does not give the network's labels",
                where=path.name,
                got=f"{share:.2g} of pixels differ in {engine}",
                expected=f"at most {allowed:.2g}",
            )


def compare_labels(network: nn.Module, session: Session, images: NDArray[np.float32]) -> float:
    """Share of pixels labelled differently by a network and its graph, on (N, 1, H, W) images.

    Pixels whose two likeliest classes the network itself puts closer than `UNDECIDED_MARGIN` are left
    to rounding and not counted. Half of the images are run as one batch and the rest one by one, so
    that both are covered.
    """
    with torch.inference_mode():
        reference = torch.softmax(network(torch.from_numpy(images)), dim=1)
    likeliest = reference.topk(2, dim=1).values
    decided = (likeliest[:, 0] - likeliest[:, 1] >= UNDECIDED_MARGIN).numpy()
    half = len(images) // 2
    parts = [images[:half], *[images[i : i + 1] for i in range(half, len(images))]]
    probabilities = np.concatenate([session.run(part) for part in parts if len(part)])
    two_classes = probabilities.shape[1] == 1
    got = probabilities[:, 0] >= 0.5 if two_classes else probabilities.argmax(axis=1)
    return float(((got != reference.argmax(dim=1).numpy()) & decided).mean())


def _comparison_images(store: Store) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Normalised whole slices and crops with foreground, spread over the store's cases."""
    members = [
        (entry, index)
        for entry in store.entries
        for index, pixels in enumerate(zip(entry.kidney_pixels, entry.tumour_pixels, strict=True))
        if sum(pixels)
    ]
    if not members:
        raise StoreError("no slice with kidney or tumour to compare on", where=store.root)
    chosen = np.linspace(0, len(members) - 1, min(_CHECKED_SLICES, len(members))).astype(int)
    whole, crops = [], []
    plan = store.plan.model_copy(update={"narrow_crop_size": None})  # crops of one size, to be stacked
    for number in chosen:
        entry, index = members[number]
        hu, labels = store.slices.read(entry.case_id, index)
        normalisation = store.normalisation(entry)
        image = normalisation(hu)
        whole.append(image[None])
        crops.append(cut_crop(image, crop_boxes(is_foreground(labels), plan)[0])[None])
    return np.stack(whole), np.stack(crops)
