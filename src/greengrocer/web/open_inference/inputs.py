"""Reads a request's images from tensors, as lists or as binary data, under limits."""

import base64
import binascii
import gc
import struct
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from math import prod
from typing import Any

import numpy as np
import orjson
from pydantic import ValidationError

from greengrocer.errors import MalformedUpload, TooManyBytes
from greengrocer.imaging.decode import Picture
from greengrocer.web.body.upload import UploadLimits
from greengrocer.web.open_inference.schemas import ID, InferRequest, RequestInput
from greengrocer.web.quoted import quoted

IMAGE, PIXELS = "image", "pixels"
CHANNELS = 3
# Limits of the JSON. While it is parsed, the process handles no other request. A thread would not
# help: the parser holds the GIL. No JSON within them takes longer than an image in base64.
MAX_LISTS = 200_000  # with objects and keys: an image of 300 x 300 pixels, nested, has 90,000
MAX_VALUES = 1_000_000  # three such images, flat
MANY_VALUES = 10_000  # a request with files has fewer, whose texts may be long
MANY_VALUES_BYTES = 10_000_000  # of JSON with more: a number of a pixel and its comma have four
LENGTH = struct.Struct("<I")  # the length before each element of BYTES
NOT_JSON = (
    "the request is not JSON in UTF-8, nests too deeply, or has NaN, Infinity, a number above "
    "1e308 or half of a surrogate pair"
)
_WRONG = {  # by the type of pydantic's error
    "missing": "is missing",
    "string_type": "must be a string",
    "string_too_long": f"has over {ID} characters",
    "int_type": "must be a whole number of at most 64 bits",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "too_short": "has too few elements",
    "too_long": "has too many elements",
    "greater_than_equal": "is too small a number",
}
_NO_IMAGE = {  # the same by its place, too: what has no image
    ("too_short", ("inputs",)): "is empty: send one image or more",
    ("greater_than_equal", ("inputs", 0, "shape", 0)): "is below 1: send one image or more",
}


def read_request(content: bytes | bytearray) -> InferRequest:
    """The request's JSON; raises MalformedUpload, or TooManyBytes if it is slow to parse."""
    values = content.count(b",")
    if values > MAX_VALUES or sum(map(content.count, (b"[", b"{", b":"))) > MAX_LISTS:
        raise TooManyBytes(
            f"the JSON has over {MAX_LISTS} lists and keys or {MAX_VALUES} values: send pixels as "
            "a flat list, or better as binary data"
        )
    if values > MANY_VALUES and len(content) > MANY_VALUES_BYTES:
        raise TooManyBytes(
            f"the JSON has over {MANY_VALUES} values and {MANY_VALUES_BYTES} bytes: send pixels "
            "without blanks between them, or better as binary data"
        )
    try:
        return InferRequest.model_validate(_parsed(content))
    except ValidationError as error:
        raise malformed(error) from error


def malformed(error: ValidationError) -> MalformedUpload:
    """The refusal of a request that is not an InferRequest: it names the first fault."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"])) or "the request"
    kind = first["type"]
    wrong = _NO_IMAGE.get((kind, first["loc"])) or _WRONG.get(kind, "does not follow the protocol")
    return MalformedUpload(f"{place} {wrong}")


def _parsed(content: bytes | bytearray) -> Any:
    """What the JSON says; raises MalformedUpload.

    The garbage collector waits meanwhile: it would look at the many new lists, and at all of the
    service, again and again, which takes four times as long as to parse them.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass  # it holds a copy of the text
    finally:
        if collects:
            gc.enable()
    raise MalformedUpload(NOT_JSON)


def read_images(request: InferRequest, binary: memoryview, limits: UploadLimits) -> list[Picture]:
    """The images of ``request``; ``binary`` is the data that follows its JSON.

    Removes the values from ``request``: base64 text would stay in memory until the answer, in
    addition to the images. Raises as ``images_of`` does.
    """
    (given,) = request.inputs
    check_input(given, limits)
    data = _content(given, binary)
    if isinstance(data, list) and given.name == IMAGE:
        _check_files(given)
        return _checked(_decoded(data, given.shape[0]), limits)
    return images_of(given, data, limits)


def check_input(given: RequestInput, limits: UploadLimits) -> None:
    """Raise MalformedUpload for an input that no model has, TooManyBytes for too many images."""
    if given.name not in (IMAGE, PIXELS):
        raise MalformedUpload(
            f"the input is {quoted(given.name)}: send {IMAGE} (BYTES [N]) or {PIXELS} "
            "(UINT8 [N, H, W, 3])"
        )
    if given.shape and given.shape[0] > limits.images:
        raise TooManyBytes(
            f"{given.name} has {quoted(given.shape[0])} images: at most {limits.images} "
            "are accepted in a request"
        )


