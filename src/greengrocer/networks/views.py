"""Views in PyTorch, as ``graphs.views`` has them in a graph."""

import torch
from torch.nn import functional as F

from greengrocer.imaging.views import Views
from greengrocer.networks.backbone import Backbone


def see(backbone: Backbone, planes: torch.Tensor, views: Views | None) -> torch.Tensor:
    """What ``backbone`` makes of ``planes`` uint8 [N, 3, H, W]: float32 [N, channels, V * h, w].

    The maps of an image's V views lie one above the other. None is for one view of all of it.
    """
    if views is None or views.single:
        features: torch.Tensor = backbone(backbone.normalise(planes))
        return features
    features = backbone(backbone.normalise(cut(planes, views)))
    by_view = features.reshape(-1, len(views.sides), *features.shape[1:])
    return by_view.transpose(1, 2).flatten(2, 3)


def cut(planes: torch.Tensor, views: Views) -> torch.Tensor:
    """uint8 [N, 3, side, side] to [N * V, 3, size, size]; an image's views follow each other."""
    found = []
    for side in views.sides:
        first = views.margin(side)
        view = planes[:, :, first : first + side, first : first + side]
        if side > views.size:
            size = (views.size, views.size)
            # In float and rounded: of bytes, each device makes something else.
            view = F.interpolate(view.float(), size=size, mode="bilinear").round().to(torch.uint8)
        found.append(view)
    return torch.stack(found, dim=1).flatten(0, 1)


def lay(evidence: torch.Tensor, views: Views | None) -> torch.Tensor:
    """[N, V * h, h, classes] to the grid over the whole input, [N, G, G, classes]."""
    if views is None or views.single:
        return evidence
    places = torch.from_numpy(views.places(evidence.shape[2])).to(evidence.device)
    images, _, columns, classes = evidence.shape
    by_view = evidence.reshape(images, len(views.sides), -1, columns, classes)
    laid = torch.einsum("vgi,nvijk,vhj->nvghk", places, by_view, places)
    return laid.mean(dim=1)
