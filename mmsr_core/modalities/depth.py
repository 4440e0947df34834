"""Depth: a relative map from the bundled student, near = bright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mmsr_core.modalities.student import load, predict, refine


def stretched(depth: np.ndarray, smallest_range: float, percent: float = 0.5) -> np.ndarray:
    """depth (H, W), about 0..1 -> uint8 (H, W).

    Args:
        smallest_range: a map that spans less than this (of 0..1) is stretched as if it spanned it, so that a flat
            scene stays flat.
        percent: share of the pixels at each end that may be clipped, in percent.
    """
    low, high = np.percentile(depth, (percent, 100 - percent))
    middle, span = (low + high) / 2, max(high - low, smallest_range)
    start = low if span == high - low else np.clip(middle - span / 2, 0, 1 - span)
    return np.round(np.clip((depth - start) / span, 0, 1) * 255).astype(np.uint8)


class StudentDepth:
    """Mode "L" at the size of the photo. Stretched so that the nearest place is white and the farthest black.

    Args:
        folder: where the student was saved.
        device: of torch.
        smallest_range, percent: as `stretched` has them.
    """

    def __init__(self, folder: Path, device: str = "cpu", smallest_range: float = 0.25, percent: float = 0.5) -> None:
        self.student = load(folder, device)
        self.smallest_range = smallest_range
        self.percent = percent

    @torch.inference_mode()
    def __call__(self, image: Image.Image) -> Image.Image:
        depth = refine(predict(self.student, image), image)[0].cpu().numpy()
        return Image.fromarray(self.stretch(depth)).resize(image.size, Image.Resampling.BICUBIC)

    def stretch(self, depth: np.ndarray) -> np.ndarray:
        """depth (H, W), about 0..1 -> uint8 (H, W)."""
        return stretched(depth, self.smallest_range, self.percent)
