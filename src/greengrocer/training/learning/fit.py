"""The training loop: epochs over augmented batches, a checkpoint after each, resumed if killed."""

import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from greengrocer.datasets.labelled import LabelledPicture, Taxonomy
from greengrocer.errors import UsageError
from greengrocer.networks.pretrained import load_pretrained
from greengrocer.networks.recogniser import Recogniser, channels_last, normalise
from greengrocer.training.learning.losses import Losses
from greengrocer.training.learning.optimiser import rate_share, stages, weight_groups
from greengrocer.training.learning.probe import probe_head
from greengrocer.training.learning.teacher import Teacher, teaching_loss
from greengrocer.training.pictures.batches import training_batches
from greengrocer.training.recipe import Recipe, read_back


class Run:
    """One fit in progress: the network, its average, the optimiser, and how far it got."""

    def __init__(
        self,
        recipe: Recipe,
        taxonomy: Taxonomy,
        steps: int,
        device: str,
        teacher: Teacher | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        how = recipe.optimisation
        self.recipe, self.device, self.steps, self.teacher = recipe, device, steps, teacher
        network = Recogniser(recipe.network, len(taxonomy.classes), how.dropout)
        if recipe.pretrained:
            load_pretrained(network.backbone, recipe.network)
        self.network = channels_last(network.to(device))
        self.frozen = [m for stage in stages(network.backbone)[: how.frozen_stages] for m in stage]
        for module in self.frozen:
            module.requires_grad_(False)
        self.average = self._copied_weights()
        self.losses = Losses(how, taxonomy).to(device)
        self.optimiser = torch.optim.AdamW(
            weight_groups(self.network, how), weight_decay=how.weight_decay
        )
        self.epoch = 0
        self.step = 0

    def probe(self, pictures: Sequence[LabelledPicture], threads: int) -> None:
        """Start the head from a linear probe, so that its errors do not distort the features."""
        loss = probe_head(self.network, self.losses, pictures, self.recipe, threads)
        self.average = self._copied_weights()
        tqdm.write(f"linear probe: loss {loss:.4f}")

    def train_epoch(self, pictures: Sequence[LabelledPicture], threads: int) -> float:
        """Train one epoch and return its mean loss."""
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.epoch)
        self._train_mode()
        total, count = 0.0, 0
        batches = training_batches(pictures, self.recipe, self.epoch, threads)
        label = f"epoch {self.epoch + 1}/{self.recipe.optimisation.epochs}"
        progress = tqdm(batches, label, self.steps, unit="batch", mininterval=5)
        for pixels, labels in progress:
            loss = self._train_batch(pixels.to(self.device), labels.to(self.device))
            total, count = total + loss, count + 1
            progress.set_postfix(loss=f"{total / count:.3f}", refresh=False)
        self.epoch += 1
        return total / max(count, 1)

    def _train_batch(self, pixels: torch.Tensor, labels: torch.Tensor) -> float:
        share = rate_share(self.step, self.steps, self.recipe.optimisation)
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * share
        how, x = self.recipe.distillation, normalise(pixels)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            logits = self.network(x).float()
            taught = self.teacher.answer(x, how.temperature) if self.teacher else None
        loss = self.losses(logits, labels)
        if taught is not None:
            loss = (1 - how.weight) * loss + how.weight * teaching_loss(logits, taught, how)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.step += 1
        self._average_weights()
        return float(loss.item())

    def _train_mode(self) -> None:
        self.network.train()
        for module in self.frozen:
            module.eval()  # its batch norms keep their statistics
        if self.recipe.optimisation.frozen_norms:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def _copied_weights(self) -> dict[str, torch.Tensor]:
        return {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    @torch.no_grad()
    def _average_weights(self) -> None:
        """Move the average towards the weights; early on faster, so that it forgets the start."""
        decay = min(self.recipe.optimisation.average, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.dtype.is_floating_point:
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def save(self, path: Path, pictures: str) -> None:
        """Write a checkpoint, whole or not at all; ``pictures`` tells which ones it is of."""
        state = {
            "pictures": pictures,
            "recipe": self.recipe.model_dump_json(),
            "epoch": self.epoch,
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        written = io.BytesIO()  # torch tells of a full disk in words of its own
        torch.save(state, written)
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(written.getbuffer())
        os.replace(unfinished, path)

    def load(self, path: Path, pictures: str) -> None:
        """Take up the checkpoint at ``path``; raises UsageError if it is of another training."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        if (
            not _fit_alike(read_back(state["recipe"]), self.recipe)
            or len(state["average"]["head.bias"]) != self.network.head.out_features
            or state.get("pictures", pictures) != pictures
        ):
            raise UsageError(
                f"{path} was written under another recipe or for other pictures: delete it, or "
                "name another --out"
            )
        self.epoch, self.step = state["epoch"], state["step"]
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])


def _told_apart(pictures: Sequence[LabelledPicture]) -> str:
    """A digest of which pictures these are, by their names and labels, wherever they lie."""
    lines = (f"{p.path.parent.name}/{p.path.name} {p.label}" for p in pictures)
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _fit_alike(one: Recipe | None, other: Recipe) -> bool:
    """Whether two recipes make the same weights; what is exported of them may differ."""
    later = {"export"}
    return one is not None and one.model_dump(exclude=later) == other.model_dump(exclude=later)


def fit(
    recipe: Recipe,
    taxonomy: Taxonomy,
    pictures: Sequence[LabelledPicture],
    checkpoint: Path,
    device: str = "cpu",
    threads: int = 2,
    teacher: Teacher | None = None,
) -> Recogniser:
    """Train on ``pictures`` and return the averaged network, in eval mode on the CPU.

    A ``teacher`` that is to leave the network's answers for other pictures honest must not have
    seen those either.

    After the probe and each epoch the state is written to ``checkpoint``; if it exists, the run
    goes on from there and ends as if it had never stopped. Raises UsageError for another recipe's
    checkpoint.
    """
    steps = max(1, len(pictures) // min(recipe.optimisation.batch, len(pictures)))
    run = Run(recipe, taxonomy, steps, device, teacher)
    seen = _told_apart(pictures)
    if checkpoint.exists():
        run.load(checkpoint, seen)
        tqdm.write(f"resumed after epoch {run.epoch}")
    elif recipe.optimisation.probe_epochs:
        run.probe(pictures, threads)
        run.save(checkpoint, seen)
    while run.epoch < recipe.optimisation.epochs:
        loss = run.train_epoch(pictures, threads)
        run.save(checkpoint, seen)
        tqdm.write(f"epoch {run.epoch}: loss {loss:.4f}")
    trained = Recogniser(recipe.network, len(taxonomy.classes))
    trained.load_state_dict(run.average)
    return trained.eval()
