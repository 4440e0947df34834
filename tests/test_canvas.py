"""What a run leaves behind for the next one, and when it must not be used."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from PIL import Image

from mmsr_core import memory
from mmsr_core.bands import Rows
from mmsr_core.canvas import Canvas
from mmsr_core.codec import PATCH, VaeCodec
from mmsr_core.images import to_tensor
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.settings import Settings

SETTINGS = Settings(seed=0, steps=1)


def test_a_run_on_the_same_picture_gets_the_same_canvas(pipeline: MMSRPipeline, photo: Image.Image) -> None:
    lr = to_tensor(photo)
    first = pipeline.canvas(lr, SETTINGS)
    assert pipeline.canvas(lr.clone(), SETTINGS.with_(weight=5.0, seed=3)) is first


def test_another_picture_or_tile_gets_its_own(pipeline: MMSRPipeline, photo: Image.Image) -> None:
    lr = to_tensor(photo)
    first = pipeline.canvas(lr, SETTINGS)
    other = pipeline.canvas(lr.flip(-1), SETTINGS)
    height = first.grid[0]
    assert not torch.equal(other.condition(0, height), first.condition(0, height))
    assert pipeline.canvas(lr.flip(-1), SETTINGS.with_(tile=128)) is not other


def test_changed_weights_make_a_new_one(pipeline: MMSRPipeline, photo: Image.Image) -> None:
    lr, bias = to_tensor(photo), pipeline.codec.base.out.bias
    first = pipeline.canvas(lr, SETTINGS)
    before = first.condition(0, first.grid[0])
    try:
        with torch.no_grad():
            bias.add_(0.1)
        change = pipeline.canvas(lr, SETTINGS).condition(0, first.grid[0]) - before
        assert torch.allclose(change[:, -PATCH:], torch.full_like(change[:, -PATCH:], 0.1), atol=1e-5)
    finally:
        with torch.no_grad():
            bias.sub_(0.1)


def test_a_large_one_is_not_kept(pipeline: MMSRPipeline, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "WHOLE", 16)
    lr = to_tensor(photo).flip(-2)
    assert pipeline.canvas(lr, SETTINGS) is not pipeline.canvas(lr, SETTINGS)


def test_a_large_picture_is_painted_from_the_top_down(
    pipeline: MMSRPipeline, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is decoded at once, with the enlarged photo where nothing is painted yet; what is used is given up."""
    photo = photo.resize((40, 200))
    whole = pipeline.canvas(to_tensor(photo), SETTINGS.with_(tile=128))
    z = torch.randn(1, pipeline.codec.latent_channels, *whole.grid)
    wanted = np.asarray(whole.decode(z)).astype(int)
    monkeypatch.setattr(memory, "WHOLE", 16)
    large, rows = Canvas(pipeline.codec, pipeline.padded(to_tensor(photo)), photo.size, 128, nullcontext), Rows()
    assert large.large and not whole.large
    for top in range(0, whole.grid[0], 40):
        rows.add(z[..., top : top + 40, :])
        made = np.asarray(large.paint(rows)).astype(int)
        painted = wanted.shape[0] if rows.bottom == whole.grid[0] else 4 * (rows.bottom - pipeline.codec.decode_margin)
        assert np.abs(made[:painted] - wanted[:painted]).max() <= 1
        if painted < wanted.shape[0]:
            assert np.abs(made[painted:] - np.asarray(photo.resize((160, 800), 3)).astype(int)[painted:]).max() <= 1
    assert rows.top > 100
    with pytest.raises(IndexError, match="got 0 to 8, wanted some of"):
        large.condition(0, 8)


def test_tokens_are_made_once_and_the_oldest_go(
    pipeline: MMSRPipeline, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = pipeline.tokenizers
    tokens.known.clear()
    given = {"text": "a cat", "depth": photo.convert("L")}
    fresh = tokens.tokenise(given)
    assert len(tokens.known) == 2
    again = pipeline.tokenizers.tokenise(given)
    assert all(torch.equal(fresh[name], again[name]) for name in given) and len(tokens.known) == 2
    monkeypatch.setattr("mmsr_core.tokens.REMEMBERED", 2)
    tokens.text("a dog")
    assert len(tokens.known) == 2 and "a dog" in tokens.known


@torch.no_grad()
def test_an_autoencoder_encodes_at_once_and_blends_its_own_tiles() -> None:
    """Windows of ours would leave seams: its norms and attention see all of a window, whatever its margin."""
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    codec = VaeCodec({"block_out_channels": [8] * 4, "norm_num_groups": 4, "sample_size": 768, **blocks}).eval()
    lr, seen = torch.rand(1, 3, 96, 80) * 2 - 1, []
    codec.vae.encoder.register_forward_pre_hook(lambda _, given: seen.append(max(given[0].shape)))
    made = Canvas(codec, lr, (80, 96), 128, nullcontext).condition(0, 48)
    assert max(seen) == 192, "memory follows the tile, not the picture"
    torch.testing.assert_close(made, codec.condition(lr))
