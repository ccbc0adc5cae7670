"""What the protocol tells of the server and its models."""

from collections.abc import Sequence
from typing import Any

from greengrocer.ranking import ModelLabels
from greengrocer.serving.catalogue import Catalogue
from greengrocer.version import __version__
from greengrocer.web.open_inference.inputs import CHANNELS, IMAGE, PIXELS
from greengrocer.web.open_inference.outputs import output_shapes
from greengrocer.web.open_inference.schemas import (
    IndexedModel,
    ModelConfig,
    ModelMetadata,
    ServerMetadata,
    TensorMetadata,
)

PLATFORM = "greengrocer"
EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration"]
TYPES = {"BYTES": "TYPE_STRING", "UINT8": "TYPE_UINT8", "FP32": "TYPE_FP32"}  # in a configuration


def server_metadata() -> ServerMetadata:
    """The server's name, version and extensions."""
    return ServerMetadata(name="greengrocer", version=__version__, extensions=EXTENSIONS)


def model_metadata(labels: ModelLabels, catalogue: Catalogue) -> ModelMetadata:
    """A model's inputs and outputs, and all its versions."""
    return _model(labels, catalogue.versions(labels.model.name))


def model_configuration(labels: ModelLabels) -> ModelConfig:
    """The same of one version, as Triton's model configuration."""
    return _configuration(_model(labels, (labels.model.version,)))


def index(catalogue: Catalogue, only_ready: bool) -> list[IndexedModel]:
    """All models and versions; those that do not serve only where they are asked for."""
    there = [
        IndexedModel(name=labels.model.name, version=labels.model.version, state="READY", reason="")
        for _, labels in catalogue.models
    ]
    absent = () if only_ready else catalogue.absent
    return there + [
        IndexedModel(name=key, version="", state="UNAVAILABLE", reason=str(why))
        for key, why in absent
    ]


def _model(labels: ModelLabels, versions: Sequence[str]) -> ModelMetadata:
    inputs = [(IMAGE, "BYTES", [-1]), (PIXELS, "UINT8", [-1, -1, -1, CHANNELS])]
    outputs = [(name, "FP32", shape) for name, shape in output_shapes(labels).items()]
    keys = ("name", "datatype", "shape")
    return ModelMetadata.model_validate(
        {
            "name": labels.model.name,
            "versions": versions,
            "platform": PLATFORM,
            "inputs": [dict(zip(keys, given, strict=True)) for given in inputs],
            "outputs": [dict(zip(keys, given, strict=True)) for given in outputs],
        }
    )


def _configuration(model: ModelMetadata) -> ModelConfig:
    def configured(tensors: list[TensorMetadata], **more: Any) -> list[dict[str, Any]]:
        return [
            {"name": t.name, "data_type": TYPES[t.datatype], "dims": t.shape, **more}
            for t in tensors
        ]

    return ModelConfig.model_validate(
        {
            "name": model.name,
            "platform": model.platform,
            "backend": PLATFORM,
            "max_batch_size": 0,
            "input": configured(model.inputs, optional=True),
            "output": configured(model.outputs),
        }
    )
