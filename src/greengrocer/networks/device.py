"""Choose the device that computes: the processor, or a GPU through CUDA."""

import torch

from greengrocer.errors import UsageError


def choose_device(name: str) -> torch.device:
    """The device called "cpu" or "cuda"; "auto" is the GPU where there is one.

    Raises UsageError for another name, and for "cuda" where PyTorch finds no GPU.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"there is no device {name!r}: choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no GPU that PyTorch can use: choose the device cpu or auto")
    gpu = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if gpu else "cpu")
