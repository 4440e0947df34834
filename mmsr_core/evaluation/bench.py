"""`python -m mmsr_core.evaluation bench`: what a restoration costs, as ratios measured in one run on this machine."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from mmsr_core.evaluation.bench_context import cache, connector
from mmsr_core.evaluation.bench_page import page
from mmsr_core.evaluation.markup import markdown
from mmsr_core.evaluation.rrdbnet import RRDBNet
from mmsr_core.evaluation.summary import Table
from mmsr_core.evaluation.timing import alone, clock, race, threads
from mmsr_core.modalities import MODALITIES, Edited
from mmsr_core.precision import bf16_pays
from mmsr_core.settings import Settings

if TYPE_CHECKING:
    from mmsr_core.upscaler import Upscaler

INPUT = 128  # side of the photo in px, x4 -> 512
MEGAPIXELS = (0.25, 1, 4, 16)  # of the result
DRAFT = {"steps": 1, "weight": 0.0}


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--preset", default="mini")
    add("--weights", help="folder or hub id of weights instead of the preset's own")
    add("--quick", action="store_true", help="about 2 minutes instead of 8: fewer rounds, smaller pictures")
    add("--threads", type=int, help="CPU threads (default: one and all); one on a machine that does other work beside")
    add("--only", metavar="PART", choices=tuple(PARTS), help=f"one of {', '.join(PARTS)}")
    add("--out", type=Path, default=Path("runs/evaluation/bench"), help="folder of bench.md and bench.json")


def main(args: Namespace) -> None:
    from mmsr_core.upscaler import Upscaler

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    upscaler = Upscaler.load(args.preset, args.weights, "cpu")
    args.out.mkdir(parents=True, exist_ok=True)
    about = {"machine": machine(), "threads": torch.get_num_threads(), "preset": upscaler.info.preset}
    about |= {"weights": upscaler.info.hash, "quick": args.quick}
    tables = []
    for name, part in PARTS.items():
        if args.only in (None, name):
            tables += part(upscaler, args)
            sys.stdout.write(markdown(tables[-1:]) + "\n")
            sys.stdout.flush()
            _write(args.out, about, tables)
    sys.stdout.write(f"{machine()}\n")


def _write(folder: Path, about: dict, tables: list[Table]) -> None:
    (folder / "bench.md").write_text(f"{about['machine']}\n\n{markdown(tables)}")
    (folder / "bench.json").write_text(json.dumps({**about, "tables": [asdict(table) for table in tables]}, indent=1))


def machine() -> str:
    """Processor, cores, and whether it computes in bf16."""
    rows = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((row.split(":", 1)[1].strip() for row in rows if row.startswith("model name")), "unknown processor")
    bf16 = bf16_pays("cpu")
    return f"{model}, {cores()} cores, {'bf16' if bf16 else 'no bf16'}, torch {torch.__version__}"


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def photo(side: int, seed: int = 0) -> Image.Image:
    """A made-up photo: smooth light, a few shapes, noise, so that it is cleaned too. What is shown costs no time."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    light = np.stack([x, y, 1 - x], -1) * 200 + 20
    light[side // 4 : side // 2, side // 3 : side // 2] = (200, 60, 40)
    return Image.fromarray(np.clip(light + rng.normal(0, 8, light.shape), 0, 255).astype(np.uint8))


def thread_counts(args: Namespace) -> list[int]:
    return sorted({1, cores()}) if args.threads is None else [args.threads]


def whole(upscaler: Upscaler, args: Namespace) -> list[Table]:
    """A whole restoration, maps read from the photo included, against the yardstick."""
    side = INPUT // 2 if args.quick else INPUT
    lr = torch.rand(1, 3, side, side)
    network = RRDBNet().eval().to(memory_format=torch.channels_last)  # its fastest form
    settings = Settings(seed=0)

    def yardstick(dtype: torch.dtype) -> Callable[[], object]:
        @torch.inference_mode()
        def run() -> object:
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                return network(lr)

        return run

    runners = {
        "RRDBNet, float32": yardstick(torch.float32),
        "RRDBNet, bf16": yardstick(torch.bfloat16),
        f"restore, default ({settings.steps} steps, w = {settings.weight:g})": _restores(upscaler, side, settings),
        "restore, draft (1 step, w = 0)": _restores(upscaler, side, settings.with_(**DRAFT)),
    }
    header, rows = (
        ["", *_heads(args, "{} s"), *_heads(args, "x RRDBNet {}"), *_heads(args, "x RRDBNet bf16 {}")],
        {name: [] for name in runners},
    )
    measured = []
    for count in thread_counts(args):
        with threads(count):
            measured.append(race(runners, 1 if args.quick else 3))
    base, bf16 = list(runners)[:2]
    for name, cells in rows.items():
        cells += [f"{times[name]:.2f}" for times in measured]
        cells += [f"{times[name] / times[base]:.2f}" for times in measured]
        cells += [f"{times[name] / times[bf16]:.2f}" for times in measured]
    note = (
        f"RRDBNet: {sum(p.numel() for p in network.parameters()) / 1e6:.1f} M random weights, the size of "
        "Real-ESRGAN-x4plus. "
        f"The restoration reads its maps too and computes its U-Net in {upscaler.info.dtype}."
    )
    return [Table(f"{side} -> {4 * side} px", header, [[name, *cells] for name, cells in rows.items()], note)]


def _heads(args: Namespace, form: str) -> list[str]:
    return [form.format(f"{count} thread{'s' if count > 1 else ''}") for count in thread_counts(args)]


def _restores(upscaler: Upscaler, side: int, settings: Settings) -> Callable[[], object]:
    """Every call restores a photo that was not there before: nothing of it is known yet."""
    fresh = (photo(side, seed) for seed in itertools.count())

    def run() -> object:
        image = next(fresh)
        return upscaler.restore(image, upscaler.extract(image), settings).finish()

    return run


def slider(upscaler: Upscaler, args: Namespace) -> list[Table]:
    """What a visitor waits for: the first run reads the maps and the photo, the next ones only what changed."""
    rounds = [_visit(upscaler, photo(INPUT, seed)) for seed in range(3 if args.quick else 6)][1:]  # the first warms up
    times = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    first = next(iter(times.values()))
    rows = [[name, f"{seconds:.2f}", f"{seconds / first:.2f}"] for name, seconds in times.items()]
    return [Table(f"Second run after a change, {INPUT} -> {4 * INPUT} px", ["", "s", "x first run"], rows)]


def _visit(upscaler: Upscaler, image: Image.Image) -> dict[str, float]:
    """Seconds of each thing that a visitor does, one after the other."""
    settings, marks = Settings(seed=0), [clock()]
    given = upscaler.extract(image)
    result = upscaler.restore(image, given, settings)
    result.finish()
    marks.append(clock())
    upscaler.restore(image, given, settings.with_(temperature={"depth": 0.5})).finish()
    marks.append(clock())
    turned = Edited(given["edge"].rotate(180), given["edge"])
    upscaler.restore(image, {**given, "edge": turned}, settings).finish()
    marks.append(clock())
    result.finish("adain")
    marks.append(clock())
    names = ("first run (maps and picture)", "a temperature moved", "a map edited", "the colour match changed")
    return {name: after - before for name, before, after in zip(names, marks, marks[1:])}


def tiles(upscaler: Upscaler, args: Namespace) -> list[Table]:
    """Time and peak memory of large pictures, each in a process of its own."""
    rows = []
    for size in MEGAPIXELS[:3] if args.quick else MEGAPIXELS:
        side = round((size * 2**20) ** 0.5) // 4
        weights = [] if args.weights is None else ["--weights", str(args.weights)]
        found = alone(["mmsr_core.evaluation.bench_tile", str(side), "--preset", args.preset, *weights])
        seconds, loaded, peak = found["seconds"], found["loaded"] / 2**20, found["peak"] / 2**20
        rows.append(
            [f"{size:g} ({side} -> {4 * side} px)", f"{found['tiles']:.0f}", f"{seconds:.1f}", f"{seconds / size:.1f}"]
            + [f"{loaded:.0f}", f"{peak:.0f}", f"{(peak - loaded) / size:.0f}"]
        )
    header = ["megapixels", "tiles", "s", "s a megapixel", "loaded, MB", "peak, MB", "MB a megapixel over loaded"]
    note = "2 steps at w = 2; resident set. The time a megapixel grows where tiles overlap."
    return [Table("Tiles", header, rows, note)]


def extractors(upscaler: Upscaler, args: Namespace) -> list[Table]:
    """Reading each modality of a 512-px photo on one thread, with the bundled extractors (others need downloads)."""
    with threads(1):
        reads: dict[str, Callable[[Image.Image], object]] = {"Clean-up of a noisy photo": upscaler.cleaner.picture}
        for row in MODALITIES:
            label = f"{row.label} ({next(iter(row.extractors))})"
            reads[label] = lambda image, name=row.name: dict(upscaler.readers.read(image, (name,)))
        times = race({label: _fresh(read, i) for i, (label, read) in enumerate(reads.items())}, 2 if args.quick else 5)
    rows = [[label, f"{seconds:.3f}"] for label, seconds in times.items()]
    note = "The composed caption needs the segmentation; read together, they share it."
    return [Table("Reading the modalities, 512 px, one thread", ["", "s"], rows, note)]


def _fresh(read: Callable[[Image.Image], object], own: int) -> Callable[[], object]:
    """Every call reads another photo than the last, and than any that another one reads."""
    photos = itertools.cycle([photo(512, 3 * own + seed) for seed in range(3)])
    return lambda: read(next(photos))


PARTS: dict[str, Callable[[object, Namespace], list[Table]]] = {
    "whole": whole,
    "slider": slider,
    "extractors": extractors,
    "connector": connector,
    "cache": cache,
    "tiles": tiles,
    "page": page,
}
