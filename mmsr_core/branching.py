"""One U-Net call for several contexts of one input: what comes before the first cross-attention is computed once.

The two branches of the guidance differ in their context only. Up to the first layer that looks at it both compute the
same: in `mini` the half of the encoder that works on the largest grids, in `sd2` the first residual block and the
self-attention of the whole latent grid, which is the dearest of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor


def branched(
    unet: UNet2DConditionModel, x: Tensor, time: Tensor, contexts: Tensor, attention: Mapping[str, Any]
) -> Tensor:
    """Equal to `unet(x.repeat(B / n, ...), time, contexts)` within rounding, for U-Nets of time and context only.

    Args:
        x: (n, C, h, w), sides multiples of the U-Net's reduction.
        contexts: (B, tokens, D), a multiple of n: the first branch of every input, then the second.
        attention: the attention processors' keyword arguments.

    Returns:
        (B, c, h, w)
    """
    if len(contexts) == len(x):
        return unet(x, time, contexts, cross_attention_kwargs=dict(attention)).sample
    heard = {"encoder_hidden_states": contexts, "cross_attention_kwargs": dict(attention)}
    emb = unet.time_embedding(unet.get_time_embed(x, time))[:1]  # (1, D), the same for all
    x = unet.conv_in(x)
    skips = [x]
    for block in unet.down_blocks:
        x, new = _call(block, heard, x, emb)
        skips += new
    x = unet.mid_block(_each(x, contexts), emb, **heard)
    for block in unet.up_blocks:
        count = len(block.resnets)
        skips, own = skips[:-count], tuple(_each(skip, contexts) for skip in skips[-count:])
        x = _call(block, heard, x, emb, own)
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))


def _call(block: torch.nn.Module, heard: Mapping[str, Any], x: Tensor, emb: Tensor, skips: tuple | None = None) -> Any:
    """A block of the encoder (no skips) or the decoder; from the first that hears the context on, a row a branch."""
    inputs = {"temb": emb} if skips is None else {"temb": emb, "res_hidden_states_tuple": skips}
    if not getattr(block, "has_cross_attention", False):
        return block(x, **inputs)
    if len(x) < len(heard["encoder_hidden_states"]):
        return _parted(block, heard, x, emb)
    return block(x, **inputs, **heard)


def _parted(block: torch.nn.Module, heard: Mapping[str, Any], x: Tensor, emb: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The block of the encoder (`CrossAttnDownBlock2D`) in which the branches part: its output and skips."""
    contexts, skips = heard["encoder_hidden_states"], []
    for resnet, attention in zip(block.resnets, block.attentions):
        x = resnet(x, emb)
        alike = len(x) if len(x) < len(contexts) and len(attention.transformer_blocks) == 1 else None
        kwargs = {**heard["cross_attention_kwargs"], "alike": alike}
        (x,) = attention(_each(x, contexts), contexts, cross_attention_kwargs=kwargs, return_dict=False)
        skips.append(x)
    for layer in block.downsamplers or ():
        x = layer(x)
        skips.append(x)
    return x, skips


def _each(x: Tensor, contexts: Tensor) -> Tensor:
    """One row a context. `repeat` would lose the channels-last order, and all after it would be reordered."""
    return x if len(x) == len(contexts) else torch.cat([x] * (len(contexts) // len(x)))
