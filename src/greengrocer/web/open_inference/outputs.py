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
from greengrocer.web.open_inference.schemas import InferRequest, RequestOutput
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
    asked = request.outputs or [RequestOutput(name=name) for name in names if name != EVIDENCE]
    found: list[Wanted] = []
    for output in asked:
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
        default = request.parameters.binary_data_output
        found.append(Wanted(output.name, default if binary is None else binary, best))
    return found


def infer_response(
    answers: Sequence[Answer], wanted: Sequence[Wanted], labels: ModelLabels, request_id: str | None
) -> Response:
    """The answers as a response; it has a binary part if an output in ``wanted`` is binary."""
    outputs, parts = [], []
    for output in wanted:
        values = np.stack([answer.tensors[output.name] for answer in answers])
        described, part = _output(output, values, labels)
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


def _output(wanted: Wanted, values: Floats, labels: ModelLabels) -> tuple[dict[str, Any], bytes]:
    """An output's JSON and its binary data."""
    best = None
    if wanted.best is not None:
        names = labels.classes if wanted.name == PROBABILITIES else labels.coarse or ()
        best = [text for row in values for text in _classification(row, names, wanted.best)]
    described: dict[str, Any] = {
        "name": wanted.name,
        "datatype": "FP32" if best is None else "BYTES",
        "shape": values.shape if best is None else [len(values), len(best) // len(values)],
    }
    if not wanted.binary:
        described["data"] = values.ravel().tolist() if best is None else best
        return described, b""
    part = values.astype("<f4").tobytes() if best is None else _packed(best)
    described["parameters"] = {"binary_data_size": len(part)}
    return described, part


def _classification(row: Floats, names: Sequence[str], count: int) -> list[str]:
    order = np.argsort(-row, kind="stable")[:count]
    return [f"{row[index]:f}:{index}:{names[index]}" for index in order]


def _packed(texts: Sequence[str]) -> bytes:
    elements = [text.encode() for text in texts]
    return b"".join(struct.pack(f"{LENGTH.format}{len(e)}s", len(e), e) for e in elements)
