from pathlib import Path

import pytest

from greengrocer.bundles.manifest import read_manifest
from greengrocer.engines.fake_engine import FakeEngine
from greengrocer.engines.registry import ENGINES, make_engine
from greengrocer.errors import UsageError
from greengrocer.settings import Settings


def test_an_engine_is_found_by_its_name(fake_bundle: Path) -> None:
    assert isinstance(make_engine("fake", fake_bundle, read_manifest(fake_bundle)), FakeEngine)


def test_an_unknown_name_is_refused_with_those_that_are_known(fake_bundle: Path) -> None:
    with pytest.raises(UsageError, match="no engine 'magic': choose one of onnx, torch, fake"):
        make_engine("magic", fake_bundle, read_manifest(fake_bundle))


def test_the_setting_offers_every_engine() -> None:
    annotation = Settings.model_fields["engine"].annotation
    assert getattr(annotation, "__args__", ()) == tuple(ENGINES)
