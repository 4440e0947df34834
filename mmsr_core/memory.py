"""Memory: what fits where, and what to do when it does not.

A run that is out of memory starts again with the same seed and tiles of half the side, and says so.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from mmsr_core import guidance
from mmsr_core.pace import slow
from mmsr_core.settings import MODALITY_NAMES, SCALE, Settings, declared

if TYPE_CHECKING:
    from mmsr_core.codec import PatchCodec, VaeCodec
    from mmsr_core.outcome import Step

Run = Callable[[Settings, tuple[str, ...]], "Iterator[Step]"]
WHOLE = 2**22  # output pixels of the largest picture that is denoised as a whole; larger ones band by band
OUTPUT_BYTES = 140  # bytes a pixel of the x4 picture that is alive: latents, condition, pictures (CPU, 2048 px: 126)
PICTURE_BYTES = 16  # bytes a pixel of the x4 picture itself: finished, enlarged for comparison, matched in colour
TILES_AT_ONCE = {"cuda": 4}  # in one U-Net call, by kind of device; a CPU gains nothing by more than one
LOADING = threading.RLock()  # held while networks are built or loaded: libraries change global state meanwhile
_CPU_ALLOCATOR = "DefaultCPUAllocator"  # torch raises a plain RuntimeError where the CPU's memory is used up


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that a device's memory is used up."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and (_CPU_ALLOCATOR in str(error) or "out of memory" in str(error).lower())


def release() -> None:
    """Gives back what nothing refers to any more."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def with_smaller_tiles(run: Run, settings: Settings, let_go: Callable[[], None] = release) -> Iterator[Step]:
    """Yields from `run(settings, notices)`, from its start with half the tile each time that memory runs out.

    Args:
        let_go: called before the next start, to free what can be spared.

    Raises:
        MemoryError: not even the smallest tile fits.
    """
    notices: tuple[str, ...] = ()
    while True:
        try:
            yield from run(settings, notices)
            return
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        let_go()  # outside `except`: the exception no longer keeps the tensors of the failed run alive
        settings, said = smaller(settings)
        notices = (*notices, said)


def smaller(settings: Settings) -> tuple[Settings, str]:
    """The settings with half the tile, and the sentence that says so.

    Raises:
        MemoryError: the tile is the smallest already.
    """
    least, unit = declared("tile").metadata["range"][0], declared("tile").metadata["step"]
    if settings.tile <= least:
        raise MemoryError(
            f"memory: got too little for tiles of {least} px, wanted a smaller photo, a device with more memory or "
            "other programs closed"
        )
    tile = max(settings.tile // 2 // unit * unit, least)
    said = f"Not enough memory for tiles of {settings.tile} px: started again with tiles of {tile} px."
    return settings.with_(tile=tile), said


def tiles_at_once(device: str) -> int:
    """How many tiles a device denoises in one call."""
    return TILES_AT_ONCE.get(device.split(":")[0], 1)


def estimate(size: tuple[int, int], settings: Settings, codec: PatchCodec | VaeCodec, device: str) -> int:
    """Peak bytes, beside the weights, of a run on a picture of (width, height) pixels."""
    pixels = size[0] * size[1] * SCALE**2
    bands = size[0] * SCALE * settings.tile * (settings.steps + 1)  # a row of tiles for each step and the finished one
    alive = pixels if codec.decode_margin is None else min(pixels, max(WHOLE, bands))
    seen = min(tiles_at_once(device) * settings.tile**2, pixels)
    return codec.tile_bytes * seen + OUTPUT_BYTES * alive + PICTURE_BYTES * (pixels - alive)


def warnings(
    seconds: float | None, needed: int, settings: Settings, given: Collection[str] = MODALITY_NAMES
) -> list[str]:
    """What a visitor should know before a run of so many seconds (None: nobody knows yet) and bytes.

    Args:
        given: names of the modalities that are not switched off.
    """
    said = [] if seconds is None else slow(seconds)
    if needed > 4e9:
        said.append(f"About {needed / 1e9:.1f} GB of memory: a smaller input needs less.")
    if settings.guidance == "m-cfg" and settings.weight == 0:
        said.append("At weight 0 the negative text has no effect.")
    if settings.weight > 0 and guidance.count(settings.guidance, given, settings.weight) == 1:
        said.append("While the caption is off, the guidance weight and the words have no effect.")
    return said


def pick_device(device: str | None) -> str:
    """The wanted device, or the best one there is.

    Raises:
        ValueError: the wanted device is not there.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    count = {"cuda": gpus, "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    kinds = [kind for kind in count if count[kind]]
    if device is None:
        return kinds[0]
    if device not in (*kinds, *(f"{kind}:{index}" for kind in kinds for index in range(count[kind]))):
        raise ValueError(f"device: got {device!r}, wanted one of {', '.join(kinds)}")
    return device
