"""Pixels <-> latents. `PatchCodec` for `mini`, `VaeCodec` for `sd2`; the pipeline sees only what they share."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from mmsr_core.base import BaseUpscaler, enlarged
from mmsr_core.settings import SCALE

PATCH = 3 * SCALE**2  # channels of one 4 x 4 RGB patch
BANDS = (2.0, 6.0)  # sigmas in output pixels: detail finer than the first, and what lies between the two
FLAT, AROUND, PASSES = 3.0, 2.5, 2  # of `gridless`: sigma in px of what is smooth, sigma in cells, rounds
FAINT = 16 / 127.5  # of `gridless`: cells in which more than some 16 grey levels stand out have edges or texture
GAIN = 4.0  # latent units a unit of gain: about unit variance over what steers a picture


class PatchCodec(ModelMixin, ConfigMixin):
    """Residual over a base upscaler, as partially whitened 4 x 4 patches on the LR grid, and two maps of gains.

    The patches are exactly invertible: W·unshuffle(hr − up(lr)), W = s·E·diag(σ^−p)·Eᵀ with the eigenvectors E and
    standard deviations σ of training residuals (closed form, stage `codec`); p = 0 is no whitening, p = 1 full
    (PCA/ZCA) whitening.

    The gains say how much of the base's own detail is added or taken away at a place, fine and coarse (`BANDS`): 0
    leaves it, -1 removes it. A photo has none; they are what maps, temperatures and words act through
    (`training/dials.py`). A small model soon learns to place a gain, and hardly to repaint the pixels themselves; the
    connector reads them from its own latents.

    Args:
        channels, blocks, head: of the base upscaler.
        exponent: p, kept for the record.
    """

    factor = SCALE  # output pixels a latent cell
    painted_channels, gain_channels = PATCH, len(BANDS)  # of the latents: what the U-Net predicts, and the connector
    latent_channels = painted_channels + gain_channels
    tile_bytes = 1300  # peak bytes a pixel of one tile in `mini`, U-Net included: twice what was measured in bf16
    bears_half = True  # its condition in bf16 is off by at most about 0.4 grey levels

    @register_to_config
    def __init__(self, channels: int = 64, blocks: int = 10, head: int = 16, exponent: float = 0.5) -> None:
        super().__init__()
        self.base = BaseUpscaler(channels, blocks, head)
        self.register_buffer("whiten", torch.eye(PATCH))
        self.register_buffer("unwhiten", torch.eye(PATCH))
        self.register_buffer("feature_mean", torch.zeros(channels))
        self.register_buffer("feature_std", torch.ones(channels))

    @property
    def condition_channels(self) -> int:
        return self.config.channels + PATCH

    @property
    def margin(self) -> int:
        """LR pixels around a window that its condition depends on."""
        return self.base.reach

    @property
    def decode_margin(self) -> int:
        """Cells around a window that its picture depends on."""
        gained = math.ceil(_reach(max(BANDS)) / SCALE) + 1
        return gained + PASSES * (math.ceil(_reach(FLAT) / SCALE) + _reach(AROUND))

    def condition(self, lr: Tensor) -> Tensor:
        """lr (B, 3, h, w) in [-1, 1] -> condition (B, channels + 48, h, w): features and the base's patches."""
        base, features = self.base(lr)
        features = (features - self.feature_mean[:, None, None]) / self.feature_std[:, None, None]
        return torch.cat([features, F.pixel_unshuffle(base, SCALE)], 1)

    def picture(self, condition: Tensor) -> Tensor:
        """The base's picture, to which the latents are relative: condition (B, C, h, w) -> (B, 3, 4h, 4w)."""
        return F.pixel_shuffle(condition[:, -PATCH:], SCALE)

    def encode(self, hr: Tensor, condition: Tensor, gains: Tensor | None = None) -> Tensor:
        """hr (B, 3, 4h, 4w) in [-1, 1], gains (B, 2, h, w) or None for none -> z (B, 50, h, w)."""
        patches = _mixed(self.whiten, F.pixel_unshuffle(hr, SCALE) - condition[:, -PATCH:])
        return self.gaining(patches, patches.new_zeros(len(patches), len(BANDS), 1, 1) if gains is None else gains)

    @staticmethod
    def gaining(painted: Tensor, gains: Tensor) -> Tensor:
        """Painted latents (B, 48, h, w) and gains (B, 2, any grid) over the same picture -> z (B, 50, h, w)."""
        return torch.cat([painted, GAIN * F.interpolate(gains, painted.shape[-2:], mode="bilinear")], 1)

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """z (B, 50, h, w) -> picture (B, 3, 4h, 4w), about [-1, 1]."""
        return gridless(self.plain(z, condition) + self.gained(z, condition))

    def plain(self, z: Tensor, condition: Tensor) -> Tensor:
        """The picture without its gains."""
        return F.pixel_shuffle(condition[:, -PATCH:] + _mixed(self.unwhiten, z[:, :PATCH]), SCALE)

    def gained(self, z: Tensor, condition: Tensor) -> Tensor:
        """What the gains add to the picture, (B, 3, 4h, 4w)."""
        gains = (z[:, PATCH:] / GAIN).clamp(min=-1)
        gains = F.interpolate(gains, scale_factor=SCALE, mode="bilinear")
        base = self.picture(condition)
        sharper, added = base, torch.zeros_like(base)
        for gain, sigma in zip(gains.split(1, 1), BANDS):
            softer = softened(base, sigma)
            added = added + gain * (sharper - softer)
            sharper = softer
        return added

    @torch.no_grad()
    def fit(self, residuals: Tensor, features: Tensor) -> Tensor:
        """Sets the whitening from residual patches (N, 48) and the normalisation from features (N, channels).

        Returns the 48 standard deviations σ, largest first.
        """
        variance, vectors = torch.linalg.eigh(residuals.double().T @ residuals.double() / len(residuals))
        sigma = variance.clamp(min=1e-10).sqrt()
        gain = sigma**-self.config.exponent
        gain /= (gain * sigma).square().mean().sqrt()  # unit mean variance of z
        self.whiten.copy_(vectors @ torch.diag(gain) @ vectors.T)
        self.unwhiten.copy_(vectors @ torch.diag(1 / gain) @ vectors.T)
        self.feature_mean.copy_(features.mean(0))
        self.feature_std.copy_(features.std(0).clamp(min=1e-4))
        return sigma.flip(0)


