"""Sample sheets: one column a kind of picture, one row a sample, labelled on top."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from mmsr_core.images import to_pil


def write_sheet(path: Path, columns: Mapping[str, Tensor]) -> None:
    """columns: label -> (N, 3, H, W) in [-1, 1], all of one size; pixels are shown 1:1."""
    strips = []
    for label, pictures in columns.items():
        strip = np.concatenate([np.asarray(to_pil(p[None])) for p in pictures.float().cpu()])
        image = Image.new("RGB", (strip.shape[1], strip.shape[0] + 16), "white")
        image.paste(Image.fromarray(strip), (0, 16))
        ImageDraw.Draw(image).text((4, 2), label, fill="black")
        strips.append(np.asarray(image))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(strips, 1)).save(path)
