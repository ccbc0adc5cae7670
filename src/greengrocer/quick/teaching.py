"""``teach`` and ``forget``: classes and images come into a bundle, and leave it, exactly.

A quick bundle is computed again from its statistics, so it is what training with these images from
the start would have made. To a bundle whose network was trained, classes are added on top: those
that trained it keep their head to the bit.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx

from greengrocer.bundles.bundle import Bundle, load_bundle, shipped_bundles
from greengrocer.bundles.files import refused
from greengrocer.bundles.manifest import GRAPH, STATISTICS, Manifest
from greengrocer.bundles.save import check_new, replace_bundle
from greengrocer.bundles.trained_on import LENGTH, TRAINED_ON, read_trained_on
from greengrocer.bundles.unfinished import unfinished_folder
from greengrocer.datachecks.files import UnreadableFile
from greengrocer.datasets.dataset import Taxonomy
from greengrocer.datasets.layouts.names import one_form, similar_names
from greengrocer.errors import BundleRefused, DatasetUnusable, UsageError
from greengrocer.features.extract import Embedder
from greengrocer.features.statistics import MOST_KEPT, Statistics
from greengrocer.features.statistics_checks import Settings
from greengrocer.features.statistics_file import (
    check_prototypes,
    check_teachable,
    pack,
    read_statistics,
)
from greengrocer.graphs.answers import Head
from greengrocer.graphs.parts import take_apart
from greengrocer.locks import locked
from greengrocer.quick.bundling import Content, made_now, write
from greengrocer.quick.calibration import FOLDS, Calibration, calibrate
from greengrocer.quick.head import make_head
from greengrocer.quick.on_top import extend
from greengrocer.quick.shots import shots_of
from greengrocer.quick.train import CALIBRATION
from greengrocer.regular_files import MAX_IMAGE_BYTES, read_regular
from greengrocer.safe_text import check_name
from greengrocer.suggestions import did_you_mean


class Changed(NamedTuple):
    """A bundle's new version: how many images came or went, and how good it is now.

    ``skipped`` images made no difference, ``unreadable`` files were left out.
    """

    manifest: Manifest
    images: int
    skipped: int
    calibration: Calibration | None
    unreadable: tuple[UnreadableFile, ...] = ()


class _Opened(NamedTuple):
    bundle: Bundle
    statistics: Statistics
    settings: Settings
    backbone: onnx.ModelProto
    head: Head
    embedder: Embedder
    out: Path | None

    @property
    def on_top(self) -> bool:
        """Whether its network was trained, and classes are added on top."""
        return self.settings.trained is not None

    def only_summed(self, digests: Sequence[str]) -> list[bool]:
        """Whether each image trained it, and no row of it is kept."""
        trained = read_trained_on(self.bundle) if self.statistics.rest is not None else None
        kept = self.statistics.has(digests)
        return [
            trained is not None and digest in trained and not has
            for digest, has in zip(digests, kept, strict=True)
        ]


def teach(directory: Path, name: str, images: Sequence[Path], out: Path | None = None) -> Changed:
    """Add ``images`` of the class ``name`` to the bundle in ``directory``.

    The new version takes its place, or is written to the new directory ``out``.

    Images that it has are skipped, and files that cannot be read are left out. Raises UsageError
    where the bundle cannot be taught, the class trained its network or is named almost as another,
    an image is of another class, or none is new; DatasetUnusable where no image can be read.
    """
    name = one_form(name)
    try:
        check_name(name)
    except ValueError as error:
        raise UsageError(f"--class {error}") from error
    with _opened(directory, out) as opened:
        return _teach(opened, name, images)


def _teach(opened: _Opened, name: str, files: Sequence[Path]) -> Changed:
    statistics, directory = opened.statistics, opened.bundle.directory
    other = f"Teach them as a class of another name, as --class {name + ' 2'!r}"
    _check_on_top(opened, name, f"{other}, or train on all images: `greengrocer train PHOTOS`")
    _check_similar(name, statistics.classes)
    extracted, rows, failures = opened.embedder.extract_readable(files)
    unreadable = tuple(UnreadableFile(files[row], why) for row, why in failures.items())
    if not rows:
        first = unreadable[0]
        raise DatasetUnusable(f"no image can be read; the first is {first.path}: {first.why}")
    images = [files[row] for row in rows]
    kept = statistics.has(extracted.digests)
    for row in np.flatnonzero(kept).tolist():
        label = int(statistics.labels[_row_of(statistics, extracted.digests[row])])
        if statistics.classes[label] != name:
            raise UsageError(
                f"{images[row]} is already an image of {statistics.classes[label]}: "
                "forget it first, or leave it out"
            )
    # Of a trained network, what is taught on top does not count with what trained it.
    new = ~kept if opened.on_top else ~kept & ~np.array(opened.only_summed(extracted.digests))
    digests = [digest for digest, is_new in zip(extracted.digests, new, strict=True) if is_new]
    if not digests:
        raise UsageError(f"{directory} has all of these images already: nothing to teach")
    chosen = [path for path, is_new in zip(images, new, strict=True) if is_new]
    if opened.on_top and len(statistics.labels) + len(digests) > MOST_KEPT:
        raise UsageError(
            f"{directory} would have more than {MOST_KEPT:,} taught images: train again with them"
        )
    taught = statistics.add(name, digests, extracted.features[new], shots_of(chosen))
    count = int(taught.counts.sum() - statistics.counts.sum())
    changed = _write(opened, taught, chosen, count, len(images) - count, digests)
    return changed._replace(unreadable=unreadable)


def forget_class(directory: Path, name: str, out: Path | None = None) -> Changed:
    """Take the class ``name`` out of the bundle in ``directory``; no image of it is needed.

    Raises UsageError where there is no such class, it trained the network, or one would be left.
    """
    name = one_form(name)
    with _opened(directory, out) as opened:
        statistics = opened.statistics
        if name not in statistics.classes:
            known = did_you_mean(name, list(statistics.classes))
            raise UsageError(f"{directory} has no class {name!r}{known}")
        _check_on_top(opened, name, "Train without its images: `greengrocer train PHOTOS`")
        label = statistics.classes.index(name)
        if statistics.rest is not None and statistics.rest.counts[label]:
            raise UsageError(
                f"{name!r} has too many images to be forgotten: train again without it"
            )
        rest = statistics.without_class(name)
        return _write(opened, rest, [], len(statistics.labels) - len(rest.labels), 0)


def forget_images(directory: Path, images: Sequence[Path], out: Path | None = None) -> Changed:
    """Take ``images`` out of the bundle in ``directory``; a class that has no more goes, too.

    Raises UsageError where it has none of them, one can no longer be taken out, or one class would
    be left; DatasetUnusable for a file that cannot be read.
    """
    digests = [_digest(path) for path in images]
    with _opened(directory, out) as opened:
        for path, lost in zip(images, opened.only_summed(digests), strict=True):
            if lost:
                raise UsageError(
                    f"{path} trained {directory}, which keeps only sums of it: train again "
                    "without it"
                )
        rest = opened.statistics.without_images(digests)
        count = len(opened.statistics.labels) - len(rest.labels)
        if not count:
            raise UsageError(f"{directory} has none of these images: nothing to forget")
        for name, left in zip(rest.classes, rest.counts, strict=True):
            if not left:
                rest = rest.without_class(name)
        return _write(opened, rest, [], count, len(images) - count)


@contextmanager
def _opened(directory: Path, out: Path | None) -> Iterator[_Opened]:
    """The bundle in ``directory``, locked from the reading to the writing where it is replaced."""
    with ExitStack() as stack:
        if out is None and directory.is_dir():
            # The folder around it: the bundle's own is another one after each change.
            stack.enter_context(locked(directory.resolve().parent))
        yield _open(directory, out)


def _open(directory: Path, out: Path | None) -> _Opened:
    if out is not None:
        check_new(out)
    elif directory.resolve() in {each.resolve() for each in shipped_bundles().values()}:
        raise UsageError(
            f"the bundle {directory.name} came with the product and is not changed: name the "
            "directory for the new one, as --out runs/mine"
        )
    bundle = load_bundle(directory)
    check_teachable(bundle)
    try:
        backbone, head = take_apart(onnx.load_from_string(bundle.read(GRAPH)))
    except ValueError as error:
        raise UsageError(f"bundle {directory}: {GRAPH}: {error}") from error
    if len(head.bias) != len(bundle.manifest.classes):
        raise refused(directory, GRAPH, f"has a head of {len(head.bias):,} other classes")
    prototypes, channels = head.directions.shape
    statistics, settings = read_statistics(bundle, channels)
    check_prototypes(bundle, statistics, settings, prototypes)
    graph = backbone.SerializeToString()
    digest = hashlib.sha256(graph).hexdigest()
    embedder = Embedder(graph, digest, bundle.manifest.geometry, len(head.weight))
    return _Opened(bundle, statistics, settings, backbone, head, embedder, out)


def _check_on_top(opened: _Opened, name: str, instead: str) -> None:
    """Raise UsageError, which ends in what to do ``instead``, for a class that trained it."""
    if name in (opened.settings.trained or ()):
        raise UsageError(
            f"the class {name!r} trained the network of {opened.bundle.directory}, which does not "
            f"keep its images: only classes that were taught can be changed. {instead}"
        )


def _check_similar(name: str, classes: Sequence[str]) -> None:
    """Raise UsageError where ``name`` is a new one but for case, blanks or hyphens."""
    if name in classes:
        return
    for names in similar_names([*classes, name]):
        if name in names:
            raise UsageError(
                f"the bundle has a class {names[0]!r}, which differs from {name!r} only by case, "
                "blanks, hyphens or underscores: name it as it is, or take another name"
            )


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(read_regular(path, MAX_IMAGE_BYTES)).hexdigest()
    except OSError as error:
        raise DatasetUnusable(f"{path}: {error.strerror or error}") from error


def _row_of(statistics: Statistics, digest: str) -> int:
    wanted = bytes.fromhex(digest[: 2 * LENGTH])
    return next(row for row, each in enumerate(statistics.digests) if bytes(each) == wanted)


def _write(
    opened: _Opened,
    statistics: Statistics,
    images: Sequence[Path],
    count: int,
    skipped: int,
    taught: Sequence[str] = (),
) -> Changed:
    """Compute the head of ``statistics``, and put the new version in the place of the old."""
    bundle, manifest = opened.bundle, opened.bundle.manifest
    if len(statistics.classes) < 2:
        raise UsageError(f"{bundle.directory} would have one class: a model needs at least two")
    taxonomy = _taxonomy(manifest, statistics.classes)
    head, calibration = _computed(opened, statistics, taxonomy)
    head = head._replace(places=opened.head.places)
    content = Content(
        name=manifest.name,
        taxonomy=taxonomy,
        geometry=manifest.geometry,
        calibration=calibration,
        provenance=_provenance(manifest, statistics, calibration, opened.on_top),
        trained_on=_trained_on(opened, statistics, taught),
        statistics=pack(statistics, opened.settings),
    )
    place = bundle.directory.resolve()
    goldens = [
        place / each.file for each in manifest.goldens if each.prediction in taxonomy.classes
    ]
    candidates = [*goldens, *images[:4]]
    if opened.out is not None:
        written = write(content, opened.backbone, head, candidates, opened.out)
    else:
        with unfinished_folder(place.parent) as beside:
            unfinished = beside / place.name
            written = write(content, opened.backbone, head, candidates, unfinished)
            replace_bundle(unfinished, place)
    return Changed(written, count, skipped, None if opened.on_top else calibration)


def _computed(
    opened: _Opened, statistics: Statistics, taxonomy: Taxonomy
) -> tuple[Head, Calibration]:
    """The head of ``statistics``; raises BundleRefused where no head comes of them."""
    settings, manifest = opened.settings, opened.bundle.manifest
    try:
        with np.errstate(all="ignore"):
            if settings.prototypes is not None:
                head, calibration = extend(
                    opened.head, statistics, settings.prototypes, manifest, taxonomy
                )
            else:
                seed = settings.seed or 0  # it has one
                calibration = calibrate(statistics, taxonomy.coarse_of, seed, CALIBRATION)
                head = make_head(statistics, calibration, taxonomy.coarse_of)
    except np.linalg.LinAlgError as error:
        raise _no_head(opened) from error
    if not all(np.isfinite(part).all() for part in (head.weight, head.bias, head.directions)):
        raise _no_head(opened)
    return head, calibration


def _no_head(opened: _Opened) -> BundleRefused:
    why = "has sums or features of which no head can be computed: they are not those of photos"
    return refused(opened.bundle.directory, STATISTICS, why)


def _taxonomy(manifest: Manifest, classes: tuple[str, ...]) -> Taxonomy:
    """A new class is a coarse class of its own; a coarse class without classes goes."""
    if manifest.coarse is None or manifest.coarse_of is None:
        return Taxonomy(classes)
    coarse_of = dict(zip(manifest.classes, manifest.coarse_of, strict=True))
    names = [manifest.coarse[coarse_of[each]] if each in coarse_of else each for each in classes]
    kept = [name for name in manifest.coarse if name in names]
    kept += [name for name in dict.fromkeys(names) if name not in kept]
    return Taxonomy(classes, tuple(kept), tuple(kept.index(name) for name in names))


def _trained_on(opened: _Opened, statistics: Statistics, taught: Sequence[str]) -> list[str]:
    """The images of the new version: the kept, and those that only sums and the old file know."""
    kept = [bytes(each).hex() for each in statistics.digests]
    before = {bytes(each).hex() for each in opened.statistics.digests}
    if taught:  # some kept before may be in the sums now
        kept = [*before, *taught]
    if statistics.rest is None or TRAINED_ON not in opened.bundle.manifest.files:
        return kept
    packed = opened.bundle.read(TRAINED_ON)
    starts = [packed[k : k + LENGTH].hex() for k in range(0, len(packed), LENGTH)]
    return [each for each in starts if each not in before] + kept


def _provenance(
    manifest: Manifest, statistics: Statistics, calibration: Calibration, on_top: bool
) -> dict[str, Any]:
    origin = dict(manifest.provenance)
    if on_top:
        taught = len(statistics.labels)
        return origin | {"taught": {"pictures": taught, "date": made_now()["date"]}}
    origin |= {"training": {"pictures": int(statistics.counts.sum())}}
    for name in ("out_of_fold", "held_out"):  # those figures were another head's
        origin.pop(name, None)
    if calibration.judged:
        origin["out_of_fold"] = {"folds": FOLDS, "pictures": calibration.judged}
    return origin | made_now()
