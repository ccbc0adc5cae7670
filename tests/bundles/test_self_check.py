from pathlib import Path
from typing import Any

import pytest

from fake_engine import FakeEngine
from greengrocer import assemble_pipeline
from greengrocer.bundles.bundle import Bundle, load_bundle
from greengrocer.bundles.self_check import replay_goldens
from greengrocer.engines.engine import Threads
from greengrocer.errors import BundleRefused, UnreadableImage


@pytest.fixture
def bundle(fake_bundle: Path) -> Bundle:
    loaded = load_bundle(fake_bundle)
    golden = loaded.manifest.goldens[0].model_copy(update={"confidence": 0.5})
    changes = {"goldens": (golden,), "golden_tolerance": 0.125}
    return Bundle(fake_bundle, loaded.manifest.model_copy(update=changes))


@pytest.mark.parametrize("confidence", [0.375, 0.5, 0.625])
def test_the_golden_label_within_the_tolerance_is_accepted(
    bundle: Bundle, confidence: float
) -> None:
    asked: list[bytes] = []

    def classify(picture: bytes) -> tuple[str, float]:
        asked.append(picture)
        return "grey-3", confidence

    replay_goldens(bundle, classify)
    assert asked == [(bundle.directory / "golden.jpg").read_bytes()]


@pytest.mark.parametrize(
    ("label", "confidence"), [("grey-4", 0.5), ("grey-3", 0.626), ("grey-3", 0)]
)
def test_a_different_answer_is_refused_in_one_line(
    bundle: Bundle, label: str, confidence: float
) -> None:
    with pytest.raises(BundleRefused, match=f"golden.jpg is answered {label} .*, not grey-3") as no:
        replay_goldens(bundle, lambda _: (label, confidence))
    assert "\n" not in str(no.value)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnreadableImage("the JPEG is damaged"), "the JPEG is damaged"),
        (MemoryError("there is not enough memory for it"), "there is not enough memory for it"),
        (MemoryError(), "MemoryError"),  # Python's own says nothing
    ],
)
def test_a_golden_image_without_an_answer_is_an_error_of_the_bundle(
    bundle: Bundle, error: Exception, reason: str
) -> None:
    def refuse(_: bytes) -> tuple[str, float]:
        raise error

    with pytest.raises(BundleRefused, match=rf"golden\.jpg: {reason}$"):
        replay_goldens(bundle, refuse)


def test_after_a_refusal_the_engine_is_closed(
    fake_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[object] = []

    class Recorded(FakeEngine):
        def close(self) -> None:
            closed.append(self)

    def recorded(
        _: str, directory: Path, manifest: Any, device: str, threads: Threads
    ) -> FakeEngine:
        return Recorded(directory, manifest, device, threads)

    monkeypatch.setattr(assemble_pipeline, "make_engine", recorded)
    directory, manifest = load_bundle(fake_bundle)
    golden = manifest.goldens[0].model_copy(update={"prediction": "grey-9"})
    wrong = Bundle(directory, manifest.model_copy(update={"goldens": (golden,)}))
    with pytest.raises(BundleRefused, match="not grey-9"):
        assemble_pipeline.build_pipeline(wrong, "fake")
    assert len(closed) == 1
