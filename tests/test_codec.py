"""Laws of the codecs: exact inverse, closed-form whitening, tiles equal to the whole."""

from contextlib import nullcontext

import numpy as np
import torch
from diffusers import AutoencoderKL

from mmsr_core.base import enlarged
from mmsr_core.canvas import Canvas
from mmsr_core.codec import BANDS, PatchCodec, VaeCodec, gridless, softened
from mmsr_core.images import to_pil


def codec() -> PatchCodec:
    torch.manual_seed(0)
    made = PatchCodec(channels=8, blocks=2, head=4, exponent=0.5)
    for parameter in made.base.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made.eval()


@torch.no_grad()
def test_patches_are_invertible():
    patch = codec()
    patch.fit(torch.randn(500, 48) * torch.linspace(0.3, 0.01, 48), torch.randn(500, 8))
    lr, hr = torch.rand(2, 3, 8, 12) * 2 - 1, torch.rand(2, 3, 32, 48) * 2 - 1
    condition = patch.condition(lr)
    assert condition.shape == (2, patch.condition_channels, 8, 12)
    torch.testing.assert_close(patch.plain(patch.encode(hr, condition), condition), hr, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_zero_latents_are_the_base_picture():
    patch, lr = codec(), torch.rand(1, 3, 8, 8) * 2 - 1
    condition = patch.condition(lr)
    zero = torch.zeros(1, patch.latent_channels, 8, 8)
    torch.testing.assert_close(patch.plain(zero, condition), patch.picture(condition))
    torch.testing.assert_close(patch.decode(zero, condition), gridless(patch.picture(condition)))


@torch.no_grad()
def test_gains_take_and_add_the_bases_own_detail():
    patch, lr = codec(), torch.rand(1, 3, 16, 16) * 2 - 1
    condition = patch.condition(lr)
    hr = torch.rand(1, 3, 64, 64) * 2 - 1
    gains = torch.zeros(1, 2, 16, 16)
    gains[..., :8] = -1  # all detail of the left half
    z = patch.encode(hr, condition, gains)
    torch.testing.assert_close(patch.plain(z, condition), hr, rtol=1e-4, atol=1e-4)
    added = patch.gained(z, condition)
    base = patch.picture(condition)
    without = softened(base, BANDS[-1]) - base
    torch.testing.assert_close(added[..., :24], without[..., :24])
    assert not added[..., 40:].any()
    gains[:, 0], gains[:, 1] = 0.5, 0
    fine = base - softened(base, BANDS[0])
    torch.testing.assert_close(patch.gained(patch.encode(hr, condition, gains), condition), 0.5 * fine)
    below = patch.gained(patch.encode(hr, condition, gains - 9), condition)
    torch.testing.assert_close(below[:, :, 8:-8, 8:-8], without[:, :, 8:-8, 8:-8])


def test_a_faint_grid_goes_and_edges_stay():
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    smooth = (0.3 * torch.sin(x / 40) + 0.2 * y / 128).expand(1, 3, -1, -1)
    grid = (0.8 / 127.5 * torch.randn(4, 4, generator=torch.Generator().manual_seed(0))).repeat(32, 32)
    grid = grid - grid.mean()
    inside = (..., slice(24, -24), slice(24, -24))
    left = gridless(smooth + grid) - smooth
    assert left[inside].square().mean() < 0.05 * grid.square().mean()
    edges = smooth + 0.2 * torch.tanh((x - 62) / 1.5) - 0.2 * torch.tanh((x + y - 150) / 1.5)  # as sharp as any decoded
    assert (gridless(edges) - edges).abs().max() * 127.5 < 1.2, "grey levels"


def test_blur_keeps_a_constant_and_small_pictures():
    flat = torch.full((1, 3, 5, 4), 0.3)
    torch.testing.assert_close(softened(flat, 4.0), flat)


def test_whitening_has_unit_variance_and_keeps_order():
    torch.manual_seed(1)
    patch, sigmas = codec(), torch.linspace(0.25, 0.015, 48)
    residuals = torch.randn(20000, 48) * sigmas
    found = patch.fit(residuals, torch.randn(100, 8))
    torch.testing.assert_close(found.float(), sigmas, rtol=0.05, atol=1e-3)
    z = residuals @ patch.whiten.T
    assert abs(z.square().mean() - 1) < 0.02
    spread = z.std(0)
    assert spread[0] > spread[-1] and spread[0] / spread[-1] < 0.6 * sigmas[0] / sigmas[-1]  # partly whitened


@torch.no_grad()
def test_condition_of_windows_equals_the_whole():
    patch, lr = codec(), torch.rand(1, 3, 40, 56) * 2 - 1
    whole, pieces = patch.condition(lr), Canvas(patch, lr, (56, 40), 64, nullcontext)
    torch.testing.assert_close(pieces.condition(0, 40), whole, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_windows_are_decoded_as_the_whole():
    patch, lr = codec(), torch.rand(1, 3, 40, 120) * 2 - 1
    pieces, z = Canvas(patch, lr, (119, 39), 64, nullcontext), torch.randn(1, patch.latent_channels, 40, 120)
    whole = np.asarray(to_pil(patch.decode(z, pieces.condition(0, 40))))[: 4 * 39, : 4 * 119]
    made = np.asarray(pieces.decode(z))
    assert made.shape == whole.shape and np.abs(made.astype(int) - whole).max() <= 1


@torch.no_grad()
def test_vae_codec_shapes():
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    made = VaeCodec(dict(vae.config)).eval()
    lr = torch.rand(1, 3, 16, 16) * 2 - 1
    condition = made.condition(lr)
    assert made.factor == 8 and condition.shape == (1, 4, 8, 8)
    z = made.encode(enlarged(lr).clamp(-1, 1), condition)
    torch.testing.assert_close(z, condition)
    assert made.decode(z, condition).shape == (1, 3, 64, 64)


def test_an_autoencoder_works_in_tiles_as_small_as_the_unets():
    """So that a run that starts again with smaller tiles, for want of memory, needs less in its autoencoder, too."""
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    codec = VaeCodec({"block_out_channels": [8] * 4, "norm_num_groups": 4, "sample_size": 768, **blocks})
    for side, largest in ((512, 768), (256, 384), (2048, 768)):
        codec.work_in(side)
        assert codec.vae.tile_sample_min_size == largest == 8 * codec.vae.tile_latent_min_size
    seen = []
    codec.vae.decoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-1]))
    codec.work_in(128)
    with torch.no_grad():
        assert codec.decode(torch.randn(1, 4, 40, 40), None).shape == (1, 3, 320, 320)
    assert max(seen) == 24
