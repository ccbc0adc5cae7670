"""LitServe: a worker process for each processor, each answering for one image at a time."""

import json
import os
import sys
from pathlib import Path

import litserve as ls
import numpy as np
import onnxruntime as ort
from PIL import Image

MODEL = Path(os.environ["MODEL"])
THREADS = int(os.environ.get("THREADS", "0"))  # of an image; 0 is ONNX Runtime's default
SHARE = float(os.environ["SHARE"])  # of an image's width and height, about the middle, that is seen


class Recogniser(ls.LitAPI):
    """Decode, predict, encode."""

    def setup(self, _device: str) -> None:
        """Load the network."""
        self.classes = json.loads((MODEL / "classes.json").read_text())
        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.session = ort.InferenceSession(MODEL / "model.onnx", options, ["CPUExecutionProvider"])
        self.height, self.width = self.session.get_inputs()[0].shape[2:]

    def decode_request(self, request) -> np.ndarray:
        """The uploaded image as the network takes it."""
        image = Image.open(request["file"].file).convert("RGB")
        left, top = (side * (1 - SHARE) / 2 for side in image.size)
        middle = (left, top, image.width - left, image.height - top)
        image = image.resize((self.width, self.height), Image.Resampling.BILINEAR, middle)
        pixels = (np.asarray(image, np.float32) - 127) / 128
        return pixels.transpose(2, 0, 1)[None]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The probabilities of its classes."""
        [probabilities] = self.session.run(None, {"input": x})
        return probabilities[0]

    def encode_response(self, output: np.ndarray) -> dict[str, str]:
        """The answer."""
        return {"prediction": self.classes[output.argmax()]}


if __name__ == "__main__":
    server = ls.LitServer(Recogniser(), accelerator="cpu", workers_per_device=os.cpu_count())
    server.run("127.0.0.1", int(sys.argv[1]), log_level="warning", generate_client_file=False)
