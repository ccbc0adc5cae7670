"""The front of an imported graph: bytes come in, and the source's preprocessing is folded in.

The body ends in the tensor that the answer head stands on: a feature map, features, or scores.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from greengrocer.errors import UsageError
from greengrocer.importing.ending import Ending
from greengrocer.importing.graph import PREFIX, Array, Growing, attribute, given_way
from greengrocer.importing.preprocessing import ONE, ZERO, Preprocessing
from greengrocer.importing.source import Source, open_session, run_session

PIXELS = "pixels"  # uint8 [N, H, W, 3]
CUT = f"{PREFIX}cut"  # float32: what the body ends in
# What the tensors of a bundle's graph are called: the source's own may not be called so.
RESERVED = frozenset(
    {PIXELS, "probabilities", "coarse", "known_score", "evidence", "raw_logits", "features"}
)
BATCH = "N"
SAME = 1e-5  # of a score, between images together and one by one

Size = tuple[int, int]  # width, height


@dataclass(frozen=True)
class Body:
    """``pixels`` to ``cut``. ``cut_shape`` are its sides after the batch, by a run.

    ``batch`` is "N", or 1 for a graph whose layers do not allow another number of images.
    """

    model: onnx.ModelProto
    cut_shape: tuple[int, ...]
    batch: "int | str"


def fold_input(source: Source, ending: Ending, how: Preprocessing, size: Size) -> Body:
    """The body of ``source`` with its preprocessing in front, for images of ``size``.

    Raises UsageError where ONNX Runtime does not run it, or it takes only several images at once.
    """
    fixed = source.batch
    model = _folded(source, ending, how, size, BATCH)
    if fixed is not None and not _takes_two(model, size):
        if fixed != 1:
            raise UsageError(
                f"{source.path} takes exactly {fixed} images at once: export it again for one, or "
                "with a dynamic batch"
            )
        model = _folded(source, ending, how, size, 1)
    shape = _run(model, str(source.path), _blank(size, 1)).shape[1:]
    return Body(model, shape, model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or BATCH)


def cut_tensor(ending: Ending) -> str:
    """The tensor of the source that the answer head stands on."""
    if ending.places is not None:
        return ending.places.name
    return ending.logits if ending.linear is None else ending.linear.features


def _folded(
    source: Source, ending: Ending, how: Preprocessing, size: Size, batch: "int | str"
) -> onnx.ModelProto:
    growing = Growing(source.model)
    growing.give_way(RESERVED)
    front = _front(growing, source, how)
    growing.graph.node.append(
        helper.make_node(
            "Cast", [given_way(cut_tensor(ending), RESERVED)], [CUT], CUT, to=TensorProto.FLOAT
        )
    )
    growing.rename(given_way(source.input, RESERVED), front)
    if batch == BATCH and source.batch is not None:
        _free_batch(growing.graph, source.batch)
    width, height = size
    pixels = helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, [batch, height, width, 3])
    return growing.finish(pixels, [_unshaped(CUT)])


def _unshaped(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def _front(growing: Growing, source: Source, how: Preprocessing) -> str:
    """What the source's first layer reads instead of its input."""
    x, first = PIXELS, True
    if how.bgr:
        order = growing.constant("bgr", np.array([2, 1, 0], np.int64))
        x = growing.add("Gather", [x, order], "pixels_bgr", first=first, axis=3)
    if source.layout == "NCHW":
        x = growing.add("Transpose", [x], "planes", first=first, perm=[0, 3, 1, 2])
    if source.type == np.uint8:
        return x
    x = growing.add("Cast", [x], "levels", first=first, to=TensorProto.FLOAT)
    shape = (3, 1, 1) if source.layout == "NCHW" else (3,)
    for operator, value, neutral in (("Sub", how.mean, ZERO), ("Div", how.std, ONE)):
        if value != neutral:
            name = operator.lower()
            constant = growing.constant(name, np.array(value, np.float32).reshape(shape))
            x = growing.add(operator, [x, constant], f"levels_{name}", first=first)
    if source.type == np.float16:
        x = growing.add("Cast", [x], "halves", first=first, to=TensorProto.FLOAT16)
    return x


def _free_batch(graph: onnx.GraphProto, fixed: int) -> None:
    """Let shapes that begin with the ``fixed`` batch take it from their input instead."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    made = {name: node for node in graph.node for name in node.output}
    for node in [each for each in graph.node if each.op_type == "Reshape"]:
        if attribute(node, "allowzero", 0):
            continue
        name = node.input[1]
        tensor = constants.get(name)
        if tensor is None and (maker := made.get(name)) is not None:
            tensor = next((a.t for a in maker.attribute if a.name == "value"), None)
        if tensor is None:
            continue
        shape = numpy_helper.to_array(tensor).copy()
        if shape.ndim == 1 and shape.size > 1 and shape[0] == fixed:
            shape[0] = 0  # as many as there were
            tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))


def _takes_two(model: onnx.ModelProto, size: Size) -> bool:
    """Whether ``model`` answers for two images together as for each alone."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (2, size[1], size[0], 3), np.uint8)
    try:
        together = _run(model, "it", pixels)
        alone = [_run(model, "it", pixels[k : k + 1]) for k in (0, 1)]
    except UsageError:
        return False
    if together.shape[0] != 2:
        return False
    return bool(np.allclose(together, np.concatenate(alone), SAME, SAME))


def _run(model: onnx.ModelProto, what: str, pixels: Array) -> Array:
    (found,) = run_session(open_session(model, what), None, {PIXELS: pixels}, what)
    return found


def _blank(size: Size, count: int) -> Array:
    return np.zeros((count, size[1], size[0], 3), np.uint8)
