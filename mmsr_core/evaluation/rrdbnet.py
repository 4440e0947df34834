"""A network of Real-ESRGAN-x4plus size with random weights: the yardstick of the benchmark, and nothing else.

After Wang et al. 2018 (ESRGAN, https://arxiv.org/abs/1809.00219) and 2021 (Real-ESRGAN): 23 residual-in-residual dense
blocks, 64 features, growth 32; 16.7 M parameters, x4. Its time does not depend on its weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class DenseBlock(nn.Module):
    """Five convolutions, each seeing all before it. (B, features, H, W) -> same shape."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_conv(features + i * growth, growth) for i in range(4))
        self.last = _conv(features + 4 * growth, features)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for layer in self.layers:
            seen = torch.cat([seen, F.leaky_relu(layer(seen), 0.2)], 1)
        return x + 0.2 * self.last(seen)


class Group(nn.Module):
    """Three dense blocks and a residual."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(features, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.2 * self.blocks(x)


class RRDBNet(nn.Module):
    """(B, 3, h, w) -> (B, 3, 4h, 4w)."""

    def __init__(self, features: int = 64, groups: int = 23, growth: int = 32) -> None:
        super().__init__()
        self.first = _conv(3, features)
        self.body = nn.Sequential(*(Group(features, growth) for _ in range(groups)), _conv(features, features))
        self.up = nn.ModuleList(_conv(features, features) for _ in range(2))
        self.fine = _conv(features, features)
        self.last = _conv(features, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = x + self.body(x)
        for layer in self.up:
            x = F.leaky_relu(layer(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        return self.last(F.leaky_relu(self.fine(x), 0.2))
