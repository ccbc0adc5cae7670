"""Ask a server all that ``tritonclient`` can over HTTP, and print what it says as JSON.

Arguments: the server's host and port, the model's name, and images that are files.
"""

import base64
import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

SIDE = 40  # pixels


def given(name, values, datatype, binary=True):
    """An input tensor."""
    tensor = triton.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=binary)
    return tensor


def numbers(result, *names):
    """Outputs as nested lists."""
    return {name: result.as_numpy(name).tolist() for name in names}


def refusal(client, model, inputs, **more):
    """Status and text of a refusal."""
    try:
        client.infer(model, inputs, **more)
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return None


def main(address, model, *paths):
    """Ask, and print."""
    client = triton.InferenceServerClient(address)
    files = [Path(path).read_bytes() for path in paths]
    images = np.array(files, dtype=np.object_)
    texts = np.array([base64.b64encode(file).decode() for file in files], dtype=np.object_)
    pixels = np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in (10, 245)])
    of_image = given("image", images, "BYTES")
    usual = client.infer(model, [of_image], request_id="till-7")
    wanted = [
        triton.InferRequestedOutput("probabilities", class_count=2),
        triton.InferRequestedOutput("coarse", binary_data=False, class_count=1),
        triton.InferRequestedOutput("evidence"),
    ]
    chosen = client.infer(model, [of_image], outputs=wanted, model_version="1")
    names = ("probabilities", "coarse", "known_score")
    found = {
        "live": client.is_server_live(),
        "ready": [client.is_server_ready(), client.is_model_ready(model)],
        "other_ready": client.is_model_ready("other"),
        "server": client.get_server_metadata(),
        "model": client.get_model_metadata(model, "1"),
        "configs": [client.get_model_config(model), client.get_model_config(model, "1")],
        "usual": {**numbers(usual, *names), "id": usual.get_response()["id"]},
        "classes": [
            [text.decode() for text in row] for row in chosen.as_numpy("probabilities").tolist()
        ],
        "coarse_classes": chosen.as_numpy("coarse").tolist(),
        "evidence": list(chosen.as_numpy("evidence").shape),
        "base64": numbers(client.infer(model, [given("image", texts, "BYTES", False)]), *names),
        "pixels": numbers(client.infer(model, [given("pixels", pixels, "UINT8")]), *names),
        "json_pixels": numbers(
            client.infer(model, [given("pixels", pixels, "UINT8", False)]), *names
        ),
        "refused": refusal(client, model, [given("image", np.array([b"x"], object), "BYTES")]),
        "unknown": refusal(client, "other", [of_image]),
        "compressed": refusal(client, model, [of_image], request_compression_algorithm="gzip"),
    }
    sys.stdout.write(json.dumps(found))


main(*sys.argv[1:])
