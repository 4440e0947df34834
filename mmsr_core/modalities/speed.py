"""`python -m mmsr_core.modalities.speed`: photos a second of every extractor, alone and together, on this machine."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image

from mmsr_core.memory import pick_device
from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.models import MODELS
from mmsr_core.modalities.readers import Readers, chosen
from mmsr_core.presets import ASSETS

EXAMPLE = ASSETS / "examples" / "coffee.jpg"


def main() -> None:
    parser = ArgumentParser(prog="python -m mmsr_core.modalities.speed", description=__doc__)
    parser.add_argument("--models", type=Path, help="folder with one folder per public model; others are left out")
    parser.add_argument("--download", action="store_true", help="fetch the public models that are not there")
    parser.add_argument("--device", help="cpu, cuda, mps (default: the best there is)")
    parser.add_argument("--threads", type=int, help="of torch on the CPU (default: its own choice)")
    parser.add_argument("--side", type=int, default=512, help="long side of the photo in pixels")
    parser.add_argument("--batch", type=int, default=8, help="photos at once, for the last column")
    parser.add_argument("--rounds", type=int, default=3, help="the fastest counts")
    report(parser.parse_args())


def report(args: Namespace) -> None:
    """Prints a table in Markdown."""
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    device = pick_device(args.device)
    models = {} if args.models is None else {path.name: str(path) for path in args.models.iterdir() if path.is_dir()}
    readers = Readers(ASSETS / "models" / "mini", device, models)
    photo = Image.open(EXAMPLE).convert("RGB")
    photo = photo.resize(tuple(round(side * args.side / max(photo.size)) for side in photo.size))
    place = torch.cuda.get_device_name() if device.startswith("cuda") else f"{torch.get_num_threads()} threads"
    print(f"{device}, {place}, photo of {photo.width} x {photo.height} px, fastest of {args.rounds}\n")
    print(f"| | s a photo | CPU s | photos/s | photos/s, {args.batch} at once |\n|---|---|---|---|---|")
    for row in MODALITIES:
        for name, way in row.extractors.items():
            there = way.model is None or way.model.name in models or args.download
            if way.consent is None and there:
                print(f"| {row.label}: {way.label} | {_row(readers, row.name, name, photo, args)} |", flush=True)
                if way.model is not None:
                    readers.release()
    _together(readers, photo, [model for model in models if model in MODELS], args.rounds)


def _row(readers: Readers, name: str, way: str, photo: Image.Image, args: Namespace) -> str:
    extractor = readers.extractor(name, way)
    alone = fastest(lambda: extractor(photo), args.rounds)
    if not hasattr(extractor, "many"):
        return f"{alone} | -"
    together = fastest(lambda: extractor.many([photo] * args.batch), 1)
    return f"{alone} | {args.batch / together.wall:.2f}"


def _together(readers: Readers, photo: Image.Image, models: list[str], rounds: int) -> None:
    """All four modalities of a photo, by the bundled extractors and by the first public ones that are there."""
    public = {
        row.name: name
        for row in MODALITIES
        for name, way in reversed(row.extractors.items())
        if way.model is not None and way.model.name in models
    }
    for title, ways in (("bundled", {}), ("public", public)):
        if title == "bundled" or ways:
            apart = fastest(partial(_one_by_one, readers, photo, ways), rounds)
            at_once = fastest(partial(_side_by_side, readers, photo, ways), rounds)
            print(f"| all four, {title}: one after the other | {apart} | - |")
            print(f"| all four, {title}: {readers.workers()} at work at once | {at_once} | - |")


def _one_by_one(readers: Readers, photo: Image.Image, ways: dict[str, str]) -> None:
    for name in chosen(None, ways):
        dict(readers.read(photo, [name], ways))


def _side_by_side(readers: Readers, photo: Image.Image, ways: dict[str, str]) -> None:
    dict(readers.read(photo, extractors=ways))


class Cost(NamedTuple):
    """Seconds by the clock, and of all the cores' work: on one thread, what an idle core would take."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.3f} | {self.cpu:.3f} | {1 / self.wall:.2f}"


def fastest(run: Callable[[], object], rounds: int) -> Cost:
    """The least of some runs, after one that does not count."""
    run()
    seen = []
    for _ in range(rounds):
        start, worked = time.perf_counter(), time.process_time()
        run()
        seen.append((time.perf_counter() - start, time.process_time() - worked))
    return Cost(*(min(column) for column in zip(*seen, strict=True)))


if __name__ == "__main__":
    main()
