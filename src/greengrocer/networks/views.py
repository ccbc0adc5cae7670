"""Views in PyTorch, as ``graphs.views`` has them in a graph."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from greengrocer.imaging.views import Views
from greengrocer.networks.backbone import Backbone


class Seen(NamedTuple):
    """What a backbone makes of N images: ``features`` float32 [N, channels, V * h, w].

    The maps of an image's V views lie one above the other. In a cascade, ``in_doubt`` bool [N] says
    which images it looked at again; for the others all maps are the first view's.
    """

    features: torch.Tensor
    in_doubt: torch.Tensor | None = None


def see(backbone: Backbone, planes: torch.Tensor, views: Views | None, head: nn.Linear) -> Seen:
    """What ``backbone`` makes of ``planes`` uint8 [N, 3, H, W].

    Without ``views`` it looks once, at all of it. In a cascade the uncalibrated ``head`` tells
    which images are in doubt.
    """
    if views is None or views.single:
        return Seen(backbone(backbone.normalise(planes)))
    if views.cascade is None:
        return Seen(_look(backbone, planes, views, views.sides))
    first = _look(backbone, planes, views, views.sides[:1])
    largest = head(first.mean(dim=(2, 3))).softmax(dim=1).amax(dim=1)
    in_doubt = ~(largest >= views.cascade)
    features = first.repeat(1, 1, len(views.sides), 1)
    if in_doubt.any():
        others = _look(backbone, planes[in_doubt], views, views.sides[1:])
        features[in_doubt, :, first.shape[2] :] = others
    return Seen(features, in_doubt)


def _look(
    backbone: Backbone, planes: torch.Tensor, views: Views, sides: Sequence[int]
) -> torch.Tensor:
    """The maps of those of ``views`` that have these ``sides``: [N, channels, sides * h, w]."""
    features = backbone(backbone.normalise(cut(planes, views, sides)))
    by_view: torch.Tensor = features.reshape(-1, len(sides), *features.shape[1:])
    return by_view.transpose(1, 2).flatten(2, 3)


def cut(planes: torch.Tensor, views: Views, sides: Sequence[int] | None = None) -> torch.Tensor:
    """uint8 [N, 3, side, side] to [N * V, 3, size, size]; an image's views follow each other.

    Only those of ``views`` that have these ``sides``, where they are given.
    """
    found = []
    for side in views.sides if sides is None else sides:
        first = views.margin(side)
        view = planes[:, :, first : first + side, first : first + side]
        if side > views.size:
            size = (views.size, views.size)
            # In float and rounded: of bytes, each device makes something else.
            view = F.interpolate(view.float(), size=size, mode="bilinear").round().to(torch.uint8)
        found.append(view)
    return torch.stack(found, dim=1).flatten(0, 1)


def lay(
    evidence: torch.Tensor, views: Views | None, in_doubt: torch.Tensor | None = None
) -> torch.Tensor:
    """[N, V * h, h, classes] to the grid over the whole input, [N, G, G, classes].

    Where images are not ``in_doubt``, all of their maps lie where the first view looks.
    """
    if views is None or views.single:
        return evidence
    places = torch.from_numpy(views.places(evidence.shape[2])).to(evidence.device)
    images, _, columns, classes = evidence.shape
    by_image = places.expand(images, -1, -1, -1)
    if in_doubt is not None:
        by_image = torch.where(in_doubt[:, None, None, None], by_image, places[0])
    by_view = evidence.reshape(images, len(views.sides), -1, columns, classes)
    laid = torch.einsum("nvgi,nvijk,nvhj->nvghk", by_image, by_view, by_image)
    return laid.mean(dim=1)
