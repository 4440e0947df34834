"""Stage `sd2`: connector and U-Net of the paper's size, from the first checkpoint that `weights build` makes.

    window (B,3,512,512) ──degrade──> LR ──bicubic, VAE──> condition (B,4,64,64) ─┐ concat
        └─VAE─> z0 ──+ noise ε at time t──> z_t ──────────────────────────────────┴─> U-Net ──> ε̂, MSE to ε
    map ids, caption ──tokens, null-drop──> connector ──> context (text beside 128 latents) ──> cross-attention

From the paper (https://arxiv.org/abs/2503.14503): Stable Diffusion 2's architecture, ε-MSE, LSDIR + DIV2K with
Real-ESRGAN's degradation, each modality dropped to its null token with probability 0.1, LR by channel concatenation.
Everything else is our choice; `recipe.json` in the run's folder says of every option which it is.
"""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mmsr_core.base import enlarged
from mmsr_core.build import licence_of
from mmsr_core.card import CARD, model_card
from mmsr_core.evaluation.metrics import psnr
from mmsr_core.images import to_pil, to_tensor
from mmsr_core.modalities import MODALITIES
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.settings import Settings
from mmsr_core.training.data import random_source
from mmsr_core.training.degradation import Degradation, flawed
from mmsr_core.training.prompts import described
from mmsr_core.training.scale import Run, ScaleConfig, option
from mmsr_core.training.shards import ShardSet
from mmsr_core.training.sheets import write_sheet

PAPER = "the paper"
MAPS = tuple(row.name for row in MODALITIES if row.kind == "map")
NAMES = tuple(row.name for row in MODALITIES)


@dataclass(frozen=True)
class Sd2Config(ScaleConfig):
    """The paper's recipe, and our choices where it is silent."""

    drop: float = option(0.1, "probability of each modality's null token", PAPER)
    flawed: float = option(0.15, "share of samples whose target is flawed, which the caption says")
    strength: float = option(1.0, "of the degradation; 1 is Real-ESRGAN's range", PAPER)


class Micro(NamedTuple):
    """A micro-batch as the loader hands it over: number; pictures (B, H, W, 3) uint8; map ids (B, maps, tokens)."""

    number: int
    pictures: np.ndarray
    ids: np.ndarray
    captions: list[str]


class Micros(Dataset):
    """Micro-batches by number, for one process. An epoch is a new order of all windows, none of them twice."""

    def __init__(self, shards: ShardSet, config: Sd2Config, rank: int, world: int) -> None:
        self.shards, self.config, self.rank, self.world = shards, config, rank, world
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __getitem__(self, number: int) -> Micro:
        start = (number * self.world + self.rank) * self.config.batch
        windows = [self.shards[self._index(start + i)] for i in range(self.config.batch)]
        rng = np.random.default_rng((self.config.seed, number, self.rank))
        ids = [window.ids[rng.integers(len(window.ids))] for window in windows]  # of the window, or of its LR version
        return Micro(number, np.stack([w.picture for w in windows]), np.stack(ids), [w.caption for w in windows])

    def _index(self, position: int) -> int:
        epoch, place = divmod(position, len(self.shards))
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng((self.config.seed, epoch)).permutation(len(self.shards))
        return int(self._order[1][place])

    def loader(self, first: int) -> DataLoader:
        """Micro-batches from number `first` to the end of the run, in order, read ahead by the workers."""
        numbers = range(first, self.config.steps * self.config.accumulate)
        return DataLoader(self, batch_size=None, sampler=numbers, num_workers=self.config.workers, collate_fn=_as_it_is)


def _as_it_is(micro: Micro) -> Micro:
    return micro


class Denoiser(nn.Module):
    """The trained parts as one module."""

    def __init__(self, pipeline: MMSRPipeline) -> None:
        super().__init__()
        self.unet, self.connector = pipeline.unet, pipeline.connector
        self.places = pipeline.config.places

    def forward(self, given: Tensor, time: Tensor, tokens: Mapping[str, Tensor], drop: Tensor) -> Tensor:
        """given (B, 8, h, w) latents and condition, tokens {name: (B, N, D)}, drop (B, 4) in their order
        -> (B, 4, h, w)."""
        connector, column = self.connector, {name: index for index, name in enumerate(tokens)}
        parts = [connector.dropped(value, name, drop[:, column[name]]) for name, value in tokens.items()]
        text = connector.bypassed(tokens["text"], drop=drop[:, column["text"]])
        context = connector(connector.token_norm(torch.cat(parts, 1)), None, text)
        hearing = {"grid": given.shape[-2:] if self.places else None, "gate": connector.gate}
        return self.unet(given, time, context, cross_attention_kwargs=hearing).sample


