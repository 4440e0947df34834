"""Overlapping tiles with smooth weights; predictions are fused in latent space at every step.

After MultiDiffusion (Bar-Tal et al. 2023, https://arxiv.org/abs/2302.08113).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

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
        """(x0, y0, x1, y1) as fractions of a `width` x `height` picture; over 1 where the tile is padded."""
        return self.x / width, self.y / height, (self.x + self.width) / width, (self.y + self.height) / height


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


def window(tile: Tile, overlap: float, like: Tensor) -> Tensor:
    """(height, width) weights: one inside, falling as a cosine over the overlap, never zero."""

    def ramp(length: int) -> Tensor:
        place = torch.arange(length, device=like.device, dtype=torch.float32) + 0.5
        edge = torch.minimum(place, length - place) / max(overlap * length, 1.0)
        return 0.5 - 0.5 * torch.cos(math.pi * edge.clamp(max=1)) + 1e-3

    return ramp(tile.height)[:, None] * ramp(tile.width)[None]


class Fusion:
    """Weighted mean of overlapping predictions over a grid, from the top down.

    `extend` makes room; once all tiles that lie on some rows have been added, `take` gives their mean and forgets them.
    """

    def __init__(self, channels: int, width: int, overlap: float, device: torch.device) -> None:
        self.overlap, self.top = overlap, 0
        self.total = torch.zeros(1, channels, 0, width, device=device)
        self.weight = torch.zeros(1, 1, 0, width, device=device)

    def extend(self, bottom: int) -> None:
        """Makes room for rows down to `bottom`."""
        missing = max(bottom - self.top - self.total.shape[-2], 0)
        self.total, self.weight = (_lengthened(grid, missing) for grid in (self.total, self.weight))

    def add(self, tile: Tile, prediction: Tensor) -> None:
        """prediction (1, C, height, width) of one tile."""
        weights = window(tile, self.overlap, prediction)
        place = replace(tile, y=tile.y - self.top)
        place.of(self.total).add_(prediction.float() * weights)
        place.of(self.weight).add_(weights)

    def add_all(self, tiles: Iterable[Tile], predictions: Tensor) -> None:
        """predictions (n, C, height, width) of n tiles."""
        for tile, prediction in zip(tiles, predictions.split(1), strict=True):
            self.add(tile, prediction)

    def take(self, bottom: int) -> Tensor:
        """The mean (1, C, n, W) of the rows above `bottom` that were not taken yet, in the memory of their sum."""
        count = bottom - self.top
        mean = self.total[..., :count, :].div_(self.weight[..., :count, :])
        self.total, self.weight = (grid[..., count:, :].clone() for grid in (self.total, self.weight))
        self.top = bottom
        return mean


def _lengthened(grid: Tensor, rows: int) -> Tensor:
    more = grid.new_zeros(*grid.shape[:2], rows, grid.shape[-1])
    return torch.cat([grid, more], -2) if grid.shape[-2] else more
