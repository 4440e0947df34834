"""The base upscaler of the `mini` preset: one pass from the LR picture to a clean x4 picture and a feature map.

The diffusion model works on what this network leaves out (see `codec.py`). Plain residual blocks in the manner of EDSR
(Lim et al. 2017, https://arxiv.org/abs/1707.02921), each ending in a zero-initialised convolution.
"""

from __future__ import annotations

import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from mmsr_core.settings import SCALE


class ResidualBlock(nn.Module):
    """(B, C, H, W) -> same shape; the identity at initialisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(x)))


class BaseUpscaler(ModelMixin, ConfigMixin):
    """LR picture -> (x4 picture, features on the LR grid).

    Args:
        channels: width of the body, and of the feature map.
        blocks: residual blocks of the body.
        head: channels at full resolution; two convolutions after the pixel shuffle leave no grid of sub-pixels.
    """

    @register_to_config
    def __init__(self, channels: int = 64, blocks: int = 10, head: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*[ResidualBlock(channels) for _ in range(blocks)])
        self.expand = nn.Conv2d(channels, head * SCALE**2, 3, padding=1)
        self.smooth = nn.Conv2d(head, head, 3, padding=1)
        self.out = nn.Conv2d(head, 3, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    @property
    def reach(self) -> int:
        """How far one LR pixel is felt, in LR pixels: the margin that makes a tile equal to the whole picture."""
        return 2 * self.config.blocks + 4

    def forward(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """lr (B, 3, h, w) in [-1, 1] -> (B, 3, 4h, 4w) about [-1, 1], (B, channels, h, w)."""
        stem = self.stem(lr)
        features = self.body(stem)
        fine = F.silu(F.pixel_shuffle(self.expand(features), SCALE))
        fine = F.silu(fine + self.smooth(fine))
        return enlarged(lr) + self.out(fine), features


def enlarged(lr: Tensor) -> Tensor:
    """Bicubic x4. (B, 3, h, w) -> (B, 3, 4h, 4w)."""
    return F.interpolate(lr, scale_factor=SCALE, mode="bicubic")
