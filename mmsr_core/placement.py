"""Where the networks live: on the device, or, where they do not fit, in the main memory, sent layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmsr_core.modalities.shelf import free_bytes

if TYPE_CHECKING:
    import torch

    from mmsr_core.pipeline import MMSRPipeline

WORK = 3 * 2**30  # bytes that a run needs beside the weights, at tiles of 512 px and four of them at once; our estimate
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
    if kind != "cpu" and weight_bytes(pipeline) + WORK > (free_bytes(device) if free is None else free):
        stream(pipeline, torch.device(device))
        return True
    pipeline.to(device)
    return False


def weight_bytes(pipeline: MMSRPipeline) -> int:
    """Size of all weights."""
    parts = (part for part in pipeline.components.values() if hasattr(part, "parameters"))
    return sum(p.numel() * p.element_size() for part in parts for p in part.parameters())


def stream(pipeline: MMSRPipeline, device: torch.device) -> None:
    """The large networks stay in the CPU's memory; each layer's weights go to the device while it computes.

    diffusers' group offloading, by leaves: our U-Net calls (`branching`) pass its `forward` by.
    """
    from diffusers.hooks import apply_group_offloading

    for name, part in pipeline.components.items():
        if name in LARGE:
            overlap = device.type == "cuda"  # copies the next layer while this one computes
            apply_group_offloading(part, onload_device=device, offload_type="leaf_level", use_stream=overlap)
        elif hasattr(part, "parameters"):
            part.to(device)
