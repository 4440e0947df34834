"""Stage `vq`: trains the tokeniser of the maps, then measures and saves it as a `diffusers.VQModel`."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import VQModel
from diffusers.models.resnet import ResnetBlock2D
from einops import rearrange
from PIL import Image
from torch import Tensor, nn

from mmsr_core.modalities.edge import CannyEdges
from mmsr_core.modalities.palette import COLORS
from mmsr_core.tokens import map_row, render_map
from mmsr_core.training.codebook import LiveCodebook
from mmsr_core.training.data import PhotoStore
from mmsr_core.training.loop import TrainConfig, fit
from mmsr_core.training.map_batches import KINDS, MapBatch, MapBatches

CODES, WIDTH = 1024, 256  # paper, section 3.2
SIDE = 128  # pixels of a map; 16 x 16 tokens, so one code describes 8 x 8 pixels
CHANNELS = (16, 32, 64, 128)  # small: the encoder runs on a CPU at run time
GROUPS = 2  # of the normalisations: with few channels in a group the colour of an even field would be normalised away
COMMITMENT = 0.25
LINE_WEIGHT = 2.0  # pixels on a line against pixels beside it; more makes them fat
CLASS_SHARPNESS = 6.0  # of the class probabilities read from a reconstructed colour
CLASS_WEIGHT = 0.25


class MapAutoencoder(nn.Module):
    """A `VQModel` whose quantiser is a `LiveCodebook` while it learns."""

    def __init__(self, channels: tuple[int, ...] = CHANNELS, codes: int = CODES, width: int = WIDTH, side: int = SIDE):
        super().__init__()
        levels = len(channels)
        self.vq = VQModel(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=channels,
            latent_channels=width,
            sample_size=side,
            num_vq_embeddings=codes,
            vq_embed_dim=width,
            norm_num_groups=GROUPS,
            mid_block_add_attention=False,
        )
        self.vq.apply(passing_signal)
        self.vq.quantize.requires_grad_(False)
        self.codebook = LiveCodebook(codes, width)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """maps (B, 3, H, W) in [-1, 1] -> (reconstruction, commitment loss, ids (B, N))."""
        latents = self.vq.encode(maps).latents
        batch, _, height, width = latents.shape
        flat, commitment, ids = self.codebook(rearrange(latents, "b d h w -> (b h w) d"))
        codes = rearrange(flat, "(b h w) d -> b d h w", b=batch, h=height, w=width)
        return self.vq.decode(codes, force_not_quantize=True).sample, commitment, ids.view(batch, -1)

    @torch.no_grad()
    def export(self, folder: Path) -> None:
        """Saves the `VQModel` in fp16, with codes scaled to unit mean square: same pictures, handier tokens."""
        vq = VQModel.from_config(self.vq.config)
        vq.load_state_dict(self.vq.state_dict())
        scale = self.codebook.codes.square().mean().rsqrt()
        vq.quantize.embedding.weight.copy_(self.codebook.codes * scale)
        vq.quant_conv.weight.mul_(scale)
        vq.quant_conv.bias.mul_(scale)
        vq.post_quant_conv.weight.div_(scale)
        vq.half().save_pretrained(folder)


def passing_signal(module: nn.Module) -> None:
    """Start weights that keep a signal in size, residual branches at zero: the default ones shrink it at each layer."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
        nn.init.zeros_(module.bias)
    if isinstance(module, ResnetBlock2D):  # comes after its own convolutions
        nn.init.zeros_(module.conv2.weight)


def map_loss(model: nn.Module, batch: MapBatch) -> dict[str, Tensor]:
    """L1, plus slopes for depth, class probabilities for segmentation and weighted lines for edges."""
    found, commitment, ids = model(batch.maps)
    parts = {kind: (found[batch.kinds == i], batch.maps[batch.kinds == i]) for i, kind in enumerate(KINDS)}
    values = {
        "depth": depth_loss(*parts["depth"]),
        "segmentation": segmentation_loss(*parts["segmentation"]),
        "edge": edge_loss(*parts["edge"]),
    }
    loss = sum(values.values()) + COMMITMENT * commitment
    return {"loss": loss, "commitment": commitment, "codes": ids.unique().numel() * loss.new_ones(()), **values}


def depth_loss(found: Tensor, wanted: Tensor) -> Tensor:
    slopes = (F.l1_loss(found.diff(dim=axis), wanted.diff(dim=axis)) for axis in (-1, -2))
    return 2 * F.l1_loss(found, wanted) + 2 * sum(slopes)


def segmentation_loss(found: Tensor, wanted: Tensor) -> Tensor:
    palette = torch.from_numpy(COLORS).to(found) / 255 * 2 - 1
    logits = -CLASS_SHARPNESS * torch.cdist(rearrange(found, "b c h w -> b (h w) c"), palette[None]).square()
    classes = torch.cdist(rearrange(wanted, "b c h w -> b (h w) c"), palette[None]).argmin(-1)
    return F.l1_loss(found, wanted) + CLASS_WEIGHT * F.cross_entropy(logits.flatten(0, 1), classes.flatten())