def gridless(picture: Tensor) -> Tensor:
    """Takes out the faint pattern that repeats from cell to cell. (B, 3, 4h, 4w) in [-1, 1] -> same.

    A network that paints 4 x 4 patches leaves some of it (.3 to 1 grey levels, seen on flat walls). An LR picture says
    nothing about what repeats with its own pixels, so that is no detail: the mean over the cells around of what stands
    out from the smooth picture. Cells with edges and texture, in which much stands out, hardly count.
    """
    for _ in range(PASSES):
        cells = F.pixel_unshuffle(picture - softened(picture, FLAT), SCALE)  # (B, 3 * 16, h, w)
        weight = 1 / (1 + cells.square().mean(1, keepdim=True) / FAINT**2)
        phases = softened(weight * cells, AROUND).unflatten(1, (3, SCALE**2))
        picture = picture - F.pixel_shuffle((phases - phases.mean(2, keepdim=True)).flatten(1, 2), SCALE)
    return picture


def softened(picture: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, sigma in pixels, with mirrored borders. (B, C, H, W) -> same."""
    reach = _reach(sigma)
    taps = torch.arange(-reach, reach + 1, device=picture.device, dtype=picture.dtype)
    kernel = torch.exp(-0.5 * (taps / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(picture.shape[1], 1, 1, -1)
    mode = "reflect" if min(picture.shape[-2:]) > reach else "replicate"
    padded = F.pad(picture, (reach,) * 4, mode=mode)
    across = F.conv2d(padded, kernel, groups=picture.shape[1])
    return F.conv2d(across, kernel.transpose(-1, -2), groups=picture.shape[1])


def _reach(sigma: float) -> int:
    """Where a Gaussian is cut off, in its own pixels."""
    return math.ceil(2.5 * sigma)


def _mixed(matrix: Tensor, patches: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix.to(patches.dtype), patches)


class VaeCodec(ModelMixin, ConfigMixin):
    """Stable Diffusion's autoencoder (f8, 4 channels); the condition is the encoded bicubic enlargement.

    Pictures larger than the autoencoder was trained on are encoded and decoded in overlapping tiles, so that memory
    does not follow their size.
    """

    gain_channels = 0
    margin = 0  # it is encoded as a whole
    decode_margin = None  # everywhere: the autoencoder's attention and norms see the whole latents
    tile_bytes = 4800  # the same in `sd2`; measured in full size on a CPU, U-Net in bf16, one tile at once
    bears_half = False

    @register_to_config
    def __init__(self, autoencoder: dict) -> None:
        super().__init__()
        self.vae = AutoencoderKL.from_config(autoencoder)
        self.vae.enable_tiling()

    @property
    def factor(self) -> int:
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def latent_channels(self) -> int:
        return self.vae.config.latent_channels

    @property
    def painted_channels(self) -> int:
        return self.latent_channels

    @property
    def condition_channels(self) -> int:
        return self.latent_channels

    def work_in(self, side: int) -> None:
        """Encodes and decodes in tiles that fit where the U-Net's of `side` px do, not larger than trained on."""
        largest = min(self.vae.config.sample_size, side * 3 // 2)
        self.vae.tile_sample_min_size = largest
        self.vae.tile_latent_min_size = largest // self.factor

    def condition(self, lr: Tensor) -> Tensor:
        """lr (B, 3, h, w) in [-1, 1] -> condition (B, 4, h/2, w/2)."""
        return self._encoded(enlarged(lr).clamp(-1, 1))

    def encode(self, hr: Tensor, condition: Tensor) -> Tensor:
        """hr (B, 3, H, W) in [-1, 1] -> z (B, 4, H/8, W/8), the mean of the posterior."""
        return self._encoded(hr)

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """z (B, 4, h, w) -> picture (B, 3, 8h, 8w)."""
        return self.vae.decode(z / self.vae.config.scaling_factor).sample

    def _encoded(self, picture: Tensor) -> Tensor:
        return self.vae.encode(picture).latent_dist.mean * self.vae.config.scaling_factor
