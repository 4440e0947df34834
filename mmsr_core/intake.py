"""A photo with more pixels than are taken is shrunk, and that is said."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from mmsr_core.images import MIN_SIDE, Photo


def fitted(photo: Photo, max_pixels: int) -> tuple[Photo, str]:
    """The photo with at most `max_pixels`, and a sentence on that, "" where nothing had to be changed.

    Raises:
        ValueError: too narrow to be shrunk so far.
    """
    width, height = photo.rgb.size
    if width * height <= max_pixels:
        return photo, ""
    factor = (max_pixels / (width * height)) ** 0.5
    size = max(int(width * factor), 1), max(int(height * factor), 1)
    if min(size) < MIN_SIDE:
        raise ValueError(f"{photo.name}: got {width}x{height} px, wanted a picture that is less narrow")
    note = f"{photo.name} has {width * height / 1e6:.1f} megapixels and was shrunk to {size[0]} × {size[1]}, "
    return _shrunk(photo, size), f"{note}as {max_pixels / 1e6:g} megapixels are taken at most."


def _shrunk(photo: Photo, size: tuple[int, int]) -> Photo:
    rgb = photo.rgb.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    alpha = None if photo.alpha is None else photo.alpha.resize(size, Image.Resampling.LANCZOS)
    return replace(photo, rgb=rgb, alpha=alpha)
