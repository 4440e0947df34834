"""Stage `diffusion`: connector and U-Net, on frozen codec and tokens.

Every sample: a window of a photo, degraded; map tokens of its labels or of the degraded picture; its caption.
Each modality is dropped to its null token with probability 0.1 (paper, section 4.1). Every picture is there twice: with
neutral temperatures and good words, and with a turned temperature or with words that call it blurry; the target shows
what that is to do (`dials.py`).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr_core.codec import PatchCodec
from mmsr_core.modalities import MODALITIES
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.settings import declared
from mmsr_core.tokens import Tokenizers
from mmsr_core.training.cache import TokenStore
from mmsr_core.training.data import PhotoStore, random_source
from mmsr_core.training.degradation import Degradation
from mmsr_core.training.dials import Dials, softened
from mmsr_core.training.loop import TrainConfig, fit
from mmsr_core.training.losses import Adversary, PerceptualLoss
from mmsr_core.training.prompts import captions
from mmsr_core.training.samples import Sheet
from mmsr_core.weights import build_connector, build_scheduler, build_unet, save_half

DROP = 0.1  # of each modality to its null token
CROP = 128  # side in pixels of the windows of which `--batch` are seen at once; of larger ones it is fewer
SHRUNK = 0.75  # share of the batches whose windows are shrunk to half, and are four times as many
BLURRY = ("blurry", "blurry, low quality", "blurry, noisy, jpeg artifacts, low quality")
LAST = 0.8  # share of samples at the last time step, pure noise: the first step of every sampler


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
    parser.add_argument(
        "--rollout", type=float, default=1.0, help="share of samples that start from the model's own guess"
    )
    parser.add_argument("--easy", type=int, default=600, help="first steps, with one dial fully turned and pure noise")
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--latents", type=int, default=128, help="0 trains the ablation without the connector")
    parser.add_argument("--save", type=Path, help="folder for the trained pipeline")


@dataclass(frozen=True)
class Batch:
    lr: Tensor  # (B, 3, h, w)
    target: Tensor  # (B, 3, 4h, 4w)
    text: Tensor  # (B, 77) ids
    maps: Tensor  # (B, 3, tokens) ids
    drop: Tensor  # (B, 4) bool, in token order
    delta: Tensor  # (B, 4) temperatures, in token order
    form: str  # of the temperature
    clean: Tensor  # (B,) bool, the target is not softened
    easy: bool
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
        index, photo, maps = self._pictures(rng, device)
        drop = torch.from_numpy(rng.random((len(photo), len(MODALITIES))) < DROP).to(device)
        lr, maps = Degradation(args.strength)(photo, generator), self.dials.pasted(maps, rng)
        easy, count = step < args.easy, len(photo)
        index = np.tile(index, 2)
        lr, target, maps, drop = (torch.cat([part, part]) for part in (lr, photo, maps, drop))
        delta, soft = (part.to(device) for part in self.dials.draw(count, rng, easy))
        drop[count:] &= delta[count:] == 1  # a dial is turned where there is something to hear
        drop[:count] = drop[count:]
        target = self.dials.targets(target, maps, delta, drop)
        target[soft] = softened(target[soft])
        flaws = [str(rng.choice(BLURRY)) if bad else None for bad in soft.tolist()]
        texts = captions([self.store.captions[i] for i in index], flaws, rng)
        text = torch.cat([self.tokens.text_ids(t) for t in texts]).to(device)
        form, shift = str(rng.choice(declared("temperature_form").metadata["choices"])), rng.integers(0, 16, 2)
        return Batch(lr, target, text, maps, drop, delta, form, ~soft, easy, tuple(shift.tolist()), generator)

    def _pictures(self, rng: np.random.Generator, device: torch.device) -> tuple[np.ndarray, Tensor, Tensor]:
        """Photo indices (B,), pictures (B, 3, H, W) and map ids (B, 3, tokens).

        All windows of a batch have one side, and larger ones come in smaller batches; half of the maps are those of the
        photo, half those that were read in its degraded version.
        """
        windows, ids = self.tokens_of.windows, self.tokens_of.ids
        side = int(rng.choice(windows[:, :, 2].ravel()))
        rows = np.argwhere(windows[..., 2] == side)
        shrink = 2 if rng.random() < SHRUNK else 1
        count = max(round(self.args.batch * (CROP * shrink / side) ** 2 / 2), 1)  # each is there twice
        index, which = rows[rng.integers(len(rows), size=count)].T
        photo = self.store.crops(index, windows[index, which, :2].astype(int), side, str(device))
        photo = F.interpolate(photo, scale_factor=1 / shrink, mode="area")
        return index, photo, torch.from_numpy(ids[index, which, rng.integers(0, 2, count)].astype(np.int64)).to(device)


class Denoiser(nn.Module):
    """The trained parts, as one module for the optimiser."""

    def __init__(self, pipeline: MMSRPipeline) -> None:
        super().__init__()
        self.unet, self.connector = pipeline.unet, pipeline.connector

    def forward(
        self,
        given: Tensor,
        time: Tensor,
        tokens: Mapping[str, Tensor],
        drop: Tensor,
        delta: Tensor,
        form: str = "keys",
    ) -> Tensor:
        """given (B, C, h, w) latents and condition, tokens {name: (B, N, D)}, drop and delta (B, 4), in token
        order -> (B, c, h, w)."""
        connector = self.connector
        parts = [connector.dropped(value, name, rows) for (name, value), rows in zip(tokens.items(), drop.T)]
        tempering = connector.tempering(dict(zip(tokens, delta.T)), form)
        context = connector(connector.token_norm(torch.cat(parts, 1)), tempering)
        return self.unet(given, time, context, cross_attention_kwargs={"grid": given.shape[-2:]}).sample


class DiffusionLoss:
    """x0-MSE in latent space + pixel L1 + perceptual (+ adversarial) on the decoded x0."""

    def __init__(
        self, codec: PatchCodec, tokens: Tokenizers, perceptual: PerceptualLoss, adversary: Adversary, args: Namespace
    ) -> None:
        self.codec, self.tokens, self.perceptual, self.adversary, self.args = codec, tokens, perceptual, adversary, args
        self.alphas = build_scheduler().alphas_cumprod
        self.maps = [row.name for row in MODALITIES if row.kind == "map"]
        self.done = 0.0

    def __call__(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        args = self.args
        exact = torch.autocast(batch.lr.device.type, enabled=False)  # patches and pictures in full precision
        with torch.no_grad(), exact:
            condition = self.codec.condition(batch.lr)
            z0 = self.codec.encode(batch.target, condition)
            tokens = {"text": self.tokens.text_states(batch.text)}
            tokens |= {name: self.tokens.map_codes(batch.maps[:, i]) for i, name in enumerate(self.maps)}
        time = self._times(len(z0), batch)
        last = time == len(self.alphas) - 1
        alpha = self.alphas.to(z0)[time][:, None, None, None]
        signal, own = self._rolled_out(model, z0, condition.latents, tokens, batch, ~last)
        noise = torch.randn(z0.shape, generator=batch.generator, device=z0.device)
        z = alpha.sqrt() * signal + (1 - alpha).sqrt() * noise
        made = model(
            torch.cat([z, condition.latents], 1), time, tokens, batch.drop, batch.delta, batch.form
        ).float()
        known = (alpha / (1 - alpha).clamp(min=1e-4)).clamp(max=1)  # what z tells of z0; nothing where it is rolled out
        weight = 0.3 + torch.where(own[:, None, None, None], 0, known)
        with exact:
            picture = self.codec.decode(made, condition)
        latent = 2 * (weight * F.smooth_l1_loss(made, z0, reduction="none")).mean()
        pixel = (picture - batch.target).abs().mean()
        values = {"loss": latent + args.pixel * pixel, "latent": latent, "pixel": pixel}
        values["follows"] = follows(made, z0)
        if args.perceptual > 0:
            seen = self.perceptual(picture.clamp(-1.1, 1.1), batch.target, batch.shift).mean()
            values |= {"loss": values["loss"] + args.perceptual * seen, "perceptual": seen}
        if args.adversarial > 0 and self.done >= args.adversarial_from and batch.clean.any():
            values |= self._adversarial(picture[batch.clean], batch.target[batch.clean])
            values["loss"] = values["loss"] + args.adversarial * values["fooled"]
        return values

    def _times(self, count: int, batch: Batch) -> Tensor:
        """Time steps (B,): the last one in a share of the samples, or in all."""
        device = batch.target.device
        time = torch.randint(len(self.alphas), (count,), generator=batch.generator, device=device)
        last = torch.rand(count, generator=batch.generator, device=device) < (1 if batch.easy else LAST)
        return torch.where(last, len(self.alphas) - 1, time)

    @torch.no_grad()
    def _rolled_out(
        self, model: nn.Module, z0: Tensor, condition: Tensor, tokens: Mapping, batch: Batch, among: Tensor
    ) -> tuple[Tensor, Tensor]:
        """z0, or for a share of the samples `among` (B,) the model's own first guess, as the sampler will meet it; and
        which (B,).

        A few-step sampler never sees the true z0 under its noise but its own predictions; trained on true ones alone, a
        small model amplifies its errors from step to step (measured: 4 steps were worse than 1). (B, c, h, w) -> same.
        """
        own = (torch.rand(len(z0), generator=batch.generator, device=z0.device) < self.args.rollout) & among
        if not own.any():
            return z0, own
        noise = torch.randn(z0.shape, generator=batch.generator, device=z0.device)[own]
        last = torch.full((len(noise),), len(self.alphas) - 1, device=z0.device)
        seen = {name: value[own] for name, value in tokens.items()}
        signal = z0.clone()
        signal[own] = model(
            torch.cat([noise, condition[own]], 1), last, seen, batch.drop[own], batch.delta[own], batch.form
        ).float()
        return signal, own

    def _adversarial(self, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        return {"discriminator": self.adversary.learn(made, real), "fooled": self.adversary.judge(made).mean()}


@torch.no_grad()
def follows(made: Tensor, wanted: Tensor) -> Tensor:
    """How well the turned twins differ from the neutral ones as they should: cosine of the differences, for the log."""
    differences = [(z[len(z) // 2 :] - z[: len(z) // 2]).flatten() for z in (made, wanted)]
    return F.cosine_similarity(*differences, dim=0)


def start(args: Namespace, tokens: Tokenizers, codec: PatchCodec) -> MMSRPipeline:
    """The pipeline to train: from `--init`, or fresh."""
    if args.init is not None:
        return MMSRPipeline.from_pretrained(args.init, dtype=torch.float32)
    torch.manual_seed(args.seed)
    unet = build_unet(codec)
    connector = build_connector(tokens, unet.config.cross_attention_dim, args.latents, marked=args.latents > 0)
    return MMSRPipeline(codec, unet, connector, build_scheduler(), tokens.vq, tokens.tokenizer, tokens.text_encoder)


def main(args: Namespace) -> None:
    config = TrainConfig.from_arguments(args)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokens = Tokenizers.load(args.parts, device)
    codec = PatchCodec.from_pretrained(args.parts / "codec").to(device).eval().requires_grad_(False)
    store, val = PhotoStore.open(args.cache, "train"), PhotoStore.open(args.cache, "val")
    cached = TokenStore.open(args.cache, "train")
    pipeline = start(args, tokens, codec)
    pipeline.register_modules(codec=codec, vq=tokens.vq, text_encoder=tokens.text_encoder)
    adversary = Adversary(device=device)
    loss = DiffusionLoss(codec, tokens, PerceptualLoss(args.perceptual_weights).to(device), adversary, args)
    sheet = Sheet(pipeline, val, args.strength)
    batches = Batches(store, tokens, cached, Dials(tokens), args)
    fit(Denoiser(pipeline), loss, batches, config, sheet, {"adversary": adversary})
    if args.save is not None:
        save_half(pipeline, args.save)
