"""Stage `tokens`: the map tokens of every training window, computed once.

For each photo a seeded window of every asked side; for each window the ids of its maps, from two sources: the labels
and edges of the photo itself, and what the extractors see in a degraded low-resolution version of it, as they will at
run time. Chunks of photos are independent files, so the work can be stopped, resumed and split over processes; the
cache can be used as soon as its first side is finished.
"""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from diffusers import VQModel
from PIL import Image
from torch import Generator

from mmsr_core.modalities import MODALITIES, Extractor
from mmsr_core.modalities.palette import render as render_classes
from mmsr_core.tokens import map_ids, render_map
from mmsr_core.training.data import PHOTO, PhotoStore, random_source
from mmsr_core.training.degradation import Degradation

ROWS = tuple(row for row in MODALITIES if row.kind == "map")
ALIGN = 4  # windows start on the low-resolution grid
SOURCES = ("photo", "low")  # order of the third axis of the ids

Maps = Mapping[str, Image.Image]


@dataclass(frozen=True)
class TokenStore:
    """ids (N, W, 2, 3, tokens) uint16: photo, window, SOURCES, map in table order; windows (N, W, 3): x, y, side."""

    ids: np.ndarray
    windows: np.ndarray

    @classmethod
    def open(cls, cache: Path, split: str) -> TokenStore:
        """Raises ValueError where the tokens stage has not run to its end."""
        folder = Path(cache) / split
        if not (folder / "ids.npy").exists():
            raise ValueError(f"map tokens: got none for {split}, wanted a cache that the tokens stage has finished")
        return cls(np.load(folder / "ids.npy", mmap_mode="r"), np.load(folder / "windows.npy"))


@dataclass(frozen=True)
class WindowTokens:
    """Makes the tokens of one chunk of photos."""

    store: PhotoStore
    vq: VQModel
    extractors: Mapping[str, Extractor]
    seed: int
    strength: float = 1.0

    def chunk(self, indices: range, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Photos -> ids (n, 2, 3, tokens) uint16 and windows (n, 3) int16 of `side` pixels."""
        rng, generator = random_source(self.seed, indices.start, side)
        corners = rng.integers(0, (PHOTO - side) // ALIGN + 1, size=(len(indices), 2)) * ALIGN
        windows = np.concatenate([corners, np.full((len(indices), 1), side)], 1).astype(np.int16)
        ids = [self._photo(i, *window, generator) for i, window in zip(indices, windows.tolist(), strict=True)]
        return np.stack(ids), windows

    def _photo(self, index: int, x: int, y: int, side: int, generator: Generator) -> np.ndarray:
        sources = (self._labels(index), self._seen(index, generator))
        box = (x / PHOTO, y / PHOTO, (x + side) / PHOTO, (y + side) / PHOTO)
        pixels = self.vq.config.sample_size
        pictures = [render_map(row, maps[row.name], box, pixels) for maps in sources for row in ROWS]
        batch = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2)
        ids = map_ids(self.vq, batch)
        return ids.reshape(len(sources), len(ROWS), -1).cpu().numpy().astype(np.uint16)

    def _labels(self, index: int) -> Maps:
        """The stored labels, and what the extractor sees in the photo itself where nothing is stored."""
        maps = {
            "depth": Image.fromarray(np.asarray(self.store.depth[index])),
            "segmentation": render_classes(self.store.segmentation[index]),
        }
        photo = Image.fromarray(np.asarray(self.store.photos[index]))
        return maps | {row.name: self.extractors[row.name](photo) for row in ROWS if row.name not in maps}

    def _seen(self, index: int, generator: Generator) -> Maps:
        """What the extractors see in a degraded version of the whole photo, a quarter of its side."""
        high = self.store.crops(np.array([index]), np.zeros((1, 2), int), PHOTO)
        low = Degradation(self.strength)(high, generator)[0].permute(1, 2, 0)
        image = Image.fromarray(((low + 1) / 2 * 255).round().byte().numpy())
        return {row.name: self.extractors[row.name](image) for row in ROWS}


def fill(make: WindowTokens, folder: Path, sides: Sequence[int], size: int, rank: int, world: int) -> None:
    """Writes this process's missing chunks, one side after the other, and joins the sides that are complete."""
    parts = folder / "tokens"
    parts.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(make.store), size)
    for position, side in enumerate(sides):
        done, begin = 0, time.monotonic()
        for number, start in enumerate(starts):
            path = parts / f"{side}-{number:05d}.npz"
            if number % world != rank or path.exists():
                continue
            indices = range(start, min(start + size, len(make.store)))
            ids, windows = make.chunk(indices, side)
            _replaced(path, rank, lambda file: np.savez(file, ids=ids, windows=windows))  # noqa: B023
            done += len(indices)
            rate = done / (time.monotonic() - begin)
            print(f"{side} px: chunk {number + 1} of {len(starts)}, {rate:.2f} photos/s", flush=True)
        files = [sorted(parts.glob(f"{other}-*.npz")) for other in sides[: position + 1]]
        if all(len(column) == len(starts) for column in files):
            join(files, folder, rank)


def join(files: list[list[Path]], folder: Path, rank: int) -> None:
    """Chunks of every side -> `ids.npy` and `windows.npy`, each replaced in one step."""
    for name in ("windows", "ids"):
        columns = [np.concatenate([np.load(path)[name] for path in column]) for column in files]
        _replaced(folder / f"{name}.npy", rank, lambda file: np.save(file, np.stack(columns, 1)))  # noqa: B023


def _replaced(path: Path, rank: int, write: Callable[[BinaryIO], None]) -> None:
    partial = path.with_suffix(f".{rank}.partial")
    with partial.open("wb") as file:
        write(file)
    partial.replace(path)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="made by the prepare stage")
    parser.add_argument("--weights", type=Path, default=Path("assets/models/mini"), help="folder of vq and extractors")
    parser.add_argument("--splits", nargs="+", default=["val", "train"])
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256], help="of each photo's windows, in pixels")
    parser.add_argument("--chunk", type=int, default=64, help="photos per chunk")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strength", type=float, default=1.0, help="of the degradation")
    parser.add_argument("--rank", type=int, default=int(os.environ.get("RANK", 0)), help="which share of the chunks")
    parser.add_argument("--world", type=int, default=int(os.environ.get("WORLD_SIZE", 1)), help="number of shares")
    parser.add_argument("--device", default="cpu")


def main(args: Namespace) -> None:
    if not 0 <= args.rank < args.world:
        raise ValueError(f"rank: got {args.rank}, wanted 0 to {args.world - 1}")
    vq = VQModel.from_pretrained(args.weights / "vq", dtype=torch.float32).to(args.device).eval()
    extractors = {row.name: next(iter(row.extractors.values()))(args.weights, args.device) for row in ROWS}
    for split in args.splits:
        store = PhotoStore.open(args.cache, split)
        make = WindowTokens(store, vq, extractors, args.seed, args.strength)
        fill(make, args.cache / split, args.sides, args.chunk, args.rank, args.world)
