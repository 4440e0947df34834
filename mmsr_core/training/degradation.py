"""Low-resolution pictures for training: Real-ESRGAN's second-order degradation, batched on the tensor's device.

Source: Wang et al., "Real-ESRGAN", 2021, section 3 (https://arxiv.org/abs/2107.10833): blur, resize, noise and JPEG,
twice. Every random number comes from the caller's generator, so a batch can be made again from its seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Generator, Tensor

from mmsr_core.jpeg import CHROMA, LUMA, YCBCR, dct, scaled

KERNEL = 15  # taps of a blur kernel, each side
ABSENT = 0.3  # share of the pictures that do not have a flaw


def uniform(shape: tuple[int, ...], low: float, high: float, like: Tensor, generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=like.device) * (high - low) + low


def gaussian_kernels(sigma_x: Tensor, sigma_y: Tensor, angle: Tensor, taps: int = KERNEL) -> Tensor:
    """(B,) widths in pixels and angles in radians -> (B, taps, taps) kernels that sum to one."""
    axis = torch.arange(taps, device=sigma_x.device) - taps // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    u, v = cos * x + sin * y, -sin * x + cos * y
    kernel = torch.exp(-0.5 * ((u / sigma_x[:, None, None]) ** 2 + (v / sigma_y[:, None, None]) ** 2))
    return kernel / kernel.sum((1, 2), keepdim=True)


def exact(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Without autocast: half precision would add flaws of its own, and knows no antialiased resize on a CPU."""

    @wraps(function)
    def run(x: Tensor, *rest: Any, **named: Any) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return function(x, *rest, **named)

    return run


