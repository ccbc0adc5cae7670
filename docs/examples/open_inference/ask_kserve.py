"""What do photos show? python ask_kserve.py http://HOST:PORT MODEL photo.jpg ..."""

import asyncio
import sys
from pathlib import Path

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


async def main(url: str, model: str, paths: list[str]) -> None:
    """Print the likeliest class of each photo, and how likely it is."""
    files = np.array([Path(path).read_bytes() for path in paths], dtype=np.object_)
    image = InferInput("image", [len(files)], "BYTES")
    image.set_data_from_numpy(files, binary_data=True)
    best = RequestedOutput("probabilities", {"classification": 1})
    request = InferRequest(model, [image], request_outputs=[best])
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    answer = await client.infer(url, request, model_name=model)
    for path, text in zip(paths, answer.outputs[0].data, strict=True):
        probability, _, name = text.split(":", 2)
        print(f"{path}: {name} ({float(probability):.0%})")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
