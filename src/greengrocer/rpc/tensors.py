"""A request for inference as a message, and the answers as one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from greengrocer.errors import MalformedUpload, TooManyBytes
from greengrocer.imaging.decode import Picture
from greengrocer.ranking import ModelLabels
from greengrocer.rpc.cut import cut, parse
from greengrocer.rpc.messages.open_inference_pb2 import (
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
)
from greengrocer.web.body.upload import UploadLimits
from greengrocer.web.open_inference.inputs import MAX_VALUES, check_input, images_of, malformed
from greengrocer.web.open_inference.outputs import OutputTensor
from greengrocer.web.open_inference.schemas import OUTPUTS, SIDES, InferRequest

RAW = ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER
INPUTS = ModelInferRequest.INPUTS_FIELD_NUMBER
InputTensor = ModelInferRequest.InferInputTensor
CONTENTS = InputTensor.CONTENTS_FIELD_NUMBER
FILES = InferTensorContents.BYTES_CONTENTS_FIELD_NUMBER
CLASSIFICATION = "classification"


class AskedInference(NamedTuple):
    """A request, whose images are still in the message."""

    model: str
    version: str  # empty: the model's current one
    request: InferRequest
    raw: list[memoryview]  # an element for each input
    contents: memoryview | None  # an InferTensorContents, of which all fields are empty if None

    def images(self, limits: UploadLimits) -> list[Picture]:
        """The images, files as views of the message; raises MalformedUpload or TooManyBytes."""
        (given,) = self.request.inputs
        check_input(given, limits)
        if self.raw and self.contents is not None:
            raise MalformedUpload(f"{given.name} has contents and raw_input_contents: send one")
        if len(self.raw) > 1:
            raise MalformedUpload("raw_input_contents must have one element, for the one input")
        data = (
            self.raw[0] if self.raw else _listed(self.contents or memoryview(b""), given.datatype)
        )
        return images_of(given, data, limits)


def read_infer(message: bytes) -> AskedInference:
    """The request in a ModelInferRequest; raises MalformedUpload or TooManyBytes."""
    rest, (raw, inputs) = cut(message, RAW, INPUTS)
    asked = parse(ModelInferRequest, rest)
    given = [_input(each) for each in inputs[:2]]  # one is all that may be there
    outputs = [
        {"name": output.name, "parameters": _classification(output.parameters)}
        for output in asked.outputs[: OUTPUTS + 1]
    ]
    fields = {
        "id": asked.id or None,
        "inputs": [
            {"name": each.name, "datatype": each.datatype, "shape": each.shape[: SIDES + 1]}
            for each, _ in given
        ],
        "outputs": outputs or None,
    }
    try:
        request = InferRequest.model_validate(fields)
    except ValidationError as error:
        raise malformed(error) from error
    ((_, contents),) = given
    return AskedInference(asked.model_name, asked.model_version, request, raw, contents)


def _input(message: memoryview) -> tuple[InputTensor, memoryview | None]:
    """An input without its contents, and those."""
    rest, (contents,) = cut(message, CONTENTS)
    if len(contents) > 1:
        raise MalformedUpload("an input must have its contents once")
    return parse(InputTensor, rest), contents[0] if contents else None


def _classification(parameters: Any) -> dict[str, Any]:
    """The one parameter of an output that means something here."""
    if CLASSIFICATION not in parameters:
        return {}
    parameter = parameters[CLASSIFICATION]
    kind = parameter.WhichOneof("parameter_choice")
    return {CLASSIFICATION: kind and getattr(parameter, kind)}


def _listed(contents: memoryview, datatype: str) -> list[Any]:
    """The values in the field of a datatype."""
    rest, (files,) = cut(contents, FILES)
    if datatype == "BYTES":
        return list(files)
    values = parse(InferTensorContents, rest).uint_contents
    if len(values) > MAX_VALUES:
        raise TooManyBytes(
            f"the contents have over {MAX_VALUES} values: send pixels as raw_input_contents"
        )
    return list(values)


def infer_message(
    labels: ModelLabels, tensors: Sequence[OutputTensor], request_id: str | None, raw: bool
) -> bytes:
    """A ModelInferResponse: with raw contents, or with those of each output's datatype."""
    response = ModelInferResponse(
        model_name=labels.model.name, model_version=labels.model.version, id=request_id or ""
    )
    for tensor in tensors:
        output = response.outputs.add(
            name=tensor.name, datatype=tensor.datatype, shape=tensor.shape
        )
        if raw:
            response.raw_output_contents.append(tensor.raw())
        elif isinstance(tensor.values, list):
            output.contents.bytes_contents.extend(text.encode() for text in tensor.values)
        else:
            output.contents.fp32_contents.extend(tensor.values.ravel().tolist())
    return response.SerializeToString()
