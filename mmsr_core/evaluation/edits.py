"""Edits of maps inside a box, to measure whether the result changes there and only there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from mmsr_core.modalities.palette import BUNDLED

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 as fractions of the picture
SIDE = 0.4  # of the box, as a fraction of the picture's sides


def box_of(name: str) -> Box:
    """The edited box of one picture: its place follows the picture's name, so that it is the same in every run."""
    x, y = (byte / 255 * (1 - SIDE) for byte in hashlib.sha256(name.encode()).digest()[:2])
    return x, y, x + SIDE, y + SIDE


def pixels(box: Box, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a picture of (width, height) inside the box."""
    x0, y0, x1, y1 = (round(part * side) for part, side in zip(box, size * 2))
    return slice(y0, y1), slice(x0, x1)


def inverted(values: np.ndarray, inside: tuple[slice, slice]) -> Image.Image:
    """Depth: near becomes far and far near."""
    values[inside] = 255 - values[inside]
    return Image.fromarray(values)


def repainted(values: np.ndarray, inside: tuple[slice, slice]) -> Image.Image:
    """Segmentation: the box becomes the class that the picture has least of, "other" excepted."""
    index = BUNDLED.to_index(Image.fromarray(values))
    index[inside] = 1 + int(BUNDLED.areas(index)[1:].argmin())
    return BUNDLED.render(index)


def hatched(values: np.ndarray, inside: tuple[slice, slice]) -> Image.Image:
    """Edges: the box gets vertical lines, eight of them, instead of its own."""
    part = np.zeros_like(values[inside])
    part[:, :: max(part.shape[1] // 8, 2)] = 255
    values[inside] = part
    return Image.fromarray(values)


EDITS: dict[str, Callable[[np.ndarray, tuple[slice, slice]], Image.Image]] = {
    "depth": inverted,
    "segmentation": repainted,
    "edge": hatched,
}


def edited(name: str, image: Image.Image, box: Box) -> Image.Image:
    """The map of one modality with its edit inside the box.

    Raises:
        ValueError: a modality without an edit.
    """
    if name not in EDITS:
        raise ValueError(f"edit: got {name!r}, wanted one of {', '.join(EDITS)}")
    return EDITS[name](np.array(image), pixels(box, image.size))
