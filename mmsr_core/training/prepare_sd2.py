"""Stage `prepare-sd2`: windows of large photo collections with their modalities, computed once.

    torchrun --nproc-per-node 8 -m mmsr_core.training prepare-sd2 --data LSDIR DIV2K --weights FIRST --out DATA

Every process takes each WORLD_SIZE-th unit of the sources, on as many machines as share the folder OUT. The units are
written down by whoever comes first, so that a changed source cannot shift them. A unit is one shard: a process that was
killed makes its unfinished shard again and skips finished ones, so nothing is lost and nothing is there twice. Pictures
that cannot be read or are too small are listed (`refused.json`), not fatal.

Each window's maps are read twice, from the window itself and from a degraded version at a quarter of its side, as they
will be at run time. The paper does not say which it used; using both is our choice.
"""

from __future__ import annotations

import io
import json
import os
import time
import zlib
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import VQModel
from PIL import Image, ImageOps
from torch import Generator

from mmsr_core.images import to_pil, to_tensor
from mmsr_core.memory import pick_device
from mmsr_core.modalities import MODALITIES, Unavailable
from mmsr_core.modalities.palette import named
from mmsr_core.modalities.readers import Access, Readers, chosen
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.presets import PRESETS
from mmsr_core.team import Team
from mmsr_core.tokens import map_ids, render_map
from mmsr_core.training.degradation import Degradation
from mmsr_core.training.shards import ShardSet, ShardWriter, shard_names
from mmsr_core.training.sources import Source, source

ROWS = tuple(row for row in MODALITIES if row.kind == "map")


