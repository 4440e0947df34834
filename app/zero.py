"""ZeroGPU Spaces: a GPU is lent for the time of one call, in a forked process. Does nothing anywhere else.

Only sampling happens there; photos are read, maps extracted and files written on the CPU, which costs no quota. The
call asks for as many seconds as its inputs need. https://huggingface.co/docs/hub/spaces-zerogpu
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mmsr_core.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

    from mmsr_core.outcome import Step
    from mmsr_core.upscaler import Sampler, Upscaler

LEND = 8  # seconds to move the weights to the GPU and to decode, beside the sampling
LEAST, MOST = 15, 120  # seconds to ask for
SAFETY = 1.5
SPEEDUP = 10.0  # a lent GPU against the CPU on which the first estimate is made; our guess, replaced after one run


def on_zero_gpu() -> bool:
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")  # as `spaces` reads it


def seconds(estimate: float) -> int:
    """How long to ask for a GPU, from the estimated seconds of sampling."""
    return min(max(math.ceil(LEND + SAFETY * estimate), LEAST), MOST)


def lent_sampler(loaded: Callable[[], Upscaler]) -> Sampler | None:
    """`Upscaler.sample` on a lent GPU, or None where this is no ZeroGPU Space.

    To be called while the program starts: ZeroGPU looks for its decorated functions then.

    Args:
        loaded: gives the loaded model, which is on the CPU.
    """
    if not on_zero_gpu():
        return None
    import spaces

    def ask(image: Image.Image, modalities: Mapping, wanted: Settings, settings: Settings) -> int:
        return seconds(loaded().plan(image.size, settings).seconds)

    def sample(image: Image.Image, modalities: Mapping, wanted: Settings, settings: Settings) -> Iterator[Step]:
        import torch

        torch.set_num_threads(1)  # the fork has none of its parent's OpenMP threads and would wait for them
        upscaler = loaded()
        upscaler.to("cuda" if torch.cuda.is_available() else "cpu")
        for step in upscaler.sample(image, modalities, wanted, settings):
            yield replace(step, picture=None)  # previews would cost quota, and a function cannot leave the process

    return spaces.GPU(sample, duration=ask)
