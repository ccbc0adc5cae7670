"""The worst mistakes of a run, as images with the evidence laid over them."""

import numpy as np
from PIL import Image

from greengrocer.evaluation.report.findings import worst
from greengrocer.evaluation.report.markup import class_name, image_tag, number, section
from greengrocer.evaluation.run import Run
from greengrocer.imaging.decode import decode
from greengrocer.imaging.geometry import seen_box
from greengrocer.imaging.overlay import overlay

MOST = 12
SIDE = 320  # pixels of an image's longer side in the page


def mistakes(run: Run) -> str:
    """The section: the most confident wrong answers, each image beside its evidence."""
    indices = worst(run.confidence, run.correct, MOST)
    if not indices:
        return section("mistakes", "Worst mistakes", "There are none: every answer is right.")
    lead = "The wrong answers with the highest confidence."
    if run.evaluation.evidence is not None:
        lead += (
            " On the right the evidence for the class that was <em>predicted</em>: the brighter a "
            "place, the more of the answer came from it."
        )
    cards = "".join(_card(run, index) for index in indices)
    return section("mistakes", "Worst mistakes", lead, f'<ul class="cards">{cards}</ul>')


def _card(run: Run, index: int) -> str:
    evaluation, classes = run.evaluation, run.manifest.classes
    truth = classes[evaluation.labels[index]]
    predicted = classes[run.predicted[index]]
    image = _small(evaluation.paths[index].read_bytes())
    heated = ""
    if evaluation.evidence is not None:
        box = seen_box(image.size, run.manifest.geometry)
        laid = overlay(image, evaluation.evidence[index], box)
        heated = image_tag(laid, f"The same image with the evidence for {predicted} laid over")
    return (
        '<li class="card"><div class="pair">'
        f"{image_tag(image, f'An image of the class {truth}')}"
        f"{heated}"
        f'</div><p class="verdict"><span class="wrong">called {class_name(predicted)}</span> '
        f'<span class="sure">{number(float(run.confidence[index]))} sure</span></p>'
        f'<p class="truth">truly {class_name(truth)}</p></li>'
    )


def _small(data: bytes) -> Image.Image:
    image = decode(data, (SIDE, SIDE))
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    # A comment in the file would be written into the page with the pixels.
    return Image.fromarray(np.asarray(image))
