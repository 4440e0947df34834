"""A photo with more pixels than are taken is shrunk, and that is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from mmsr_core.images import MIN_SIDE, Photo, open_photo


def taken(source: str | Path, max_pixels: int | None, name: str | None = None) -> tuple[Photo, str]:
    """A file as a photo with at most `max_pixels`, and a sentence on that, "" where nothing had to be changed.

    Raises:
        ValueError: as `open_photo` and `shrunk`.
    """
    photo = open_photo(source, name=name)
    return (photo, "") if max_pixels is None else shrunk(photo, max_pixels)


def shrunk(photo: Photo, max_pixels: int) -> tuple[Photo, str]:
    """The same for a photo that is there already.

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
    rgb = photo.rgb.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    alpha = None if photo.alpha is None else photo.alpha.resize(size, Image.Resampling.LANCZOS)
    return replace(photo, rgb=rgb, alpha=alpha), f"{note}as {max_pixels / 1e6:g} megapixels are taken at most."
