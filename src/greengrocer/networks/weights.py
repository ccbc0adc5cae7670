"""A network's weights as they are published: float16 arrays by name."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from greengrocer.networks.recogniser import Recogniser

Halves = npt.NDArray[np.float16]

# Counts the batches seen in training; nothing that answers depends on it.
BATCHES_SEEN = "num_batches_tracked"


def to_float16(network: Recogniser) -> dict[str, Halves]:
    """The weights and statistics of ``network``, rounded to float16.

    Raises ValueError for one that float16 cannot hold: training went astray.
    """
    halves = {}
    for name, value in network.state_dict().items():
        if name.endswith(BATCHES_SEEN):
            continue
        if not (value.abs() <= torch.finfo(torch.float16).max).all():
            raise ValueError(f"{name} is not finite, or too large for float16")
        halves[name] = value.cpu().half().contiguous().numpy()
    return halves


def load_float16(network: Recogniser, weights: Mapping[str, Halves]) -> None:
    """Fill ``network`` with ``weights``, in place.

    Raises ValueError, in one line, where names or shapes are not the network's.
    """
    expected = {
        name: tuple(value.shape)
        for name, value in network.state_dict().items()
        if not name.endswith(BATCHES_SEEN)
    }
    found = {name: value.shape for name, value in weights.items()}
    if found != expected:
        odd = sorted(name for name, _ in set(found.items()) ^ set(expected.items()))
        raise ValueError(f"{odd[0]} is missing, unknown, or of another shape")
    tensors = {name: torch.from_numpy(value.astype(np.float32)) for name, value in weights.items()}
    network.load_state_dict(tensors, strict=False)
