"""The part of the composition root without HTTP: a bundle becomes an engine and a pipeline.

The Python API, ``predict``, ``evaluate`` and a bundle's trial import only this part.
"""

from collections.abc import Callable

from greengrocer.bundles.bundle import Bundle
from greengrocer.bundles.manifest import Manifest
from greengrocer.bundles.self_check import replay_goldens
from greengrocer.context import Context
from greengrocer.engines.batcher import Batcher
from greengrocer.engines.checked import CheckedEngine
from greengrocer.engines.engine import Engine, Threads
from greengrocer.engines.registry import make_engine
from greengrocer.imaging.budget import DecodeBudget
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.imaging.heif import check_installation
from greengrocer.pipeline import Observer, Pipeline
from greengrocer.ranking import ModelId, ModelLabels
from greengrocer.serving.resources import decode_bytes, picture_threads


def labels_of(manifest: Manifest, name: str | None = None) -> ModelLabels:
    """What ranking must know of the model that ``manifest`` describes, served as ``name``."""
    return ModelLabels(
        ModelId(name or manifest.name, manifest.version),
        manifest.classes,
        manifest.coarse,
        manifest.known_threshold,
        manifest.fine_threshold,
        manifest.coarse_threshold,
        manifest.evidence,
        manifest.metrics,
    )


StartEngine = Callable[[Manifest, Threads, Callable[[], Engine]], Engine]


def start_own(manifest: Manifest, threads: Threads, make: Callable[[], Engine]) -> Engine:
    """The engine that ``make`` makes, started, for one pipeline alone."""
    del manifest, threads
    engine = make()
    engine.start()
    return engine


def build_pipeline(
    bundle: Bundle,
    engine_name: str = "onnx",
    device: str = "auto",
    limits: DecodeLimits | None = None,
    observer: Observer | None = None,
    threads: Threads | None = None,
    make_batcher: Callable[[Engine], Batcher | None] = lambda _: None,
    memory: DecodeBudget | None = None,
    name: str | None = None,
    start_engine: StartEngine = start_own,
) -> Pipeline:
    """Start an engine on ``bundle``, replay its goldens, and return its pipeline.

    The model is called ``name`` where that is given, else as its bundle says. Without ``threads``
    each image takes one, and as many images run at once as there are processors.

    Raises BundleRefused where the graph or an answer is not what the manifest says, UsageError
    for an engine that is unknown or does not load, BrokenExtra.
    """
    check_installation()
    manifest = bundle.manifest
    threads = threads or Threads(side_by_side=picture_threads())
    started = start_engine(
        manifest,
        threads,
        lambda: make_engine(engine_name, bundle.directory, manifest, device, threads),
    )
    engine = CheckedEngine(started, manifest)
    labels = labels_of(manifest, name)
    pipeline = Pipeline(
        engine,
        manifest.geometry,
        labels,
        limits or DecodeLimits(bytes=decode_bytes(picture_threads())),
        observer,
        make_batcher(engine),
        memory,
    )

    def best(image: bytes) -> tuple[str, float]:
        return pipeline.classify(image, Context()).top[0]

    try:
        replay_goldens(bundle, best)
    except BaseException:
        pipeline.close()
        raise
    return pipeline
