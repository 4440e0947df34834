"""What the codec makes of a whole LR picture, to be denoised on and decoded; window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from mmsr_core.base import SCALE
from mmsr_core.codec import PatchCodec, VaeCodec
from mmsr_core.images import to_pil

KEPT = 2**22  # output pixels up to which the newest canvas is kept: about 120 MB


class Canvas:
    """Condition and decoding of a whole picture, window by window, so that only the condition follows its size.

    Args:
        lr: padded LR picture (1, 3, h, w).
        size: width and height before the padding.
        side: window side in output pixels.
    """

    def __init__(self, codec: PatchCodec | VaeCodec, lr: Tensor, size: tuple[int, int], side: int) -> None:
        self.codec, self.size = codec, size
        self.side = max(side // SCALE, 16)
        self.condition: Tensor | None = None  # (1, C, h', w')
        cells = SCALE / codec.factor  # an LR pixel
        for rows, columns in self._windows(lr, self.side):
            part = self._condition(lr, rows, columns)
            if self.condition is None:
                self.condition = part.new_empty(1, part.shape[1], *(int(side * cells) for side in lr.shape[-2:]))
            self.condition[(..., *_scaled((rows, columns), cells))] = part

    @staticmethod
    def _windows(grid: Tensor, side: int) -> Iterator[tuple[slice, slice]]:
        height, width = grid.shape[-2:]
        for y in range(0, height, side):
            for x in range(0, width, side):
                yield slice(y, min(y + side, height)), slice(x, min(x + side, width))

    def _condition(self, lr: Tensor, rows: slice, columns: slice) -> Tensor:
        """The condition of one window, computed with the margin that makes it equal to the whole picture's."""
        seen, inside = _widened((rows, columns), self.codec.margin)
        return self.codec.condition(lr[(..., *seen)])[(..., *_scaled(inside, SCALE / self.codec.factor))]

    @torch.no_grad()
    def decode(self, z: Tensor) -> Image.Image:
        """z (1, c, h', w') -> the picture, x4 the unpadded size."""
        width, height = self.size[0] * SCALE, self.size[1] * SCALE
        if self.codec.decode_margin is None:
            return to_pil(self.codec.decode(z, self.condition)).crop((0, 0, width, height))
        made = Image.new("RGB", (width, height))
        for window in self._windows(z, self.side):
            seen, inside = _widened(window, self.codec.decode_margin)
            part = self.codec.decode(z[(..., *seen)], self.condition[(..., *seen)])
            corner = (window[1].start * self.codec.factor, window[0].start * self.codec.factor)
            made.paste(to_pil(part[(..., *_scaled(inside, self.codec.factor))]), corner)
        return made


def _widened(window: tuple[slice, slice], margin: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """A window with a margin where the picture has one, and where the window lies in that."""
    seen = tuple(slice(max(side.start - margin, 0), side.stop + margin) for side in window)
    inside = tuple(slice(side.start - s.start, side.stop - s.start) for side, s in zip(window, seen))
    return seen, inside


def _scaled(window: tuple[slice, slice], factor: float) -> tuple[slice, slice]:
    return tuple(slice(int(side.start * factor), int(side.stop * factor)) for side in window)


@dataclass
class Easel:
    """The newest canvas: a run on the same picture, after a slider moved, need not pay for it again."""

    _lr: Tensor | None = None
    _state: tuple | None = None
    _canvas: Canvas | None = None

    @torch.no_grad()
    def canvas(
        self,
        codec: PatchCodec | VaeCodec,
        lr: Tensor,
        size: tuple[int, int],
        side: int,
        precision: Callable[[], AbstractContextManager],
    ) -> Canvas:
        """Arguments as `Canvas` has them.

        Args:
            precision: the context of the network's call, where the codec bears it.
        """
        state = (codec, size, side, lr.device, *(p._version for p in codec.parameters()))  # training steps in place
        if self._state == state and torch.equal(self._lr, lr):
            return self._canvas
        self._lr = self._state = self._canvas = None  # before the next one is made: never two at once
        if codec.bears_half:
            with precision():
                made = Canvas(codec, lr, size, side)
        else:
            made = Canvas(codec, lr, size, side)
        if lr.shape[-1] * lr.shape[-2] * SCALE**2 <= KEPT:
            self._lr, self._state, self._canvas = lr, state, made
        return made
