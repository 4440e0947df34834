"""What the public networks share: one place where they run, and photos of one size in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from PIL import Image

from mmsr_core.precision import bf16_pays


class Network:
    """A public network on a device, float32; on CUDA it computes in bfloat16 where that pays.

    Args:
        model: of transformers.
        processor: of transformers, in its Pillow form.
        device: of torch.
        batch: most photos at once in `many`.
    """

    def __init__(self, model: torch.nn.Module, processor: Any, device: str, batch: int = 8) -> None:
        self.model = model.to(device).eval().requires_grad_(False)
        self.processor, self.device, self.batch = processor, device, batch

    def running(self) -> Any:
        """The context of a forward pass."""
        cuda = self.device.startswith("cuda") and bf16_pays("cuda")
        return torch.autocast("cuda", torch.bfloat16) if cuda else nullcontext()

    def many(self, images: Sequence[Image.Image], read: Callable[[list[Image.Image]], list]) -> list:
        """`read` of photos in batches of one size each, in the photos' order."""
        sizes: dict[tuple[int, int], list[int]] = {}
        for position, image in enumerate(images):
            sizes.setdefault(image.size, []).append(position)
        found: dict[int, Any] = {}
        for places in sizes.values():
            for start in range(0, len(places), self.batch):
                part = places[start : start + self.batch]
                found.update(zip(part, read([images[place].convert("RGB") for place in part]), strict=True))
        return [found[position] for position in range(len(images))]
