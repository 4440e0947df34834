"""The twelve classes of a segmentation map and the colour that stands for each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image


class SegmentClass(NamedTuple):
    """One class: its position in `CLASSES` is its index."""

    name: str
    rgb: tuple[int, int, int]


CLASSES = (
    SegmentClass("other", (0, 0, 0)),  # unknown, not a visual class
    SegmentClass("person", (230, 25, 75)),
    SegmentClass("animal", (255, 160, 60)),
    SegmentClass("vehicle", (150, 60, 220)),
    SegmentClass("furniture", (170, 110, 40)),
    SegmentClass("object", (250, 190, 212)),
    SegmentClass("food", (255, 60, 220)),
    SegmentClass("plant", (60, 180, 75)),
    SegmentClass("sky", (110, 190, 255)),
    SegmentClass("water", (0, 60, 200)),
    SegmentClass("ground", (200, 190, 120)),
    SegmentClass("building", (128, 128, 128)),
)
NAMES = tuple(row.name for row in CLASSES)
COLORS = np.array([row.rgb for row in CLASSES], dtype=np.uint8)  # (12, 3)
_COLORS_SHORT = COLORS.astype(np.int32)


def to_index(image: Image.Image) -> np.ndarray:
    """Class index of every pixel, (H, W) uint8; a colour that is not in the palette goes to the nearest that is."""
    rgb = np.asarray(image.convert("RGB"))
    packed = (rgb[..., 0].astype(np.int32) << 16) | (rgb[..., 1].astype(np.int32) << 8) | rgb[..., 2]
    seen, position = np.unique(packed, return_inverse=True)
    nearest = np.empty(len(seen), dtype=np.uint8)
    for start in range(0, len(seen), 65536):  # a noisy photo may hold millions of colours
        part = seen[start : start + 65536]
        colors = np.stack([part >> 16, (part >> 8) & 255, part & 255], axis=-1)
        distance = ((colors[:, None] - _COLORS_SHORT) ** 2).sum(axis=-1)
        nearest[start : start + 65536] = distance.argmin(axis=1)
    return nearest[position].reshape(packed.shape)


def render(index: np.ndarray) -> Image.Image:
    """The "RGB" picture of an index map (H, W) with values 0..11.

    Raises:
        ValueError: another shape, or an index outside the palette.
    """
    index = np.asarray(index)
    if index.ndim != 2:
        raise ValueError(f"segmentation index: got shape {index.shape}, wanted (height, width)")
    if index.size and not 0 <= index.min() <= index.max() < len(CLASSES):
        raise ValueError(
            f"segmentation index: got values {index.min()}..{index.max()}, wanted values 0..{len(CLASSES) - 1}"
        )
    return Image.fromarray(COLORS[index])


def legend(image: Image.Image, minimum: float = 0.005) -> list[tuple[SegmentClass, float]]:
    """Classes of a segmentation map with their share of the area, largest first, without shares under `minimum`."""
    shares = areas(to_index(image))
    order = np.argsort(-shares, kind="stable")
    return [(CLASSES[i], float(shares[i])) for i in order if shares[i] > 0 and shares[i] >= minimum]


def areas(index: np.ndarray) -> np.ndarray:
    """Share of the area of each class, (12,) float64, sums to 1."""
    counts = np.bincount(np.asarray(index).ravel(), minlength=len(CLASSES))
    return counts / max(counts.sum(), 1)
