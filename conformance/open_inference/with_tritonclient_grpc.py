"""Ask a server all that ``tritonclient`` can over gRPC, and print what it says as JSON.

Arguments: the server's host and port, the model's name, and images that are files.
"""

import json
import queue
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException

SIDE = 40  # pixels
OURS = (
    *("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata"),
    *("ModelInfer", "ModelConfig", "RepositoryIndex"),
)


def given(name, values, datatype):
    """An input tensor."""
    tensor = triton.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
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


def later(client, model, inputs):
    """The answer to an asynchronous call."""
    answers = queue.Queue()
    client.async_infer(model, inputs, lambda result, error: answers.put((result, error)))
    result, error = answers.get(timeout=60)
    if error:
        raise error
    return result


def fields(message):
    """The fields of a message: numbers and types by name, those of messages inside it, too."""
    found = {field.name: [field.number, field.type] for field in message.fields}
    return {message.name: found} | {
        name: inside for each in message.nested_types for name, inside in fields(each).items()
    }


def schema():
    """The messages of the methods, and all that are in them."""
    messages = {}
    for method in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        if method.name in OURS:
            messages |= fields(method.input_type) | fields(method.output_type)
    for file in (service_pb2, model_config_pb2):
        for name in ("InferParameter", "InferTensorContents", "ModelConfig"):
            if name in file.DESCRIPTOR.message_types_by_name:
                messages |= fields(file.DESCRIPTOR.message_types_by_name[name])
        for name in ("ModelInput", "ModelOutput"):
            if name in file.DESCRIPTOR.message_types_by_name:
                messages |= fields(file.DESCRIPTOR.message_types_by_name[name])
    return messages


def main(address, model, *paths):
    """Ask, and print."""
    client = triton.InferenceServerClient(address)
    version = client.get_model_metadata(model).versions[0]
    files = [Path(path).read_bytes() for path in paths]
    images = np.array(files, dtype=np.object_)
    pixels = np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in (10, 245)])
    of_image = given("image", images, "BYTES")
    usual = client.infer(model, [of_image], request_id="till-7")
    wanted = [
        triton.InferRequestedOutput("probabilities", class_count=2),
        triton.InferRequestedOutput("evidence"),
    ]
    chosen = client.infer(model, [of_image], outputs=wanted, model_version=version)
    names = ("probabilities", "coarse", "known_score")
    found = {
        "live": client.is_server_live(),
        "ready": [client.is_server_ready(), client.is_model_ready(model)],
        "other_ready": client.is_model_ready("other"),
        "server": client.get_server_metadata(as_json=True),
        "model": client.get_model_metadata(model, version, as_json=True),
        "config": client.get_model_config(model, as_json=True)["config"],
        "index": client.get_model_repository_index(as_json=True)["models"],
        "usual": {**numbers(usual, *names), "id": usual.get_response().id},
        "later": numbers(later(client, model, [of_image]), *names),
        "classes": [
            [text.decode() for text in row] for row in chosen.as_numpy("probabilities").tolist()
        ],
        "evidence": list(chosen.as_numpy("evidence").shape),
        "pixels": numbers(client.infer(model, [given("pixels", pixels, "UINT8")]), *names),
        "refused": refusal(client, model, [given("image", np.array([b"x"], object), "BYTES")]),
        "unknown": refusal(client, "other", [of_image]),
        "late": refusal(client, model, [of_image], client_timeout=0.000001),
        "schema": schema(),
    }
    sys.stdout.write(json.dumps(found))


main(*sys.argv[1:])
