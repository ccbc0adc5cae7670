"""A network's weights as bundles store them: float16 arrays by name."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from greengrocer.networks.recogniser import Prototypes, Recogniser

Halves = npt.NDArray[np.float16]

# Counts the batches seen in training; no answer depends on it.
BATCHES_SEEN = "num_batches_tracked"


# The prototypes' keys in weights.safetensors. They are part of bundle format 1, so they keep the
# name that prototypes had when it was fixed.
FAMILIAR = "familiar."
KEYS = {"centre": f"{FAMILIAR}centre", "directions": f"{FAMILIAR}prototypes"}


def to_float16(network: Recogniser) -> dict[str, Halves]:
    """The weights and statistics of ``network``, rounded to float16.

    Raises ValueError for one that float16 cannot hold: training diverged.
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


def prototypes_to_float16(prototypes: Prototypes) -> dict[str, Halves]:
    """The prototypes as ``weights.safetensors`` holds them, rounded to float16."""
    return {KEYS[name]: value.half().numpy() for name, value in prototypes._asdict().items()}


def split_prototypes(
    weights: Mapping[str, Halves],
) -> tuple[dict[str, Halves], Prototypes]:
    """A bundle's ``weights`` as the network's weights and the prototypes, in float32.

    Raises ValueError, in one line, where a prototype is missing or of another shape.
    """
    network = {name: value for name, value in weights.items() if not name.startswith(FAMILIAR)}
    try:
        found = [weights[KEYS[name]] for name in Prototypes._fields]
        channels = weights["head.weight"].shape[1:]
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is missing") from error
    prototypes = Prototypes(*(torch.from_numpy(value.astype(np.float32)) for value in found))
    if prototypes.centre.shape != channels or prototypes.directions.shape[1:] != channels:
        raise ValueError(f"{KEYS['centre']} or {KEYS['directions']} has another shape")
    return network, prototypes
