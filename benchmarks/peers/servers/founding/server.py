"""The founding backend: PyTorch, eager and in float32, on the event loop.

Its network is the bundle's own. There being no torchvision here, ``transform`` does by hand what
``Resize``, ``ToTensor`` and ``Normalize`` do.
"""

import json
import os
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from fastapi import FastAPI, UploadFile
from PIL import Image
from safetensors.numpy import load_file

from greengrocer.networks import recogniser
from greengrocer.networks.efficientnet_lite import EfficientNetLite
from greengrocer.networks.weights import load_float16, split_prototypes

BUNDLE = Path(os.environ["BUNDLE"])
DEVICE = "cpu"

manifest = json.loads((BUNDLE / "manifest.json").read_text())
class_names = dict(enumerate(manifest["classes"]))
size = manifest["geometry"]["width"], manifest["geometry"]["height"]
share = manifest["geometry"].get("share", 1)  # of an image's width and height that is seen


# Networks are found by entry points, and greengrocer is not installed in this environment.
recogniser.make_backbone = EfficientNetLite


def load_model(num_classes: int) -> recogniser.Recogniser:
    """The bundle's network with its weights, in float32."""
    network = recogniser.Recogniser(manifest["network"]["architecture"], num_classes)
    weights, _ = split_prototypes(load_file(BUNDLE / "weights.safetensors"))
    load_float16(network, weights)
    return network.to(DEVICE)


def transform(image: Image.Image) -> torch.Tensor:
    """An RGB image to float32 [3, H, W], resized and normalised."""
    left, top = (side * (1 - share) / 2 for side in image.size)
    middle = (left, top, image.width - left, image.height - top)
    resized = np.array(image.resize(size, Image.Resampling.BILINEAR, middle))
    planes = torch.from_numpy(resized).permute(2, 0, 1).contiguous().to(torch.float32)
    return planes.sub_(127).div_(128)


model = load_model(len(class_names))
model.eval()
app = FastAPI()


@app.get("/class-names")
def get_class_names() -> dict[str, list[str]]:
    """All classes."""
    return {"classes": list(class_names.values())}


@app.post("/predict")
async def predict(file: UploadFile) -> dict[str, str]:
    """The class of the uploaded image."""
    image_data = await file.read()
    image = Image.open(BytesIO(image_data)).convert("RGB")
    input_tensor = transform(image).unsqueeze(0)
    with torch.no_grad():
        output = model(input_tensor.to(DEVICE))
    _, predicted_idx = torch.max(output, 1)
    return {"prediction": class_names[int(predicted_idx.item())]}
