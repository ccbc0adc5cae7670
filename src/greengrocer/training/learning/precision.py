"""Which arithmetic a training step takes: bfloat16 where the processor has it, else float32.

A processor without instructions for bfloat16 emulates them, and a step takes 12 to 16 times as
long. One that has them takes about 0.7 of the time of float32.
"""

import platform
from pathlib import Path
from typing import Literal

import torch
from tqdm import tqdm

Precision = Literal["float32", "bfloat16"]
Asked = Literal["auto", "float32", "bfloat16"]

X86 = ("avx512_bf16", "amx_bf16")
ARM = {"aarch64", "arm64"}
CPUINFO = Path("/proc/cpuinfo")


def choose_precision(asked: Asked, device: str, begun: Precision | None = None) -> Precision:
    """The precision of a training on ``device``; says which it is, and why.

    ``begun`` is what an earlier run of the same training took: its weights end as if it had never
    stopped only where the rest takes the same.
    """
    fits = "bfloat16" if may_gain(device) else "float32"
    lacking = "this processor has no bfloat16"
    if begun is not None:
        slow = f", though {lacking}: a step is slow" if (begun, fits) == WRONG else ""
        tqdm.write(f"precision: {begun}, in which this training began{slow}")
        return begun
    if asked != "auto":
        slow = f", though {lacking}: a step is slow" if (asked, fits) == WRONG else ""
        tqdm.write(f"precision: {asked}, as the recipe says{slow}")
        return asked
    why = lacking if fits == "float32" else f"the {device} has it"
    tqdm.write(f"precision: {fits}, for {why}")
    return "bfloat16" if fits == "bfloat16" else "float32"


WRONG = ("bfloat16", "float32")  # what is taken, and what would be faster


def may_gain(device: str) -> bool:
    """Whether bfloat16 could be faster than float32 on ``device``, so that measuring tells."""
    return device != "cpu" or has_bfloat16()


def has_bfloat16() -> bool:
    """Whether this processor computes in bfloat16, and oneDNN, which does it, may use that.

    oneDNN may be held back by ``ONEDNN_MAX_CPU_ISA``.
    """
    if not onednn_takes_it():
        return False
    if platform.machine().lower() in ARM:
        return _arm_has_it()
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if found:
        return any(found.get(name, False) for name in X86)
    return bool(torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001 - of older versions


def onednn_takes_it() -> bool:
    """Whether oneDNN would compute in bfloat16 at all, be it by emulation."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - no other way


def autocast(device: str, precision: Precision) -> torch.autocast:
    """The block in which the network computes in ``precision``."""
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")


def _arm_has_it() -> bool:
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return any("bf16" in line.split() for line in lines if line.startswith("Features"))