@dataclass(frozen=True)
class Windows:
    """Makes the samples of one photo.

    Attributes:
        ways: modality -> extractor.
        side: of a window, in pixels.
        most: windows a photo, fewer of smaller ones.
        access: which extractors may send photos away.
    """

    readers: Readers
    ways: dict[str, str]
    vq: VQModel
    side: int
    most: int
    seed: int
    degradation: Degradation
    access: Access = Access()

    def add(self, writer: ShardWriter, key: str, name: str, content: bytes) -> None:
        """Reads a photo and adds its windows to a shard, or lists why not."""
        try:
            photo = opened(content)
        except Exception as error:  # a decoder may raise anything on a broken file
            writer.refuse(name, f"unreadable: {type(error).__name__}")
            return
        if min(photo.size) < self.side:
            writer.refuse(name, f"{photo.width} x {photo.height} px, less than {self.side}")
            return
        rng = np.random.default_rng((self.seed, zlib.crc32(name.encode())))
        generator = Generator().manual_seed(int(rng.integers(2**62)))
        boxes = self.places(photo.size, rng)
        pictures = [photo.crop((x, y, x + self.side, y + self.side)) for x, y in boxes]
        captions = self.read("text", pictures)
        ids = self.ids(pictures, [self.degraded(picture, generator) for picture in pictures])
        for number, (picture, caption) in enumerate(zip(pictures, captions)):
            about = {"caption": caption, "photo": name, "place": [*boxes[number], self.side]}
            writer.add(f"{key}-{number}", picture, ids[number], about)

    def places(self, size: tuple[int, int], rng: np.random.Generator) -> list[tuple[int, int]]:
        """Top-left corners of the windows: as many as fit side by side, at most `most`."""
        count = min(max(size[0] * size[1] // self.side**2, 1), self.most)
        corners = rng.integers(0, [size[0] - self.side + 1, size[1] - self.side + 1], (count, 2))
        return [(int(x), int(y)) for x, y in corners]

    def degraded(self, picture: Image.Image, generator: Generator) -> Image.Image:
        return to_pil(self.degradation(to_tensor(picture), generator))

    def read(self, name: str, pictures: Sequence[Image.Image]) -> list:
        """One modality of several pictures, at once where its extractor can."""
        way = self.ways[name]
        try:
            return self._read(name, way, pictures)
        except Unavailable:  # a service that does not answer must not end a run of days
            instead = next(row for row in MODALITIES if row.name == name).extractors[way].instead
            if instead is None:
                raise
            return self._read(name, instead, pictures)

    def _read(self, name: str, way: str, pictures: Sequence[Image.Image]) -> list:
        extractor = self.readers.extractor(name, way, self.access)
        return extractor.many(pictures) if hasattr(extractor, "many") else [extractor(one) for one in pictures]

    def ids(self, *sources: Sequence[Image.Image]) -> np.ndarray:
        """Lists of n pictures -> map ids (n, sources, maps, tokens) uint16."""
        found = []
        for pictures in sources:
            maps = {row.name: self.read(row.name, pictures) for row in ROWS}
            for i in range(len(pictures)):
                found += [render_map(row, maps[row.name][i], None, self.vq.config.sample_size) for row in ROWS]
        batch = torch.from_numpy(np.stack([np.asarray(one) for one in found])).permute(0, 3, 1, 2)
        ids = map_ids(self.vq, batch).reshape(len(sources), len(sources[0]), len(ROWS), -1)
        return ids.transpose(0, 1).cpu().numpy().astype(np.uint16)


def opened(content: bytes) -> Image.Image:
    """A file's picture, upright, as RGB. Raises whatever its decoder does."""
    with Image.open(io.BytesIO(content)) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def planned(sources: dict[str, Source], out: Path, owner: int) -> list[tuple[str, list[str]]]:
    """(source, unit) of every shard, as they were when the first process came.

    Raises:
        ValueError: `out` was begun with other sources, or there is nothing to do.
    """
    path = out / "plan.json"
    if not path.exists():
        units = [(name, unit) for name, one in sources.items() for unit in one.units()]
        partial = path.with_suffix(f".{owner}.partial")
        partial.write_text(json.dumps(units))
        with suppress(FileExistsError):
            os.link(partial, path)  # unlike a rename, never replaces another process's plan
        partial.unlink()
    units = [(name, unit) for name, unit in json.loads(path.read_text())]
    if not units or {name for name, _ in units} - set(sources):
        raise ValueError(f"data: got {', '.join(sources)}, wanted what {out.name} was begun with, with photos in it")
    return units


def fill(make: Windows, sources: dict[str, Source], out: Path, team: Team) -> None:
    """Writes this process's missing shards."""
    units = planned(sources, out, team.rank)
    for number in team.share(range(len(units))):
        if (out / shard_names(number)[1]).exists():
            continue
        name, unit = units[number]
        begin, writer = time.monotonic(), ShardWriter(out, number, team.rank)
        for position, (photo, content) in enumerate(sources[name].photos(unit)):
            make.add(writer, f"{number:05d}-{position:05d}", photo, content)
        writer.finish()
        rate = len(writer.samples) / (time.monotonic() - begin)
        print(f"shard {number} of {len(units)}: {len(writer.samples)} windows, {rate:.2f}/s, "
              f"{len(writer.refused)} photos refused", flush=True)  # fmt: skip
    if all((out / shard_names(number)[1]).exists() for number in range(len(units))):
        (out / "refused.json").write_text(json.dumps(ShardSet.open(out).refused, indent=1))


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--data", nargs="+", required=True, help="folders, tar files or hf:owner/name[:split]")
    parser.add_argument("--weights", type=Path, required=True, help="the first checkpoint, made by weights build")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards, shared by all processes")
    parser.add_argument("--extractor", action="append", default=[], metavar="MODALITY=NAME", help="may be repeated")
    text = "this extractor may send the photos to its service; may be repeated"
    parser.add_argument("--consent", action="append", default=[], metavar="NAME", help=text)
    parser.add_argument("--side", type=int, default=512, help="of a window, in pixels (ours: SD 2.1-base's own)")
    parser.add_argument("--most", type=int, default=4, help="windows a photo (ours)")
    parser.add_argument("--unit", type=int, default=256, help="photos a shard, of folders")
    parser.add_argument("--strength", type=float, default=1.0, help="of the degradation; 1 is Real-ESRGAN's (paper)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", help="of the extractors; each process of a machine takes a GPU by itself")


def main(args: Namespace) -> None:
    team = Team.here()
    device = pick_device(team.device(args.device))
    config = MMSRPipeline.load_config(args.weights)
    readers = Readers(args.weights, device, palette=named(config.get("palette", "mmsr")))
    ways = chosen(None, dict(pair.split("=", 1) for pair in args.extractor), PRESETS["sd2"].extractors)
    vq = VQModel.from_pretrained(args.weights / "vq", dtype=torch.float32).to(device).eval()
    args.out.mkdir(parents=True, exist_ok=True)
    sources = {text: source(text, args.unit) for text in args.data}
    access = Access(dict.fromkeys(args.consent))
    make = Windows(readers, ways, vq, args.side, args.most, args.seed, Degradation(args.strength), access)
    fill(make, sources, args.out, team)
