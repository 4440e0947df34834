"""`python -m mmsr_core.evaluation bench`: what a restoration costs, as ratios measured in one run on this machine."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from mmsr_core.connector import Block, LatentConnector
from mmsr_core.evaluation.markup import markdown
from mmsr_core.evaluation.rrdbnet import RRDBNet
from mmsr_core.evaluation.summary import Table
from mmsr_core.evaluation.timing import alone, race, threads
from mmsr_core.modalities import MODALITIES
from mmsr_core.settings import Settings

if TYPE_CHECKING:
    from mmsr_core.upscaler import Upscaler

INPUT = 128  # side of the photo in px, x4 -> 512
MEGAPIXELS = (0.25, 1, 4, 16)  # of the result
TOKENS = 256  # of one map


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--preset", default="mini")
    add("--weights", help="folder or hub id of weights instead of the preset's own")
    add("--quick", action="store_true", help="about 2 minutes instead of 10: fewer rounds, smaller pictures")
    add("--only", metavar="PART", choices=tuple(PARTS), help=f"one of {', '.join(PARTS)}")
    add("--out", type=Path, default=Path("runs/evaluation/bench"), help="folder of bench.md and bench.json")


def main(args: Namespace) -> None:
    from mmsr_core.upscaler import Upscaler

    upscaler = Upscaler.load(args.preset, args.weights, "cpu")
    tables = []
    for name, part in PARTS.items():
        if args.only in (None, name):
            tables += part(upscaler, args)
            sys.stdout.write(markdown(tables[-1:]) + "\n")
            sys.stdout.flush()
    args.out.mkdir(parents=True, exist_ok=True)
    about = {"machine": machine(), "preset": upscaler.info.preset, "weights": upscaler.info.hash, "quick": args.quick}
    (args.out / "bench.md").write_text(f"{machine()}\n\n{markdown(tables)}")
    (args.out / "bench.json").write_text(json.dumps({**about, "tables": [asdict(table) for table in tables]}, indent=1))
    sys.stdout.write(f"{machine()}\n")


def machine() -> str:
    """Processor, cores, and whether it computes in bf16."""
    rows = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((row.split(":", 1)[1].strip() for row in rows if row.startswith("model name")), "unknown processor")
    bf16 = torch.cpu._is_avx512_bf16_supported()
    return f"{model}, {cores()} cores, {'bf16' if bf16 else 'no bf16'}, torch {torch.__version__}"


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def photo(side: int) -> Image.Image:
    """A made-up photo: smooth light, a few shapes, texture. Time does not depend on what is shown."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    light = np.stack([x, y, 1 - x], -1) * 200 + 20
    light[side // 4 : side // 2, side // 3 : side // 2] = (200, 60, 40)
    return Image.fromarray(np.clip(light + rng.normal(0, 8, light.shape), 0, 255).astype(np.uint8))


def thread_counts() -> list[int]:
    return sorted({1, cores()})


def whole(upscaler: Upscaler, args: Namespace) -> list[Table]:
    """A whole restoration, maps read from the photo included, against the yardstick."""
    side = INPUT // 2 if args.quick else INPUT
    image, lr = photo(side), torch.rand(1, 3, side, side)
    network = RRDBNet().eval()
    settings = Settings(seed=0)
    draft = settings.with_(steps=4, weight=0.0)

    def yardstick(dtype: torch.dtype) -> Callable[[], object]:
        @torch.inference_mode()
        def run() -> object:
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                return network(lr)

        return run

    runners = {
        "RRDBNet, float32": yardstick(torch.float32),
        "RRDBNet, bf16": yardstick(torch.bfloat16),
        f"restore, default ({settings.steps} steps, w = {settings.weight:g})": _restore(upscaler, image, settings),
        "restore, draft (4 steps, w = 0)": _restore(upscaler, image, draft),
    }
    header, rows = (
        ["", *_heads("{} s"), *_heads("x RRDBNet {}"), *_heads("x RRDBNet bf16 {}")],
        {name: [] for name in runners},
    )
    measured = []
    for count in thread_counts():
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


def _heads(form: str) -> list[str]:
    return [form.format(f"{count} thread{'s' if count > 1 else ''}") for count in thread_counts()]


def _restore(upscaler: Upscaler, image: Image.Image, settings: Settings) -> Callable[[], object]:
    return lambda: upscaler.restore(image, upscaler.extract(image), settings).finish()


@torch.no_grad()
def connector(upscaler: Upscaler, args: Namespace) -> list[Table]:
    """The cost of context over the number of maps: through the connector, not, and full attention among all tokens."""
    unet, width = upscaler.pipeline.unet, upscaler.pipeline.unet.config.cross_attention_dim
    side = 64
    x, block = torch.randn(1, unet.config.in_channels, side, side), Block(width).eval()
    rows, connecting = [], []
    for maps in (1, 4, 8) if args.quick else (1, 2, 3, 4, 6, 8):
        specs = [[f"map {i}", TOKENS, width, True] for i in range(maps)]
        model = LatentConnector(specs, width).eval()
        tokens = model.tokens({f"map {i}": torch.randn(1, TOKENS, width) for i in range(maps)})
        context = model(tokens)
        times = race(
            {
                "connector": lambda model=model, tokens=tokens: model(tokens),
                "self": lambda tokens=tokens: block(tokens),
                "on": lambda context=context: unet(x, 500, context),
                "off": lambda tokens=tokens: unet(x, 500, tokens),
            },
            2 if args.quick else 5,
        )
        connecting.append((maps, times["connector"]))
        stored = [_cache_bytes(upscaler, len_) / 2**20 for len_ in (context.shape[1], tokens.shape[1])]
        cells = [f"{1000 * times[name]:.0f}" for name in ("connector", "self", "on", "off")]
        rows.append([f"{maps} ({maps * TOKENS})", *cells, *(f"{value:.1f}" for value in stored)])
    header = ["maps (tokens)", "connector, ms", "self-attention of all, ms", "U-Net with, ms", "U-Net without, ms"]
    header += ["K/V with, MB", "K/V without, MB"]
    fit = np.polyfit(*zip(*connecting), 1)
    worst = max(abs(np.polyval(fit, maps) / seconds - 1) for maps, seconds in connecting)
    note = (
        f"Latent grid {side} x {side}, one branch, {torch.get_num_threads()} threads. “With” has 128 context tokens "
        f"whatever comes in. A straight line fits the connector's time within {worst:.0%}."
    )
    return [Table("Connector on and off", header, rows, note)]


def _cache_bytes(upscaler: Upscaler, tokens: int) -> int:
    """Keys and values of all cross-attention layers for a context of so many tokens, float32, one branch."""
    unet = upscaler.pipeline.unet
    layers = [module for name, module in unet.named_modules() if name.endswith("attn2")]
    return sum(tokens * (layer.to_k.out_features + layer.to_v.out_features) * 4 for layer in layers)


@torch.no_grad()
def cache(upscaler: Upscaler, args: Namespace) -> list[Table]:
    """Keys and values of the constant context: once a run against once a step."""
    unet, width = upscaler.pipeline.unet, upscaler.pipeline.unet.config.cross_attention_dim
    steps = Settings().steps
    rows = []
    for side in (32, 128):
        x = torch.randn(2, unet.config.in_channels, side, side)
        for label, tokens in (("128 tokens", 128), ("845 tokens (no connector)", 845)):
            context = torch.randn(2, tokens, width)

            def run(kept: dict | None, x: torch.Tensor = x, context: torch.Tensor = context) -> None:
                with upscaler.pipeline.precision():
                    for _ in range(steps):
                        unet(x, 500, context, cross_attention_kwargs={"cache": kept})

            times = race({"on": lambda run=run: run({}), "off": lambda run=run: run(None)}, 1 if args.quick else 3)
            cells = [f"{times['on']:.2f}", f"{times['off']:.2f}", f"{times['on'] / times['off']:.2f}"]
            rows.append([f"{4 * side} px, {label}", *cells])
    return [Table(f"K/V cache, {steps} U-Net calls of two branches", ["", "with, s", "without, s", "ratio"], rows)]


def slider(upscaler: Upscaler, args: Namespace) -> list[Table]:
    """The first run reads the maps; after a slider moved they are there."""
    image, settings = photo(INPUT), Settings(seed=0)
    moved, given = settings.with_(temperature={"depth": 0.5}), upscaler.extract(image)
    color = upscaler.restore(image, given, settings)
    times = race(
        {
            "first run (maps and picture)": _restore(upscaler, image, settings),
            "a temperature moved": lambda: upscaler.restore(image, given, moved).finish(),
            "the colour match changed": lambda: color.finish("adain"),
        },
        2 if args.quick else 5,
    )
    first = times["first run (maps and picture)"]
    rows = [[name, f"{seconds:.2f}", f"{seconds / first:.2f}"] for name, seconds in times.items()]
    return [Table(f"Second run after a change, {INPUT} -> {4 * INPUT} px", ["", "s", "x first run"], rows)]


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
    """Reading each modality of a 512-px photo on one thread."""
    image = photo(512)
    kinds = [(row, kind) for row in MODALITIES for kind in row.extractors]
    with threads(1):
        rows = [
            [f"{row.label} ({kind})", f"{seconds:.3f}"] for row, kind, seconds in _read(upscaler, image, kinds, args)
        ]
    return [Table("Reading the modalities, 512 px, one thread", ["", "s"], rows)]


def _read(upscaler: Upscaler, image: Image.Image, kinds: list, args: Namespace) -> Iterator[tuple]:
    for row, kind in kinds:
        if kind == next(iter(row.extractors)):  # the bundled ones; others may need downloads or a service
            run = lambda row=row, kind=kind: upscaler.extract(image, (row.name,), {row.name: kind})  # noqa: E731
            yield row, kind, race({"": run}, 2 if args.quick else 5)[""]


PARTS: dict[str, Callable[[object, Namespace], list[Table]]] = {
    "whole": whole,
    "slider": slider,
    "extractors": extractors,
    "connector": connector,
    "cache": cache,
    "tiles": tiles,
}
