"""The plain loop in a process of its own: Pillow, float32 and ONNX Runtime as tutorials show them.

The same int8 network, its input prepared as float32; one loop with the session's default options,
so that ONNX Runtime uses all processors for one image at a time. Speaks the protocol of
``benchmarks.bare``: seconds in, JSON out.
"""

import io
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image

from benchmarks.bare import Bare
from benchmarks.companion import serve
from benchmarks.float_graph import INPUT
from benchmarks.read_images import read_images


def plain_classifier(graph: Path, share: float) -> Callable[[bytes], int]:
    """A function from an image's bytes to its class id.

    It sees the middle ``share`` of an image's width and height.
    """
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    height, width = session.get_inputs()[0].shape[2:]

    def classify(picture: bytes) -> int:
        image = Image.open(io.BytesIO(picture)).convert("RGB")
        left, top = (side * (1 - share) / 2 for side in image.size)
        middle = (left, top, image.width - left, image.height - top)
        image = image.resize((width, height), box=middle)
        pixels = (np.asarray(image, np.float32) - 127) / 128
        probabilities = session.run(None, {INPUT: pixels.transpose(2, 0, 1)[None]})[0]
        return int(probabilities[0].argmax())

    return classify


def measure(classify: Callable[[bytes], int], pictures: Sequence[bytes], seconds: float) -> Bare:
    """Classify ``pictures`` in turn for ``seconds``."""
    latencies: list[float] = []
    started, processor = time.perf_counter(), time.process_time()
    while (began := time.perf_counter()) < started + seconds:
        classify(pictures[len(latencies) % len(pictures)])
        latencies.append(time.perf_counter() - began)
    count = len(latencies)
    return Bare(
        rate=count / (time.perf_counter() - started),
        processor_seconds=(time.process_time() - processor) / count,
        median_latency=sorted(latencies)[count // 2],
    )


def main() -> None:
    """Answer until standard input ends; arguments: the graph, the share seen, a folder."""
    classify = plain_classifier(Path(sys.argv[1]), float(sys.argv[2]))
    pictures = read_images(Path(sys.argv[3]))
    serve(lambda seconds, *_: vars(measure(classify, pictures, seconds)))


if __name__ == "__main__":
    main()
