"""Tiny checkpoints in other projects' formats, with those projects' own key names and layers."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizerFast

GROUPS = 4
VAE_NAMES = ((".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."), (".to_out.0.", ".proj_attn."))
MARKS = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "!"}


def as_published(folder: Path) -> Path:
    """Brings a Stable Diffusion folder to the names and files that SD 2.1-base was published with in 2022."""
    text = folder / "text_encoder" / "model.safetensors"
    named = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in load_file(text).items()}
    named["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(named, text, {"format": "pt"})
    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"
    renamed = {}
    for name, value in load_file(vae).items():
        for ours, theirs in VAE_NAMES:
            name = name.replace(ours, theirs)
        renamed[name] = value
    save_file(renamed, vae, {"format": "pt"})
    words = folder / "tokenizer"
    model = json.loads((words / "tokenizer.json").read_text())["model"]
    (words / "tokenizer.json").unlink()
    (words / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (words / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (words / "special_tokens_map.json").write_text(json.dumps(MARKS))
    about = {"tokenizer_class": "CLIPTokenizer", "do_lower_case": True, "model_max_length": 77, **MARKS}
    (words / "tokenizer_config.json").write_text(json.dumps(about))
    return folder


def stable_diffusion(folder: Path, tokenizer: Path, prediction: str = "epsilon") -> Path:
    """A Stable Diffusion 2.1-base folder: the same classes and options, a few channels."""
    torch.manual_seed(0)
    UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=[1, 2],
        use_linear_projection=True,
        norm_num_groups=GROUPS,
    ).save_pretrained(folder / "unet")
    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8,) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=GROUPS,
        sample_size=64,
    ).save_pretrained(folder / "vae")
    words = CLIPTokenizerFast.from_pretrained(tokenizer)
    words.save_pretrained(folder / "tokenizer")
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    CLIPTextModel(
        CLIPTextConfig(vocab_size=len(words), max_position_embeddings=77, hidden_act="gelu", **shape)
    ).eval().save_pretrained(folder / "text_encoder")
    DDIMScheduler(prediction_type=prediction).save_pretrained(folder / "scheduler")
    return folder


class TamingVQGAN(nn.Module):
    """The VQGAN of taming-transformers (Esser et al. 2021), written down from its paper's layers and its key names."""

    def __init__(
        self, channels: tuple[int, ...] = (8, 8, 16), layers: int = 2, codes: int = 32, width: int = 12, z: int = 8
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = _Encoder(channels, layers, z), _Decoder(channels, layers, z)
        self.quantize = nn.Module()
        self.quantize.embedding = nn.Embedding(codes, width)
        self.quant_conv = nn.Conv2d(z, width, 1)
        self.post_quant_conv = nn.Conv2d(width, z, 1)

    def ids(self, x: Tensor) -> Tensor:
        z = self.quant_conv(self.encoder(x)).permute(0, 2, 3, 1)
        return torch.cdist(z.flatten(1, 2), self.quantize.embedding.weight[None]).argmin(-1)

    def decode(self, ids: Tensor, side: int) -> Tensor:
        z = self.quantize.embedding(ids).unflatten(1, (side, side)).permute(0, 3, 1, 2)
        return self.decoder(self.post_quant_conv(z))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, channels, eps=1e-6)


