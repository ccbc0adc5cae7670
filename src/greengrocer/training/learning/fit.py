"""The training loop: epochs over augmented batches, a checkpoint after each, resumed if killed."""

import io
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from tqdm import tqdm

from greengrocer.datasets.dataset import LabelledImage, Taxonomy
from greengrocer.datasets.progress import Progress
from greengrocer.errors import UsageError
from greengrocer.figures.learning_curve import Point
from greengrocer.networks.recogniser import Recogniser, channels_last
from greengrocer.training.data.batches import training_batches
from greengrocer.training.durable import replace_durably
from greengrocer.training.learning.checkpoint import (
    Origin,
    State,
    contents_digest,
    names_digest,
    read_state,
)
from greengrocer.training.learning.course import Course, TimeLimit
from greengrocer.training.learning.curve import HeldOut
from greengrocer.training.learning.losses import Losses
from greengrocer.training.learning.optimiser import rate_share, weight_groups
from greengrocer.training.learning.precision import Precision, autocast, choose_precision
from greengrocer.training.learning.probe import probe_head
from greengrocer.training.learning.teacher import Teacher, teaching_loss
from greengrocer.training.learning.wise_ft import Weights, shipped_weights
from greengrocer.training.recipe import Recipe


class Fitted(NamedTuple):
    """The averaged network, in eval mode on the CPU, and what computed it.

    ``device`` has several names, such as "cuda + cpu", where a run went on elsewhere.
    """

    network: Recogniser
    device: str
    precision: Precision
    epochs: int
    curve: tuple[Point, ...] = ()


