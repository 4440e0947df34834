"""`python -m mmsr_core.evaluation bench-sd2`: what the paper's size costs on this machine, with random weights.

Time and memory over the size of the result, and beside them diffusers' InstructPix2Pix (arXiv 2211.09800) on the same
U-Net, steps and size: another model whose U-Net sees a picture, with three branches where m-CFG has two.
"""

from __future__ import annotations

import copy
import json
import statistics
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from diffusers.models.attention_processor import AttnProcessor2_0
from PIL import Image

from mmsr_core import memory
from mmsr_core.attention import ContextAttention
from mmsr_core.build import unlearnt
from mmsr_core.evaluation.bench import machine, photo
from mmsr_core.evaluation.markup import markdown
from mmsr_core.evaluation.summary import DASH, Table
from mmsr_core.evaluation.timing import clock, peak_of
from mmsr_core.modalities.edge import CannyEdges
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.placement import weight_bytes
from mmsr_core.presets import preset
from mmsr_core.settings import SCALE, Settings
from mmsr_core.upscaler import Upscaler

WORDS = "a made-up photo of a red rectangle in soft light"
GB = 2**30


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--sides", type=int, nargs="+", default=[512, 1024, 2048], help="of the square results, in px")
    add("--peer-sides", type=int, nargs="*", default=[512], help="those of them at which InstructPix2Pix runs too")
    add("--steps", type=int, default=20)
    add("--rounds", type=int, default=3, help="of each size; the two models take turns and medians count")
    add("--threads", type=int, help="of the CPU; one on a machine that does other work beside")
    add("--device", help="cuda, mps or cpu (default: the best there is)")
    add("--out", type=Path, default=Path("runs/evaluation/bench-sd2"), help="folder of bench.md and bench.json")


def main(args: Namespace, build: Callable[[], MMSRPipeline] = unlearnt) -> None:
    torch.manual_seed(0)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as nothing:
        upscaler = Upscaler(build(), preset("sd2"), Path(nothing), memory.pick_device(args.device))
        peer = Peer(upscaler.pipeline)
        rows = [_row(upscaler, peer, side, args) for side in sorted(args.sides)]
    place = torch.cuda.get_device_name() if upscaler.device.startswith("cuda") else machine()
    about = {"machine": place, "device": upscaler.info.device, "dtype": upscaler.info.dtype, "steps": args.steps}
    title = f"sd2, random weights, {args.steps} steps, w = 2, {upscaler.info.dtype}, {upscaler.info.device}"
    header = ["result", "tiles", "s", "pictures/s", "peak over loaded, GB", "connector and tokens"]
    header += ["InstructPix2Pix, s", "its peak, GB", "ratio of times"]
    loaded = weight_bytes(upscaler.pipeline) / GB
    note = f"{loaded:.1f} GB of weights are loaded. Maps and caption were given, not read."
    table = Table(title, header, rows, note)
    text = f"{place}\n\n{markdown([table])}"
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "bench.md").write_text(text)
    (args.out / "bench.json").write_text(json.dumps({**about, "tables": [asdict(table)]}, indent=1))
    sys.stdout.write(text)


def _row(upscaler: Upscaler, peer: Peer, side: int, args: Namespace) -> list[str]:
    """One size of the result: ours, and the peer's where it is asked for and fits."""
    image = photo(side // SCALE)
    given = _given(upscaler, image)
    settings = Settings(steps=args.steps, weight=2.0, seed=0)
    ours, theirs, hearing = (Costs(upscaler.device) for _ in range(3))
    results = []
    for _ in range(args.rounds):
        ours.add(lambda: results.append(upscaler.restore(image, given, settings)))
        if side in args.peer_sides:
            theirs.add(lambda: peer(image, settings))
    if not ours.spent:
        return [f"{side} px", "does not fit", *[DASH] * 7]
    for _ in range(args.rounds):
        hearing.add(lambda: _heard(upscaler, image, given, results[-1].settings))
    row = [f"{side} px", f"{len(results[-1].tiles)}", f"{ours.seconds:.2f}", f"{1 / ours.seconds:.3f}"]
    row += [f"{ours.peak / GB:.2f}", f"{hearing.seconds / ours.seconds:.1%}"]
    if not theirs.spent:
        return [*row, DASH, DASH, DASH]
    return [*row, f"{theirs.seconds:.2f}", f"{theirs.peak / GB:.2f}", f"{ours.seconds / theirs.seconds:.2f}"]


@dataclass
class Costs:
    """Seconds and peak bytes over what was there before, of several runs of one thing."""

    device: str
    spent: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)

    def add(self, run: Callable[[], object]) -> None:
        """Runs it once more; a run for which the memory does not suffice leaves no trace."""
        memory.release()
        with peak_of(self.device) as peak:
            before, start = peak(), self._clock()
            try:
                run()
            except Exception as error:
                if not memory.is_out_of_memory(error):
                    raise
                return
            self.spent.append(self._clock() - start)
            self.peaks.append(peak() - before)

    def _clock(self) -> float:
        """Seconds, when the device has done what it was given."""
        if self.device == "cpu":
            return clock()
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter()

    @property
    def seconds(self) -> float:
        return statistics.median(self.spent)

    @property
    def peak(self) -> int:
        """Of the first run: later ones find memory that the allocator kept."""
        return self.peaks[0]


def _given(upscaler: Upscaler, image: Image.Image) -> dict[str, Image.Image | str]:
    """Modalities that need no network to be read."""
    ground = Image.new("RGB", image.size, upscaler.palette.classes[0].rgb)
    return {"text": WORDS, "depth": image.convert("L"), "segmentation": ground, "edge": CannyEdges()(image)}


def _heard(upscaler: Upscaler, image: Image.Image, given: dict, settings: Settings) -> None:
    """What a run does for its context: every tile's maps and the texts, through tokenisers and connector."""
    pipeline = upscaler.pipeline
    pipeline.tokenizers.known.clear()
    for tile in pipeline.tiles(image.size, settings):
        pipeline.contexts(given, tile, image.size, settings)


class Peer:
    """InstructPix2Pix on a pipeline's own U-Net, with diffusers' attention, all of it in the U-Net's precision."""

    def __init__(self, pipeline: MMSRPipeline) -> None:
        self.unet = pipeline.unet
        text, vae = (
            part if part.dtype == self.unet.dtype else copy.deepcopy(part).to(self.unet.dtype)
            for part in (pipeline.text_encoder, pipeline.codec.vae)
        )
        self.pipeline = StableDiffusionInstructPix2PixPipeline(
            vae, text, pipeline.tokenizer, self.unet, copy.deepcopy(pipeline.scheduler), None, None,
            requires_safety_checker=False,
        )  # fmt: skip
        self.pipeline.set_progress_bar_config(disable=True)

    def __call__(self, image: Image.Image, settings: Settings) -> Image.Image:
        """The enlarged picture, edited."""
        self.unet.set_attn_processor(AttnProcessor2_0())
        try:
            large = image.resize((image.width * SCALE, image.height * SCALE), Image.Resampling.BICUBIC)
            words = {"negative_prompt": settings.negative, "guidance_scale": settings.weight + 1}
            return self.pipeline(WORDS, large, settings.steps, **words).images[0]
        finally:
            self.unet.set_attn_processor(ContextAttention())