def edge_loss(found: Tensor, wanted: Tensor) -> Tensor:
    weight = 1 + LINE_WEIGHT * (wanted * 0.5 + 0.5)
    difference = found - wanted
    return (weight * (difference.abs() + difference.square())).mean() * 0.5


def held_out_maps(store: PhotoStore, count: int) -> dict[str, Tensor]:
    """Rendered maps of the first `count` photos: kind -> (count, 3, SIDE, SIDE) uint8."""
    edges = CannyEdges()
    count = min(count, len(store))
    sources = {
        "depth": [Image.fromarray(np.asarray(store.depth[i])) for i in range(count)],
        "segmentation": [Image.fromarray(COLORS[store.segmentation[i]]) for i in range(count)],
        "edge": [edges(Image.fromarray(np.asarray(store.photos[i]))) for i in range(count)],
    }
    rendered = {k: [np.asarray(render_map(map_row(k), m, None, SIDE)) for m in maps] for k, maps in sources.items()}
    return {kind: torch.from_numpy(np.stack(maps)).permute(0, 3, 1, 2) for kind, maps in rendered.items()}


@torch.no_grad()
def measure(model: MapAutoencoder, maps: dict[str, Tensor]) -> dict[str, float]:
    """PSNR per kind in dB, class accuracy, recall and precision of lines (2 px tolerance), share of codes in use."""
    model.eval()
    values, seen = {}, []
    for kind, pictures in maps.items():
        wanted = torch.cat([chunk.float() / 255 * 2 - 1 for chunk in pictures.split(8)])
        results = [model(chunk) for chunk in wanted.split(8)]
        found = torch.cat([result[0] for result in results]).clamp(-1, 1)
        seen += [result[2].flatten() for result in results]
        error = (found - wanted).square().mean((1, 2, 3))
        values[f"psnr {kind}"] = float(10 * torch.log10(4 / error.clamp(min=1e-8)).mean())
        if kind == "segmentation":
            values["class accuracy"] = float((_classes(found) == _classes(wanted)).float().mean())
        if kind == "edge":
            values["line recall"], values["line precision"] = _overlap(wanted, found), _overlap(found, wanted)
    values["codes used"] = torch.cat(seen).unique().numel() / len(model.codebook.codes)
    model.train()
    return values


def _classes(maps: Tensor) -> Tensor:
    palette = torch.from_numpy(COLORS).to(maps) / 255 * 2 - 1
    return torch.stack([torch.cdist(rearrange(m, "c h w -> (h w) c"), palette).argmin(-1) for m in maps])


def _overlap(lines: Tensor, others: Tensor) -> float:
    """Share of the line pixels of one drawing that have a line of the other within 2 px."""
    near = F.max_pool2d((others[:, :1] > 0).float(), 5, stride=1, padding=2)
    mask = (lines[:, :1] > 0).float()
    return float((near * mask).sum() / mask.sum().clamp(min=1))


@torch.no_grad()
def sheet(model: MapAutoencoder, maps: dict[str, Tensor], path: Path, count: int = 10) -> None:
    """Maps over their reconstructions, one pair of rows for each kind."""
    model.eval()
    rows = []
    for pictures in maps.values():
        wanted = pictures[:count].float() / 255 * 2 - 1
        rows += [wanted, model(wanted)[0].clamp(-1, 1)]
    model.train()
    grid = torch.cat([rearrange(row, "b c h w -> c h (b w)") for row in rows], 1)
    Image.fromarray(((grid + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()).save(path)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="made by the prepare stage")
    TrainConfig.add_arguments(parser, batch=9, lr=4e-4, ema=0.99, sheet_minutes=4.0, checkpoint_minutes=4.0)


def main(args: Namespace) -> None:
    """Leaves `vq/` (the model), `metrics.json` and sheets in the run folder, renewed at every sheet."""
    config = TrainConfig.from_arguments(args)
    torch.manual_seed(config.seed)
    maps = held_out_maps(PhotoStore.open(args.cache, "val"), 62)

    def report(model: MapAutoencoder, path: Path) -> None:
        sheet(model, maps, path)
        values = measure(model, maps)
        (config.out / "metrics.json").write_text(json.dumps(values, indent=2))
        model.export(config.out / "vq")
        print(values, flush=True)

    batches = MapBatches(PhotoStore.open(args.cache, "train"), config.batch, config.seed, SIDE, SIDE // 2)
    model = fit(MapAutoencoder(), map_loss, batches, config, sheet=report)
    report(model, config.out / "sheet-final.png")
