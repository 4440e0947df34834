"""The method, from modalities to pixels.

lr (1,3,h,w) ──codec.condition──────────────────────────> condition (1,C,h',w') ─┐ concat, per tile
modalities ──tokenise──> {name: (1,N,D)} ──branches──> ± ──connector──> (2,128,D)│ cross-attention
noise z (1,c,h',w') ──────────────────────────────────────────────> U-Net ──> prediction⁺, prediction⁻
                         (1+w)·⁺ − w·⁻ ──fuse tiles──> scheduler ──> z ... ──codec.decode──> picture
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DiffusionPipeline, SchedulerMixin, UNet2DConditionModel, VQModel
from PIL import Image
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizerFast

from mmsr_core import edits, guidance, tiling
from mmsr_core.attention import ContextAttention
from mmsr_core.bands import order, split
from mmsr_core.branching import branched
from mmsr_core.canvas import Canvas, Easel
from mmsr_core.card import CARD, model_card, publish
from mmsr_core.codec import PatchCodec, VaeCodec
from mmsr_core.connector import LatentConnector, Tempering
from mmsr_core.latents import Latents
from mmsr_core.memory import tiles_at_once
from mmsr_core.modalities.given import Modalities, as_read, now
from mmsr_core.precision import bf16_pays
from mmsr_core.settings import SCALE, Settings
from mmsr_core.tiling import Tile
from mmsr_core.tokens import Box, Tokenizers


@dataclass
class Event:
    """A group of tiles was denoised by one step; `done` are so many, over all steps, of `steps` times `tiles`."""

    done: int
    steps: int
    tiles: int
    _picture: Callable[[], Image.Image] | None = field(default=None, repr=False)

    @property
    def step(self) -> int:
        """Whole steps' worth of work that is done."""
        return self.done // self.tiles

    @property
    def tile(self) -> int:
        """Tiles beyond that; all of them where it comes out even."""
        return (self.done - 1) % self.tiles + 1

    @property
    def picture(self) -> Image.Image | None:
        """The expected final picture as of now, decoded on demand; None where it did not change.

        It changes with every denoising step; a large picture's, which is denoised from the top down, band by band.
        """
        return None if self._picture is None else self._picture()


CACHED = 64  # tiles whose keys and values are kept: at sd2's size 21 MB each (42 with edits), whatever the tile's side


@dataclass
class Branches:
    """Both contexts of some tiles and the keys and values made from them."""

    context: Tensor  # (tiles or twice as many, 128, D): the positive ones, then the negative ones where they count
    edited: Tensor | None  # (tiles, 1, h, w): where maps were edited; the context is then 256 long, see `edits`
    gains: Tensor | None  # (as many, gains, h, w), what the connector reads in them; None where it reads nothing
    cache: dict | None  # None makes keys and values anew in each call

    @classmethod
    def joined(cls, parts: list[Branches], cached: bool) -> Branches:
        """Several tiles' as one."""

        def all_of(*values: Tensor) -> Tensor:
            return torch.cat([row for branch in zip(*(value.split(1) for value in values)) for row in branch])

        gains = None if parts[0].gains is None else all_of(*(part.gains for part in parts))
        edited = None if parts[0].edited is None else all_of(*(part.edited for part in parts))
        return cls(all_of(*(part.context for part in parts)), edited, gains, {} if cached else None)


