"""Where the networks live: on the device, or, where they do not fit, in the main memory, sent layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmsr_core import memory
from mmsr_core.modalities.shelf import free_bytes
from mmsr_core.settings import SCALE, Settings

if TYPE_CHECKING:
    import torch

    from mmsr_core.pipeline import MMSRPipeline

SIDE = 1024  # px of the square result for which there must be room beside the weights
LARGE = ("unet", "text_encoder")  # the networks that are sent when they are needed; the others are small


def place(pipeline: MMSRPipeline, device: str, free: int | None = None) -> bool:
    """Puts a pipeline on a device, in bf16 where a GPU is fast at it; returns whether its weights are streamed.

    Args:
        free: bytes that may be used there; None asks the device.
    """
    import torch

    from mmsr_core.precision import bf16_pays

    kind = torch.device(device).type
    if kind == "cuda" and bf16_pays(kind):
        pipeline.unet.to(torch.bfloat16)
    needed = weight_bytes(pipeline) + work_bytes(pipeline, device)
    if kind != "cpu" and needed > (free_bytes(device) if free is None else free):
        stream(pipeline, torch.device(device))
        return True
    pipeline.to(device)
    return False


def work_bytes(pipeline: MMSRPipeline, device: str) -> int:
    """What a run needs beside the weights, for a result of `SIDE` px."""
    return memory.estimate((SIDE // SCALE,) * 2, Settings(), pipeline.codec, device)


def weight_bytes(pipeline: MMSRPipeline) -> int:
    """Size of all weights."""
    parts = (part for part in pipeline.components.values() if hasattr(part, "parameters"))
    return sum(p.numel() * p.element_size() for part in parts for p in part.parameters())


def stream(pipeline: MMSRPipeline, device: torch.device) -> None:
    """The large networks stay in the CPU's memory; each layer's weights go to the device while it computes.

    diffusers' group offloading, by leaves: our U-Net calls (`branching`) pass its `forward` by. That `forward` would
    also arrange for the next layer to be copied while one computes, so there is none of that.
    """
    from diffusers.hooks import apply_group_offloading

    for name, part in pipeline.components.items():
        if name in LARGE:
            apply_group_offloading(part, onload_device=device, offload_type="leaf_level")
        elif hasattr(part, "parameters"):
            part.to(device)
