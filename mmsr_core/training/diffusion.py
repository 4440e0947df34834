"""Stage `diffusion`: the U-Net, on frozen codec, tokens and connector.

Every sample: a window of a photo, degraded; map tokens of its labels or of the degraded picture; its caption.
Each modality is dropped to its null token with probability 0.1 (paper, section 4.1), and the context is steered as a
visitor's may be (`dials.py`). The latents to predict are those of the photo; what steering adds to them is the
connector's part, which the steering stage has taught.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from mmsr_core.codec import PATCH, PatchCodec
from mmsr_core.connector import LatentConnector
from mmsr_core.fresh import build_scheduler, build_unet
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.tokens import Tokenizers
from mmsr_core.training.cache import TokenStore
from mmsr_core.training.data import PhotoStore, random_source
from mmsr_core.training.degradation import Degradation
from mmsr_core.training.dials import Dials, Steering
from mmsr_core.training.loop import TrainConfig, fit
from mmsr_core.training.losses import Adversary, PerceptualLoss
from mmsr_core.training.prompts import worded
from mmsr_core.training.samples import Sheet
from mmsr_core.training.steering import hear, heard_tokens
from mmsr_core.weights import save_half

CROP = 128  # side in pixels of the windows of which `--batch` are seen at once; of larger ones it is fewer
LAST = 0.8  # share of the batches at the last time step, pure noise: the first step of every sampler


def add_arguments(parser: ArgumentParser) -> None:
    TrainConfig.add_arguments(parser, out=Path("runs/diffusion"), lr=2e-4, sheet_minutes=12.0)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--parts", type=Path, required=True, help="folder with codec/, vq/, tokenizer/, text_encoder/")
    parser.add_argument("--init", type=Path, help="a saved pipeline whose connector and U-Net are the start")
    parser.add_argument("--perceptual-weights", type=Path, required=True)
    parser.add_argument("--pixel", type=float, default=20.0)
    parser.add_argument("--perceptual", type=float, default=8.0)
    parser.add_argument("--adversarial", type=float, default=0.0)
    parser.add_argument("--adversarial-from", type=float, default=0.3)
    parser.add_argument("--shrink", type=int, nargs="+", default=[2, 2, 2, 1], help="by what windows are, in turn")
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--connector", type=Path, help="folder that the steering stage has saved")
    parser.add_argument("--save", type=Path, help="folder for the trained pipeline")


@dataclass(frozen=True)
class Batch:
    lr: Tensor  # (B, 3, h, w)
    photo: Tensor  # (B, 3, 4h, 4w)
    text: Tensor  # (B, 77) ids
    given: Steering
    shift: tuple[int, int]
    generator: torch.Generator


@dataclass(frozen=True)
class Batches:
    """Makes a batch from (step, rank, device)."""

    store: PhotoStore
    tokens: Tokenizers
    tokens_of: TokenStore  # map ids of the photos' windows
    dials: Dials
    args: Namespace

    def __call__(self, step: int, rank: int, device: torch.device) -> Batch:
        args = self.args
        rng, generator = random_source(args.seed, step, rank, device)
        index, photo, ids = self._pictures(rng, device)
        given = self.dials.draw(ids, rng, look=False)
        lr = Degradation(args.strength)(photo, generator)
        text = worded(self.tokens, [self.store.captions[i] for i in index], given.soft.tolist(), rng)
        shift = tuple(rng.integers(0, 16, 2).tolist())
        return Batch(lr, photo, text.to(device), given.to(device), shift, generator)

    def _pictures(self, rng: np.random.Generator, device: torch.device) -> tuple[np.ndarray, Tensor, Tensor]:
        """Photo indices (B,), pictures (B, 3, H, W) and map ids (B, 3, tokens).

        All windows of a batch have one side, and larger ones come in smaller batches; half of the maps are those of the
        photo, half those that were read in its degraded version.
        """
        windows, ids = self.tokens_of.windows, self.tokens_of.ids
        side = int(rng.choice(windows[:, :, 2].ravel()))
        rows = np.argwhere(windows[..., 2] == side)
        shrink = int(rng.choice(self.args.shrink))
        count = max(round(self.args.batch * (CROP * shrink / side) ** 2), 1)
        index, which = rows[rng.integers(len(rows), size=count)].T
        photo = self.store.crops(index, windows[index, which, :2].astype(int), side, str(device))
        photo = F.interpolate(photo, scale_factor=1 / shrink, mode="area")
        return index, photo, torch.from_numpy(ids[index, which, rng.integers(0, 2, count)].astype(np.int64)).to(device)


class Denoiser(nn.Module):
    """The U-Net as the optimiser sees it."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, z: Tensor, condition: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """z (B, 48, h, w), condition (B, C, h, w), time (B,), context (B, 128, D) -> (B, 48, h, w)."""
        heard = {"encoder_hidden_states": context, "cross_attention_kwargs": {"grid": z.shape[-2:]}}
        return self.unet(torch.cat([z, condition], 1), time, **heard).sample


class DiffusionLoss:
    """x0-error in latent space + pixel L1 + perceptual (+ adversarial) on the decoded x0."""

    def __init__(
        self, pipeline: MMSRPipeline, perceptual: PerceptualLoss, adversary: Adversary, args: Namespace
    ) -> None:
        self.codec, self.connector, self.tokens = pipeline.codec, pipeline.connector, pipeline.tokenizers
        self.perceptual, self.adversary, self.args = perceptual, adversary, args
        self.alphas = build_scheduler().alphas_cumprod
        self.done = 0.0

    def __call__(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        args = self.args
        exact = torch.autocast(batch.lr.device.type, enabled=False)  # patches and pictures in full precision
        with torch.no_grad(), exact:
            condition = self.codec.condition(batch.lr)
            z0 = self.codec.encode(batch.photo, condition)[:, :PATCH]
            tokens = heard_tokens(self.tokens, batch.text, batch.given)
            context = hear(self.connector, tokens, batch.given)
        made = self._made(model, condition, context, batch)
        with exact:
            picture = self.codec.plain(made, condition)
        latent, pixel = F.smooth_l1_loss(made, z0), (picture - batch.photo).abs().mean()
        values = {"loss": 0.6 * latent + args.pixel * pixel, "latent": latent, "pixel": pixel}
        if args.perceptual > 0:
            unlike = self.perceptual(picture.clamp(-1.1, 1.1), batch.photo, batch.shift).mean()
            values |= {"loss": values["loss"] + args.perceptual * unlike, "perceptual": unlike}
        if args.adversarial > 0 and self.done >= args.adversarial_from:
            values |= self._adversarial(picture, batch.photo)
            values["loss"] = values["loss"] + args.adversarial * values["fooled"]
        return values

    def _made(self, model: nn.Module, condition: Tensor, context: Tensor, batch: Batch) -> Tensor:
        """Predictions of z0 (B, c, h, w).

        At the last time step the input is noise alone; at the others the model's own first guess lies under the noise.
        A few-step sampler never sees the true z0 under its noise but its own predictions; trained on true ones, a small
        model amplifies its errors from step to step (measured: 4 steps were worse than 1).
        """
        count, last = len(batch.lr), len(self.alphas) - 1
        random = {"generator": batch.generator, "device": condition.device}
        noise = torch.randn((count, PATCH, *condition.shape[-2:]), **random)
        time = torch.full((count,), last, device=condition.device)
        z = noise
        if torch.rand((), **random) >= LAST:
            with torch.no_grad():
                guess = model(noise, condition, time, context).float()
            time = torch.randint(last, (count,), **random)
            alpha = self.alphas.to(noise)[time][:, None, None, None]
            z = alpha.sqrt() * guess + (1 - alpha).sqrt() * torch.randn(noise.shape, **random)
        return model(z, condition, time, context).float()

    def _adversarial(self, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        return {"discriminator": self.adversary.learn(made, real), "fooled": self.adversary.judge(made).mean()}


def start(args: Namespace, tokens: Tokenizers, codec: PatchCodec) -> MMSRPipeline:
    """The pipeline to train: from `--init` or a fresh U-Net, with the connector of the steering stage where given."""
    if args.init is not None:
        pipeline = MMSRPipeline.from_pretrained(args.init, dtype=torch.float32)
        unet, connector = pipeline.unet, pipeline.connector
    else:
        torch.manual_seed(args.seed)
        unet, connector = build_unet(codec), None
    if args.connector is not None:
        connector = LatentConnector.from_pretrained(args.connector, dtype=torch.float32)
    if connector is None:
        raise ValueError("diffusion: got neither --init nor --connector, wanted a connector of the steering stage")
    return MMSRPipeline(codec, unet, connector, build_scheduler(), tokens.vq, tokens.tokenizer, tokens.text_encoder)


def main(args: Namespace) -> None:
    config = TrainConfig.from_arguments(args)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokens = Tokenizers.load(args.parts, device)
    codec = PatchCodec.from_pretrained(args.parts / "codec").to(device).eval().requires_grad_(False)
    store, val = PhotoStore.open(args.cache, "train"), PhotoStore.open(args.cache, "val")
    cached = TokenStore.open(args.cache, "train")
    pipeline = start(args, tokens, codec)
    adversary = Adversary(device=device)
    pipeline.connector.to(device).requires_grad_(False)
    loss = DiffusionLoss(pipeline, PerceptualLoss(args.perceptual_weights).to(device), adversary, args)
    sheet = Sheet(pipeline, val, args.strength)
    batches = Batches(store, tokens, cached, Dials(tokens), args)
    fit(Denoiser(pipeline.unet), loss, batches, config, sheet, {"adversary": adversary})
    if args.save is not None:
        save_half(pipeline, args.save)
