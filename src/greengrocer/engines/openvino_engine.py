"""The bundle's int8 graph in OpenVINO, on the CPU."""

from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from greengrocer.bundles.bundle import read_verified
from greengrocer.bundles.manifest import GRAPH, Manifest
from greengrocer.engines.contract import (
    NOTHING,
    Shape,
    Tensors,
    check_device,
    check_inputs,
    check_outputs,
    lacked_memory,
    loading,
    outputs_of,
    running,
    sides_of,
)
from greengrocer.engines.engine import Floats, Inference, Threads
from greengrocer.errors import MissingExtra
from greengrocer.imaging.geometry import Pixels

try:
    from greengrocer.engines.openvino_runtime import FrontEndManager, ov
except ImportError as error:
    raise MissingExtra("the engine openvino", extra="openvino") from error

TYPES = {"u8": "tensor(uint8)", "f32": "tensor(float)"}  # as ONNX Runtime calls them


class OpenVinoEngine:
    """Runs the graph, made for one image at a time, on as many streams as images run at once.

    For one image OpenVINO is a quarter faster if the number of images is fixed, and a batch is no
    faster (docs/decisions/034). An image that is alone has a stream of its own, as in OnnxEngine.
    """

    largest_batch = 1

    def __init__(self, directory: Path, manifest: Manifest, device: str, threads: Threads) -> None:
        self.directory = directory
        self.manifest = manifest
        self.device = device
        self.threads = threads
        self._outputs = list(outputs_of(manifest))
        self._graph: _Graph | None = None
        self._graph_alone: _Graph | None = None

    def start(self) -> None:
        """Compile the graph and check its inputs and outputs; raises BundleRefused or UsageError.

        Refused are also graphs with operators that OpenVINO does not have.
        """
        check_device("openvino", self.device)
        threads, geometry = self.threads, self.manifest.geometry
        graph = read_verified(self.directory, self.manifest, GRAPH)
        with loading(self.directory):
            model = _read(graph)
        check_inputs(self.directory, self.manifest, self._tensors(model.inputs))
        with loading(self.directory):
            model.reshape([1, geometry.height, geometry.width, 3])
        check_outputs(self.directory, self.manifest, self._tensors(model.outputs))
        with loading(self.directory):
            side_by_side = alone = _Graph(model, threads.each, threads.side_by_side)
            if threads.alone > threads.each:
                alone = _Graph(model, threads.alone, 1)
        self._graph, self._graph_alone = side_by_side, alone

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        """Answer for uint8 pixels [N, H, W, 3], image after image; releases the GIL.

        Raises InvalidAnswer.
        """
        graph = self._graph_alone if alone else self._graph
        assert graph is not None, "start() comes first"
        with running():
            answers = [graph.run(pixels[place : place + 1]) for place in range(len(pixels))]
        given: dict[str, Any] = {
            name: np.concatenate([each[name] for each in answers]) for name in self._outputs
        }
        return Inference(**{**NOTHING, **given})

    def close(self) -> None:
        """Free the compiled graphs."""
        self._graph = self._graph_alone = None

    def _tensors(self, ports: list["ov.Output"]) -> Tensors:
        """Type and sides of each port, by the name that the contract has for it."""
        wanted = {"pixels", *self._outputs}
        return {
            min(port.names & wanted or port.names, default=""): (
                TYPES.get(kind := port.element_type.get_type_name(), kind),
                _sides(port),
            )
            for port in ports
        }


class _Graph:
    """A compiled graph, and a request for each of its streams, with the memory that a run takes.

    After an operator has failed for an image, OpenVINO 2026.4 may fail for the next images of the
    stream, or answer them without running the operator. So after the first failure each stream has
    a graph of its own, which is compiled again after each further one.
    """

    def __init__(self, model: "ov.Model", threads: int, streams: int) -> None:
        self._model = model
        self._threads = threads
        self._names = [port.names for port in model.outputs]
        self._shared: SimpleQueue[ov.InferRequest] | None = SimpleQueue()
        compiled = self._compile(streams)
        # There may be fewer streams than asked for, on a machine with fewer processors.
        for _ in range(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")):
            self._shared.put(compiled.create_infer_request())
        self._own: SimpleQueue[ov.InferRequest | None] = SimpleQueue()  # None: to be compiled
        for _ in range(streams):
            self._own.put(None)

    def run(self, image: Pixels) -> dict[str, Floats]:
        """The outputs, by all their names, for one image: uint8 [1, H, W, 3]."""
        if (shared := self._shared) is not None:
            request = shared.get()
            try:
                answers = self._answer(request, image)
            except Exception as error:
                if lacked_memory(error):
                    raise
                self._shared = None
            finally:
                shared.put(request)
            if self._shared is not None:
                return answers
        own = self._own.get()
        try:
            own = own or self._compile(1).create_infer_request()
            return self._answer(own, image)
        except Exception:
            own = None
            raise
        finally:
            self._own.put(own)

    def _answer(self, request: "ov.InferRequest", image: Pixels) -> dict[str, Floats]:
        # On the threads of OpenVINO: each thread that runs a graph itself gets memory for it.
        request.start_async([image], share_inputs=True)
        request.wait()
        values = [tensor.data.copy() for tensor in request.output_tensors]
        named = zip(self._names, values, strict=True)
        return {name: value for names, value in named for name in names}

    def _compile(self, streams: int) -> "ov.CompiledModel":
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16, on processors that have it
            "INFERENCE_NUM_THREADS": self._threads * streams,
            "NUM_STREAMS": streams,
            "ENABLE_CPU_PINNING": False,  # other processes use the processors, too
        }
        return ov.Core().compile_model(self._model, "CPU", settings)


def _read(graph: bytes) -> "ov.Model":
    """The model in ``graph``, as ONNX and as no other format that OpenVINO reads.

    It lies in a directory of its own: OpenVINO looks for weights outside of a graph beside it. The
    manifest allows none.
    """
    with TemporaryDirectory() as nothing_else:
        file = Path(nothing_else) / GRAPH
        file.write_bytes(graph)
        frontend = FrontEndManager().load_by_framework("onnx")
        model = frontend.convert(frontend.load(file))
    _give_shapes_to_nothing(model)
    return model


def _give_shapes_to_nothing(model: "ov.Model") -> None:
    """Give constants without elements, which branches answer, the sides of the other branch.

    OpenVINO 2026.4 reads a constant of [0, h, w, channels] as a number without sides, and then does
    not run the branches of a cascade (docs/decisions/033).
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() != "If":
            continue
        first, second = node.get_function(0), node.get_function(1)
        for branch, other in ((first, second), (second, first)):
            for answer, like in zip(branch.results, other.results, strict=True):
                constant = answer.input_value(0).get_node()
                sides = [
                    0 if side.is_dynamic else side.get_length()
                    for side in like.get_output_partial_shape(0)
                ]
                if constant.get_type_name() == "Constant" and not constant.shape and 0 in sides:
                    dtype = like.get_output_element_type(0).to_dtype()
                    empty = ov.op.Constant(np.zeros(sides, dtype))
                    answer.input(0).replace_source_output(empty.output(0))
            branch.validate_nodes_and_infer_types()
    model.validate_nodes_and_infer_types()


def _sides(port: "ov.Output") -> Shape:
    if port.partial_shape.rank.is_dynamic:
        return ("?",)
    return sides_of([None if side.is_dynamic else side.get_length() for side in port.partial_shape])
