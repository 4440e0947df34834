"""`python -m mmsr_core.evaluation sheet FILE`: 24 held-out photos at 1:1, clean and damaged, to look at.

The photos come with scikit-image (CC0 or public domain, see `assets/examples/README.md`), and none was trained on.
"""

from __future__ import annotations

import io
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmsr_core.evaluation.datasets import centred
from mmsr_core.evaluation.figures import CROP, grid
from mmsr_core.evaluation.metrics import psnr
from mmsr_core.settings import SCALE, Settings
from mmsr_core.upscaler import Upscaler

BLOCKS = 3  # photos side by side
MOST = 512  # px a side that are taken of a photo


@dataclass(frozen=True)
class Shot:
    """A photo of `skimage.data`, the corner in px of the window that is shown, and what is done to the input."""

    name: str
    corner: tuple[int, int]
    damage: str = "clean"


def _jpeg(small: Image.Image) -> Image.Image:
    file = io.BytesIO()
    small.save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


def _noisy(small: Image.Image) -> Image.Image:
    values = np.asarray(small, dtype=np.float32)
    noise = np.random.default_rng(0).normal(0, 10, values.shape)
    return Image.fromarray(np.clip(values + noise, 0, 255).round().astype(np.uint8))


DAMAGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "clean": lambda small: small,
    "JPEG 40": _jpeg,
    "noise 10": _noisy,
    "both": lambda small: _jpeg(_noisy(small)),
}
SHOTS = (
    Shot("astronaut", (130, 30)), Shot("astronaut", (130, 30), "JPEG 40"), Shot("astronaut", (20, 300), "noise 10"),
    Shot("chelsea", (140, 60)), Shot("chelsea", (140, 60), "noise 10"), Shot("chelsea", (20, 100), "JPEG 40"),
    Shot("coffee", (160, 60)), Shot("coffee", (300, 180), "noise 10"), Shot("motorcycle_left", (60, 180)),
    Shot("motorcycle_left", (300, 200), "both"), Shot("brick", (160, 160)), Shot("brick", (160, 160), "JPEG 40"),
    Shot("grass", (160, 160)), Shot("grass", (160, 160), "noise 10"), Shot("gravel", (160, 160)),
    Shot("rocket", (240, 20)), Shot("rocket", (300, 200), "JPEG 40"), Shot("hubble_deep_field", (160, 160)),
    Shot("moon", (160, 200)), Shot("camera", (180, 40)), Shot("camera", (300, 200), "noise 10"),
    Shot("page", (90, 0)), Shot("text", (130, 0), "JPEG 40"), Shot("coins", (60, 60), "both"),
)  # fmt: skip


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("out", type=Path, help="picture file to write")
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--weights")
    parser.add_argument("--device")


def main(args: Namespace) -> None:
    upscaler = Upscaler.load(args.preset, args.weights, args.device)
    cells = [_cells(shot, upscaler) for shot in SHOTS]
    rows = [sum(cells[start : start + BLOCKS], []) for start in range(0, len(cells), BLOCKS)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    grid(["bicubic", args.preset, "photo"] * BLOCKS, rows).save(args.out, quality=88)


def _cells(shot: Shot, upscaler: Upscaler) -> list[Image.Image]:
    """The window in the bicubic enlargement, in the result and in the photo."""
    photo = _photo(shot.name)
    small = DAMAGES[shot.damage](photo.resize((photo.width // SCALE, photo.height // SCALE), Image.Resampling.BOX))
    settings = Settings(seed=0)
    result = upscaler.restore(small, upscaler.extract(small), settings)
    made = result.finish(settings.color)
    ours, plain = (psnr(image, photo) for image in (made, result.bicubic))
    sys.stdout.write(f"{shot.name:18} {shot.damage:9} PSNR {ours:.2f} dB, {ours - plain:+.2f} on bicubic\n")
    shown = [_window(image, shot.corner) for image in (result.bicubic, made, photo)]
    draw, font = ImageDraw.Draw(shown[0]), ImageFont.load_default(12)
    draw.text((3, 3), f"{shot.name}, {shot.damage}", "white", font, stroke_width=2, stroke_fill="black")
    return shown


def _window(image: Image.Image, corner: tuple[int, int]) -> Image.Image:
    x, y = (max(min(at, side - CROP), 0) for at, side in zip(corner, image.size))
    cell = Image.new("RGB", (CROP, CROP), "white")
    cell.paste(image.crop((x, y, min(x + CROP, image.width), min(y + CROP, image.height))))
    return cell


def _photo(name: str) -> Image.Image:
    """The middle of the photo, in whole LR pixels.

    Raises:
        ValueError: scikit-image is not installed.
    """
    try:
        import skimage
    except ImportError:
        raise ValueError("sheet: got no scikit-image, wanted pip install -r requirements-dev.txt") from None
    path = next((Path(skimage.__file__).parent / "data").glob(f"{name}.*"))
    return centred(Image.open(path).convert("RGB"), MOST)
