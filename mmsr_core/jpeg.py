"""JPEG's numbers: colour space (ITU-T T.871), example quantisation tables (ITU-T T.81, annex K) and transform."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SIDE = 8  # px of a block
YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))  # of R, G, B
LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
) + ((99,) * 8,) * 4  # fmt: skip


def dct() -> Tensor:
    """The orthonormal DCT-II of 8 values, (8 frequencies, 8 places)."""
    k = torch.arange(SIDE, dtype=torch.float32)
    matrix = torch.cos(math.pi * (k + 0.5) * k[:, None] / SIDE) * math.sqrt(2 / SIDE)
    matrix[0] /= math.sqrt(2)
    return matrix


def scaled(table: Tensor, quality: Tensor) -> Tensor:
    """A table (8, 8) at libjpeg's qualities (B,) in 1..100 -> quantisation steps (B, 8, 8), not rounded, 1 to 255."""
    factor = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    return (table * factor[:, None, None]).clamp(1, 255)
