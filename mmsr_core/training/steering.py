"""Stage `steering`: the connector and its reader alone, from tokens to gains, before the U-Net joins.

No picture is needed for it: what a map, a temperature or a word is to do is known from the tokens (`dials.py`). So a
step costs a fraction of one of the diffusion stage, which then starts from a connector that says something.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mmsr_core.codec import BANDS
from mmsr_core.connector import READ, LatentConnector
from mmsr_core.fresh import build_connector
from mmsr_core.tokens import Tokenizers
from mmsr_core.training.cache import TokenStore
from mmsr_core.training.data import PhotoStore, random_source
from mmsr_core.training.dials import MAPS, Dials, Steering
from mmsr_core.training.loop import CHECKPOINT, TrainConfig, fit
from mmsr_core.training.priming import prime
from mmsr_core.training.prompts import worded

PRIMED = 120  # photos whose maps prime a fresh connector
SOLVED, RIDGE = 24, 1e-5  # batches for the closed form of the reader's last layer, and what keeps it tame
FAR = 10**9  # their first step: training does not get there
LR = 6e-5  # 5e-4 destroys what the closed form has found
QUIET = 0.02  # mean square of gains below which a picture counts less
SUBTLE, EDITS = 0.004, 0.5  # the same for what an edit changes, and the weight of that part of the loss


def add_arguments(parser: ArgumentParser) -> None:
    TrainConfig.add_arguments(parser, out=Path("runs/steering"), lr=LR, batch=16)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--parts", type=Path, required=True, help="folder with vq/, tokenizer/, text_encoder/")
    parser.add_argument("--init", type=Path, help="a saved connector as the start")
    parser.add_argument("--latents", type=int, default=128, help="0 trains the ablation without the connector")
    parser.add_argument("--save", type=Path, help="folder for the trained connector")


@dataclass(frozen=True)
class Batch:
    """Pictures, and then the same with an edited map."""

    text: Tensor  # (B, 77) ids
    given: Steering
    gains: Tensor  # (B, 2, READ, READ)


@dataclass(frozen=True)
class Batches:
    """Makes a batch from (step, rank, device)."""

    captions: list[str]
    tokens: Tokenizers
    tokens_of: TokenStore  # map ids of the photos' windows
    dials: Dials
    args: Namespace

    def __call__(self, step: int, rank: int, device: torch.device) -> Batch:
        rng, _ = random_source(self.args.seed, step, rank, device)
        photos, windows, sources = self.tokens_of.ids.shape[:3]
        count = self.args.batch // 2
        index = rng.integers(photos, size=count)
        ids = self.tokens_of.ids[index, rng.integers(windows, size=count), rng.integers(sources, size=count)]
        own = torch.from_numpy(ids.astype(np.int64))
        given = self.dials.draw(own, rng)
        text = worded(self.tokens, [self.captions[i] for i in index], given.soft.tolist(), rng).repeat(2, 1)
        given = given.beside(self.dials.edited(given, own, rng))
        return Batch(text.to(device), given.to(device), given.gains((READ, READ)).to(device))


def hear(connector: LatentConnector, tokens: Mapping[str, Tensor], given: Steering) -> Tensor:
    """tokens {name: (B, N, D)} in token order -> context (B, 128, D), with dropped modalities and temperatures.

    A null token has none: what is not there cannot be heard more or less (`MMSRPipeline` has the same rule).
    """
    parts = [connector.dropped(value, name, rows) for (name, value), rows in zip(tokens.items(), given.drop.T)]
    tempering = connector.tempering(dict(zip(tokens, given.delta.masked_fill(given.drop, 1.0).T)), given.form)
    return connector(connector.token_norm(torch.cat(parts, 1)), tempering)


def heard_tokens(tokens: Tokenizers, text: Tensor, given: Steering) -> dict[str, Tensor]:
    """What the connector gets: {name: (B, N, D)} in token order."""
    found = {"text": tokens.text_states(text)}
    return found | {name: tokens.map_codes(given.ids[:, index]) for index, (_, name) in enumerate(MAPS)}


class Reading(nn.Module):
    """Connector and reader, as one module for the optimiser."""

    def __init__(self, connector: LatentConnector) -> None:
        super().__init__()
        self.connector = connector

    def forward(self, tokens: Mapping[str, Tensor], given: Steering) -> Tensor:
        """-> gains (B, 2, READ, READ)."""
        return self.connector.read(hear(self.connector, tokens, given))


@dataclass
class SteeringLoss:
    """Squared error of the gains, of each picture as a share of what there was to hear, so that what a map does at
    neutral counts beside what it does at its loudest; and in the same way of what an edit changes, which is to be where
    the edit is. `missed` is the share over the whole batch."""

    tokens: Tokenizers

    def __call__(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        with torch.no_grad():
            tokens = heard_tokens(self.tokens, batch.text, batch.given)
        read = model(tokens, batch.given).float()
        error, spread = (value.square().mean((2, 3)) for value in (read - batch.gains, batch.gains))  # (B, 2)
        moved, wanted = (after - before for before, after in (read.chunk(2), batch.gains.chunk(2)))
        lost, change = (value.square().mean((2, 3))[:, 0] for value in (moved - wanted, wanted))  # (B / 2,), fine
        fine, coarse = error.mean(0) / (spread.mean(0) + 1e-4)
        share, edits = (error / (spread + QUIET)).mean(), lost.mean() / (change.mean() + 1e-4)
        loss = share + EDITS * (lost / (change + SUBTLE)).mean()
        return {"loss": loss, "share": share, "missed fine": fine, "missed coarse": coarse, "missed edits": edits}


def start(args: Namespace, batches: Batches) -> LatentConnector:
    """The connector to train: from `--init`, or fresh, primed and with its last layer solved; on the CPU."""
    if args.init is not None:
        return LatentConnector.from_pretrained(args.init, dtype=torch.float32)
    torch.manual_seed(args.seed)
    connector = build_connector(batches.tokens, latents=args.latents, loud=args.latents > 0, gains=len(BANDS))
    if (args.out / CHECKPOINT).exists():  # which has the weights
        return connector
    if args.latents > 0:
        prime(connector, batches.dials, torch.from_numpy(batches.tokens_of.ids[:PRIMED, 0, 0].astype(np.int64)))
    drawn = [batches(step, 0, torch.device("cpu")) for step in range(FAR, FAR + SOLVED)]
    solve(connector, batches.tokens, drawn)
    return connector


@torch.no_grad()
def solve(connector: LatentConnector, tokens: Tokenizers, batches: Sequence[Batch]) -> None:
    """Sets the reader's last, linear layer in closed form: ridge regression over some batches, weighted as the loss."""
    width = connector.config.width + 1
    gram, cross = torch.zeros(len(BANDS), width, width).double(), torch.zeros(len(BANDS), width).double()
    for batch in batches:
        context = hear(connector, heard_tokens(tokens, batch.text, batch.given), batch.given)
        heard = F.pad(connector.around(context), (0, 1), value=1.0).double()  # (B, places, width)
        gains = rearrange(batch.gains, "b g h w -> b g (h w)").double()
        weight = 1 / (gains.square().mean(2) + QUIET)  # (B, bands)
        gram += torch.einsum("bg,bpv,bpw->gvw", weight, heard, heard)
        cross += torch.einsum("bg,bpv,bgp->gv", weight, heard, gains)
    gram += RIDGE * gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(width)
    found = torch.linalg.solve(gram, cross).float()
    connector.gain.weight.copy_(found[:, :-1])
    connector.gain.bias.copy_(found[:, -1])


def main(args: Namespace) -> None:
    config = TrainConfig.from_arguments(args)
    store, cached = PhotoStore.open(args.cache, "train"), TokenStore.open(args.cache, "train")
    drawing = Tokenizers.load(args.parts, "cpu")
    batches = Batches(store.captions, drawing, cached, Dials(drawing), args)
    loss = SteeringLoss(Tokenizers.load(args.parts, "cuda" if torch.cuda.is_available() else "cpu"))
    connector = start(args, batches)
    fit(Reading(connector), loss, batches, config)
    if args.save is not None:
        connector.save_pretrained(args.save)
