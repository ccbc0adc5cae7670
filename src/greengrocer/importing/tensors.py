"""Every node and tensor of a foreign model, wherever it is, and how much it claims to be."""

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import TensorProto

from greengrocer.errors import UsageError

# int8 has a fourth of the weights' bytes, and a bundle at most 0.2 GB.
MOST_BYTES = 800_000_000
_TYPES = frozenset(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}


def all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """The nodes of the graph, of the graphs within it, and of its functions."""
    for node, _ in _walk(model):
        if node is not None:
            yield node


def all_tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """The constants of all graphs, and those in attributes of nodes."""
    for _, tensors in _walk(model):
        yield from tensors


def check_tensors(path: Path, model: onnx.ModelProto) -> int:
    """The bytes that the tensors of ``model`` have in other files; none is read.

    Raises UsageError for a tensor of an unknown type, and where they have more than MOST_BYTES.
    """
    total = 0
    for tensor in all_tensors(model):
        if tensor.data_type not in _TYPES:
            raise UsageError(
                f"{path} has a tensor {tensor.name!r} of the unknown type {tensor.data_type}: "
                "export it again"
            )
        if tensor.data_location == TensorProto.EXTERNAL:
            total += _external_bytes(path, tensor)
    if total > MOST_BYTES:
        raise UsageError(
            f"{path} has weights of {total / 1e9:.1f} GB in another file: at most "
            f"{MOST_BYTES / 1e9:g} GB are read"
        )
    return total


def _external_bytes(path: Path, tensor: TensorProto) -> int:
    """What is read of another file: the length, or where none is given all behind the offset."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    numbers = {key: told[key] for key in ("offset", "length") if told.get(key)}
    if not all(text.isdecimal() and len(text) < 20 for text in numbers.values()):
        raise UsageError(
            f"{path} does not say in whole numbers where the weights {tensor.name!r} are in "
            "another file: export it again"
        )
    if "length" in numbers:
        return int(numbers["length"])
    try:
        size: int = (path.parent / told.get("location", "")).stat().st_size
    except (OSError, ValueError):  # ValueError: a NUL in its name
        return 0  # ONNX refuses it
    return max(0, size - int(numbers.get("offset", 0)))


def _walk(
    model: onnx.ModelProto,
) -> Iterator[tuple[onnx.NodeProto | None, list[TensorProto]]]:
    """Each node, None for a graph, with its tensors."""
    graphs = [model.graph]
    nodes = [node for each in model.functions for node in each.node]
    for function in model.functions:
        for default in function.attribute_proto:
            yield None, _tensors_of(default)
            graphs += _graphs_of(default)
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            sparse = [part for each in graph.sparse_initializer for part in _parts(each)]
            yield None, [*graph.initializer, *sparse]
            nodes += graph.node
            continue
        node = nodes.pop()
        yield node, [tensor for each in node.attribute for tensor in _tensors_of(each)]
        for each in node.attribute:
            graphs += _graphs_of(each)


def _graphs_of(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _tensors_of(attribute: onnx.AttributeProto) -> list[TensorProto]:
    found = [attribute.t] if attribute.HasField("t") else []
    sparse = [*([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else [])]
    parts = [part for each in (*sparse, *attribute.sparse_tensors) for part in _parts(each)]
    return [*found, *attribute.tensors, *parts]


def _parts(sparse: onnx.SparseTensorProto) -> tuple[TensorProto, TensorProto]:
    return sparse.values, sparse.indices
