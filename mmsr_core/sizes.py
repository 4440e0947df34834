"""Pictures no larger than wanted."""

from __future__ import annotations

from PIL import Image


def fitted(image: Image.Image, side: int, resample: Image.Resampling = Image.Resampling.LANCZOS) -> Image.Image:
    """The picture with its longest side at most `side` pixels."""
    if max(image.size) <= side:
        return image
    scale = side / max(image.size)
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), resample)
