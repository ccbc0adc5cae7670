"""Augmented batches, prepared by threads while the network works on the last one."""

import math
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.figures.score import ClassIds
from greengrocer.imaging.geometry import Pixels
from greengrocer.training.data.augment import augment
from greengrocer.training.data.reading import read_picture
from greengrocer.training.recipe import Recipe

Batch = tuple[torch.Tensor, torch.Tensor]
AHEAD = 4  # batches, or as many as give each thread two images


def training_batches(
    pictures: Sequence[LabelledImage],
    recipe: Recipe,
    epoch: int,
    threads: int,
    position: float | None = None,
) -> Iterator[Batch]:
    """One epoch of (uint8 [N, 3, S, S], labels int64 [N]), shuffled; a last odd batch is dropped.

    An image's variant depends on the seed, the epoch and its place in ``pictures`` alone, so an
    epoch is the same whether or not the run was interrupted before it. Raises DatasetUnusable for
    an image that cannot be read.

    The size of the images is that of ``position`` in the recipe's epochs, which is ``epoch`` where
    it is not given.
    """
    labels = np.array([picture.label for picture in pictures])
    draw = np.random.default_rng((recipe.seed, epoch))
    order = drawn(labels, recipe.optimisation.class_balance, draw)
    size = min(recipe.optimisation.batch_size, len(pictures))
    reached = epoch if position is None else position
    how = recipe.augmentation.grown(reached, recipe.optimisation.epochs)
    chunks = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]

    def load(index: int, turn: int) -> Pixels:
        again = (turn,) if turn else ()  # an image that comes once more comes otherwise
        random = np.random.default_rng((recipe.seed, epoch, index, *again))
        target = 2 * how.image_size
        picture = read_picture(pictures[index].path, (target, target))
        return np.asarray(augment(picture, how, random))

    def assembled(chunk: np.ndarray, loaded: list[Future[Pixels]]) -> Batch:
        stacked = np.stack([each.result() for each in loaded])
        labels = torch.tensor([pictures[index].label for index in chunk])
        return torch.from_numpy(stacked).permute(0, 3, 1, 2), labels

    # Each image is a task of its own, so that a batch is prepared by all threads.
    turns: Counter[int] = Counter()
    ahead = max(AHEAD, math.ceil(2 * threads / size))
    with ThreadPoolExecutor(threads, thread_name_prefix="augment") as pool:
        waiting: deque[tuple[np.ndarray, list[Future[Pixels]]]] = deque()
        try:
            for chunk in chunks:
                loading = []
                for index in map(int, chunk):
                    loading.append(pool.submit(load, index, turns[index]))
                    turns[index] += 1
                waiting.append((chunk, loading))
                if len(waiting) > ahead:
                    yield assembled(*waiting.popleft())
            while waiting:
                yield assembled(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)  # a batch that fails, or Ctrl-C, ends it at once


def drawn(labels: ClassIds, balance: float, random: np.random.Generator) -> ClassIds:
    """The images of an epoch, [N] of their indices, in the order in which they come.

    Each comes once where ``balance`` is 0. Else a class of n images has a share in proportion to
    n^(1 - balance): of a small class some come several times, of a large one some do not.
    """
    if not balance:
        return random.permutation(len(labels))
    names, counts = np.unique(labels, return_counts=True)
    shares = counts ** (1 - balance)
    ends = np.round(np.cumsum(shares) / shares.sum() * len(labels)).astype(int)
    chosen = []
    for name, count in zip(names, np.diff(ends, prepend=0), strict=True):
        members = np.flatnonzero(labels == name)
        rounds = [random.permutation(members) for _ in range(-(-int(count) // len(members)))]
        chosen += [np.concatenate(rounds)[:count]] if rounds else []
    return random.permutation(np.concatenate(chosen))