def images_of(
    given: RequestInput, data: memoryview | list[Any], limits: UploadLimits
) -> list[Picture]:
    """The images of an input that ``check_input`` has passed; files are not decoded.

    ``data`` is binary, or a list: of files, or of numbers that may be nested. Raises
    MalformedUpload or TooManyBytes.
    """
    if given.name == PIXELS:
        return _arrays(given, data, limits)
    _check_files(given)
    (count,) = given.shape
    if isinstance(data, list):
        _check_count(data, count)
        return _checked(data, limits)
    return _checked(_split(data, count), limits)


def _content(given: RequestInput, binary: memoryview) -> memoryview | list[Any]:
    """The values as they were sent: after the JSON, or in it."""
    size = given.parameters.binary_data_size
    if (size or 0) != len(binary):
        raise MalformedUpload(
            f"{given.name} has a binary_data_size of {quoted(size or 0)}, but {len(binary)} bytes "
            "follow the JSON: send the length of the JSON in Inference-Header-Content-Length"
        )
    if (size is None) == (given.data is None):
        raise MalformedUpload(f"{given.name} must have either data or a binary_data_size")
    data, given.data = given.data, None
    return binary if data is None else data


def _check_files(given: RequestInput) -> None:
    if given.datatype != "BYTES" or len(given.shape) != 1:
        raise _another_tensor(given, "BYTES", "[N]")


def _another_tensor(given: RequestInput, datatype: str, shape: str) -> MalformedUpload:
    sides = ", ".join(map(quoted, given.shape))
    return MalformedUpload(
        f"{given.name} must be of the datatype {datatype} and the shape {shape}, not of "
        f"{quoted(given.datatype)} and [{sides}]"
    )


def _check_count(data: list[Any], count: int) -> None:
    if len(data) != count:
        raise MalformedUpload(f"{IMAGE} has {len(data)} elements, not the {count} of its shape")


def _checked(files: Sequence[bytes | memoryview], limits: UploadLimits) -> list[Picture]:
    for file in files:
        _check_size(len(file), limits)
    return list(files)


def _decoded(data: list[Any], count: int) -> list[bytes]:
    _check_count(data, count)
    data.reverse()
    try:
        # each text is freed as soon as it is decoded
        return [base64.b64decode(data.pop(), validate=True) for _ in range(count)]
    except (binascii.Error, TypeError, ValueError) as error:
        raise MalformedUpload(f"{IMAGE} must be a flat list of base64 strings") from error


def _split(data: memoryview, count: int) -> list[memoryview]:
    """Views of the first ``count`` elements; raises MalformedUpload if there are fewer or more."""
    files, at = [], 0
    for _ in range(count):
        start = at + LENGTH.size
        if start > len(data):
            raise MalformedUpload(f"{IMAGE} ends before the last of {count} elements' lengths")
        (length,) = LENGTH.unpack(data[at:start])
        at = start + length
        if at > len(data):
            raise MalformedUpload(f"{IMAGE} has an element that is longer than what was sent")
        files.append(data[start:at])
    if at < len(data):
        raise MalformedUpload(f"{IMAGE} has more than the {count} elements of its shape")
    return files


def _arrays(
    given: RequestInput, data: memoryview | list[Any], limits: UploadLimits
) -> list[Picture]:
    if given.datatype != "UINT8" or len(given.shape) != 4 or given.shape[3] != CHANNELS:
        raise _another_tensor(given, "UINT8", "[N, H, W, 3]")
    _check_size(prod(given.shape[1:]), limits)
    values = _flat(data) if isinstance(data, list) else data
    count = prod(given.shape)
    if len(values) != count:
        raise MalformedUpload(
            f"{PIXELS} has {len(values)} values, not the {quoted(count)} of its shape"
        )
    return list(np.frombuffer(values, np.uint8).reshape(given.shape))


def _flat(data: list[Any]) -> bytes:
    # a string among the lists would become a list of its characters
    while (kinds := set(map(type, data))) == {list}:
        data = list(chain.from_iterable(data))
    if kinds <= {int}:  # `bytes` would take true for 1
        with suppress(ValueError):  # one is below 0 or over 255
            return bytes(data)
    raise MalformedUpload(f"{PIXELS} must be whole numbers from 0 to 255")


def _check_size(size: int, limits: UploadLimits) -> None:
    if size > limits.image_bytes:
        raise TooManyBytes(
            f"an image is {quoted(size)} bytes long: at most {limits.image_bytes} are accepted"
        )
