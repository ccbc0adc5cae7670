"""BentoML: a worker process for each processor, each with a thread for the images."""

import json
import os
from pathlib import Path

import bentoml
import numpy as np
import onnxruntime as ort
from PIL import Image

MODEL = Path(os.environ["MODEL"])
THREADS = int(os.environ.get("THREADS", "0"))  # of an image; 0 is ONNX Runtime's default
SHARE = float(os.environ["SHARE"])  # of an image's width and height, about the middle, that is seen


@bentoml.service(workers=os.cpu_count(), logging={"access": {"enabled": False}})
class Recogniser:
    """Answers for one image at a time."""

    def __init__(self) -> None:
        self.classes = json.loads((MODEL / "classes.json").read_text())
        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.session = ort.InferenceSession(MODEL / "model.onnx", options, ["CPUExecutionProvider"])
        self.height, self.width = self.session.get_inputs()[0].shape[2:]

    @bentoml.api
    def predict(self, file: Image.Image) -> dict[str, str]:
        """The class of the uploaded image."""
        image = file.convert("RGB")
        left, top = (side * (1 - SHARE) / 2 for side in image.size)
        middle = (left, top, image.width - left, image.height - top)
        image = image.resize((self.width, self.height), Image.Resampling.BILINEAR, middle)
        pixels = (np.asarray(image, np.float32) - 127) / 128
        [probabilities] = self.session.run(None, {"input": pixels.transpose(2, 0, 1)[None]})
        return {"prediction": self.classes[probabilities[0].argmax()]}