class Trainer:
    """A fit in progress: the network, its average, the optimiser, and how far it got."""

    def __init__(
        self,
        recipe: Recipe,
        taxonomy: Taxonomy,
        steps: int,
        device: str,
        teacher: Teacher | None = None,
        precision: Precision = "bfloat16",
    ) -> None:
        torch.manual_seed(recipe.seed)
        how = recipe.optimisation
        self.recipe, self.device, self.steps, self.teacher = recipe, device, steps, teacher
        self.precision = precision
        self.devices = [device]
        network = Recogniser(recipe.backbone, len(taxonomy.classes), how.dropout)
        if recipe.pretrained:
            network.backbone.load_pretrained()
        self.network = channels_last(network.to(device))
        frozen = network.backbone.stages()[: how.frozen_stages]
        self.frozen = [module for stage in frozen for module in stage]
        for module in self.frozen:
            module.requires_grad_(False)
        self.average = self._copied_weights()
        self.probed: dict[str, torch.Tensor] = {}
        self.losses = Losses(how, taxonomy).to(device)
        self.optimiser = torch.optim.AdamW(
            weight_groups(self.network, how), weight_decay=how.weight_decay
        )
        self.course = Course.of(recipe)
        self.epoch = 0
        self.step = 0
        self.curve: list[Point] = []

    def probe(self, pictures: Sequence[LabelledImage], threads: int) -> None:
        """Start the head from a linear probe, so that its errors do not distort the features."""
        loss = probe_head(self.network, self.losses, pictures, self.recipe, threads, self.precision)
        self.average = self._copied_weights()
        if self.recipe.optimisation.wise_ft_alpha < 1:
            self.probed = self._copied_weights()
        tqdm.write(f"the last layer is fitted (linear probe): loss {loss:.4f}")

    def train_epoch(self, pictures: Sequence[LabelledImage], threads: int) -> float:
        """Train one epoch and return its mean loss."""
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.epoch)
        self.train_mode()
        total, count = 0.0, 0
        position = self.course.at(self.epoch)
        batches = training_batches(pictures, self.recipe, self.epoch, threads, position)
        label = f"epoch {self.epoch + 1}/{self.course.epochs}"
        progress = Progress(batches, label, self.steps, unit="batch")
        for pixels, labels in progress:
            loss = self.train_batch(pixels.to(self.device), labels.to(self.device))
            total, count = total + loss, count + 1
            progress.show(loss=f"{total / count:.3f}")
        self.epoch += 1
        return total / max(count, 1)

    def train_batch(self, pixels: torch.Tensor, labels: torch.Tensor) -> float:
        """Take one step on uint8 ``pixels`` [N, 3, S, S]; returns the loss."""
        position = self.course.at(self.step / self.steps)
        share = rate_share(position * self.steps, self.steps, self.recipe.optimisation)
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * share
        how = self.recipe.distillation
        with autocast(self.device, self.precision):
            logits = self.network(self.network.backbone.normalise(pixels)).float()
            taught = self.teacher.answer(pixels, how.temperature) if self.teacher else None
        loss = self.losses(logits, labels)
        if taught is not None:
            loss = (1 - how.weight) * loss + how.weight * teaching_loss(logits, taught, how)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.step += 1
        self._average_weights()
        return float(loss.item())

    def judge(self, loss: float, held_out: HeldOut) -> None:
        """Let the average answer the held-out images, and note the point of the curve."""
        network = Recogniser(self.recipe.backbone, self.network.head.out_features)
        network.load_state_dict(self.weights())
        right = held_out.right(network.to(self.device).eval(), self.device)
        self.curve.append(Point(self.epoch, loss, right, len(held_out)))

    def weights(self) -> Weights:
        """What ships."""
        alpha = self.recipe.optimisation.wise_ft_alpha
        return shipped_weights(self.average, self.probed, alpha)

    def train_mode(self) -> None:
        """Put the network in train mode, but for what the recipe freezes."""
        self.network.train()
        for module in self.frozen:
            module.eval()  # its batch norms keep their statistics
        if self.recipe.optimisation.frozen_batch_norm:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def _copied_weights(self) -> dict[str, torch.Tensor]:
        return {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    @torch.no_grad()
    def _average_weights(self) -> None:
        """Move the average towards the weights; early on faster, so that it forgets the start."""
        decay = min(self.recipe.optimisation.ema_decay, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.dtype.is_floating_point:
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def save(self, path: Path, origin: Origin) -> None:
        """Write a checkpoint, whole or not at all; ``origin`` tells what it is of."""
        state = {
            **origin.state(),
            "epoch": self.epoch,
            "step": self.step,
            "course": self.course.kept(),
            "precision": self.precision,
            "devices": self.devices,
            "network": self.network.state_dict(),
            "average": self.average,
            "probed": self.probed,
            "curve": [tuple(point) for point in self.curve],
            "optimiser": self.optimiser.state_dict(),
        }
        written = io.BytesIO()  # torch tells of a full disk in words of its own
        torch.save(state, written)
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(written.getbuffer())
        replace_durably(unfinished, path)

    def resume(self, state: State) -> None:
        """Go on from what a checkpoint holds."""
        self.epoch, self.step = state["epoch"], state["step"]
        self.course = Course.of(self.recipe, state)
        self.network.load_state_dict(state["network"])
        self.average, self.probed = state["average"], state.get("probed", {})
        self.curve = [Point(*point) for point in state.get("curve", ())]
        self.optimiser.load_state_dict(state["optimiser"])
        before = list(state.get("devices", self.devices))
        unfinished = self.epoch < self.course.epochs
        self.devices = list(dict.fromkeys(before + self.devices)) if unfinished else before


def begun_precision(state: State) -> Precision:
    """What the fit of a checkpoint computes in; before it could be chosen, it was bfloat16."""
    return "float32" if state.get("precision") == "float32" else "bfloat16"


def origin_of(
    recipe: Recipe,
    taxonomy: Taxonomy,
    pictures: Sequence[LabelledImage],
    teacher: Teacher | None = None,
) -> Origin:
    """What decides the weights of a fit."""
    teachers = teacher.ids if teacher else ()
    classes = len(taxonomy.classes)
    return Origin(recipe, classes, names_digest(pictures), contents_digest(pictures), teachers)


def fit(
    recipe: Recipe,
    taxonomy: Taxonomy,
    pictures: Sequence[LabelledImage],
    checkpoint: Path,
    device: str = "cpu",
    threads: int = 2,
    teacher: Teacher | None = None,
    precision: Precision | None = None,
    judged: Sequence[LabelledImage] = (),
    limit: TimeLimit | None = None,
    epochs: int | None = None,
) -> Fitted:
    """Train on ``pictures``, and return the averaged network.

    Some of the ``judged`` images, which it does not see, are answered after each epoch. Where the
    epochs would take longer than ``limit`` allows, there are fewer of them; ``epochs`` says how
    many where they are not those of the recipe from the start.

    A ``teacher`` that is to leave the network's answers for other images honest must not have
    seen those either. Without a ``precision``, the recipe and the processor decide.

    After the probe and each epoch the state is written to ``checkpoint``; if it exists, the run
    goes on from there, in its precision, and ends as if it had never stopped. Raises UsageError for
    a checkpoint of another fit, and where the loss is not finite.
    """
    steps = max(1, len(pictures) // min(recipe.optimisation.batch_size, len(pictures)))
    origin = origin_of(recipe, taxonomy, pictures, teacher)
    state = read_state(checkpoint, device) if checkpoint.exists() else None
    if state is not None:
        origin.check(checkpoint, state)
        precision = begun_precision(state)
    elif precision is None:
        precision = choose_precision(recipe.optimisation.precision, device)
    trainer = Trainer(recipe, taxonomy, steps, device, teacher, precision)
    if epochs is not None and epochs != trainer.course.epochs:
        trainer.course = trainer.course.shortened(0, epochs)
    if state is not None:
        trainer.resume(state)
        tqdm.write(f"resumed after epoch {trainer.epoch}")
    elif recipe.optimisation.linear_probe_epochs:
        trainer.probe(pictures, threads)
        trainer.save(checkpoint, origin)
    _train_epochs(trainer, pictures, checkpoint, origin, threads, judged, limit)
    trained = Recogniser(recipe.backbone, len(taxonomy.classes))
    trained.load_state_dict(trainer.weights())
    devices = " + ".join(trainer.devices)
    epochs, curve = trainer.course.epochs, tuple(trainer.curve)
    return Fitted(trained.eval(), devices, precision, epochs, curve)


def _train_epochs(
    trainer: Trainer,
    pictures: Sequence[LabelledImage],
    checkpoint: Path,
    origin: Origin,
    threads: int,
    judged: Sequence[LabelledImage],
    limit: TimeLimit | None,
) -> None:
    """Train the epochs that are left, each judged, saved and told."""
    recipe, began, work = trainer.recipe, time.monotonic(), 0.0
    if trainer.epoch >= trainer.course.epochs:
        return
    held_out = HeldOut(judged, recipe.export, recipe.seed) if judged else None
    while trainer.epoch < trainer.course.epochs:
        loss = trainer.train_epoch(pictures, threads)
        if not math.isfinite(loss):  # no later step would repair it
            raise UsageError(
                f"training diverged in epoch {trainer.epoch}: the loss is {loss}; try a lower lr, "
                "and another --out"
            )
        if held_out is not None:
            trainer.judge(loss, held_out)
        now, before = time.monotonic(), trainer.course
        work += before.work(recipe, trainer.epoch - 1, trainer.epoch)
        unit = (now - began) / work
        if limit is not None:
            trainer.course = limit.fitting(before, recipe, trainer.epoch, unit, now)
        trainer.save(checkpoint, origin)
        left = unit * trainer.course.work(recipe, trainer.epoch)
        told = f", {trainer.curve[-1].told()}" if held_out is not None else ""
        told += f", {spoken(left)} of epochs left" if left else ""
        tqdm.write(f"epoch {trainer.epoch}: loss {loss:.4f}{told}")
        if trainer.course.epochs < before.epochs:
            tqdm.write(
                f"  slower than planned: {trainer.course.epochs} epochs instead of "
                f"{before.epochs}, to end in time"
            )


def spoken(seconds: float) -> str:
    """Such as "40 s", "12 min" or "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
