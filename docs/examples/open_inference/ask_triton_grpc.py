"""What do photos show? python ask_triton_grpc.py HOST:PORT MODEL photo.jpg ..."""

import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton


def main(address: str, model: str, paths: list[str]) -> None:
    """Print the likeliest class of each photo, and how likely it is."""
    client = triton.InferenceServerClient(address)
    files = np.array([Path(path).read_bytes() for path in paths], dtype=np.object_)
    image = triton.InferInput("image", [len(files)], "BYTES")
    image.set_data_from_numpy(files)
    best = triton.InferRequestedOutput("probabilities", class_count=1)
    answer = client.infer(model, [image], outputs=[best])
    for path, (text,) in zip(paths, answer.as_numpy("probabilities"), strict=True):
        probability, _, name = text.decode().split(":", 2)
        print(f"{path}: {name} ({float(probability):.0%})")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
