"""A large picture from the top down: bands of tile rows, each denoising step some rows behind the one before it.

A step needs of the step before only the rows that its own tiles lie on. So the steps can follow each other down the
picture, and only as many rows are alive at once as a few tiles are high, however tall the picture is. What comes out is
what step after step over the whole picture gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor

from mmsr_core.tiling import Tile


@dataclass(frozen=True)
class Band:
    """Rows of the latent grid that are done once its tiles, and those of the bands above, are.

    Attributes:
        seen: where the lowest of its tiles ends.
    """

    top: int
    bottom: int
    seen: int
    tiles: tuple[Tile, ...]


def split(tiles: list[Tile], apart: bool) -> list[Band]:
    """The tiles of a plan, one band for each row of tiles, or one for all where they are not to be kept apart."""
    rows = [tuple(row) for _, row in groupby(tiles, key=lambda tile: tile.y)] if apart else [tuple(tiles)]
    seen = [row[-1].y + row[-1].height for row in rows]
    ends = [row[0].y for row in rows[1:]] + seen[-1:]
    return [Band(*band) for band in zip([0, *ends], ends, seen, rows)]


def order(bands: list[Band], steps: int) -> Iterator[tuple[int, int]]:
    """(step, number of the band), the latest step first wherever the step before is far enough ahead."""
    done = [len(bands)] + [0] * steps  # bands that stand ready for each step, and at last the finished ones

    def ready(step: int) -> bool:
        number = done[step + 1]
        ahead = done[step]
        return number < len(bands) and ahead > 0 and bands[ahead - 1].bottom >= bands[number].seen

    while done[steps] < len(bands):
        step = next(step for step in reversed(range(steps)) if ready(step))
        yield step, done[step + 1]
        done[step + 1] += 1


@dataclass
class Rows:
    """The rows of a tall grid (1, C, H, W) that are alive: added at the bottom, given up at the top."""

    top: int = 0  # of the first part
    bottom: int = 0
    _parts: list[Tensor] = field(default_factory=list)

    def add(self, part: Tensor) -> None:
        """The next rows (1, C, n, W)."""
        self._parts.append(part)
        self.bottom += part.shape[-2]

    def of(self, top: int, bottom: int, columns: slice = slice(None)) -> Tensor:
        """(1, C, bottom - top, columns), rows counted from the top of the grid; a view where one part has them all.

        Raises:
            IndexError: rows that are not there yet or no longer.
        """
        if not self.top <= top < bottom <= self.bottom:
            raise IndexError(f"rows: got {top} to {bottom}, wanted some of {self.top} to {self.bottom}")
        found, start = [], self.top
        for part in self._parts:
            stop = start + part.shape[-2]
            if start < bottom and top < stop:
                found.append(part[..., max(top - start, 0) : bottom - start, columns])
            start = stop
        return found[0] if len(found) == 1 else torch.cat(found, -2)

    def give_up(self, before: int) -> None:
        """Frees the parts that end at a row or above it."""
        while self._parts and self.top + self._parts[0].shape[-2] <= before:
            self.top += self._parts.pop(0).shape[-2]
