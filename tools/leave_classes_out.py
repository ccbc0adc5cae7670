"""How well scores separate images of classes that a model never saw: the choice of a known score.

    python tools/leave_classes_out.py --recipe recipes/fast.toml --data DIR --work DIR

Trains one model for each group of classes, without that group and without a quarter of the scenes
of the others. The known are the held-out scenes of the classes that it learned, the unknown are all
images of the group. Prints the AUROC of each score and writes ``scores.json``; a rerun continues
where a killed one stopped.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from greengrocer.calibration.temperature import calibrated
from greengrocer.datasets.dataset import Dataset, LabelledImage, Taxonomy
from greengrocer.engines.engine import Floats
from greengrocer.figures.intervals import auroc
from greengrocer.graphs.quantisation_ladder import LADDER
from greengrocer.training.data.embeddings import embed_images
from greengrocer.training.data.scenes import scene_hold_out
from greengrocer.training.data.splits import read_together
from greengrocer.training.learning.fit import fit
from greengrocer.training.recipe import Recipe, read_recipe
from greengrocer.training.release.finish import Exporter, published
from greengrocer.training.release.measure import answer_pictures

GROUPS = 3
SEED = 5  # of the division into groups, so that it is the same for each recipe

Pictures = Sequence[LabelledImage]


def main() -> None:
    """Train and judge the groups that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", type=Path, required=True, help="without distillation")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="for checkpoints and scores.json")
    parser.add_argument("--groups", type=int, nargs="+", default=list(range(GROUPS)))
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.recipe)
    everything = read_together(arguments.data, recipe.data.splits)
    embeddings = embed_images(everything.pictures, recipe).embeddings
    training, held_out = scene_hold_out(everything.pictures, embeddings, recipe.split_seed)
    arguments.work.mkdir(parents=True, exist_ok=True)
    found = {}
    for group in arguments.groups:
        checkpoint = arguments.work / f"without{group}.checkpoint.pt"
        found[group] = _judge(recipe, everything, (training, held_out), group, checkpoint)
    (arguments.work / "scores.json").write_text(json.dumps(found, indent=2) + "\n")
    for name in next(iter(found.values())):
        each = [scores[name] for scores in found.values()]
        tqdm.write(f"{name:<40} {np.mean(each):.3f}  ({', '.join(f'{s:.3f}' for s in each)})")


def _judge(
    recipe: Recipe,
    everything: Dataset,
    split: tuple[Pictures, Pictures],
    group: int,
    checkpoint: Path,
) -> dict[str, float]:
    """The AUROC of each score for a model that never saw ``group``."""
    classes = everything.taxonomy.classes
    order = np.random.default_rng(SEED).permutation(len(classes))
    left_out = {int(label) for label in order[group::GROUPS]}
    kept = [label for label in range(len(classes)) if label not in left_out]
    new = {old: label for label, old in enumerate(kept)}
    learned, known = (
        [LabelledImage(p.path, new[p.label]) for p in part if p.label in new] for part in split
    )
    unknown = [p for p in everything.pictures if p.label in left_out]
    taxonomy = Taxonomy(tuple(classes[label] for label in kept))
    network, _ = published(fit(recipe, taxonomy, learned, checkpoint).network, recipe, learned)
    exporter = Exporter(network, learned, recipe)
    exported = exporter.finish(exporter.ladder.backbone(LADDER[0]))
    graph = exported.graph(1.0, None)
    scores = []
    for part in (known, unknown):
        paths = [p.path for p in part]
        answers = answer_pictures(graph, paths, exporter.geometry)
        features = exporter.features(exported.backbone.graph, part)
        offset = features - exported.prototypes.centre.numpy()
        offset /= np.linalg.norm(offset, axis=1, keepdims=True)
        nearest = (offset @ exported.prototypes.directions.numpy().T).max(axis=1)
        scores.append(_scores(answers.logits, nearest) | {"known_score": answers.known_score})
    return {name: auroc(scores[0][name], scores[1][name]) for name in scores[0]}


def _scores(logits: Floats, nearest: Floats) -> dict[str, Floats]:
    largest = calibrated(logits, 1.0).max(axis=1)
    energy = np.log(np.exp(logits.astype(np.float64)).sum(axis=1))
    return {
        "largest probability": largest,
        "largest logit": logits.max(axis=1),
        "energy": np.asarray(energy, np.float32),
        "nearest prototype": nearest,
        "nearest prototype x probability": nearest * largest,
    }


if __name__ == "__main__":
    main()
