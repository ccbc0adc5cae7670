"""Triton by PyTriton: its server hands batches of images to callables in this process.

Needs a Python that has its shared library, libpython, on Linux.
"""

import json
import os
import signal
import sys
import sysconfig
from io import BytesIO
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image
from pytriton.decorators import batch
from pytriton.model_config import Tensor
from pytriton.triton import Triton, TritonConfig

MODEL = Path(os.environ["MODEL"])
THREADS = int(os.environ.get("THREADS", "0"))  # of a batch; 0 is ONNX Runtime's default
CALLABLES = os.cpu_count() if THREADS == 1 else 1
SHARE = float(os.environ["SHARE"])  # of an image's width and height, about the middle, that is seen


class Recogniser:
    """Answers for one batch at a time."""

    def __init__(self) -> None:
        self.classes = json.loads((MODEL / "classes.json").read_text())
        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.session = ort.InferenceSession(MODEL / "model.onnx", options, ["CPUExecutionProvider"])
        self.height, self.width = self.session.get_inputs()[0].shape[2:]

    @batch
    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The classes [N, 1] of encoded images [N, 1]."""
        pixels = np.stack([self.prepare(sent) for [sent] in image])
        [probabilities] = self.session.run(None, {"input": pixels})
        named = [[self.classes[best].encode()] for best in probabilities.argmax(1)]
        return {"prediction": np.array(named)}

    def prepare(self, sent: bytes) -> np.ndarray:
        """An encoded image as the network takes it."""
        image = Image.open(BytesIO(sent)).convert("RGB")
        left, top = (side * (1 - SHARE) / 2 for side in image.size)
        middle = (left, top, image.width - left, image.height - top)
        image = image.resize((self.width, self.height), Image.Resampling.BILINEAR, middle)
        pixels = (np.asarray(image, np.float32) - 127) / 128
        return pixels.transpose(2, 0, 1)


if __name__ == "__main__":
    # Triton's worker would otherwise take the system's libpython, of another release.
    os.environ["LD_LIBRARY_PATH"] = sysconfig.get_config_var("LIBDIR")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that Triton ends and cleans up
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=int(sys.argv[1]),
        allow_grpc=False,
        allow_metrics=False,
    )
    with Triton(config=config) as triton:
        triton.bind(
            "recogniser",
            [Recogniser() for _ in range(CALLABLES)],
            inputs=[Tensor(name="image", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="prediction", dtype=bytes, shape=(1,))],
        )
        triton.serve()
