"""Fields are cut out of a message, and nothing of it is lost."""

from hypothesis import given, settings
from hypothesis import strategies as st

from greengrocer.errors import MalformedUpload
from greengrocer.rpc.cut import cut, parse
from greengrocer.rpc.messages.open_inference_pb2 import InferTensorContents, ModelInferRequest
from greengrocer.rpc.tensors import FILES, RAW


@given(
    st.lists(st.binary(max_size=300)),
    st.lists(st.floats(width=32, allow_nan=False)),
    st.lists(st.floats(allow_nan=False)),
    st.lists(st.integers(0, 2**32 - 1)),
)
@settings(deadline=None)
def test_what_is_cut_out_and_what_is_left_are_the_message(
    files: list[bytes], floats: list[float], doubles: list[float], numbers: list[int]
) -> None:
    message = InferTensorContents(
        bytes_contents=files, fp32_contents=floats, fp64_contents=doubles, uint_contents=numbers
    )
    rest, (found,) = cut(message.SerializeToString(), FILES)
    assert [bytes(file) for file in found] == files
    whole = parse(InferTensorContents, rest)
    whole.bytes_contents.extend(files)
    assert whole == message


def test_the_content_is_a_view_of_the_message() -> None:
    message = ModelInferRequest(raw_input_contents=[bytes(1000)]).SerializeToString()
    _, (found,) = cut(message, RAW)
    assert found[0].obj is message


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_a_message_that_is_cut_is_read_as_by_protobuf_alone(message: bytes) -> None:
    try:
        rest, (raw,) = cut(message, RAW)
        read = parse(ModelInferRequest, rest)
    except MalformedUpload:
        return
    read.raw_input_contents.extend(map(bytes, raw))
    assert parse(ModelInferRequest, message).raw_input_contents == read.raw_input_contents
