"""Depth by Depth Anything V2 (Yang et al. 2024, https://arxiv.org/abs/2406.09414), near = bright."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import AutoImageProcessor, DepthAnythingForDepthEstimation

from mmsr_core.modalities.depth import stretched
from mmsr_core.modalities.network import Network

LARGEST = 1024  # long side in pixels at which the depth is stretched; the map itself has the photo's size


class DepthAnything:
    """Mode "L" at the size of the photo. Relative models give inverse depth, metric ones metres; both become near =
    bright, stretched as the bundled student's map is.

    Args:
        folder: a `DepthAnythingForDepthEstimation` with its image processor.
        device: of torch.
        smallest_range: a photo whose inverse depth spans less than this share of the nearest place's stays flat.
        batch: most photos at once in `many`.
    """

    def __init__(self, folder: Path, device: str = "cpu", smallest_range: float = 0.1, batch: int = 8) -> None:
        model = DepthAnythingForDepthEstimation.from_pretrained(folder, dtype=torch.float32)
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        self.network = Network(model, processor, device, batch)
        self.narrowest = processor.size["height"] // (processor.ensure_multiple_of or 1)  # long side over short side
        self.metric = model.config.depth_estimation_type == "metric"
        self.smallest_range = smallest_range

    def __call__(self, image: Image.Image) -> Image.Image:
        return self.many([image])[0]

    def many(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """One map per photo; photos of one size are read together."""
        return self.network.many(images, self._read)

    @torch.inference_mode()
    def _read(self, images: list[Image.Image]) -> list[Image.Image]:
        shaped = [self._shaped(image) for image in images]
        pixels = self.network.processor(images=shaped, return_tensors="pt").pixel_values.to(self.network.device)
        with self.network.running():
            depth = self.network.model(pixels).predicted_depth.float()  # (B, h, w)
        if self.metric:
            depth = 1 / depth.clamp(min=1e-3)
        size = images[0].size
        scale = min(LARGEST / max(size), 1.0)
        seen = tuple(max(round(side * scale), 1) for side in size[::-1])
        depth = F.interpolate(depth[:, None], seen, mode="bicubic", antialias=True)[:, 0]
        return [self._map(one.cpu().numpy(), size) for one in depth]

    def _shaped(self, image: Image.Image) -> Image.Image:
        """A photo so narrow that it would have no patch across is made wider."""
        least = -(-max(image.size) // self.narrowest)
        return image if min(image.size) >= least else image.resize(tuple(max(side, least) for side in image.size))

    def _map(self, depth: np.ndarray, size: tuple[int, int]) -> Image.Image:
        share = depth / max(float(depth.max()), 1e-6)
        return Image.fromarray(stretched(share, self.smallest_range)).resize(size, Image.Resampling.BICUBIC)
