"""Batches of rendered maps for the VQ model: labels, edges, plain fields, and maps that look edited by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Generator, Tensor

from mmsr_core.modalities.edge import CannyEdges
from mmsr_core.modalities.palette import CLASSES, COLORS
from mmsr_core.tokens import map_row, render_map
from mmsr_core.training.data import LABEL, PHOTO, PhotoStore, random_source
from mmsr_core.training.degradation import Degradation

KINDS = ("depth", "segmentation", "edge")
EDITED, PLAIN, RECOLOURED, FROM_LOW = 0.25, 0.03, 0.2, 0.35  # shares of a batch


@dataclass(frozen=True)
class MapBatch:
    """maps (B, 3, side, side) float in [-1, 1]; kinds (B,) indices into KINDS."""

    maps: Tensor
    kinds: Tensor


class MapBatches:
    """(step, rank, device) -> MapBatch: crops of maps; every `whole_every`-th batch has whole maps, but fewer."""

    def __init__(self, store: PhotoStore, batch: int, seed: int, side: int, crop: int, whole_every: int = 5) -> None:
        self.store, self.batch, self.seed = store, batch, seed
        self.side, self.crop, self.whole_every = side, crop, whole_every
        self.edges = CannyEdges()

    def __call__(self, step: int, rank: int, device: torch.device) -> MapBatch:
        rng, generator = random_source(self.seed, step, rank)
        whole = step % self.whole_every == self.whole_every - 1
        crop = self.side if whole else self.crop
        count = max(self.batch * self.crop**2 // crop**2, len(KINDS)) if whole else self.batch
        kinds = (np.arange(count) + step) % len(KINDS)
        maps = [self._one(KINDS[kind], crop, rng, generator) for kind in kinds]
        tensor = torch.from_numpy(np.stack(maps)).to(device).permute(0, 3, 1, 2).float() / 255 * 2 - 1
        return MapBatch(tensor.contiguous(), torch.from_numpy(kinds).to(device))

    def _one(self, kind: str, crop: int, rng: np.random.Generator, generator: Generator) -> np.ndarray:
        """(crop, crop, 3) uint8."""
        image = self._plain(kind, rng) if rng.random() < PLAIN else self._source(kind, rng, generator)
        if rng.random() < EDITED:
            image = edited(image, kind, rng)
        size = rng.uniform(96, PHOTO) / PHOTO if rng.random() < 0.7 else 1.0
        x, y = rng.uniform(0, 1 - size, size=2)
        picture = np.asarray(render_map(map_row(kind), image, (x, y, x + size, y + size), self.side))
        left, top = rng.integers(0, self.side - crop + 1, size=2)
        picture = picture[top : top + crop, left : left + crop]
        turned = picture.transpose(1, 0, 2) if rng.random() < 0.5 else picture
        return turned[:, ::-1] if rng.random() < 0.5 else turned

    def _source(self, kind: str, rng: np.random.Generator, generator: Generator) -> Image.Image:
        index = int(rng.integers(len(self.store)))
        if kind == "depth":
            return Image.fromarray(_recontrasted(np.asarray(self.store.depth[index]), rng))
        if kind == "segmentation":
            order = rng.permutation(len(CLASSES)) if rng.random() < RECOLOURED else np.arange(len(CLASSES))
            return Image.fromarray(COLORS[order[self.store.segmentation[index]]])
        photo = self.store.photos[index]
        if rng.random() < FROM_LOW:
            high = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float() / 255 * 2 - 1
            low = Degradation()(high, generator)[0].permute(1, 2, 0)
            photo = ((low + 1) * 0.5 * 255).round().byte().numpy()
        return self.edges(Image.fromarray(photo))

    def _plain(self, kind: str, rng: np.random.Generator) -> Image.Image:
        value = {"depth": int(rng.integers(256)), "edge": 0, "segmentation": _colour(rng)}[kind]
        return Image.new("RGB" if kind == "segmentation" else "L", (LABEL, LABEL), value)


def edited(image: Image.Image, kind: str, rng: np.random.Generator) -> Image.Image:
    """A copy with one to four shapes or strokes painted on it, as a visitor with a brush would."""
    image = image.copy()
    draw = ImageDraw.Draw(image)
    side = image.size[0]
    for _ in range(int(rng.integers(1, 5))):
        points = rng.uniform(0, side, size=(int(rng.integers(2, 6)), 2))
        if kind == "edge":
            value, width = int(rng.choice([0, 255, 255])), int(rng.integers(1, 4))
        else:
            value = _colour(rng) if kind == "segmentation" else int(rng.integers(256))
            width = int(rng.integers(3, side // 6))
        corners = np.sort(points[:2], axis=0).ravel().tolist()
        shape = rng.integers(3)
        filled = None if kind == "edge" and value else value
        if shape == 0:
            draw.line([tuple(p) for p in points], fill=value, width=width, joint="curve")
        elif shape == 1:
            draw.ellipse(corners, fill=filled, outline=value, width=min(width, 3))
        else:
            draw.rectangle(corners, fill=filled, outline=value, width=min(width, 3))
    return image


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    return tuple(int(v) for v in COLORS[rng.integers(len(COLORS))])


def _recontrasted(depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Depth with another range or direction now and then: a student's or a visitor's scale is not the label's."""
    if rng.random() < 0.6:
        return depth
    low, high = np.sort(rng.uniform(0, 255, size=2))
    if rng.random() < 0.2:
        low, high = high, low
    return (low + (high - low) * (depth / 255.0) ** rng.uniform(0.6, 1.6)).astype(np.uint8)
