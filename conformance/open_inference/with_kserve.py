"""Ask a server with KServe's own REST client, and print what it says as JSON.

Arguments: the server's host and port, the model's name, and images that are files.
"""

import asyncio
import json
import sys
from pathlib import Path

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


async def main(address, model, files):
    """Ask, and print."""
    url = f"http://{address}"
    client = InferenceRESTClient(RESTConfig(protocol="v2"))

    def request(values, outputs=None):
        tensor = InferInput("image", list(values.shape), "BYTES")
        tensor.set_data_from_numpy(values, binary_data=True)
        return InferRequest(
            model, [tensor], request_id="till-7", parameters={}, request_outputs=outputs
        )

    async def ask(values, outputs=None):
        return await client.infer(url, request(values, outputs), model_name=model)

    usual = await ask(files)
    binary = await ask(files, [RequestedOutput("probabilities", {"binary_data": True})])
    try:
        await ask(np.array([b"a pear"], dtype=np.object_))
        refused = None
    except httpx.HTTPStatusError as error:
        refused = [error.response.status_code, error.response.json()]
    found = {
        "live": await client.is_server_live(url),
        "ready": [
            await client.is_server_ready(url),
            await client.is_model_ready(url, model),
        ],
        "id": usual.id,
        "model": [usual.model_name, usual.model_version],
        "usual": {output.name: output.as_numpy().tolist() for output in usual.outputs},
        "binary": {output.name: output.as_numpy().tolist() for output in binary.outputs},
        "refused": refused,
    }
    sys.stdout.write(json.dumps(found))


files = np.array([Path(path).read_bytes() for path in sys.argv[3:]], dtype=np.object_)
asyncio.run(main(*sys.argv[1:3], files))
