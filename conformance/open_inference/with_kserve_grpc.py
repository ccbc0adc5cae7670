"""Ask a server with KServe's own gRPC client, and print what it says as JSON.

Arguments: the server's host and port, the model's name, and images that are files.
"""

import asyncio
import json
import sys
from pathlib import Path

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest


async def main(address, model, files):
    """Ask, and print."""
    client = InferenceGRPCClient(address)

    async def ask(values, binary):
        tensor = InferInput("image", list(values.shape), "BYTES")
        if binary:
            tensor.set_data_from_numpy(values, binary_data=True)
        else:
            tensor.data = list(values)
        return await client.infer(InferRequest(model, [tensor], request_id="till-7"))

    usual = await ask(files, binary=True)
    try:
        await ask(np.array([b"a pear"], dtype=np.object_), binary=True)
        refused = None
    except grpc.RpcError as error:
        refused = [error.code().name, error.details()]
    found = {
        "live": await client.is_server_live(),
        "ready": [await client.is_server_ready(), await client.is_model_ready(model)],
        "id": usual.id,
        "model": [usual.model_name, usual.model_version],
        "usual": numbers(usual),
        "typed": numbers(await ask(files, binary=False)),
        "refused": refused,
    }
    sys.stdout.write(json.dumps(found))


def numbers(answer):
    """Outputs as nested lists."""
    return {output.name: output.as_numpy().tolist() for output in answer.outputs}


files = np.array([Path(path).read_bytes() for path in sys.argv[3:]], dtype=np.object_)
asyncio.run(main(*sys.argv[1:3], files))
