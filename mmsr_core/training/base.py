"""Stage `base`: the regression upscaler, with pixel, perceptual and (late) adversarial terms."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr_core.base import BaseUpscaler, enlarged
from mmsr_core.training.data import PhotoStore, random_source
from mmsr_core.training.degradation import Degradation
from mmsr_core.training.loop import TrainConfig, fit
from mmsr_core.training.losses import Adversary, PerceptualLoss
from mmsr_core.training.sheets import write_sheet


def add_arguments(parser: ArgumentParser) -> None:
    TrainConfig.add_arguments(parser, out=Path("runs/base"), lr=4e-4)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="arrays of the prepare stage")
    parser.add_argument("--perceptual-weights", type=Path, required=True, help="SqueezeNet v1.0 features, .npz")
    parser.add_argument("--crop", type=int, default=96, help="side of an HR crop in pixels")
    parser.add_argument("--perceptual", type=float, default=0.2, help="weight of the perceptual term")
    parser.add_argument("--adversarial", type=float, default=0.0, help="weight of the adversarial term")
    parser.add_argument("--adversarial-from", type=float, default=0.5, help="share of the budget after which it starts")
    parser.add_argument("--strength", type=float, default=1.0, help="strength of the degradation")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--init", type=Path, help="folder of a base to start from; its sizes are kept")
    parser.add_argument("--save", type=Path, help="folder for the trained weights (fp16)")


class BaseLoss:
    """L1 + perceptual + adversarial, on the output cut by a random offset so that no stride is rewarded."""

    def __init__(
        self, perceptual: PerceptualLoss, weight: float, adversary: Adversary, adversarial: float, start: float
    ) -> None:
        self.perceptual, self.weight = perceptual, weight
        self.adversary, self.adversarial, self.start = adversary, adversarial, start
        self.done = 0.0

    def __call__(self, model: nn.Module, batch: tuple[Tensor, Tensor, tuple[int, int]]) -> Mapping[str, Tensor]:
        lr, hr, shift = batch
        made = model(lr)[0].float()
        pixel = F.l1_loss(made, hr)
        seen = self.perceptual(made.clamp(-1.1, 1.1), hr, shift).mean()
        values = {"loss": pixel + self.weight * seen, "pixel": pixel.detach(), "perceptual": seen.detach()}
        if self.adversarial > 0 and self.done >= self.start:
            values["discriminator"] = self.adversary.learn(made, hr)
            fooled = self.adversary.judge(made).mean()
            values["adversarial"] = fooled.detach()
            values["loss"] = values["loss"] + self.adversarial * fooled
        return values


def main(args: Namespace) -> None:
    config = TrainConfig.from_arguments(args)
    store, val = PhotoStore.open(args.cache, "train"), PhotoStore.open(args.cache, "val")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    degrade = Degradation(args.strength)
    torch.manual_seed(config.seed)
    model = BaseUpscaler(args.channels, args.blocks) if args.init is None else BaseUpscaler.from_pretrained(args.init)
    model = model.float()
    adversary = Adversary(device=device)

    def batches(step: int, rank: int, device: torch.device) -> tuple[Tensor, Tensor, tuple[int, int]]:
        rng, generator = random_source(config.seed, step, rank, device)
        hr = store.random_crops(config.batch, args.crop, rng, device)
        return degrade(hr, generator), hr, tuple(rng.integers(0, 16, 2).tolist())

    def sheet(model: BaseUpscaler, path: Path) -> None:
        _, generator = random_source(1, 0)
        hr = val.crops(np.arange(6), np.full((6, 2), 64), 256)
        lr = degrade(hr, generator)
        parameter = next(model.parameters())
        made = model(lr.to(parameter))[0].cpu()
        write_sheet(path, {"bicubic": enlarged(lr), "base": made, "photo": hr})

    loss = BaseLoss(
        PerceptualLoss(args.perceptual_weights).to(device),
        args.perceptual,
        adversary,
        args.adversarial,
        args.adversarial_from,
    )
    model = fit(model, loss, batches, config, sheet, {"adversary": adversary})
    if args.save is not None:
        model.half().save_pretrained(args.save)
