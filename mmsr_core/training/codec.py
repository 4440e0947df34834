"""Stage `codec`: whitening of the patch codec, in closed form from the residuals of a trained base upscaler."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange

from mmsr_core.base import BaseUpscaler
from mmsr_core.codec import PatchCodec
from mmsr_core.settings import SCALE
from mmsr_core.training.data import PhotoStore, random_source
from mmsr_core.training.degradation import Degradation


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--base", type=Path, required=True, help="folder of the trained base upscaler")
    parser.add_argument("--out", type=Path, required=True, help="folder for the codec")
    parser.add_argument("--exponent", type=float, default=0.5, help="0 no whitening, 1 full whitening")
    parser.add_argument("--batches", type=int, default=40, help="batches of 16 crops of 96 px")
    parser.add_argument("--strength", type=float, default=1.0)


@torch.no_grad()
def main(args: Namespace) -> None:
    base = BaseUpscaler.from_pretrained(args.base)
    store, degrade = PhotoStore.open(args.cache, "train"), Degradation(args.strength)
    residuals, features = [], []
    for step in range(args.batches):
        rng, generator = random_source(7, step)
        hr = store.random_crops(16, 96, rng)
        made, seen = base(degrade(hr, generator))
        residuals.append(rearrange(F.pixel_unshuffle(hr - made, SCALE), "b c h w -> (b h w) c"))
        features.append(rearrange(seen, "b c h w -> (b h w) c"))
    codec = PatchCodec(base.config.channels, base.config.blocks, base.config.head, args.exponent)
    codec.base.load_state_dict(base.state_dict())
    sigma = codec.fit(torch.cat(residuals), torch.cat(features))
    print(f"residual standard deviations, first to last: {sigma[0]:.4f} ... {sigma[-1]:.4f}")
    codec.save_pretrained(args.out)
