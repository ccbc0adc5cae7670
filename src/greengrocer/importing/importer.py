"""``greengrocer import``: read, fold, calibrate, judge, prove, write."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import NamedTuple

import numpy as np

from greengrocer.bundles.unfinished import unfinished_folder
from greengrocer.datasets.dataset import LabelledImage, Taxonomy
from greengrocer.datasets.gallery import built_in_gallery
from greengrocer.datasets.layouts.read import read_collection
from greengrocer.engines.engine import Floats
from greengrocer.errors import DatasetUnusable, UsageError
from greengrocer.graphs.quantisation_ladder import Shipped
from greengrocer.imaging.geometry import Geometry, Pixels
from greengrocer.importing.answers import Raw, answer_photos
from greengrocer.importing.calibration import Calibration, calibrate
from greengrocer.importing.doubts import tell_doubts
from greengrocer.importing.fold import PIXELS, Body
from greengrocer.importing.frameworks import is_plain_jpeg
from greengrocer.importing.gate import Verdict
from greengrocer.importing.head import answer_graph
from greengrocer.importing.hints import find_hints
from greengrocer.importing.labels import Names, read_labels, taxonomy_of
from greengrocer.importing.ladder import Climbed, climb
from greengrocer.importing.order import Order
from greengrocer.importing.photos import Photos, labels_of, read_photos, read_pixels
from greengrocer.importing.preprocessing import (
    choose_preprocessing,
    input_size,
)
from greengrocer.importing.proof import PROBES, Row, check, prove
from greengrocer.importing.source import bytes_of, open_session, read_source, run_session
from greengrocer.importing.understand import Tell, Understood, understand
from greengrocer.importing.write import write
from greengrocer.serving.reloading.trial import limit_trial, limits_of

TRIED = 16  # of the photos, at most, in the trial
MOST_SECONDS = 2.0  # of one thread: the import answers a hundred images or more

Probabilities = Callable[[bytes], Floats]
Opener = Callable[[Path], Probabilities]  # a bundle's directory to what answers by it


class Imported(NamedTuple):
    """What was made, for the report."""

    rows: list[Row]
    taxonomy: Taxonomy
    precision: Shipped


def import_model(order: Order, open_bundle: Opener, tell: Tell) -> Imported:
    """Write the bundle that ``order`` asks for; ``tell`` gets a line for each finding.

    Raises UsageError, DatasetUnusable or BundleRefused, in one line; nothing is written then.
    """
    found, names = _read(order, tell)
    taxonomy = taxonomy_of(order.model, found.head.classes, names, order.coarse)
    found = found._replace(head=replace(found.head, coarse_of=taxonomy.coarse_of))
    photos = _photos(order, taxonomy, tell)
    shipped, calibration = _measure(found, photos, taxonomy, order, tell)
    head = replace(
        found.head, temperature=calibration.temperature, prototypes=calibration.prototypes
    )
    graph = answer_graph(shipped.body, found.ending, head)
    probes = _probes(photos)
    order.out.parent.mkdir(parents=True, exist_ok=True)
    with unfinished_folder(order.out.parent) as beside:
        made = beside / "bundle"
        write(order, found, graph, head, taxonomy, calibration, shipped, photos, probes, made)
        rows = _prove(found, probes, calibration.temperature, open_bundle(made), shipped, order)
        made.rename(order.out)
    return Imported(rows, taxonomy, shipped.precision)


def try_import(order: Order) -> None:
    """Read and run the graph as ``import_model`` does it, in the process of a trial.

    The limits on this process become those for a graph of its size. Raises UsageError, also for
    one that takes more than MOST_SECONDS of the processor for an image.
    """
    limits = limits_of(bytes_of(order.model))
    limit_trial(limits)
    found, _ = _read(order, lambda _: None)
    session = open_session(found.raw(), str(order.model))
    for pixels in _trial_images(order, found.geometry):
        limit_trial(limits)  # the time begins again
        began = process_time()
        run_session(session, None, {PIXELS: pixels[None]}, str(order.model))
        if (seconds := process_time() - began) > MOST_SECONDS:
            raise UsageError(
                f"{order.model} takes {seconds:.1f} seconds of the processor for an image, over "
                f"{MOST_SECONDS:g}: a service with it would be too slow, so import a smaller "
                "network"
            )


def _trial_images(order: Order, geometry: Geometry) -> Iterator[Pixels]:
    """Noise, black, white, the drawings, and some of the photos: a graph's cost may depend on them.

    Each is uint8 [H, W, 3].
    """
    shape = geometry.height, geometry.width, 3
    yield np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for level in (0, 255):
        yield np.full(shape, level, np.uint8)
    paths = [shown.path for shown in built_in_gallery().pictures]
    if order.photos is not None:
        with suppress(UsageError):  # the import says what is wrong with the photos
            found = read_collection(
                order.photos, coarse=order.photos_coarse, exclude=order.exclude
            ).images
            paths += [found[k].path for k in range(0, len(found), -(-len(found) // TRIED) or 1)]
    for path in paths:
        try:
            pixels = read_pixels(path, geometry)
        except DatasetUnusable:
            continue  # the same
        yield pixels


def _read(order: Order, tell: Tell) -> tuple[Understood, Names | None]:
    """What the graph is, and the names of its classes, where they are told."""
    source = read_source(order.model, order.layout, order.output)
    hints = find_hints(source, order.config)
    how = choose_preprocessing(source, hints.preprocessing, order.wishes)
    size = input_size(source, how, order.wishes.size)
    found = understand(source, how, how.geometry(size, scaled=order.scaled), tell)
    if order.labels is not None:
        return found, Names(read_labels(order.labels), str(order.labels))
    return found, hints.names


def _photos(order: Order, taxonomy: Taxonomy, tell: Tell) -> Photos | None:
    if order.photos is None:
        return None
    return read_photos(
        order.photos,
        taxonomy.classes,
        tell,
        coarse=order.photos_coarse,
        exclude=order.exclude,
    )


def _measure(
    found: Understood, photos: Photos | None, taxonomy: Taxonomy, order: Order, tell: Tell
) -> tuple[Climbed, Calibration]:
    """Which body ships, and what the photos tell about its answers."""
    if photos is None:
        tell("photos: none, so it is not calibrated and has no known score (give --data)")
        why = "int8 needs photos, which set its ranges and judge it: give --data"
        return Climbed(found.body, "float32", Verdict(False, why)), Calibration()
    tell(f"photos: {len(photos.fitting)} fit, {len(photos.judging)} judge")
    tell_doubts(found, photos.judging, taxonomy.classes, tell)
    truth = labels_of(photos.judging)
    judged = _answers(found, found.body, photos.judging)
    shipped = Climbed(found.body, "float32", Verdict(False, "int8 was not wanted"))
    if order.allow_int8:
        shipped = climb(found, photos, judged, tell)
    tell(f"precision: {shipped.precision}, since {shipped.verdict.why}")
    judged = shipped.judged or judged
    fitted = _answers(found, shipped.body, photos.fitting)
    of_fitting = labels_of(photos.fitting)
    return shipped, calibrate(fitted, of_fitting, judged, truth, taxonomy.coarse_of)


def _answers(found: Understood, body: Body, photos: Sequence[LabelledImage]) -> Raw:
    return answer_photos(found.raw(body), [photo.path for photo in photos], found.geometry)


def _probes(photos: Photos | None) -> list[Path]:
    """The images that the proof is made with: photos that judged, else the built-in drawings."""
    if photos is None:
        return [shown.path for shown in built_in_gallery().pictures][:PROBES]
    fitting = [photo.path for photo in photos.judging if is_plain_jpeg(photo.path)]
    if not fitting:
        return _probes(None)
    places = np.linspace(0, len(fitting) - 1, min(PROBES, len(fitting)))
    return [fitting[round(place)] for place in places]


def _prove(
    found: Understood,
    probes: Sequence[Path],
    temperature: float,
    bundle: Probabilities,
    shipped: Climbed,
    order: Order,
) -> list[Row]:
    """Compare on the probes; raises UsageError where float is not the source."""
    rows = prove(found.reference, found.raw(), bundle, probes, found.geometry, temperature)
    exact = found.source.type != np.float16 and not order.scaled
    check(rows, str(order.model), exact=exact, is_int8=shipped.verdict.ships)
    return rows
