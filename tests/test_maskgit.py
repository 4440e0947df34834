"""MaskGIT's VQGAN as a `VQModel`: what it does, on a few channels in its own layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmsr_core.build import load_vq
from mmsr_core.maskgit import vq_from_maskgit
from tests.foreign import GROUPS, MaskGitVQGAN, TamingVQGAN

PUBLISHED = ((128, 128, 256, 256, 512), 2, 1024, 256)  # maskgit-vqgan-imagenet-f16-256: channels, layers, codes, width
SIDE = 256  # px: 16 x 16 tokens


@torch.no_grad()
def toy(seed: int) -> MaskGitVQGAN:
    """Random weights, and codes that are latents of some noise."""
    torch.manual_seed(seed)
    model = MaskGitVQGAN().eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, 0.3, 0.3)
    latents = model.encoder(torch.rand(2, 3, SIDE, SIDE)).permute(0, 2, 3, 1).flatten(0, 2)
    model.quantize.embedding.weight.copy_(latents[torch.randperm(len(latents))[:32]])
    return model


@pytest.fixture(scope="module")
def theirs() -> MaskGitVQGAN:
    return toy(0)


@torch.no_grad()
def test_does_in_our_class_what_it_did_in_its_own(theirs: MaskGitVQGAN) -> None:
    ours = vq_from_maskgit(theirs.state_dict(), GROUPS).eval()
    assert ours.config.sample_size == SIDE
    x = torch.rand(2, 3, SIDE, SIDE)
    wanted, found = theirs.encoder(x), ours.encode(2 * x - 1).latents
    assert found.shape == wanted.shape == (2, 12, 16, 16)
    inner = (..., slice(4, 12), slice(4, 12))  # away from the ring of pixels where the shift is not exact
    spread = wanted.std()
    assert (found[inner] - wanted[inner]).abs().mean() < 0.01 * spread
    ids = ours.quantize(found)[2][2].reshape(2, -1)
    assert (ids == theirs.ids(x)).float().mean() > 0.95
    codes = ours.quantize.get_codebook_entry(ids.flatten(), (2, 16, 16, 12))
    seen = (ours.decode(codes, force_not_quantize=True).sample + 1) / 2
    torch.testing.assert_close(seen, theirs.decode(ids, 16), atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_the_range_is_shifted_exactly_but_in_the_ring_at_the_border(theirs: MaskGitVQGAN) -> None:
    ours = vq_from_maskgit(theirs.state_dict(), GROUPS).eval()
    x = torch.rand(1, 3, 20, 20)
    wanted, found = theirs.encoder.conv_in(x), ours.encoder.conv_in(2 * x - 1)
    inside = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(found[inside], wanted[inside], atol=1e-5, rtol=1e-4)
    assert (found - wanted).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("seed", range(3))
def test_the_ring_costs_few_ids_and_no_more_at_the_border(seed: int) -> None:
    theirs, x = toy(seed), torch.rand(4, 3, SIDE, SIDE)
    found = vq_from_maskgit(theirs.state_dict(), GROUPS).eval()
    ids = found.quantize(found.encode(2 * x - 1).latents)[2][2].view(4, 16, 16)
    same = (ids == theirs.ids(x).view(4, 16, 16)).float()
    inner = same[:, 2:-2, 2:-2]
    border = (same.sum() - inner.sum()) / (same.numel() - inner.numel())
    assert same.mean() > 0.85 and border > inner.mean() - 0.05


def test_the_published_model_has_the_papers_shape_and_every_weight_of_it_is_used() -> None:
    """Once each: one that were left over would be refused, one that were missing, too."""
    with torch.device("meta"):
        ours = vq_from_maskgit(MaskGitVQGAN(*PUBLISHED).state_dict())
    config = ours.config
    assert config.block_out_channels == PUBLISHED[0] and config.layers_per_block == 2
    assert (config.sample_size, config.num_vq_embeddings, config.vq_embed_dim) == (SIDE, 1024, 256)


def test_a_folder_as_published_is_read(tmp_path: Path) -> None:
    theirs = MaskGitVQGAN((32, 64), codes=8, width=6)
    (tmp_path / "config.json").write_text('{"_class_name": "MaskGitVQGAN"}')
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    found = load_vq(tmp_path)
    assert torch.equal(found.quantize.embedding.weight, theirs.quantize.embedding.weight)


def test_the_command_tells_the_formats_apart(theirs: MaskGitVQGAN, tmp_path: Path, monkeypatch) -> None:
    made = []
    monkeypatch.setattr("mmsr_core.build.vq_from_maskgit", lambda state: made.append("maskgit"))
    monkeypatch.setattr("mmsr_core.build.vq_from_taming", lambda state: made.append("taming"))
    for number, model in enumerate((theirs, TamingVQGAN())):
        torch.save(model.state_dict(), tmp_path / f"{number}.bin")
        load_vq(tmp_path / f"{number}.bin")
    assert made == ["maskgit", "taming"]


def test_another_checkpoint_is_refused() -> None:
    with pytest.raises(ValueError, match="vqgan: got a checkpoint without .* wanted a MaskGIT-VQGAN"):
        vq_from_maskgit({"encoder.mid.0.conv1.weight": torch.zeros(1)})


@torch.no_grad()
def test_all_but_the_range_is_exact(theirs: MaskGitVQGAN) -> None:
    """With their own first convolution in its place, and pictures in [0, 1], latents and ids are theirs."""
    ours = vq_from_maskgit(theirs.state_dict(), GROUPS).eval()
    first = theirs.encoder.conv_in.weight
    ours.encoder.conv_in.load_state_dict({"weight": first, "bias": torch.zeros(len(first))})
    x = torch.rand(2, 3, SIDE, SIDE)
    found = ours.encode(x).latents
    torch.testing.assert_close(found, theirs.encoder(x), atol=1e-5, rtol=1e-5)
    assert (ours.quantize(found)[2][2].reshape(2, -1) == theirs.ids(x)).float().mean() > 0.99  # 512 ids, a tie or two


@pytest.mark.parametrize("extra", ["encoder.down.0.downsample.conv.weight", "decoder.up.1.attn.0.q.weight"])
def test_layers_that_would_be_left_out_are_refused(theirs: MaskGitVQGAN, extra: str) -> None:
    """A close relative, with convolutions for downsampling say, would else be loaded and do something else."""
    state = {**theirs.state_dict(), extra: torch.zeros(1), "loss.discriminator.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=f"vqgan: got {extra}, .* wanted a MaskGIT-VQGAN"):
        vq_from_maskgit(state, GROUPS)


def test_half_precision_is_read_as_numbers_of_full_precision(theirs: MaskGitVQGAN) -> None:
    half = {name: value.half() for name, value in theirs.state_dict().items()}
    full = {name: value.float() for name, value in half.items()}
    one, other = (vq_from_maskgit(state, GROUPS).state_dict() for state in (half, full))
    assert all(torch.equal(one[name], other[name]) for name in one)
