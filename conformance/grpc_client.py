"""A client of gRPC that has its messages from the service itself, by reflection."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import grpc
import numpy as np
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from conformance.tensors import PIXELS, packed
from conformance.wire import SECONDS

INFERENCE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)

Metadata = Sequence[tuple[str, str]]
Request = dict[str, Any]  # the fields of a ModelInferRequest


class End(NamedTuple):
    """How a call ended that was refused."""

    status: grpc.StatusCode
    detail: str
    trailing: dict[str, str]

    @property
    def code(self) -> str | None:
        """The code that the problem has over HTTP, too."""
        return self.trailing.get("problem-code")


class Client:
    """A connection to the service at ``address``, a host and a port."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.channel = grpc.insecure_channel(address, OPTIONS)
        self.described = ProtoReflectionDescriptorDatabase(self.channel)
        self._pool = DescriptorPool(self.described)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def message(self, method: str, fields: Mapping[str, Any], service: str = INFERENCE) -> Message:
        """A request of ``method`` with these fields."""
        described = self._pool.FindServiceByName(service).methods_by_name[method].input_type
        return GetMessageClass(described)(**fields)

    def call(
        self,
        method: str,
        asked: bytes | Mapping[str, Any] = {},
        metadata: Metadata = (),
        service: str = INFERENCE,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """The answer to the bytes or fields of a request; raises grpc.RpcError."""
        ask: Any = self.channel.unary_unary(f"/{service}/{method}")
        sent = self._bytes(method, asked, service)
        answer = ask(sent, timeout=SECONDS, metadata=tuple(metadata), compression=compression)
        return self._answer(method, answer, service)

    def watch(self, method: str, asked: Mapping[str, Any], service: str) -> Iterator[Any]:
        """The answers of a method that gives several."""
        ask: Any = self.channel.unary_stream(f"/{service}/{method}")
        for answer in ask(self._bytes(method, asked, service), timeout=SECONDS):
            yield self._answer(method, answer, service)

    def infer(self, asked: bytes | Request, metadata: Metadata = ()) -> Any:
        """The answer of ModelInfer; raises grpc.RpcError."""
        return self.call("ModelInfer", asked, metadata)

    def refused(
        self,
        asked: bytes | Mapping[str, Any],
        metadata: Metadata = (),
        method: str = "ModelInfer",
        **how: Any,
    ) -> End:
        """How a call ended that must be refused."""
        try:
            answer = self.call(method, asked, metadata, **how)
        except grpc.RpcError as error:
            ended: Any = error
            return End(ended.code(), ended.details(), dict(ended.trailing_metadata() or ()))
        raise AssertionError(f"it was answered: {answer}")

    def begin(self, asked: bytes | Request) -> Any:
        """The call of ModelInfer, which goes on meanwhile."""
        ask: Any = self.channel.unary_unary(f"/{INFERENCE}/ModelInfer")
        return ask.future(self._bytes("ModelInfer", asked, INFERENCE), timeout=SECONDS)

    def _bytes(self, method: str, asked: bytes | Mapping[str, Any], service: str) -> bytes:
        if isinstance(asked, bytes):
            return asked
        return self.message(method, asked, service).SerializeToString()

    def _answer(self, method: str, answer: bytes, service: str) -> Any:
        described = self._pool.FindServiceByName(service).methods_by_name[method].output_type
        return GetMessageClass(described).FromString(answer)


def files(model: str, *contents: bytes, **other: Any) -> Request:
    """A request with images that are files; ``other`` fields replace its input's."""
    given = {"name": "image", "datatype": "BYTES", "shape": [len(contents)]} | other
    return asking(model, given, packed(*contents))


def pixels(model: str, values: bytes = PIXELS, **other: Any) -> Request:
    """A request with two small images that are arrays; ``other`` fields replace its input's."""
    given = {"name": "pixels", "datatype": "UINT8", "shape": [2, 2, 2, 3]} | other
    return asking(model, given, values)


def asking(model: str, given: Request, *raw: bytes, **other: Any) -> Request:
    """A request with one input, and its ``raw`` values."""
    return {"model_name": model, "inputs": [given], "raw_input_contents": raw} | other


def values(answer: Any) -> dict[str, Any]:
    """The outputs by name: arrays of float32, or lists of texts, whichever way they came."""
    found: dict[str, Any] = {}
    for index, output in enumerate(answer.outputs):
        raw = answer.raw_output_contents[index] if answer.raw_output_contents else None
        if output.datatype == "BYTES":
            listed = output.contents.bytes_contents if raw is None else _unpacked(raw)
            found[output.name] = [text.decode() for text in listed]
        else:
            numbers = output.contents.fp32_contents if raw is None else np.frombuffer(raw, "<f4")
            found[output.name] = np.asarray(numbers, np.float32).reshape(output.shape)
    return found


def _unpacked(raw: bytes) -> Iterator[bytes]:
    """The elements of a tensor of BYTES."""
    while raw:
        (length,) = struct.unpack_from("<I", raw)
        yield raw[4 : 4 + length]
        raw = raw[4 + length :]
