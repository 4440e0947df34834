"""Which precision a device is fast at."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

CPUINFO = Path("/proc/cpuinfo")


def bf16_pays(kind: str) -> bool:
    """Whether a kind of device ("cuda", "cpu", ...) computes faster in bf16 than in float32.

    A CPU can have the instructions and be slower with them. Measured, a restoration in bf16 took half of its float32
    time on an AMD CPU, and 1.4 times of it on an Intel one whose matrix units (AMX) were not to be had. So it is for
    CPUs with those units and for AMD's; a race of a few products was no judge on a busy machine.
    """
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind != "cpu" or not torch.cpu._is_avx512_bf16_supported():
        return False
    return torch.cpu._is_amx_tile_supported() or "AuthenticAMD" in _processor()


def _processor() -> str:
    return CPUINFO.read_text() if CPUINFO.exists() else platform.processor()