class MMSRPipeline(DiffusionPipeline):
    """Frozen parts, connector, U-Net, codec and schedule of one preset.

    Load with `MMSRPipeline.from_pretrained(folder)`. `places` says whether the U-Net's queries carry a position code
    (`mini`) or not (`sd2`, whose U-Net was trained without).
    """

    def __init__(
        self,
        codec: PatchCodec | VaeCodec,
        unet: UNet2DConditionModel,
        connector: LatentConnector,
        scheduler: SchedulerMixin,
        vq: VQModel,
        tokenizer: CLIPTokenizerFast,
        text_encoder: CLIPTextModel,
        places: bool = True,
        palette: str = "mmsr",
    ) -> None:
        super().__init__()
        self.register_modules(
            codec=codec, unet=unet, connector=connector, scheduler=scheduler,
            vq=vq, tokenizer=tokenizer, text_encoder=text_encoder,
        )  # fmt: skip
        self.register_to_config(places=places, palette=palette)
        self.unet.set_attn_processor(ContextAttention())
        for network in (unet, codec):  # on a CPU in bf16 the base upscaler takes 0.4 of its time, the U-Net 0.9
            network.to(memory_format=torch.channels_last)
        self._easel, self.tokenizers = Easel(), Tokenizers(vq, tokenizer, text_encoder)

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **options: Any) -> None:
        """diffusers' own, with a model card beside the weights where there is none. `options`: its or `publish`'s."""
        sent = {name: options.pop(name) for name in ("private", "token", "message") if name in options}
        repo = options.pop("repo_id", Path(save_directory).name)
        super().save_pretrained(save_directory, **options)
        folder = Path(save_directory)
        if not (folder / CARD).exists():
            model_card(self, folder.name).save(folder / CARD)
        if push_to_hub:
            publish(folder, repo, **sent)

    def push_to_hub(self, repo_id: str, private: bool | None = None, token: str | None = None, **options: Any) -> str:
        """Sends the weights and their card to the hub; returns the address."""
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) / repo_id.split("/")[-1]
            self.save_pretrained(folder, **options)
            return publish(folder, repo_id, private, token)

    @property
    def multiple(self) -> int:
        """The sides of the latent grid must be multiples of this."""
        return 2 ** (len(self.unet.config.block_out_channels) - 1)

    def padded(self, lr: Tensor) -> Tensor:
        """lr (1, 3, h, w) -> the same with its right and bottom mirrored until the latent grid fits the U-Net."""
        unit = max(self.multiple * self.codec.factor // SCALE, 1)
        right, bottom = -lr.shape[-1] % unit, -lr.shape[-2] % unit
        mode = "reflect" if right < lr.shape[-1] and bottom < lr.shape[-2] else "replicate"
        return F.pad(lr, (0, right, 0, bottom), mode=mode)

    def tiles(self, size: tuple[int, int], settings: Settings) -> list[Tile]:
        """Tiles of the latent grid for an LR picture of (width, height) pixels."""
        unit = self.multiple
        width, height = (-(-side * SCALE // (unit * self.codec.factor)) * unit for side in size)
        side = max(settings.tile // (unit * self.codec.factor), 1) * unit
        return tiling.plan(width, height, side, settings.overlap)

    def canvas(self, lr: Tensor, settings: Settings) -> Canvas:
        """What the codec makes of an LR picture (1, 3, h, w)."""
        size = (lr.shape[-1], lr.shape[-2])
        return self._easel.canvas(self.codec, self.padded(lr.to(self.device)), size, settings.tile, self.precision)

    @torch.no_grad()
    def contexts(self, modalities: Modalities, tile: Tile, size: tuple[int, int], settings: Settings) -> Branches:
        """Modalities, as seen in one tile of an LR picture of `size` pixels, through the connector; both branches."""
        cells = SCALE / self.codec.factor  # latent cells an LR pixel
        box = tile.box(size[0] * cells, size[1] * cells)
        modalities = _acting(modalities, settings)
        context = self._context(now(modalities), box, settings)
        gains, edited = self.connector.read(context), edits.where(modalities, box, self.tokenizers.map_side)
        if edited is not None:
            before, edited = self._context(as_read(modalities), box, settings), edited.to(context)
            edited = edited * settings.edit_strength
            gains = None if gains is None else edits.kept_inside(gains, self.connector.read(before), edited)
            context = torch.cat([context, before], 1)
            edited = F.interpolate(edited, (tile.height, tile.width), mode="bilinear", antialias=True)
        return Branches(context, edited, gains, {})

    def _context(self, modalities: Modalities, box: Box, settings: Settings) -> Tensor:
        """For the part of the picture inside `box`: (2, 128, D), or (1, 128, D) where one branch says it all."""
        given = self._tokens(modalities, settings, box)
        seen = guidance.branches(settings.guidance, given, self.tokenizers.text(settings.negative))
        seen = seen[: guidance.count(settings.guidance, given, settings.weight)]
        tokens = torch.cat([self.connector.tokens(branch) for branch in seen])  # (2, 845, D)
        texts = [self.connector.bypassed(branch.get(guidance.TEXT)) for branch in seen]
        text = None if texts[0] is None else torch.cat(texts)  # (2, 77, D) where the text bypasses the connector
        return self.connector(tokens, self._tempering(seen, settings), text)

    def _tempering(self, seen: Sequence[Mapping[str, Tensor]], settings: Settings) -> Tempering | None:
        """Of each branch: a null token has no temperature, as what is off cannot be heard more or less."""
        names = self.connector.specs
        rows = [[settings.temperature_of(name) if name in branch else 1.0 for name in names] for branch in seen]
        alike = all(row == rows[0] for row in rows)  # then plain numbers, of which 1 is exactly no temperature
        delta = dict(zip(names, rows[0] if alike else torch.tensor(rows).T))
        return self.connector.tempering(delta, settings.temperature_form)

    @torch.no_grad()
    def attention(self, modalities: Modalities, settings: Settings) -> dict[str, float]:
        """How much each modality is heard in the positive branch, over the whole picture; shares that sum to one."""
        seen = self._tokens(now(_acting(modalities, settings)), settings)
        return self.connector.attention_mass(self.connector.tokens(seen), self._tempering([seen], settings))

    def _tokens(self, modalities: Modalities, settings: Settings, box: Box | None = None) -> dict[str, Tensor]:
        """Of the positive branch: the caption carries the quality words."""
        worded = dict(modalities)
        if guidance.TEXT in worded:
            worded[guidance.TEXT] = self.tokenizers.prompt(worded[guidance.TEXT], settings.positive)
        return self.tokenizers.tokenise(worded, box)

    @torch.no_grad()
    def predict(self, z: Tensor, time: Tensor, condition: Tensor, branches: Branches, weight: float) -> Tensor:
        """One guided U-Net call for n tiles: z (n, c, h, w), condition (n, C, h, w) -> prediction (n, c, h, w)."""
        painted = z[:, : self.codec.painted_channels]
        given, context = (t.to(self.unet.dtype) for t in (torch.cat([painted, condition], 1), branches.context))
        attention = {"cache": branches.cache, **self.hearing(z.shape[-2:])}
        if branches.edited is not None:
            attention["edited"] = branches.edited.repeat(len(context) // len(z), 1, 1, 1)
        with self.precision():
            out = branched(self.unet, given, time, context, attention).float()
        if branches.gains is not None:
            out = self.codec.gaining(out, branches.gains.float())
        return out if len(out) == len(z) else guidance.combine(*out.chunk(2), weight)

    def hearing(self, grid: tuple[int, int]) -> dict[str, object]:
        """What the U-Net's attention needs besides the context, on a latent grid of (height, width)."""
        return {"grid": grid if self.config.places else None, "gate": self.connector.gate}

    @property
    def compute_dtype(self) -> torch.dtype:
        """What the U-Net computes in: bf16 where the device is fast at it, else the weights' own precision."""
        return torch.bfloat16 if bf16_pays(self.device.type) else self.unet.dtype

    def precision(self) -> torch.autocast:
        """The context of a U-Net call."""
        kind, dtype = self.device.type, self.compute_dtype
        return torch.autocast(kind, dtype, enabled=dtype != self.unet.dtype)

    @torch.no_grad()
    def stream(self, lr: Tensor, modalities: Modalities, settings: Settings) -> Iterator[Event]:
        """Denoises, yielding after every tile of every step; the last step's `picture` is the result.

        Closing the generator stops it. lr (1, 3, h, w) in [-1, 1] on any device; `settings.seed` must be set.

        Raises:
            FloatingPointError: the latents are no longer finite.
        """
        size, canvas = (lr.shape[-1], lr.shape[-2]), self.canvas(lr, settings)
        tiles = self.tiles(size, settings)
        bands = split(tiles, apart=canvas.large)
        latents = Latents(canvas, self.scheduler, bands, settings)
        branches: dict[tuple[Tile, ...], Branches] = {}
        done = 0
        for step, number in order(bands, settings.steps):
            latents.open(step, number)
            groups = tiling.groups(bands[number].tiles, tiles_at_once(self.device.type))
            for group in groups:
                if group not in branches:
                    parts = [self.contexts(modalities, tile, size, settings) for tile in group]
                    branches[group] = Branches.joined(parts, len(tiles) <= CACHED)
                time, z, condition = latents.cut(step, group)  # (n, c, tile, tile), (n, C, tile, tile)
                latents.add(step, group, self.predict(z, time, condition, branches[group], settings.weight))
                done += len(group)
                if group is not groups[-1]:
                    yield Event(done, settings.steps, len(tiles))
            if step + 1 == settings.steps:
                branches = {group: heard for group, heard in branches.items() if group not in groups}
            yield Event(done, settings.steps, len(tiles), latents.close(step, number))


def _acting(modalities: Modalities, settings: Settings) -> Modalities:
    """What can act: no map that the guidance is deaf to, and where edits have no strength the maps before them."""
    heard, _ = guidance.branches(settings.guidance, modalities, "")
    return as_read(heard) if settings.edit_strength == 0 else heard
