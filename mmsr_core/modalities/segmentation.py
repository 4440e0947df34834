"""Segmentation: twelve classes from the bundled student, drawn in the palette's colours."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mmsr_core.modalities.palette import render
from mmsr_core.modalities.student import load, predict, refine


class StudentSegmentation:
    """Mode "RGB" in exact palette colours, at the size of the photo.

    Args:
        folder: where the student was saved.
        device: of torch.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.student = load(folder, device)
        self._last: tuple[bytes, Image.Image] | None = None  # the composed caption asks for the same photo's map

    def __call__(self, image: Image.Image) -> Image.Image:
        seen = hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).digest()
        if self._last is None or self._last[0] != seen:
            self._last = seen, self._segment(image)
        return self._last[1].copy()

    @torch.inference_mode()
    def _segment(self, image: Image.Image) -> Image.Image:
        shares = refine(predict(self.student, image).softmax(0), image)
        index = shares.argmax(0).to(torch.uint8).cpu().numpy()
        return render(np.asarray(Image.fromarray(index).resize(image.size, Image.Resampling.NEAREST)))
