"""A network's weights as they are published: float16 arrays by name."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from greengrocer.networks.efficientnet_lite import FEATURES
from greengrocer.networks.recogniser import Familiar, Recogniser

Halves = npt.NDArray[np.float16]

# Counts the batches seen in training; nothing that answers depends on it.
BATCHES_SEEN = "num_batches_tracked"


# Not the network's: what is known beside it.
FAMILIAR = "familiar."


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


def familiar_to_float16(familiar: Familiar) -> dict[str, Halves]:
    """What a bundle's weights hold beside the network's, rounded to float16."""
    return {FAMILIAR + name: value.half().numpy() for name, value in familiar._asdict().items()}


def split_familiar(
    weights: Mapping[str, Halves],
) -> tuple[dict[str, Halves], Familiar]:
    """A bundle's ``weights`` as the network's and what is familiar, in float32.

    Raises ValueError, in one line, where that is missing or of another shape.
    """
    network = {name: value for name, value in weights.items() if not name.startswith(FAMILIAR)}
    try:
        found = [weights[FAMILIAR + name] for name in Familiar._fields]
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is missing") from error
    familiar = Familiar(*(torch.from_numpy(value.astype(np.float32)) for value in found))
    if familiar.centre.shape != (FEATURES,) or familiar.prototypes.shape[1:] != (FEATURES,):
        raise ValueError(f"{FAMILIAR}centre or {FAMILIAR}prototypes has another shape")
    return network, familiar
