"""Palettes of segmentation maps: the classes and the colour that stands for each.

The bundled palette has twelve classes; `mini` knows no other. A model of the paper's size may be trained on the full
palette of COCO or ADE20K (`assets/palettes`), whose classes also say to which of the twelve they belong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from mmsr_core.presets import ASSETS

FULL = ("coco", "ade")  # the files of `assets/palettes`


class SegmentClass(NamedTuple):
    """One class: its position in a palette is its index."""

    name: str
    rgb: tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """Classes with colours of their own.

    Args:
        name: as the weights' config has it.
        classes: in index order.
        broad: position in the bundled palette of every class.
    """

    name: str
    classes: tuple[SegmentClass, ...]
    broad: tuple[int, ...]

    @cached_property
    def colors(self) -> np.ndarray:
        """(classes, 3) uint8."""
        return np.array([row.rgb for row in self.classes], dtype=np.uint8)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(row.name for row in self.classes)

    def to_index(self, image: Image.Image) -> np.ndarray:
        """Class index of every pixel, (H, W) uint8; a colour that is not in the palette goes to the nearest that is."""
        rgb = np.asarray(image.convert("RGB"))
        packed = (rgb[..., 0].astype(np.int32) << 16) | (rgb[..., 1].astype(np.int32) << 8) | rgb[..., 2]
        seen, position = np.unique(packed, return_inverse=True)
        nearest = np.empty(len(seen), dtype=np.uint8)
        palette = self.colors.astype(np.int32)
        for start in range(0, len(seen), 8192):  # a noisy photo may hold millions of colours
            part = seen[start : start + 8192]
            colors = np.stack([part >> 16, (part >> 8) & 255, part & 255], axis=-1)
            distance = ((colors[:, None] - palette) ** 2).sum(axis=-1)
            nearest[start : start + 8192] = distance.argmin(axis=1)
        return nearest[position].reshape(packed.shape)

    def render(self, index: np.ndarray) -> Image.Image:
        """The "RGB" picture of an index map (H, W).

        Raises:
            ValueError: another shape, or an index outside the palette.
        """
        index, last = np.asarray(index), len(self.classes) - 1
        if index.ndim != 2:
            raise ValueError(f"segmentation index: got shape {index.shape}, wanted (height, width)")
        if index.size and not 0 <= index.min() <= index.max() <= last:
            raise ValueError(
                f"segmentation index: got values {index.min()}..{index.max()}, wanted values 0..{last} "
                f"of the palette {self.name}"
            )
        return Image.fromarray(self.colors[index])

    def legend(self, image: Image.Image, minimum: float = 0.005) -> list[tuple[SegmentClass, float]]:
        """Classes of a segmentation map with their share of the area, largest first, without shares under `minimum`."""
        shares = self.areas(self.to_index(image))
        order = np.argsort(-shares, kind="stable")
        return [(self.classes[i], float(shares[i])) for i in order if shares[i] > 0 and shares[i] >= minimum]

    def areas(self, index: np.ndarray) -> np.ndarray:
        """Share of the area of each class, (classes,) float64, sums to 1."""
        counts = np.bincount(np.asarray(index).ravel(), minlength=len(self.classes))
        return counts / max(counts.sum(), 1)

    def places(self, labels: Mapping[int, str]) -> np.ndarray:
        """Where a network's labels stand in this palette: index by label number, (labels,) uint8.

        By name, and where a name is spelt otherwise ("road, route" for "road") by number, if the counts agree.

        Raises:
            ValueError: labels of something else than this palette's classes.
        """
        known = {_plain(name): i for i, name in enumerate(self.names)}
        found = [known.get(_plain(labels[number])) for number in sorted(labels)]
        named = sum(place is not None for place in found)
        if len(found) != len(self.classes) or named < len(found) / 2:
            raise ValueError(
                f"segmentation: got a network with {len(found)} labels, {named} of them in the palette {self.name}, "
                f"wanted its {len(self.classes)}"
            )
        return np.array([i if place is None else place for i, place in enumerate(found)], dtype=np.uint8)


def _plain(name: str) -> str:
    return name.split(",")[0].strip().lower()


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
BUNDLED = Palette("mmsr", CLASSES, tuple(range(len(CLASSES))))
NAMES, COLORS = BUNDLED.names, BUNDLED.colors
OBJECTS = ("person", "animal", "vehicle", "furniture", "object", "food")  # classes that can stand out
to_index, render, legend, areas = BUNDLED.to_index, BUNDLED.render, BUNDLED.legend, BUNDLED.areas


@lru_cache
def named(name: str) -> Palette:
    """The bundled palette ("mmsr") or a full one.

    Raises:
        ValueError: no such palette.
    """
    if name == BUNDLED.name:
        return BUNDLED
    if name not in FULL:
        raise ValueError(f"palette: got {name!r}, wanted one of {', '.join((BUNDLED.name, *FULL))}")
    rows = json.loads((ASSETS / "palettes" / f"{name}.json").read_text())["classes"]
    classes = tuple(SegmentClass(called, tuple(rgb)) for called, rgb, _ in rows)
    return Palette(name, classes, tuple(NAMES.index(broad) for _, _, broad in rows))
