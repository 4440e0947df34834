"""The benchmark's parts about context: what the connector and the K/V cache save."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

import numpy as np
import torch

from mmsr_core.connector import Block, LatentConnector
from mmsr_core.evaluation.summary import Table
from mmsr_core.evaluation.timing import race
from mmsr_core.settings import Settings

if TYPE_CHECKING:
    from mmsr_core.upscaler import Upscaler

TOKENS = 256  # of one map
GRID, GRIDS = 64, (32, 128)  # sides of the latent grid


@torch.no_grad()
def connector(upscaler: Upscaler, args: Namespace) -> list[Table]:
    """The cost of context over the number of maps: through the connector, not, and full attention among all tokens."""
    unet, width = upscaler.pipeline.unet, upscaler.pipeline.unet.config.cross_attention_dim
    x, block = torch.randn(1, unet.config.in_channels, GRID, GRID), Block(width).eval()
    rows, connecting = [], []
    for maps in (1, 4, 8) if args.quick else (1, 2, 3, 4, 6, 8):
        specs = [[f"map {i}", TOKENS, width, True] for i in range(maps)]
        model = LatentConnector(specs, width).eval()
        tokens = model.tokens({f"map {i}": torch.randn(1, TOKENS, width) for i in range(maps)})
        context = model(tokens)
        times = race(
            {
                "connector": lambda model=model, tokens=tokens: model(tokens),
                "self": lambda tokens=tokens: block(tokens),
                "on": lambda context=context: _called(upscaler, x, context),
                "off": lambda tokens=tokens: _called(upscaler, x, tokens),
            },
            2 if args.quick else 5,
        )
        connecting.append((maps, times["connector"]))
        stored = [_cache_bytes(upscaler, len_) / 2**20 for len_ in (context.shape[1], tokens.shape[1])]
        cells = [f"{1000 * times[name]:.0f}" for name in ("connector", "self", "on", "off")]
        rows.append([f"{maps} ({maps * TOKENS})", *cells, *(f"{value:.1f}" for value in stored)])
    header = ["maps (tokens)", "connector, ms", "self-attention of all, ms", "U-Net with, ms", "U-Net without, ms"]
    header += ["K/V with, MB", "K/V without, MB"]
    fit = np.polyfit(*zip(*connecting), 1)
    worst = max(abs(np.polyval(fit, maps) / seconds - 1) for maps, seconds in connecting)
    note = (
        f"Latent grid {GRID} x {GRID}, one branch, {torch.get_num_threads()} threads. “With” has 128 context tokens "
        f"whatever comes in. A straight line fits the connector's time within {worst:.0%}."
    )
    return [Table("Connector on and off", header, rows, note)]


def _called(upscaler: Upscaler, x: torch.Tensor, context: torch.Tensor, kept: dict | None = None) -> None:
    """One U-Net call, all branches computed from the start."""
    with upscaler.pipeline.precision():
        upscaler.pipeline.unet(x, 500, context, cross_attention_kwargs={"cache": kept})


def _cache_bytes(upscaler: Upscaler, tokens: int) -> int:
    """Keys and values of all cross-attention layers for a context of so many tokens, float32, one branch."""
    unet = upscaler.pipeline.unet
    layers = [module for name, module in unet.named_modules() if name.endswith("attn2")]
    return sum(tokens * (layer.to_k.out_features + layer.to_v.out_features) * 4 for layer in layers)


@torch.no_grad()
def cache(upscaler: Upscaler, args: Namespace) -> list[Table]:
    """Keys and values of the constant context: once a run against once a step."""
    unet, width = upscaler.pipeline.unet, upscaler.pipeline.unet.config.cross_attention_dim
    steps = Settings().steps
    rows = []
    for side in GRIDS:
        x = torch.randn(2, unet.config.in_channels, side, side)
        for label, tokens in (("128 tokens", 128), ("845 tokens (no connector)", 845)):
            context = torch.randn(2, tokens, width)

            def run(kept: dict | None, x: torch.Tensor = x, context: torch.Tensor = context) -> None:
                for _ in range(steps):
                    _called(upscaler, x, context, kept)

            times = race({"on": lambda run=run: run({}), "off": lambda run=run: run(None)}, 1 if args.quick else 3)
            cells = [f"{times['on']:.2f}", f"{times['off']:.2f}", f"{times['on'] / times['off']:.2f}"]
            rows.append([f"{4 * side} px, {label}", *cells])
    return [Table(f"K/V cache, {steps} U-Net calls of two branches", ["", "with, s", "without, s", "ratio"], rows)]
