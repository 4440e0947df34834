"""The U-Net's attention over the connector's context: keys and values once a run, queries that know their place.

The context does not change over the denoising steps, so each cross-attention layer keeps its keys and values in the
`cache` it is given. Convolutions do not know where they are; with `grid` set, the queries get the same position code as
the tokens, so that an edit of a map reaches the place where it was made.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from einops import rearrange
from torch import Tensor

from mmsr_core.places import HEAD, grid_places, position_code


class ContextAttention:
    """Attention processor for self- and cross-attention of a `UNet2DConditionModel`.

    Through `cross_attention_kwargs` a call gets
        cache: a dict that lives as long as one context; None computes keys and values anew (training).
        grid: (height, width) of the U-Net's input, or None for queries without a place (the sd2 preset).
        gate: (latents,) zero at first; the last tokens of the context are latents beside the text (the connector's
            `text_bypass`), attended to on their own and added tanh(gate)-fold. None: one attention over all.
        alike: so many rows repeat themselves to the end, as branches do that have not heard their contexts yet;
            self-attention computes them once. None: no two rows are known to be alike.
        edited: (B, 1, h, w) over the U-Net's input, 0 outside of edits, 1 inside, more to go beyond them; the context
            is two of equal length, with the edits of the maps and before them, and each place hears of both what the
            mask says. None: one context for all places.
    """

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        cache: dict[Any, tuple[Tensor, Tensor]] | None = None,
        grid: tuple[int, int] | None = None,
        gate: Tensor | None = None,
        alike: int | None = None,
        edited: Tensor | None = None,
    ) -> Tensor:
        """hidden_states (B, N, C), encoder_hidden_states (B, M, D) or None -> (B, N, C)."""
        across = encoder_hidden_states is not None
        if not across and alike is not None:
            once = self(attn, hidden_states[:alike])
            return once.repeat(len(hidden_states) // alike, 1, 1)
        if across and grid is not None:
            hidden_states = hidden_states + _places(grid, hidden_states)
        query = _split(attn.to_q(hidden_states), attn.heads)
        if across and cache is not None:
            if attn not in cache:
                cache[attn] = _keys_values(attn, encoder_hidden_states)
            key, value = cache[attn]
        else:
            key, value = _keys_values(attn, encoder_hidden_states if across else hidden_states)
        gate = gate if across else None
        if across and edited is not None:
            (key, key_before), (value, value_before) = key.chunk(2, 2), value.chunk(2, 2)
            before = _heard(query, key_before, value_before, gate)
            share = _shrunk(edited, query.shape[2]).to(query.dtype)
            out = torch.lerp(before, _heard(query, key, value, gate), share)
        else:
            out = _heard(query, key, value, gate)
        return attn.to_out[1](attn.to_out[0](rearrange(out, "b h n d -> b n (h d)")))


def _split(x: Tensor, heads: int) -> Tensor:
    return rearrange(x, "b n (h d) -> b h n d", h=heads)


def _keys_values(attn: Attention, context: Tensor) -> tuple[Tensor, Tensor]:
    return _split(attn.to_k(context), attn.heads), _split(attn.to_v(context), attn.heads)


def _heard(query: Tensor, key: Tensor, value: Tensor, gate: Tensor | None) -> Tensor:
    """All (B, heads, tokens, d). With a gate: attention to the text, plus gated attention to the latents behind it."""
    if gate is None:
        return F.scaled_dot_product_attention(query, key, value)
    counts = [key.shape[2] - len(gate), len(gate)]
    (text_key, latent_key), (text_value, latent_value) = key.split(counts, 2), value.split(counts, 2)
    opened = latent_value * gate.tanh().to(value.dtype)[:, None]
    heard = F.scaled_dot_product_attention(query, text_key, text_value)
    return heard + F.scaled_dot_product_attention(query, latent_key, opened)


def _shrunk(mask: Tensor, count: int) -> Tensor:
    """A mask (B, 1, h, w) for a level of `count` cells: (B, 1, count, 1)."""
    shrink = _shrink(mask.shape[-2:], count)
    return F.avg_pool2d(mask, shrink).flatten(2)[..., None]


def _shrink(grid: tuple[int, int], count: int) -> int:
    """By what factor both sides of the U-Net's grid are shrunk on a level of `count` cells."""
    return round(math.sqrt(grid[0] * grid[1] / count))


def _places(grid: tuple[int, int], x: Tensor) -> Tensor:
    """Position code of the N cells of a level whose grid is `grid` shrunk by the same factor on both sides."""
    shrink = _shrink(grid, x.shape[1])
    places = grid_places(grid[0] // shrink, grid[1] // shrink, x.device)
    return position_code(places, x.shape[-1]).to(x.dtype)


@torch.no_grad()
def look_around(unet: UNet2DConditionModel, gain: float = 1.5) -> None:
    """Starts half of the cross-attention heads comparing places, so that training begins with local control."""
    for module in unet.modules():
        if isinstance(module, Attention) and module.is_cross_attention:
            channels, width = module.to_q.weight.shape[1], module.to_k.weight.shape[1]
            rows = max(module.heads // 2, 1) * HEAD
            places = torch.arange(rows)
            for layer, inner in ((module.to_q, channels), (module.to_k, width)):
                layer.weight[:rows] = 0
                layer.weight[places, places % inner] = gain
