"""Do the contenders name the same classes? One that does not is not measured."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
from tqdm import tqdm

from benchmarks.peers.running import Running

# Resizing, float or int8 and decoding at a smaller scale tip an image here and there.
REQUIRED = 0.95
AT_ONCE = 8  # so that a mix-up of answers would show
NONE = "no answer"


def agreement(servers: Sequence[Running], images: Sequence[bytes]) -> dict[str, float]:
    """Each server's share of ``images`` for which it gives the label that most servers give."""
    labels: dict[str, list[str]] = {}
    with ThreadPoolExecutor(AT_ONCE) as clients:
        for server in tqdm(servers, "labels"):
            with server.turn():
                labels[server.name] = [*clients.map(partial(_label, server), images)]
    usual = [Counter(given).most_common(1)[0][0] for given in zip(*labels.values(), strict=True)]
    return {name: sum(map(str.__eq__, given, usual)) / len(usual) for name, given in labels.items()}


def _label(server: Running, image: bytes) -> str:
    try:
        return server.label(image)
    except httpx.HTTPError:
        return NONE
