"""Reads a request's images from tensors, in JSON or in binary data after it, under limits."""

import base64
import binascii
import struct
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from pydantic import ValidationError

from greengrocer.errors import MalformedUpload, TooManyBytes
from greengrocer.imaging.decode import Picture
from greengrocer.web.body.upload import UploadLimits
from greengrocer.web.open_inference.schemas import ID, InferRequest, RequestInput
from greengrocer.web.quoted import quoted

IMAGE, PIXELS = "image", "pixels"
CHANNELS = 3
# Limits of the JSON. While it is parsed, the process handles no other request. A thread would not
# help: the parser holds the GIL. A list, an object or a key takes as long as ten numbers.
MAX_LISTS = 200_000  # with objects and keys: an image of 300 x 300 pixels, nested, has 90,000
MAX_VALUES = 1_000_000  # three such images, flat
LENGTH = struct.Struct("<I")  # the length before each element of BYTES
_WRONG = {  # by the type of pydantic's error
    "json_invalid": "is not JSON",
    "missing": "is missing",
    "string_type": "must be a string",
    "string_too_long": f"has over {ID} characters",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "too_short": "has too few elements",
    "too_long": "has too many elements",
    "greater_than_equal": "is too small a number",
}


def read_request(content: bytes) -> InferRequest:
    """The request's JSON; raises MalformedUpload, or TooManyBytes if it is slow to parse."""
    if sum(map(content.count, (b"[", b"{", b":"))) > MAX_LISTS or content.count(b",") > MAX_VALUES:
        raise TooManyBytes(
            f"the JSON has over {MAX_LISTS} lists and keys or {MAX_VALUES} values: send pixels as "
            "a flat list, or better as binary data"
        )
    try:
        return InferRequest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "the request"
        wrong = _WRONG.get(first["type"], "does not follow the protocol")
        raise MalformedUpload(f"{place} {wrong}") from error


def read_images(request: InferRequest, binary: memoryview, limits: UploadLimits) -> list[Picture]:
    """The images of ``request``; ``binary`` is the data that follows its JSON.

    Removes the values from ``request``: base64 text would stay in memory until the answer, in
    addition to the images. Files are not decoded. Raises MalformedUpload or TooManyBytes.
    """
    (given,) = request.inputs
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
    data = _content(given, binary)
    return _files(given, data, limits) if given.name == IMAGE else _arrays(given, data, limits)


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


def _files(
    given: RequestInput, data: memoryview | list[Any], limits: UploadLimits
) -> list[Picture]:
    if given.datatype != "BYTES" or len(given.shape) != 1:
        raise MalformedUpload(f"{IMAGE} must be of the datatype BYTES and the shape [N]")
    (count,) = given.shape
    files = _decoded(data, count) if isinstance(data, list) else _split(data, count)
    for file in files:
        _check_size(len(file), limits)
    return list(files)


def _decoded(data: list[Any], count: int) -> list[bytes]:
    if len(data) != count:
        raise MalformedUpload(f"{IMAGE} has {len(data)} elements, not the {count} of its shape")
    data.reverse()
    try:
        # each text is freed as soon as it is decoded
        return [base64.b64decode(data.pop(), validate=True) for _ in range(count)]
    except (binascii.Error, TypeError, ValueError) as error:
        raise MalformedUpload(f"{IMAGE} must be a flat list of base64 strings") from error


def _split(data: memoryview, count: int) -> list[bytes]:
    """The first ``count`` elements; raises MalformedUpload if there are fewer or more."""
    files, at = [], 0
    for _ in range(count):
        start = at + LENGTH.size
        if start > len(data):
            raise MalformedUpload(f"{IMAGE} ends before the last of {count} elements' lengths")
        (length,) = LENGTH.unpack(data[at:start])
        at = start + length
        if at > len(data):
            raise MalformedUpload(f"{IMAGE} has an element that is longer than what was sent")
        files.append(bytes(data[start:at]))
    if at < len(data):
        raise MalformedUpload(f"{IMAGE} has more than the {count} elements of its shape")
    return files


def _arrays(
    given: RequestInput, data: memoryview | list[Any], limits: UploadLimits
) -> list[Picture]:
    if given.datatype != "UINT8" or len(given.shape) != 4 or given.shape[3] != CHANNELS:
        raise MalformedUpload(f"{PIXELS} must be of the datatype UINT8 and the shape [N, H, W, 3]")
    _check_size(prod(given.shape[1:]), limits)
    values = _flat(data) if isinstance(data, list) else data
    if len(values) != prod(given.shape):
        raise MalformedUpload(f"{PIXELS} has {len(values)} values, not those of its shape")
    return list(np.frombuffer(values, np.uint8).reshape(given.shape))


def _flat(data: list[Any]) -> bytes:
    try:
        # a string among the lists would become a list of its characters
        while data and all(isinstance(row, list) for row in data):
            data = list(chain.from_iterable(data))
        return bytes(data)  # takes whole numbers from 0 to 255 and nothing else
    except (TypeError, ValueError) as error:
        raise MalformedUpload(f"{PIXELS} must be whole numbers from 0 to 255") from error


def _check_size(size: int, limits: UploadLimits) -> None:
    if size > limits.image_bytes:
        raise TooManyBytes(
            f"an image is {quoted(size)} bytes long: at most {limits.image_bytes} are accepted"
        )
