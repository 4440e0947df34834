"""Overlapping tiles with smooth weights; predictions are fused in latent space at every step.

After MultiDiffusion (Bar-Tal et al. 2023, https://arxiv.org/abs/2302.08113).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tile:
    """A window of the latent grid: top-left corner and size in latent cells."""

    x: int
    y: int
    width: int
    height: int

    def of(self, grid: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, height, width)."""
        return grid[..., self.y : self.y + self.height, self.x : self.x + self.width]

    def box(self, width: float, height: float) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) as fractions of a `width` x `height` picture, cut at its border."""
        right, bottom = min(self.x + self.width, width), min(self.y + self.height, height)
        return self.x / width, self.y / height, right / width, bottom / height


def starts(length: int, tile: int, overlap: float) -> list[int]:
    """Evenly spread starts of the fewest tiles that cover `length` with at least the wanted overlap (0..1)."""
    if length <= tile:
        return [0]
    count = math.ceil((length - tile * overlap) / (tile * (1 - overlap)))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def plan(width: int, height: int, tile: int, overlap: float) -> list[Tile]:
    """Tiles of a latent grid, row by row; one tile of the grid's own size where it fits."""
    tile_width, tile_height = min(tile, width), min(tile, height)
    rows, columns = starts(height, tile_height, overlap), starts(width, tile_width, overlap)
    return [Tile(x, y, tile_width, tile_height) for y in rows for x in columns]


def groups(tiles: list[Tile], count: int) -> list[tuple[Tile, ...]]:
    """The tiles, so many at once."""
    return [tuple(tiles[start : start + count]) for start in range(0, len(tiles), count)]


def cut(grid: Tensor, tiles: tuple[Tile, ...]) -> Tensor:
    """(1, C, H, W) -> (n, C, height, width), one row a tile."""
    return torch.cat([tile.of(grid) for tile in tiles])


def window(tile: Tile, overlap: float, like: Tensor) -> Tensor:
    """(height, width) weights: one inside, falling as a cosine over the overlap, never zero."""

    def ramp(length: int) -> Tensor:
        place = torch.arange(length, device=like.device, dtype=torch.float32) + 0.5
        edge = torch.minimum(place, length - place) / max(overlap * length, 1.0)
        return 0.5 - 0.5 * torch.cos(math.pi * edge.clamp(max=1)) + 1e-3

    return ramp(tile.height)[:, None] * ramp(tile.width)[None]


class Fusion:
    """Weighted mean of overlapping predictions. Adding every tile of a plan, then `result()`, fuses one step."""

    def __init__(self, like: Tensor, overlap: float) -> None:
        self.overlap = overlap
        self.total = torch.zeros_like(like, dtype=torch.float32)
        self.weight = torch.zeros(like.shape[-2:], device=like.device)

    def add(self, tile: Tile, prediction: Tensor) -> None:
        """prediction (B, C, height, width) of one tile."""
        weights = window(tile, self.overlap, prediction)
        tile.of(self.total).add_(prediction.float() * weights)
        tile.of(self.weight[None, None]).add_(weights)

    def add_all(self, tiles: Iterable[Tile], predictions: Tensor) -> None:
        """predictions (n, C, height, width) of n tiles of a grid (1, C, H, W)."""
        for tile, prediction in zip(tiles, predictions.split(1), strict=True):
            self.add(tile, prediction)

    def result(self) -> Tensor:
        """The mean, in the memory of the sum: nothing can be added any more."""
        return self.total.div_(self.weight)
