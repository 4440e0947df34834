"""What the codec makes of a whole LR picture, to be denoised on and decoded; window by window."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from mmsr_core.base import SCALE
from mmsr_core.codec import Condition, PatchCodec, VaeCodec
from mmsr_core.images import to_pil

KEPT = 2**22  # output pixels up to which the newest canvas is kept: about 170 MB


class Canvas:
    """Condition and decoding of a whole picture, window by window, so that memory does not follow its size.

    Args:
        lr: padded LR picture (1, 3, h, w).
        size: width and height before the padding.
        side: window side in output pixels.
    """

    def __init__(self, codec: PatchCodec | VaeCodec, lr: Tensor, size: tuple[int, int], side: int) -> None:
        self.codec, self.size = codec, size
        self.side = max(side // SCALE, 16)
        parts = [
            [self._condition(lr, x, y) for x in range(0, lr.shape[-1], self.side)]
            for y in range(0, lr.shape[-2], self.side)
        ]
        self.condition = torch.cat([torch.cat([part.latents for part in row], -1) for row in parts], -2)
        has_base = parts[0][0].base is not None
        self.base = torch.cat([torch.cat([part.base for part in row], -1) for row in parts], -2) if has_base else None

    def _condition(self, lr: Tensor, x: int, y: int) -> Condition:
        """The condition of one window, computed with the margin that makes it equal to the whole picture's."""
        margin = self.codec.margin
        left, top = max(x - margin, 0), max(y - margin, 0)
        right, bottom = min(x + self.side, lr.shape[-1]), min(y + self.side, lr.shape[-2])
        part = self.codec.condition(lr[..., top : bottom + margin, left : right + margin])
        scale = part.latents.shape[-1] / lr[..., left : right + margin].shape[-1]

        def cut(t: Tensor, k: float) -> Tensor:
            rows = slice(int((y - top) * k), int((bottom - top) * k))
            return t[..., rows, int((x - left) * k) : int((right - left) * k)]

        return Condition(cut(part.latents, scale), None if part.base is None else cut(part.base, SCALE))

    @torch.no_grad()
    def decode(self, z: Tensor) -> Image.Image:
        """z (1, c, h', w') -> the picture, x4 the unpadded size."""
        width, height = self.size[0] * SCALE, self.size[1] * SCALE
        return to_pil(self.codec.decode(z, Condition(self.condition, self.base))).crop((0, 0, width, height))


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
