"""All that follows a training's last epoch, once before its first step: its refusals cost nothing.

A network that nobody trained is exported, quantised, saved and loaded again. So whatever is refused
for a reason that is known beforehand is refused here: sizes, names, the number of classes, where
the bundle is to lie. Its goldens are not replayed: the answers of such a network are all but ties.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.unfinished import unfinished_folder
from greengrocer.calibration.thresholds import Thresholds
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.engines.registry import make_engine
from greengrocer.errors import BundleRefused, UsageError
from greengrocer.figures.clusters import PROTOTYPES
from greengrocer.networks.recogniser import Prototypes, Recogniser
from greengrocer.networks.weights import prototypes_to_float16
from greengrocer.training.bundling import Finished, write_bundle
from greengrocer.training.job import TrainingJob, checkpoint
from greengrocer.training.learning.checkpoint import TeacherId
from greengrocer.training.learning.optimiser import weight_groups
from greengrocer.training.plan import Pictures, Plan
from greengrocer.training.release.attempt import Backbone
from greengrocer.training.release.export import backbone_graph
from greengrocer.training.release.finish import Calibration, Exported, published, square
from greengrocer.training.release.goldens import GOLDENS
from greengrocer.training.release.quantise import quantise

COPIES = 5  # of a weight in a checkpoint: itself, averaged, probed, two moments of its gradient
FLOAT_BYTES = 4
MARGIN = 50_000_000  # bytes: the answers of folds, a log


def rehearse(
    job: TrainingJob, plan: Plan, teachers: Sequence[TeacherId], candidates: Sequence[Path]
) -> None:
    """Raise UsageError for whatever would keep the bundle from being written, or loaded.

    ``teachers`` are those of the network that ships, ``candidates`` images that may be goldens.
    """
    tqdm.write("testing the export with an untrained network")
    torch.manual_seed(job.recipe.seed)
    network = Recogniser(job.recipe.backbone, len(plan.taxonomy.classes))
    weight_groups(network, job.recipe.optimisation)  # for what it refuses
    finished = _finished(network, job, plan)
    with unfinished_folder(job.out.parent) as home:
        trial = home / "bundle"
        try:
            some = candidates[:GOLDENS]
            write_bundle(job.recipe, plan, finished, teachers, some, trial, start_engine)
        except UnicodeEncodeError as error:
            name = error.object[max(0, error.start - 20) : error.end]
            raise UsageError(f"{name!r} is not text that a bundle can hold: rename it") from error
        bundle = sum(path.stat().st_size for path in trial.rglob("*") if path.is_file())
    _check_room(job, plan, network, bundle)


def start_engine(directory: Path) -> None:
    """Load the bundle in ``directory``; raises UsageError where it is refused."""
    try:
        engine = make_engine("onnx", directory, load_bundle(directory).manifest, "cpu", ONE_THREAD)
        engine.start()
        engine.close()
    except BundleRefused as error:
        why = str(error).removeprefix(f"bundle {directory}: ")
        raise UsageError(f"the bundle of this training would be refused: {why}") from error


def check_writable(out: Path, stages: Sequence[str]) -> None:
    """Make the folder of ``out``; raise UsageError where the training could not write there."""
    names = (checkpoint(out, stage) for stage in stages)
    longest = max(names, key=lambda path: len(path.name))
    probe = longest.with_name(f"{longest.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from error


def _finished(network: Recogniser, job: TrainingJob, plan: Plan) -> Finished:
    """As of a training, but of ``network`` and figures that mean nothing."""
    recipe, views = job.recipe, job.recipe.export.seen()
    rounded, weights = published(network, recipe, plan.shipped)
    in_float = backbone_graph(rounded.backbone, square(views.size))
    grey = np.full((views.size, views.size, 3), 127, np.uint8)
    prototypes = _random_prototypes(plan.shipped, network.backbone.channels)
    backbone = Backbone(quantise(in_float, [grey]), "int8", 1)
    graph = Exported(backbone, rounded.head, prototypes, views).graph(1.0, plan.taxonomy.coarse_of)
    calibration = Calibration(1.0, Thresholds(0.0, 0.0, 0.0), {})
    halves = weights | prototypes_to_float16(prototypes)
    origin = network.backbone.pretrained_origin
    return Finished(halves, graph, calibration, job.device, job.precision or "auto", origin, {})


def _random_prototypes(pictures: Pictures, channels: int) -> Prototypes:
    """As many prototypes as these images will have."""
    counts = np.unique([picture.label for picture in pictures], return_counts=True)[1]
    prototypes = torch.randn(int(np.minimum(counts, PROTOTYPES).sum()), channels)
    return Prototypes(torch.zeros(channels), F.normalize(prototypes, dim=1).half().float())


def _check_room(job: TrainingJob, plan: Plan, network: Recogniser, bundle: int) -> None:
    """Raise UsageError where the disk has no room for the checkpoints and the bundle."""
    weights = sum(value.numel() for value in network.state_dict().values())
    missing = [stage for stage in plan.fits if not checkpoint(job.out, stage).exists()]
    # One more: a new checkpoint is written beside the one that it replaces.
    needed = (len(missing) + 1) * COPIES * FLOAT_BYTES * weights + bundle + MARGIN
    free = shutil.disk_usage(os.path.realpath(job.out.parent)).free
    if free < needed:
        raise UsageError(
            f"{job.out.parent} has {free // 10**6} MB free, and this training needs "
            f"{needed // 10**6} MB for its checkpoints and the bundle: make room, or name another "
            "--out"
        )