@exact
def blur(x: Tensor, kernels: Tensor) -> Tensor:
    """(B, C, H, W), one kernel a picture: (B, K, K) -> (B, C, H, W)."""
    batch, channels = x.shape[:2]
    taps = kernels.shape[-1]
    padded = F.pad(x, (taps // 2,) * 4, mode="reflect" if min(x.shape[-2:]) > taps // 2 else "replicate")
    weight = kernels[:, None].repeat_interleave(channels, 0)
    out = F.conv2d(rearrange(padded, "b c h w -> 1 (b c) h w"), weight, groups=batch * channels)
    return rearrange(out, "1 (b c) h w -> b c h w", b=batch)


@exact
def jpeg(x: Tensor, quality: Tensor, subsample: bool = True) -> Tensor:
    """JPEG's loss without its bit stream. x (B, 3, H, W) in 0..1, quality (B,) in 1..100 -> same shape, in 0..1."""
    height, width = x.shape[-2:]
    x = F.pad(x, (0, -width % 16, 0, -height % 16), mode="replicate")
    matrix = x.new_tensor(YCBCR)
    ycc = torch.einsum("ij,bjhw->bihw", matrix, x * 255 - 128)
    ycc[:, 1:] += torch.einsum("ij,j->i", matrix[1:], x.new_full((3,), 128.0))[:, None, None]
    luma, chroma = ycc[:, :1], ycc[:, 1:]
    luma = _quantised(luma, x.new_tensor(LUMA), quality)
    if subsample:
        chroma = _quantised(F.avg_pool2d(chroma, 2), x.new_tensor(CHROMA), quality)
        chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear")
    else:
        chroma = _quantised(chroma, x.new_tensor(CHROMA), quality)
    rgb = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(matrix), torch.cat([luma, chroma], 1)) + 128
    return (rgb / 255).clamp(0, 1)[..., :height, :width]


def _quantised(plane: Tensor, table: Tensor, quality: Tensor) -> Tensor:
    matrix, steps = dct().to(plane), scaled(table, quality)[:, None, None, None]
    blocks = rearrange(plane, "b c (h p) (w q) -> b c h w p q", p=8, q=8)
    coefficients = torch.round(matrix @ blocks @ matrix.T / steps) * steps
    return rearrange(matrix.T @ coefficients @ matrix, "b c h w p q -> b c (h p) (w q)")


def noisy(x: Tensor, sigma: Tensor, generator: Generator, grey: bool = False, poisson: bool = False) -> Tensor:
    """Adds noise of (B,) standard deviations (0..1 scale); Poisson-like noise grows with the square root of light."""
    shape = (x.shape[0], 1 if grey else x.shape[1], *x.shape[2:])
    noise = torch.randn(shape, generator=generator, device=x.device) * sigma[:, None, None, None]
    return (x + (noise * x.clamp(min=0.02).sqrt() * 1.5 if poisson else noise)).clamp(0, 1)


def resize(x: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    if mode == "area":
        return F.interpolate(x, size, mode="area")
    return F.interpolate(x, size, mode=mode, antialias=True).clamp(0, 1)


@dataclass(frozen=True)
class Degradation:
    """HR batch -> LR batch, a quarter of the side.

    Attributes:
        strength: 1 is Real-ESRGAN's range; 0 leaves a plain antialiased resize.
        clean: share of pictures that get the plain resize whatever the strength.
        groups: pictures of a batch are degraded in this many groups, each with its own intermediate sizes.
    """

    strength: float = 1.0
    clean: float = 0.15
    groups: int = 4
    scale: int = 4

    def __call__(self, hr: Tensor, generator: Generator) -> Tensor:
        """hr (B, 3, H, W) in [-1, 1] -> (B, 3, H/scale, W/scale) in [-1, 1], 8-bit steps."""
        parts = [self._group(part, generator) for part in hr.chunk(min(self.groups, len(hr)))]
        return (torch.cat(parts) * 255).round() / 255 * 2 - 1

    def _group(self, hr: Tensor, generator: Generator) -> Tensor:
        x = hr * 0.5 + 0.5
        size = (hr.shape[-2] // self.scale, hr.shape[-1] // self.scale)
        dice = torch.rand(8, generator=generator, device=hr.device).tolist()
        blurs, noises, jpegs = (self._severities(hr, generator) for _ in range(3))
        plain = resize(x, size, "bicubic")
        x = self._blurred(x, 0.2, 2.6, blurs[0], generator)
        factor = 0.4 + dice[0] * 0.75
        x = resize(
            x, tuple(max(side, round(full * factor)) for side, full in zip(size, x.shape[-2:])), self._mode(dice[1])
        )
        x = noisy(x, noises[0] * uniform((len(x),), 0, 22 / 255, x, generator), generator, dice[2] < 0.4, dice[3] < 0.5)
        x = jpeg(x, 97 - jpegs[0] * uniform((len(x),), 0, 55, x, generator), dice[4] < 0.6)
        x = self._blurred(x, 0.1, 1.2, blurs[1], generator)
        x = resize(x, size, self._mode(dice[5]))
        x = noisy(x, noises[1] * uniform((len(x),), 0, 20 / 255, x, generator), generator, dice[6] < 0.4, dice[7] < 0.5)
        x = jpeg(x, 97 - jpegs[1] * uniform((len(x),), 0, 55, x, generator))
        keep = uniform((len(x), 1, 1, 1), 0, 1, x, generator) < self.clean
        return torch.where(keep, plain, x)

    def _severities(self, hr: Tensor, generator: Generator) -> Tensor:
        """(2, B): of one flaw, the first and the second time. Mild ones are common, and some pictures have none of it.

        Every flaw has its own: photos that are noisy, or blocky, but otherwise good are what people bring.
        """
        draws = uniform((2, 2, len(hr)), 0, 1, hr, generator)
        return self.strength * draws[0] ** 1.3 * (draws[1] > ABSENT)

    def _blurred(self, x: Tensor, low: float, high: float, severity: Tensor, generator: Generator) -> Tensor:
        draws = uniform((3, len(x)), 0, 1, x, generator)
        sigma = low + (high - low) * severity * draws[0]
        return blur(x, gaussian_kernels(sigma, sigma * (0.4 + 0.6 * draws[1]), draws[2] * math.pi))

    @staticmethod
    def _mode(dice: float) -> str:
        return ("area", "bilinear", "bicubic")[min(int(dice * 3), 2)]


FLAWS = ("blurry", "noisy", "jpeg artifacts")


def flawed(hr: Tensor, generator: Generator) -> tuple[Tensor, list[str]]:
    """A visibly bad version of each picture and the words that say what is wrong with it.

    These pairs teach the negative text its meaning (design: `pos - neg` is a learnt quality direction).
    hr (B, 3, H, W) in [-1, 1] -> same shape, and B strings such as "blurry, noisy, low quality".
    """
    x, count = hr * 0.5 + 0.5, len(hr)
    chosen = uniform((count, 3), 0, 1, x, generator) < 0.5
    chosen[torch.arange(count), torch.randint(3, (count,), generator=generator, device=x.device)] = True
    sigma = uniform((count,), 1.2, 3.0, x, generator)
    amount = uniform((count,), 0.03, 0.1, x, generator)
    quality = uniform((count,), 8, 35, x, generator)
    pick = lambda i, bad, good: torch.where(chosen[:, i, None, None, None], bad, good)  # noqa: E731
    x = pick(0, blur(x, gaussian_kernels(sigma, sigma, sigma)), x)
    x = pick(1, noisy(x, amount, generator), x)
    x = pick(2, jpeg(x, quality), x)
    words = [", ".join([word for word, on in zip(FLAWS, row) if on] + ["low quality"]) for row in chosen.tolist()]
    return x * 2 - 1, words