class EpsilonLoss:
    """ε-MSE at a uniform time (paper; DDPM, Ho et al. 2020)."""

    def __init__(self, pipeline: MMSRPipeline, config: Sd2Config, rank: int, device: torch.device) -> None:
        self.codec, self.tokens, self.config = pipeline.codec, pipeline.tokenizers, config
        self.rank, self.device = rank, device
        self.alphas = pipeline.scheduler.alphas_cumprod
        self.degrade = Degradation(config.strength)

    def __call__(self, model: nn.Module, micro: Micro) -> Mapping[str, Tensor]:
        exact = torch.autocast(self.device.type, enabled=False)  # in bf16 the first steps would have no noise at all
        with torch.no_grad(), exact:
            condition, z0, tokens, drop, generator = self.given(micro)
            time = torch.randint(len(self.alphas), (len(z0),), generator=generator, device=self.device)
            alpha = self.alphas.to(z0)[time][:, None, None, None]
            noise = torch.randn(z0.shape, generator=generator, device=self.device)
            z = alpha.sqrt() * z0 + (1 - alpha).sqrt() * noise
        made = model(torch.cat([z, condition], 1), time, tokens, drop)
        return {"loss": F.mse_loss(made.float(), noise)}

    def given(self, micro: Micro) -> tuple[Tensor, Tensor, dict[str, Tensor], Tensor, torch.Generator]:
        """Condition and target latents, tokens, which of them are dropped, and the rest of the random numbers."""
        config = self.config
        rng, generator = random_source(config.seed, micro.number, self.rank, self.device)
        photo = torch.from_numpy(micro.pictures).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        bad, words = flawed(photo, generator)
        clean = torch.from_numpy(rng.random(len(photo)) >= config.flawed).to(self.device)
        flaws = [None if ok else said for ok, said in zip(clean.tolist(), words)]
        text = described(self.tokens, micro.captions, flaws, rng)
        drop = torch.from_numpy(rng.random((len(photo), len(NAMES))) < config.drop).to(self.device)
        condition = self.codec.condition(self.degrade(photo, generator))
        z0 = self.codec.encode(torch.where(clean[:, None, None, None], photo, bad), condition)
        ids = torch.from_numpy(micro.ids.astype(np.int64))
        codes = {name: self.tokens.map_codes(ids[:, index]) for index, name in enumerate(MAPS)}
        codes["text"] = self.tokens.text_states(text)
        return condition, z0, {name: codes[name] for name in NAMES}, drop, generator


class HeldOut:
    """The loss at fixed noise on held-out windows (every process its share), and a sheet of samples with their PSNR."""

    def __init__(
        self, pipeline: MMSRPipeline, loss: EpsilonLoss, micros: Micros, count: int = 8, drawn: int = 4
    ) -> None:
        self.pipeline, self.loss = pipeline, loss
        self.micros = [micros[number] for number in range(max(count // micros.config.batch, 1))]
        self.drawn = drawn

    def numbers(self, model: nn.Module) -> Mapping[str, float]:
        return {"loss": float(np.mean([float(self.loss(model, micro)["loss"]) for micro in self.micros]))}

    def draw(self, path: Path) -> Mapping[str, float]:
        """Bicubic, the sample, and the window itself, side by side."""
        micro, settings = self.micros[0], Settings(seed=0, steps=20, color="none")
        photo = torch.from_numpy(micro.pictures[: self.drawn]).permute(0, 3, 1, 2).float() / 127.5 - 1
        lr = self.loss.degrade(photo, random_source(1, 0)[1])
        made = torch.cat([self._sample(lr[i : i + 1], micro, i, settings) for i in range(len(photo))])
        write_sheet(path, {"bicubic": enlarged(lr), "20 steps, w = 2": made, "window": photo})
        return {"psnr": float(np.mean([psnr(to_pil(one), to_pil(other)) for one, other in zip(made, photo)]))}

    def _sample(self, lr: Tensor, micro: Micro, index: int, settings: Settings) -> Tensor:
        tokens, ids = self.pipeline.tokenizers, torch.from_numpy(micro.ids[index].astype(np.int64))
        maps = dict(zip(MAPS, map(to_pil, tokens.reconstruct(ids))))
        *_, last = self.pipeline.stream(lr, {"text": micro.captions[index], **maps}, settings)
        return to_tensor(last.picture)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--parts", type=Path, required=True, help="the first checkpoint, or an earlier result")
    parser.add_argument("--data", type=Path, required=True, help="folder of shards, made by stage prepare-sd2")
    parser.add_argument("--val", type=Path, help="folder of shards of held-out photos")
    parser.add_argument("--save", type=Path, help="folder for the trained pipeline")
    for spec in fields(Sd2Config):
        flag, default = f"--{spec.name.replace('_', '-')}", spec.default
        about = {"default": default, "help": f"{spec.metadata['help']} (%(default)s; {spec.metadata['source']})"}
        about |= {"choices": spec.metadata["choices"]} if spec.metadata["choices"] else {}
        if isinstance(default, bool):
            parser.add_argument(flag, action=BooleanOptionalAction, **about)
        else:
            parser.add_argument(flag, type=Path if isinstance(default, Path) else type(default), **about)


def main(args: Namespace) -> None:
    config = Sd2Config(**{spec.name: getattr(args, spec.name) for spec in fields(Sd2Config)})
    pipeline = MMSRPipeline.from_pretrained(args.parts, dtype=torch.float32)
    if config.checkpointing:
        pipeline.unet.enable_gradient_checkpointing()
    run = Run(Denoiser(pipeline).train(), config)
    rank, world, device = run.accelerator.process_index, run.accelerator.num_processes, run.accelerator.device
    for frozen in (pipeline.codec, pipeline.vq, pipeline.text_encoder):
        frozen.to(device).eval().requires_grad_(False)
    loss, held_out = EpsilonLoss(pipeline, config, rank, device), None
    if args.val is not None:
        held_out = HeldOut(pipeline, loss, Micros(ShardSet.open(args.val), config, rank, world))
    micros = Micros(ShardSet.open(args.data), config, rank, world)
    run.fit(loss, micros.loader(run.step * config.accumulate), held_out)
    state = run.finish()
    if args.save is not None and rank == 0:
        save(args.parts, state, args.save)


def save(parts: Path, state: Mapping[str, Tensor], out: Path) -> None:
    """The pipeline of `parts` with trained weights, marked as trained; its card carries the licence of `parts`."""
    pipeline = MMSRPipeline.from_pretrained(parts, dtype=torch.float32)
    Denoiser(pipeline).load_state_dict(state)
    pipeline.connector.register_to_config(trained=True)
    pipeline.save_pretrained(out)
    model_card(pipeline, out.name, licence_of(parts, "other")).save(out / CARD)
