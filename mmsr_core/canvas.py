"""What the codec makes of a whole LR picture, to be denoised on and decoded; window by window, from the top down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from mmsr_core import memory
from mmsr_core.bands import Rows
from mmsr_core.codec import PatchCodec, VaeCodec
from mmsr_core.images import to_pil
from mmsr_core.settings import SCALE

Precision = Callable[[], AbstractContextManager]


class Canvas:
    """Condition and decoding of a whole picture, window by window; an autoencoder cuts and blends windows itself.

    Of a picture larger than `memory.WHOLE` only those rows of the condition are held that were asked for and not given
    up yet; `paint` decodes it from the top down and gives up what it has used.

    Args:
        lr: padded LR picture (1, 3, h, w).
        size: width and height before the padding.
        side: window side in output pixels.
        precision: the context of the codec's networks.
    """

    def __init__(
        self, codec: PatchCodec | VaeCodec, lr: Tensor, size: tuple[int, int], side: int, precision: Precision
    ) -> None:
        self.codec, self.size, self.precision = codec, size, precision
        self.side = max(side // SCALE, 16)
        if codec.decode_margin is None:  # no margin makes its windows the whole's, so that they would leave seams
            codec.work_in(side)
            self.side = max(lr.shape[-2:])
        self.large = codec.decode_margin is not None and lr.shape[-1] * lr.shape[-2] * SCALE**2 > memory.WHOLE
        self.cells = SCALE / codec.factor  # an LR pixel
        self.grid = tuple(int(side * self.cells) for side in lr.shape[-2:])  # (h', w')
        self._lr, self._rows = lr, Rows()
        self._picture, self._painted = None, 0  # so far, and how many rows of latents of it are done

    @torch.no_grad()
    def condition(self, top: int, bottom: int, columns: slice = slice(None)) -> Tensor:
        """Rows of the condition, (1, C, bottom - top, columns)."""
        while self._rows.bottom < bottom:
            start = int(self._rows.bottom / self.cells)
            self._rows.add(self._strip(slice(start, min(start + self.side, self._lr.shape[-2]))))
        return self._rows.of(top, bottom, columns)

    def _strip(self, rows: slice) -> Tensor:
        """The condition of some rows of the LR picture."""
        made = None
        for columns in _spans(0, self._lr.shape[-1], self.side):
            part = self._condition(rows, columns)
            if made is None:
                made = part.new_empty(1, part.shape[1], part.shape[-2], self.grid[1])
            made[..., _scaled((columns,), self.cells)[0]] = part
        return made

    def _condition(self, rows: slice, columns: slice) -> Tensor:
        """The condition of one window, with a margin that makes it the whole picture's."""
        seen, inside = _widened((rows, columns), self.codec.margin)
        with self.precision() if self.codec.bears_half else nullcontext():
            return self.codec.condition(self._lr[(..., *seen)])[(..., *_scaled(inside, self.cells))]

    @torch.no_grad()
    def decode(self, z: Tensor) -> Image.Image:
        """z (1, c, h', w') -> the picture, x4 the unpadded size."""
        if self.codec.decode_margin is None:
            width, height = self.size[0] * SCALE, self.size[1] * SCALE
            return to_pil(self.codec.decode(z, self.condition(0, self.grid[0]))).crop((0, 0, width, height))
        rows = Rows()
        rows.add(z)
        made = self._blank()
        self._decode(rows, slice(0, self.grid[0]), made)
        return made

    @torch.no_grad()
    def paint(self, z: Rows) -> Image.Image:
        """Decodes what can be decoded of a large picture's finished rows of latents, and gives up what is used.

        Returns the picture, in which an enlargement of the input stands where nothing is painted yet.
        """
        if self._picture is None:
            photo = to_pil(self._lr)
            self._picture = self._blank()
            self._picture.paste(photo.resize((photo.width * SCALE, photo.height * SCALE), Image.Resampling.BICUBIC))
        margin, height = self.codec.decode_margin, self.grid[0]
        until = z.bottom if z.bottom == height else max(z.bottom - margin, self._painted)
        self._decode(z, slice(self._painted, until), self._picture)
        self._painted = until
        for rows in (z, self._rows):
            rows.give_up(until - margin)
        return self._picture

    def _blank(self) -> Image.Image:
        return Image.new("RGB", (self.size[0] * SCALE, self.size[1] * SCALE))

    def _decode(self, z: Rows, rows: slice, picture: Image.Image) -> None:
        """Rows of latents onto the picture."""
        for down in _spans(rows.start, rows.stop, self.side):
            for across in _spans(0, self.grid[1], self.side):
                (high, wide), inside = _widened((down, across), self.codec.decode_margin)
                seen = (high.start, min(high.stop, self.grid[0]), wide)
                part = self.codec.decode(z.of(*seen), self.condition(*seen))
                corner = (across.start * self.codec.factor, down.start * self.codec.factor)
                picture.paste(to_pil(part[(..., *_scaled(inside, self.codec.factor))]), corner)


def _spans(start: int, stop: int, length: int) -> Iterator[slice]:
    return (slice(at, min(at + length, stop)) for at in range(start, stop, length))


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
        precision: Precision,
    ) -> Canvas:
        """Arguments as `Canvas` has them."""
        state = (codec, size, side, lr.device, *(p._version for p in codec.parameters()))  # training steps in place
        if self._state == state and torch.equal(self._lr, lr):
            return self._canvas
        self._lr = self._state = self._canvas = None  # before the next one is made: never two at once
        made = Canvas(codec, lr, size, side, precision)
        if not made.large:
            self._lr, self._state, self._canvas = lr, state, made
        return made
