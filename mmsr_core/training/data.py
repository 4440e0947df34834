"""Photos, labels and captions for training: decoded once into memory-mapped arrays, read as random crops.

Folder layout expected by `prepare`: `photos/SPLIT/NAME.webp` (384 x 384), `depth/SPLIT/NAME.png` (192 x 192 grey),
`segmentation/SPLIT/NAME.png` (192 x 192 palette indices), `captions.jsonl` with "file", "caption" and "tags".
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

PHOTO, LABEL = 384, 192  # side of a photo and of its label maps, in pixels


@dataclass(frozen=True)
class PhotoStore:
    """One split. `photos` (N, 384, 384, 3), `depth` and `segmentation` (N, 192, 192), all uint8 and memory-mapped."""

    photos: np.ndarray
    depth: np.ndarray
    segmentation: np.ndarray
    captions: list[str]
    tags: list[list[str]]
    names: list[str]

    @classmethod
    def open(cls, cache: Path, split: str) -> PhotoStore:
        """Raises ValueError where `prepare` has not run."""
        folder = Path(cache) / split
        if not (folder / "texts.json").exists():
            raise ValueError(
                f"training data: got {folder.name} without arrays, wanted a cache made by the prepare stage"
            )
        arrays = [np.load(folder / f"{kind}.npy", mmap_mode="r") for kind in ("photos", "depth", "segmentation")]
        texts = json.loads((folder / "texts.json").read_text())
        return cls(*arrays, [t["caption"] for t in texts], [t["tags"] for t in texts], [t["file"] for t in texts])

    def __len__(self) -> int:
        return len(self.photos)

    def crops(self, indices: np.ndarray, corners: np.ndarray, side: int, device: str = "cpu") -> Tensor:
        """indices (B,), corners (B, 2) as x, y -> (B, 3, side, side) in [-1, 1]."""
        cut = [self.photos[i, y : y + side, x : x + side] for i, (x, y) in zip(indices, corners)]
        return torch.from_numpy(np.stack(cut)).to(device).permute(0, 3, 1, 2).float() / 255 * 2 - 1

    def random_crops(self, batch: int, side: int, rng: np.random.Generator, device: str = "cpu") -> Tensor:
        """(batch, 3, side, side) in [-1, 1], flipped and turned at random."""
        indices = rng.integers(len(self), size=batch)
        x = self.crops(indices, rng.integers(0, PHOTO - side + 1, size=(batch, 2)), side, device)
        flips = torch.from_numpy(rng.random((3, batch, 1, 1, 1)) < 0.5).to(device)
        x = torch.where(flips[0], x.flip(-1), x)
        x = torch.where(flips[1], x.flip(-2), x)
        return torch.where(flips[2], x.transpose(-1, -2), x)


def random_source(
    seed: int, step: int, rank: int = 0, device: str | torch.device = "cpu"
) -> tuple[np.random.Generator, torch.Generator]:
    """The random numbers of one batch, a pure function of (seed, step, rank): a resumed run sees the same batches."""
    rng = np.random.default_rng((seed, step, rank))
    return rng, torch.Generator(device).manual_seed(int(rng.integers(2**62)))


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with photos/, depth/, segmentation/, captions.jsonl"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/cache"), help="where the arrays go")


def main(args: Namespace) -> None:
    texts = {row["file"]: row for row in map(json.loads, (args.data / "captions.jsonl").read_text().splitlines())}
    for split in ("train", "val"):
        _prepare_split(args.data, args.out / split, split, texts)


def _prepare_split(data: Path, out: Path, split: str, texts: dict[str, dict]) -> None:
    names = sorted(path.stem for path in (data / "photos" / split).glob("*.webp"))
    out.mkdir(parents=True, exist_ok=True)
    shapes = {"photos": (PHOTO, PHOTO, 3), "depth": (LABEL, LABEL), "segmentation": (LABEL, LABEL)}
    for kind, shape in shapes.items():
        array = np.lib.format.open_memmap(out / f"{kind}.npy", "w+", np.uint8, (len(names), *shape))
        suffix = "webp" if kind == "photos" else "png"
        for i, name in enumerate(tqdm(names, desc=f"{split} {kind}")):
            with Image.open(data / kind / split / f"{name}.{suffix}") as image:
                array[i] = np.asarray(image.convert("RGB") if kind == "photos" else image)
        array.flush()
    rows = [texts[f"{split}/{name}"] for name in names]
    (out / "texts.json").write_text(json.dumps([{k: row[k] for k in ("file", "caption", "tags")} for row in rows]))
