"""The protocol's JSON as models, which validate requests and describe responses.

https://github.com/open-inference/open-inference-protocol, with three of Triton's extensions: binary
tensor data, classification and model configuration.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SIDES, OUTPUTS = 4, 4  # the most dimensions of a shape, and the number of outputs
ID = 256  # characters; clients that name their requests send a number or a UUID
Size = Annotated[int, Field(ge=1)]


class Read(BaseModel):
    """JSON from a client: types are exact, unknown names are ignored.

    Lists fail fast: the first fault is reported. To collect a million faults takes seconds.
    Defaults that are models are made anew: one that is given is copied deeply for each request.
    """

    model_config = ConfigDict(extra="ignore", strict=True)


class InputParameters(Read):
    """How an input's values are sent."""

    binary_data_size: int | None = Field(
        None, ge=0, description="bytes of the values after the JSON"
    )


class RequestInput(Read):
    """The images: ``image`` or ``pixels``."""

    name: str = Field(description="image: files; pixels: upright RGB", examples=["image"])
    shape: list[Size] = Field(
        description="image: [N]; pixels: [N, H, W, 3]",
        examples=[[1]],
        max_length=SIDES,
        fail_fast=True,
    )
    datatype: str = Field(description="image: BYTES; pixels: UINT8", examples=["BYTES"])
    parameters: InputParameters = Field(default_factory=InputParameters)
    data: list[Any] | None = Field(
        None, description="row by row, nested or flat; files in base64; absent if sent as binary"
    )


class OutputParameters(Read):
    """How to send an output's values."""

    binary_data: bool | None = Field(None, description="true: send the values after the JSON")
    classification: int | None = Field(
        None, ge=1, description="how many of the best to send, each as value:index:class"
    )


class RequestOutput(Read):
    """A requested output."""

    name: str = Field(examples=["probabilities"])
    parameters: OutputParameters = Field(default_factory=OutputParameters)


class RequestParameters(Read):
    """Parameters of the whole request."""

    binary_data_output: bool = Field(
        False, description="default of the outputs' binary_data; false unless it is set"
    )


class InferRequest(Read):
    """Images, and the outputs to send."""

    id: str | None = Field(None, max_length=ID, description="returned in the response")
    parameters: RequestParameters = Field(default_factory=RequestParameters)
    inputs: list[RequestInput] = Field(
        description="exactly one", min_length=1, max_length=1, fail_fast=True
    )
    outputs: list[RequestOutput] | None = Field(
        None,
        description="default: all but the evidence",
        max_length=OUTPUTS,
        fail_fast=True,
    )


class ResponseOutput(BaseModel):
    """An output's values: ``data``, or as many bytes after the JSON as ``parameters`` say."""

    name: str
    datatype: Literal["FP32", "BYTES"]
    shape: list[int]
    parameters: dict[str, int] | None = None
    data: list[float] | list[str] | None = None


class InferResponse(BaseModel):
    """The answers, in the order of the images."""

    model_name: str
    model_version: str
    id: str | None = Field(None, description="the request's")
    outputs: list[ResponseOutput]


class InferError(BaseModel):
    """Why a request was refused; the status is the same as on other routes."""

    error: str


class IndexRequest(Read):
    """Which models to list."""

    ready: bool = Field(False, description="true: only those that serve")


class IndexedModel(BaseModel):
    """A version of a model in the index."""

    name: str
    version: str = Field(description="empty for a model that does not serve")
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = Field(description="failed or unloaded; empty for a model that serves")


class ServerMetadata(BaseModel):
    """The server's name, version and extensions."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """An input or an output; -1 is a dimension of any length."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """The model's inputs and outputs."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ConfigInput(BaseModel):
    """An input, in Triton's terms; -1 is a dimension of any length."""

    name: str
    data_type: Literal["TYPE_STRING", "TYPE_UINT8"]
    dims: list[int]
    optional: Literal[True] = Field(description="true: a request has one of the inputs")


class ConfigOutput(BaseModel):
    """An output, in Triton's terms."""

    name: str
    data_type: Literal["TYPE_FP32"]
    dims: list[int]


class ModelConfig(BaseModel):
    """The model's inputs and outputs, as Triton's model configuration."""

    name: str
    platform: str
    backend: str
    max_batch_size: Literal[0] = Field(description="0: dims begin with the number of images")
    input: list[ConfigInput]
    output: list[ConfigOutput]


class Live(BaseModel):
    """Whether the server is alive."""

    live: bool


class Ready(BaseModel):
    """Whether the server is ready for requests."""

    ready: bool


class ModelReady(Ready):
    """Whether the model is ready for requests."""

    name: str
