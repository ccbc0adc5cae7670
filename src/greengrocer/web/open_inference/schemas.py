"""The protocol's JSON, as models: what is read is checked by them, what is sent described.

https://github.com/open-inference/open-inference-protocol, and of Triton's extensions the binary
tensor data, the classification and the model configuration.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SIDES, OUTPUTS = 4, 4  # of the largest shape, and of those that there are
ID = 256  # characters; clients that name their requests send a number or a UUID
Size = Annotated[int, Field(ge=1)]


class Read(BaseModel):
    """What a client sends: exact types, and names that we do not know are left alone.

    Its lists fail fast: of a million faults the first is told, and to collect them takes seconds.
    """

    model_config = ConfigDict(extra="ignore", strict=True)


class InputParameters(Read):
    """How an input's values are sent."""

    binary_data_size: int | None = Field(None, ge=0, description="bytes of them behind the JSON")


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
    parameters: InputParameters = InputParameters()
    data: list[Any] | None = Field(
        None, description="row by row, nested or flat; files in base64; absent where sent as binary"
    )


class OutputParameters(Read):
    """How an output's values are to come."""

    binary_data: bool | None = Field(None, description="behind the JSON rather than in it")
    classification: int | None = Field(
        None, ge=1, description="so many of the best, each as value:index:class"
    )


class RequestOutput(Read):
    """An output that is wanted."""

    name: str = Field(examples=["probabilities"])
    parameters: OutputParameters = OutputParameters()


class RequestParameters(Read):
    """What goes for the whole request."""

    binary_data_output: bool = Field(False, description="binary_data where an output says nothing")


class InferRequest(Read):
    """Images, and what is wanted of them."""

    id: str | None = Field(None, max_length=ID, description="comes back in the answer")
    parameters: RequestParameters = RequestParameters()
    inputs: list[RequestInput] = Field(
        description="exactly one", min_length=1, max_length=1, fail_fast=True
    )
    outputs: list[RequestOutput] | None = Field(
        None,
        description="all but the evidence where it is absent",
        max_length=OUTPUTS,
        fail_fast=True,
    )


class ResponseOutput(BaseModel):
    """An output's values: ``data``, or as many bytes behind the JSON as ``parameters`` say."""

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
    """Why a request was refused; the status is the one that other routes give."""

    error: str


class ServerMetadata(BaseModel):
    """What this server is."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """An input or an output; -1 stands for a side of any length."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """What the model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ConfigInput(BaseModel):
    """An input in Triton's words; -1 stands for a side of any length."""

    name: str
    data_type: Literal["TYPE_STRING", "TYPE_UINT8"]
    dims: list[int]
    optional: Literal[True] = Field(True, description="for a request has one of them")


class ConfigOutput(BaseModel):
    """An output in Triton's words."""

    name: str
    data_type: Literal["TYPE_FP32"]
    dims: list[int]


class ModelConfig(BaseModel):
    """What the model takes and gives, as Triton's clients ask for it."""

    name: str
    platform: str
    backend: str
    max_batch_size: Literal[0] = Field(0, description="the dims begin with the images' number")
    input: list[ConfigInput]
    output: list[ConfigOutput]


class Live(BaseModel):
    """Whether the server is alive."""

    live: bool


class Ready(BaseModel):
    """Whether requests should come."""

    ready: bool


class ModelReady(Ready):
    """Whether requests for a model should come."""

    name: str