class _Res(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = _norm(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.nin_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class _Attn(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2) for layer in (self.q, self.k, self.v))  # (B, C, N)
        share = (q.transpose(1, 2) @ k / x.shape[1] ** 0.5).softmax(-1)
        return x + self.proj_out((v @ share.transpose(1, 2)).view_as(x))


class _Conv(nn.Module):
    """`downsample` and `upsample`: a convolution after padding right and bottom, or after doubling."""

    def __init__(self, channels: int, down: bool) -> None:
        super().__init__()
        self.down = down
        self.conv = nn.Conv2d(channels, channels, 3, stride=2 if down else 1, padding=0 if down else 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.down else F.interpolate(x, scale_factor=2.0))


def _level(inputs: int, outputs: int, layers: int, attends: bool) -> nn.Module:
    level = nn.Module()
    level.block = nn.ModuleList([_Res(inputs if j == 0 else outputs, outputs) for j in range(layers)])
    level.attn = nn.ModuleList([_Attn(outputs) for _ in range(layers if attends else 0)])
    return level


def _mid(channels: int) -> nn.Module:
    mid = nn.Module()
    mid.block_1, mid.attn_1, mid.block_2 = _Res(channels, channels), _Attn(channels), _Res(channels, channels)
    return mid


def _through(level: nn.Module, x: Tensor) -> Tensor:
    for j, block in enumerate(level.block):
        x = block(x)
        x = level.attn[j](x) if len(level.attn) else x
    return x


class _Encoder(nn.Module):
    def __init__(self, channels: tuple[int, ...], layers: int, z: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1)
        inputs = (channels[0], *channels[:-1])
        last = len(channels) - 1
        self.down = nn.ModuleList([_level(a, b, layers, i == last) for i, (a, b) in enumerate(zip(inputs, channels))])
        for level, outputs in list(zip(self.down, channels))[:-1]:
            level.downsample = _Conv(outputs, down=True)
        self.mid, self.norm_out = _mid(channels[-1]), _norm(channels[-1])
        self.conv_out = nn.Conv2d(channels[-1], z, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = _through(level, x)
            x = level.downsample(x) if hasattr(level, "downsample") else x
        x = self.mid.block_2(self.mid.attn_1(self.mid.block_1(x)))
        return self.conv_out(F.silu(self.norm_out(x)))


class _Decoder(nn.Module):
    def __init__(self, channels: tuple[int, ...], layers: int, z: int) -> None:
        super().__init__()
        last = len(channels) - 1
        self.conv_in, self.mid = nn.Conv2d(z, channels[-1], 3, padding=1), _mid(channels[-1])
        inputs = (*channels[1:], channels[-1])
        levels = [_level(a, b, layers + 1, i == last) for i, (a, b) in enumerate(zip(inputs, channels))]
        for level, outputs in list(zip(levels, channels))[1:]:
            level.upsample = _Conv(outputs, down=False)
        self.up = nn.ModuleList(levels)
        self.norm_out, self.conv_out = _norm(channels[0]), nn.Conv2d(channels[0], 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid.block_2(self.mid.attn_1(self.mid.block_1(self.conv_in(z))))
        for level in reversed(self.up):
            x = _through(level, x)
            x = level.upsample(x) if hasattr(level, "upsample") else x
        return self.conv_out(F.silu(self.norm_out(x)))


class MaskGitVQGAN(nn.Module):
    """MaskGIT's VQGAN (Chang et al. 2022) with openMUSE's key names: no attention, means for downsampling, shortcuts
    of a block's own output, pictures in [0, 1]."""

    def __init__(
        self, channels: tuple[int, ...] = (8, 8, 16, 16, 32), layers: int = 2, codes: int = 32, width: int = 12
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = _MeanEncoder(channels, layers, width), _PlainDecoder(channels, layers, width)
        self.quantize = nn.Module()
        self.quantize.embedding = nn.Embedding(codes, width)

    def ids(self, x: Tensor) -> Tensor:
        z = self.encoder(x).permute(0, 2, 3, 1)
        return torch.cdist(z.flatten(1, 2), self.quantize.embedding.weight[None]).argmin(-1)

    def decode(self, ids: Tensor, side: int) -> Tensor:
        return self.decoder(self.quantize.embedding(ids).unflatten(1, (side, side)).permute(0, 3, 1, 2))


class _Bare(nn.Module):
    """A block without biases; where the channels change, its output is added to a mixture of itself."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm2, self.conv2 = _norm(outputs), nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        if inputs != outputs:
            self.nin_shortcut = nn.Conv2d(outputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return h + (self.nin_shortcut(h) if hasattr(self, "nin_shortcut") else x)


def _bare_level(inputs: int, outputs: int, layers: int) -> nn.Module:
    level = nn.Module()
    level.block = nn.ModuleList([_Bare(inputs if j == 0 else outputs, outputs) for j in range(layers)])
    return level


class _MeanEncoder(nn.Module):
    def __init__(self, channels: tuple[int, ...], layers: int, width: int) -> None:
        super().__init__()
        inputs, last = (channels[0], *channels[:-1]), channels[-1]
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1, bias=False)
        self.down = nn.ModuleList([_bare_level(a, b, layers) for a, b in zip(inputs, channels)])
        self.mid = nn.ModuleList([_Bare(last, last) for _ in range(layers)])
        self.norm_out, self.conv_out = _norm(last), nn.Conv2d(last, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for number, level in enumerate(self.down):
            x = nn.Sequential(*level.block)(F.avg_pool2d(x, 2) if number else x)
        return self.conv_out(F.silu(self.norm_out(nn.Sequential(*self.mid)(x))))


class _PlainDecoder(nn.Module):
    def __init__(self, channels: tuple[int, ...], layers: int, width: int) -> None:
        super().__init__()
        inputs, last = (*channels[1:], channels[-1]), channels[-1]
        self.conv_in = nn.Conv2d(width, last, 3, padding=1)
        self.mid = nn.ModuleList([_Bare(last, last) for _ in range(layers)])
        self.up = nn.ModuleList([_bare_level(a, b, layers) for a, b in zip(inputs, channels)])
        for level, outputs in list(zip(self.up, channels))[1:]:
            level.upsample_conv = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm_out, self.conv_out = _norm(channels[0]), nn.Conv2d(channels[0], 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.Sequential(*self.mid)(self.conv_in(x))
        for number, level in reversed(list(enumerate(self.up))):
            x = nn.Sequential(*level.block)(x)
            x = level.upsample_conv(F.interpolate(x, scale_factor=2.0)) if number else x
        return self.conv_out(F.silu(self.norm_out(x)))
