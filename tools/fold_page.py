"""Do the groups of images that folds hold out look like other places? A page to look at.

    python -m tools.fold_page --recipe recipes/fast.toml --data DIR --folds 3 --out PAGE.html

A row for each of some classes, a column for each fold: what differs along a row is the place. The
page holds images of the data set: keep it out of the repository.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.evaluation.report.markup import cell, class_name, image_tag, table
from greengrocer.serving.resources import usable_processors
from greengrocer.training.data.reading import read_picture
from greengrocer.training.job import TrainingJob
from greengrocer.training.plan import Folds, plan
from greengrocer.training.recipe import read_recipe

SIDE = 96  # pixels of a thumbnail
EACH = 4  # images in a cell
ROWS = 16  # classes
STYLE = "body{font:14px sans-serif}td,th{padding:4px;vertical-align:top}caption{text-align:left}"


def main() -> None:
    """Divide the images as a training would, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", type=Path, required=True, help="whose data.folds is shown")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True, metavar="PAGE")
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.recipe)
    job = TrainingJob(recipe, arguments.data, arguments.out, "cpu", usable_processors())
    folds = plan(job, arguments.folds).folds
    assert folds is not None
    arguments.out.write_text(page(folds, recipe.data.folds, recipe.seed), encoding="utf-8")


def page(folds: Folds, kind: str, seed: int) -> str:
    """The page: ``kind`` is what a fold holds out."""
    random = np.random.default_rng(seed)
    labels = np.array([image.label for image in folds.everything.pictures])
    numbers = range(folds.number)
    widest = sorted(set(labels.tolist()), key=lambda label: -_fewest(folds, labels == label))
    rows = []
    for label in sorted(widest[:ROWS]):
        shown = [np.flatnonzero((labels == label) & (folds.where == fold)) for fold in numbers]
        name = class_name(folds.everything.taxonomy.classes[label])
        cells = (_cell(_drawn(folds, members, random)) for members in shown)
        rows.append(f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>')
    counts = [np.count_nonzero(folds.where == fold) for fold in numbers]
    heads = [("", "Class"), *(("", f"fold {k + 1}: {n:,} images") for k, n in enumerate(counts))]
    title = f"What {folds.number} folds of {kind} hold out"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style><h1>{title}</h1>{table(title, heads, rows)}</html>\n"
    )


def _fewest(folds: Folds, members: np.ndarray) -> int:
    """The images that the fold with the fewest of the class has: the more, the more is seen."""
    return min(int(np.sum(members & (folds.where == fold))) for fold in range(folds.number))


def _drawn(
    folds: Folds, members: np.ndarray, random: np.random.Generator
) -> Sequence[LabelledImage]:
    chosen = random.permutation(members)[:EACH]
    return [folds.everything.pictures[int(index)] for index in chosen]


def _cell(images: Sequence[LabelledImage]) -> str:
    tags = []
    for each in images:
        image = read_picture(each.path, (SIDE, SIDE))
        image.thumbnail((SIDE, SIDE))
        # A comment in the file would be written into the page with the pixels.
        tags.append(image_tag(Image.fromarray(np.asarray(image)), each.path.name))
    return cell(" ".join(tags))


if __name__ == "__main__":
    main()
