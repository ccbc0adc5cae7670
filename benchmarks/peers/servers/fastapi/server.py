"""FastAPI and ONNX Runtime: a plain ``def`` route, which FastAPI runs in its thread pool."""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI, UploadFile
from PIL import Image

MODEL = Path(os.environ["MODEL"])
THREADS = int(os.environ.get("THREADS", "0"))  # of an image; 0 is ONNX Runtime's default
SHARE = float(os.environ["SHARE"])  # of an image's width and height, about the middle, that is seen

classes = json.loads((MODEL / "classes.json").read_text())
options = ort.SessionOptions()
options.intra_op_num_threads = THREADS
session = ort.InferenceSession(MODEL / "model.onnx", options, ["CPUExecutionProvider"])
height, width = session.get_inputs()[0].shape[2:]

app = FastAPI()


@app.post("/predict")
def predict(file: UploadFile) -> dict[str, str]:
    """The class of the uploaded image."""
    image = Image.open(file.file).convert("RGB")
    left, top = (side * (1 - SHARE) / 2 for side in image.size)
    middle = (left, top, image.width - left, image.height - top)
    image = image.resize((width, height), Image.Resampling.BILINEAR, middle)
    pixels = (np.asarray(image, np.float32) - 127) / 128
    [probabilities] = session.run(None, {"input": pixels.transpose(2, 0, 1)[None]})
    return {"prediction": classes[probabilities[0].argmax()]}
