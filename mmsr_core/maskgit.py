"""MaskGIT's VQGAN f16-1024, as openMUSE published it (https://huggingface.co/openMUSE), as diffusers' `VQModel`.

Chang et al., "MaskGIT: Masked Generative Image Transformer" (CVPR 2022). Its layers are other ones, but each is a
special case of `VQModel`'s, so only weights are rewritten:

    average pooling              a convolution of stride 2 with 1/4 on four taps, channel by channel
    y + shortcut(y), y a block's a second convolution (1 + S) · W of that block, and no shortcut
    two blocks a decoder level   three, of which the last is zero and hands its input on
    pictures in [0, 1]           scale and shift in the first and the last convolution

The shift is not exact in the one ring of pixels at the border: beside a picture a convolution sees zeros, which inside
are black and outside are grey. The normalisations spread that: 8 toy models with random weights kept 89 to 99 % of
their ids, of noise and of smooth pictures, as many at the border as away from it. All else is exact; a test shows both.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers import VQModel
from torch import Tensor

from mmsr_core.keymaps import GRID

MARK = "encoder.mid.0.conv1.weight"  # a key that other VQGANs do not have
_KEPT = ("encoder.", "decoder.", "quantize.")  # the rest is the GAN's loss


def vq_from_maskgit(state: Mapping[str, Tensor], groups: int = 32) -> VQModel:
    """A `VQModel` with the weights of a MaskGIT-VQGAN; `groups` of its normalisations cannot be read from the shapes.

    Raises:
        ValueError: keys or shapes that are not a MaskGIT-VQGAN's, or more of them than it has.
    """
    try:
        model = VQModel(**maskgit_config(state), norm_num_groups=groups)
        rewritten = _Rewritten(state, model)
        model.load_state_dict(rewritten.weights())
    except KeyError as error:
        raise ValueError(f"vqgan: got a checkpoint without {error}, wanted a MaskGIT-VQGAN") from None
    except RuntimeError as error:
        raise ValueError(f"vqgan: got other layers than wanted, {' '.join(str(error).split())[:300]}") from None
    if rewritten.state:  # a close relative's layers, without which it does something else
        raise ValueError(f"vqgan: got {', '.join(rewritten.state)[:300]}, too, wanted a MaskGIT-VQGAN")
    return model


def maskgit_config(state: Mapping[str, Tensor]) -> dict[str, object]:
    """The config of a `VQModel`, read from the shapes of the weights; maps give 16 x 16 tokens."""
    levels = _count(state, "encoder.down.{}.block.0.conv1.weight")
    codes, width = state["quantize.embedding.weight"].shape
    return {
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "block_out_channels": tuple(len(state[f"encoder.down.{i}.block.0.conv1.weight"]) for i in range(levels)),
        "layers_per_block": _count(state, "encoder.down.0.block.{}.conv1.weight"),
        "latent_channels": width,
        "sample_size": GRID * 2 ** (levels - 1),
        "num_vq_embeddings": codes,
        "vq_embed_dim": width,
        "mid_block_add_attention": False,
    }


def _count(state: Mapping[str, Tensor], name: str) -> int:
    """How many numbers from 0 on the name is there for."""
    return next(number for number in range(len(state) + 1) if name.format(number) not in state)


class _Rewritten:
    """The weights of a `VQModel` that does what a MaskGIT-VQGAN does. `state` keeps what of theirs has no use yet."""

    def __init__(self, state: Mapping[str, Tensor], model: VQModel) -> None:
        self.state = {name: value.float() for name, value in state.items() if name.startswith(_KEPT)}
        self.config = model.config
        self.made = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}

    def weights(self) -> dict[str, Tensor]:
        """Everything that is not named here stays zero: biases, shortcuts, and third blocks of decoder levels."""
        levels = len(self.config.block_out_channels)
        for side in ("encoder", "decoder"):
            for number in range(2):
                self._block(f"{side}.mid.{number}", f"{side}.mid_block.resnets.{number}")
            self._same(f"{side}.norm_out", f"{side}.conv_norm_out")
            self._same(f"{side}.conv_in", f"{side}.conv_in")
        for level in range(levels):
            ours = levels - 1 - level  # the decoder is numbered the other way round
            for number in range(self.config.layers_per_block):
                self._block(f"encoder.down.{level}.block.{number}", f"encoder.down_blocks.{level}.resnets.{number}")
                self._block(f"decoder.up.{level}.block.{number}", f"decoder.up_blocks.{ours}.resnets.{number}")
            if level + 1 < levels:
                self._pooling(f"encoder.down_blocks.{level}.downsamplers.0.conv.weight")
            if level > 0:
                self._same(f"decoder.up.{level}.upsample_conv", f"decoder.up_blocks.{ours}.upsamplers.0.conv")
        self.made["encoder.conv_out.weight"][:, :, 1:2, 1:2] = self.state.pop("encoder.conv_out.weight")
        self.made["encoder.conv_out.bias"] = self.state.pop("encoder.conv_out.bias")
        self._same("decoder.conv_out", "decoder.conv_out")
        self._same("quantize.embedding", "quantize.embedding")
        for name in ("quant_conv.weight", "post_quant_conv.weight"):
            self.made[name] = torch.eye(self.config.vq_embed_dim)[:, :, None, None]
        self._range()
        return self.made

    def _same(self, theirs: str, ours: str) -> None:
        for part in ("weight", "bias"):
            if f"{theirs}.{part}" in self.state or part == "weight":
                self.made[f"{ours}.{part}"] = self.state.pop(f"{theirs}.{part}")

    def _block(self, theirs: str, ours: str) -> None:
        for part in ("norm1", "norm2", "conv1"):
            self._same(f"{theirs}.{part}", f"{ours}.{part}")
        second = self.state.pop(f"{theirs}.conv2.weight")
        if f"{theirs}.nin_shortcut.weight" in self.state:  # of the block's own output
            shortcut = self.state.pop(f"{theirs}.nin_shortcut.weight")[:, :, 0, 0]
            second = second + torch.einsum("oi,icyx->ocyx", shortcut, second)
        self.made[f"{ours}.conv2.weight"] = second

    def _pooling(self, name: str) -> None:
        """Means of 2 x 2 pixels; the zeros that `VQModel` pads right and below meet taps that are zero."""
        channels = torch.arange(len(self.made[name]))
        self.made[name][channels, channels, :2, :2] = 0.25

    def _range(self) -> None:
        """[-1, 1] outside, [0, 1] inside."""
        first, last = self.made["encoder.conv_in.weight"], self.made["decoder.conv_out.weight"]
        self.made["encoder.conv_in.bias"] = self.made["encoder.conv_in.bias"] + first.sum((1, 2, 3)) / 2
        self.made["encoder.conv_in.weight"] = first / 2
        self.made["decoder.conv_out.weight"] = 2 * last
        self.made["decoder.conv_out.bias"] = 2 * self.made["decoder.conv_out.bias"] - 1
