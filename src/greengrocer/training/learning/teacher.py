"""Distillation: a student learns what its teachers say of the very crop that it sees.

Teacher and student look at the same augmented pixels, so no teacher's word can be stored
beforehand (Beyer et al., Knowledge distillation: A good teacher is patient and consistent, CVPR
2022). A teacher that learned from crops of another size sees the same crop, scaled to that size.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn import functional as F

from greengrocer.errors import UsageError
from greengrocer.networks.recogniser import Recogniser, channels_last
from greengrocer.training.learning.checkpoint import TeacherId, read_state, weights_digest
from greengrocer.training.learning.course import Course
from greengrocer.training.learning.wise_ft import shipped_weights
from greengrocer.training.recipe import Distillation, Recipe, read_back


class Taught(NamedTuple):
    """A finished network, the side in pixels of the crops it learned from, and whose it is."""

    network: Recogniser
    image_size: int
    id: TeacherId


class Teacher:
    """Finished networks that answer as one: the mean of their softened probabilities.

    They may be of different backbones and image sizes.
    """

    def __init__(
        self,
        checkpoints: Sequence[Path],
        student: Recipe,
        classes: int,
        device: str,
        pictures: str | None = None,
    ) -> None:
        """Load the averaged weights of ``checkpoints``; ``ids`` tells whose they are.

        Raises UsageError for one that is missing, unfinished, of other classes, or of a training
        that did not split the images as the ``student`` does: ``pictures`` is the digest of
        those that it sees.
        """
        self.taught = [_load(path, student, classes, pictures) for path in checkpoints]
        for each in self.taught:
            each.network.to(device)
        self.ids = tuple(each.id for each in self.taught)

    @torch.no_grad()
    def answer(self, pixels: torch.Tensor, temperature: float) -> torch.Tensor:
        """uint8 [N, 3, H, W] to the mean of softmax(logits / T), float32 [N, classes]."""
        answers = []
        for network, image_size, _ in self.taught:
            seen = network.backbone.normalise(scaled(pixels, image_size))
            answers.append(network(seen).float().div(temperature).softmax(dim=1))
        return torch.stack(answers).mean(dim=0)


def scaled(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """uint8 [N, 3, H, W] as [N, 3, side, side], of floats from 0 to 255 where the size changes."""
    if pixels.shape[2:] == (side, side):
        return pixels
    return F.interpolate(
        pixels.float(), (side, side), mode="bilinear", align_corners=False, antialias=True
    )


def teaching_loss(logits: torch.Tensor, taught: torch.Tensor, how: Distillation) -> torch.Tensor:
    """How far softmax(logits / T) is from what was ``taught``, both [N, classes]: mean KL x T^2.

    The factor keeps the gradients' size as T grows (Hinton et al., arXiv 1503.02531, section 2).
    """
    softened = F.log_softmax(logits / how.temperature, dim=1)
    return F.kl_div(softened, taught, reduction="batchmean") * how.temperature**2


def _load(path: Path, student: Recipe, classes: int, pictures: str | None) -> Taught:
    if not path.exists():
        raise UsageError(f"there is no {path}: train the teacher first, with the same --folds")
    state = read_state(path)
    recipe = read_back(state["recipe"])
    if recipe is None or state["epoch"] < Course.of(recipe, state).epochs:
        raise UsageError(f"{path} is from a training that has not ended, or from another version")
    if len(state["average"]["head.bias"]) != classes:
        raise UsageError(f"{path} is from a model of other classes")
    if _split(recipe) != _split(student):
        raise UsageError(
            f"{path} may have trained on the student's held-out images: train it with the same "
            "data, pretrained, and seed or data.seed"
        )
    if pictures is not None and state.get("pictures", pictures) != pictures:
        raise UsageError(
            f"{path} may have trained on the student's held-out images: it trained on other images"
        )
    network = Recogniser(recipe.backbone, classes)
    alpha = recipe.optimisation.wise_ft_alpha
    weights = dict(shipped_weights(state["average"], state.get("probed", {}), alpha))
    network.load_state_dict(weights)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    whose = TeacherId(path.name.rsplit(".", 3)[0], weights_digest(weights))
    return Taught(channels_last(network).eval(), recipe.augmentation.image_size, whose)


def _split(recipe: Recipe) -> tuple[object, ...]:
    """All that decides which images a stage holds out, but the images themselves."""
    return recipe.split_seed, recipe.data.model_copy(update={"seed": None}), recipe.pretrained
