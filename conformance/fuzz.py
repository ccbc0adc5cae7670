"""Strategies of requests to ``infer`` that are sound but for a few things, or nearly random."""

from typing import Any, NamedTuple

from hypothesis import strategies as st

from conformance.tensors import FILE, PIXELS, asking, behind, image, packed, pixels

HUGE = (2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**300)
SOUND = [
    (image(FILE), b""),
    (pixels(), b""),
    (behind(image(FILE, FILE), 2 * len(packed(FILE))), packed(FILE, FILE)),
    (behind(pixels(), len(PIXELS)), PIXELS),
]

# few letters, so that no text can look like a secret of the service's
texts = st.text('aZ9=-/ "\\\0\n\x7f\u00e9\u4e2d\U0001f34e', max_size=8)
numbers = st.integers(-2, 300) | st.sampled_from([*HUGE, *(-huge for huge in HUGE)])
values = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | texts,  # NaN and infinity among them
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
shapes = st.lists(st.integers(0, 4) | numbers, max_size=6) | values
names = st.sampled_from(["image", "pixels", "probabilities", "evidence", ""]) | values
datatypes = st.sampled_from(["BYTES", "UINT8", "INT8", "FP16", "FP32", "BOOL", "bytes"]) | values
contents = st.lists(numbers, max_size=30) | st.lists(texts, max_size=3) | values
input_parameters = st.fixed_dictionaries({"binary_data_size": numbers | values}) | values
output_parameters = st.fixed_dictionaries(
    {}, optional={"binary_data": values, "classification": numbers | values}
)
outputs = st.fixed_dictionaries(
    {"name": st.sampled_from(["probabilities", "coarse", "known_score", "evidence"]) | names},
    optional={"parameters": output_parameters | values},
)
input_fields = {
    "name": names,
    "shape": shapes,
    "datatype": datatypes,
    "data": contents,
    "parameters": input_parameters,
}
request_fields = {
    "id": values,
    "parameters": st.fixed_dictionaries({}, optional={"binary_data_output": values}) | values,
    "outputs": st.lists(outputs, max_size=4) | values,
    "inputs": st.lists(st.fixed_dictionaries({}, optional=input_fields), max_size=3) | values,
}


class Request(NamedTuple):
    """What is sent: ``length`` is what the header says of the JSON's, None for no header."""

    text: bytes
    tail: bytes
    length: str | None


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A sound request with up to a few fields, bytes or lengths that are others."""
    given, tail = draw(st.sampled_from(SOUND))
    given = _edited(draw, given, input_fields)
    text = asking(given, **_edited(draw, {}, request_fields))
    if draw(st.integers(0, 4)) == 0:
        text = _damaged(draw, text)
    if draw(st.integers(0, 4)) == 0:
        tail = _damaged(draw, tail)
    true = str(len(text)) if tail else None
    lies = [None, len(text), len(text) - 1, len(text) + 1, 0, -1, *HUGE, "", "0x9", "9.0", "\u00b2"]
    length = draw(st.sampled_from(lies)) if draw(st.integers(0, 3)) == 0 else true
    return Request(text, tail, None if length is None else str(length))


def _edited(
    draw: st.DrawFn, fields: dict[str, Any], others: dict[str, st.SearchStrategy[Any]]
) -> dict[str, Any]:
    """The fields, up to two of them gone and up to two of ``others`` in their places."""
    gone = draw(st.lists(st.sampled_from([*fields]), max_size=2)) if fields else []
    new = draw(st.lists(st.sampled_from([*others]), max_size=2))
    kept = {name: value for name, value in fields.items() if name not in gone or name in new}
    return kept | {name: draw(others[name]) for name in new}


def _damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Cut, longer, or with other bytes in the middle."""
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    return content[:start] + draw(st.binary(max_size=20)) + content[end:]
