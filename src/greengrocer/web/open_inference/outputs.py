"""The outputs that a request asks for, and answers as tensors: in JSON, or binary after it."""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from starlette.responses import Response

from greengrocer.engines.engine import Floats
from greengrocer.errors import MalformedUpload
from greengrocer.ranking import Answer, ModelLabels
from greengrocer.web.open_inference.inputs import LENGTH
from greengrocer.web.open_inference.schemas import InferRequest
from greengrocer.web.quoted import quoted

PROBABILITIES, COARSE, KNOWN, EVIDENCE = "probabilities", "coarse", "known_score", "evidence"
JSON_LENGTH = "Inference-Header-Content-Length"


class Wanted(NamedTuple):
    """A requested output, and how to send it."""

    name: str
    binary: bool
    best: int | None  # how many classes to list; None: send the numbers


def output_shapes(labels: ModelLabels) -> dict[str, list[int]]:
    """The shapes of a model's outputs by name; -1 is a dimension of any length."""
    coarse = {} if labels.coarse is None else {COARSE: [-1, len(labels.coarse)]}
    classes = len(labels.classes)
    return {
        PROBABILITIES: [-1, classes],
        **coarse,
        **({} if labels.known_threshold is None else {KNOWN: [-1]}),
        **({EVIDENCE: [-1, -1, -1, classes]} if labels.evidence else {}),
    }


def wanted_outputs(request: InferRequest, labels: ModelLabels) -> list[Wanted]:
    """The outputs that ``request`` asks for, in its order; raises MalformedUpload for others."""
    names = output_shapes(labels)
    default = request.parameters.binary_data_output
    if not request.outputs:
        return [Wanted(name, default, None) for name in names if name != EVIDENCE]
    found: list[Wanted] = []
    for output in request.outputs:
        binary, best = output.parameters.binary_data, output.parameters.classification
        if output.name not in names or output.name in [other.name for other in found]:
            raise MalformedUpload(
                f"the output {quoted(output.name)} is unknown or asked for twice: choose from "
                f"{', '.join(names)}"
            )
        if best is not None and output.name not in (PROBABILITIES, COARSE):
            raise MalformedUpload(
                f"the output {output.name} has no classification: leave the parameter out"
            )
        found.append(Wanted(output.name, default if binary is None else binary, best))
    return found


class OutputTensor(NamedTuple):
    """An output of all images: float32 numbers, or texts (BYTES) row by row."""

    name: str
    shape: tuple[int, ...]
    values: Floats | list[str]

    @property
    def datatype(self) -> str:
        """FP32 or BYTES."""
        return "BYTES" if isinstance(self.values, list) else "FP32"

    def listed(self) -> list[float] | list[str]:
        """The values row by row."""
        return self.values if isinstance(self.values, list) else self.values.ravel().tolist()

    def raw(self) -> bytes:
        """The values as binary data."""
        if isinstance(self.values, list):
            return _packed(self.values)
        return self.values.astype("<f4").tobytes()


def output_tensors(
    answers: Sequence[Answer], wanted: Sequence[Wanted], labels: ModelLabels
) -> list[OutputTensor]:
    """The ``wanted`` outputs of ``answers``, in their order."""
    tensors = []
    for output in wanted:
        values = np.stack([answer.tensors[output.name] for answer in answers])
        if output.best is None:
            tensors.append(OutputTensor(output.name, values.shape, values))
            continue
        names = labels.classes if output.name == PROBABILITIES else labels.coarse or ()
        best = [text for row in values for text in _classification(row, names, output.best)]
        shape = len(values), len(best) // len(values)
        tensors.append(OutputTensor(output.name, shape, best))
    return tensors


def infer_response(
    answers: Sequence[Answer], wanted: Sequence[Wanted], labels: ModelLabels, request_id: str | None
) -> Response:
    """The answers as a response; it has a binary part if an output in ``wanted`` is binary."""
    outputs, parts = [], []
    tensors = output_tensors(answers, wanted, labels)
    for output, tensor in zip(wanted, tensors, strict=True):
        described, part = _output(tensor, output.binary)
        outputs.append(described)
        parts.append(part)
    body = {
        "model_name": labels.model.name,
        "model_version": labels.model.version,
        **({} if request_id is None else {"id": request_id}),
        "outputs": outputs,
    }
    text = orjson.dumps(body)
    if not any(output.binary for output in wanted):
        return Response(text, media_type="application/json")
    headers = {JSON_LENGTH: str(len(text))}
    return Response(b"".join([text, *parts]), 200, headers, "application/octet-stream")


def _output(tensor: OutputTensor, binary: bool) -> tuple[dict[str, Any], bytes]:
    """An output's JSON and its binary data."""
    described: dict[str, Any] = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": tensor.shape,
    }
    if not binary:
        described["data"] = tensor.listed()
        return described, b""
    part = tensor.raw()
    described["parameters"] = {"binary_data_size": len(part)}
    return described, part


def _classification(row: Floats, names: Sequence[str], count: int) -> list[str]:
    order = np.argsort(-row, kind="stable")[:count]
    return [f"{row[index]:f}:{index}:{names[index]}" for index in order]


def _packed(texts: Sequence[str]) -> bytes:
    elements = [text.encode() for text in texts]
    return b"".join(struct.pack(f"{LENGTH.format}{len(e)}s", len(e), e) for e in elements)
