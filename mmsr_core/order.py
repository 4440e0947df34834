"""One photo file: open it, restore it and save the result, as an order says."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from mmsr_core import memory
from mmsr_core.compare import protect
from mmsr_core.decoding import DECODER_ERRORS
from mmsr_core.files import make_folder
from mmsr_core.gather import gather_ordered, left_on, save_maps
from mmsr_core.images import Photo, check_target, save_photo
from mmsr_core.intake import taken
from mmsr_core.pace import Watch
from mmsr_core.presets import preset
from mmsr_core.recipe import Recipe, record
from mmsr_core.settings import MODALITY_NAMES, Settings

if TYPE_CHECKING:
    from mmsr_core.upscaler import Result, Step, Upscaler

ANIMATED = ("GIF", "WEBP", "PNG")  # formats that may hold an animation


@dataclass(frozen=True)
class Job:
    """One photo to restore."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Order:
    """What to do with a photo, or with every photo of a batch.

    Attributes:
        given: modality -> caption, map, file, or folder of STEM-depth.png and the like; None is off.
        recipe: for the modalities that `given` leaves open.
        maps: folder that gets the maps that were used.
        extractors: modality -> extractor that reads it, whatever the recipe has; naming a service is leave to use it.
        fresh: more modalities that are extracted, whatever the recipe has.
        max_pixels: larger photos are shrunk to so many first, and that is said; None leaves them as they are.

    Raises:
        ValueError: no such modality.
    """

    settings: Settings = field(default_factory=Settings)
    given: Mapping[str, str | Path | Image.Image | None] = field(default_factory=dict)
    recipe: Recipe | None = None
    maps: Path | None = None
    quality: int | None = None
    extractors: Mapping[str, str] = field(default_factory=dict)
    fresh: Collection[str] = ()
    max_pixels: int | None = None

    def __post_init__(self) -> None:
        unknown = sorted({*self.given, *self.extractors, *self.fresh} - set(MODALITY_NAMES))
        if unknown:
            raise ValueError(f"modalities: got {', '.join(unknown)}, wanted some of {', '.join(MODALITY_NAMES)}")


@dataclass(frozen=True)
class Outcome:
    """What became of one job."""

    job: Job
    state: str  # "done", "planned" or "failed"
    message: str  # one line for people
    result: Result | None = None


def restore_file(
    upscaler: Upscaler,
    source: str | Path,
    target: str | Path,
    order: Order | None = None,
    progress: Callable[[Step], None] | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Open, restore and save one photo: EXIF data, transparency and grey come along, the recipe goes inside.

    Args:
        target: the file to write, whose suffix chooses the format; an older one is replaced.
        order: None takes the settings of the preset and extracts everything.
        progress: called with each `Step` of the sampling.
        notify: called with warnings, in sentences.

    Raises:
        ValueError: the photo, a map or the target does not fit.
    """
    started = time.monotonic()
    job = Job(Path(source), Path(target))
    order = Order(preset(upscaler.info.preset).defaults) if order is None else order
    settings, photo = order.settings, _opened(job, order, notify)
    make_folder(job.target.parent)
    say = partial(_of, notify, photo.name)
    needed = memory.estimate(photo.rgb.size, settings, upscaler.pipeline.codec, upscaler.device)
    for warning in [*_frames(job, photo), *memory.warnings(None, needed, settings, left_on(order))]:
        say(warning)
    gathered = gather_ordered(upscaler, photo, order, (job.target.stem, job.source.stem), say)
    if order.maps is not None:
        save_maps(gathered.modalities, order.maps, job.target.stem)
    result = upscaler.restore(photo.rgb, gathered.modalities, settings, progress=Watch(say, progress))
    for notice in result.notices:
        say(notice)
    region = order.recipe.region() if order.recipe is not None and order.recipe.fits(photo.rgb) else None
    recipe = record(
        result.settings, result.seed, upscaler.info.preset, upscaler.info.hash,
        gathered.modalities, gathered.sources, photo.rgb, gathered.extractors, region,
    )  # fmt: skip
    final = result.finish(settings.color)
    if region is not None:
        final = protect(final, result.bicubic, region)
    save_photo(job.target, final, photo, recipe.to_json(), order.quality, **settings.of_file())
    facts = [_sizes(job, photo, final.size), f"seed {result.seed}"]
    facts += [f"cleaned of {result.cleaned}"] if result.cleaned else []
    return Outcome(job, "done", f"{', '.join(facts)}, {time.monotonic() - started:.1f} s", result)


def forecast_file(
    upscaler: Upscaler, job: Job, order: Order, notify: Callable[[str], None] = lambda text: None
) -> Outcome:
    """What the result will be and cost; nothing is written. Raises as `restore_file`."""
    photo = _opened(job, order, notify)
    cost = upscaler.plan(photo.rgb.size, order.settings, left_on(order))
    for warning in [*_frames(job, photo), *cost.warnings]:
        _of(notify, photo.name, warning)
    tiles = f"{cost.tiles} tile{'s' if cost.tiles > 1 else ''}"
    seconds = f"{cost.seconds:.1f} s" if cost.seconds < 90 else f"{cost.seconds / 60:.0f} minutes"
    costs = f"{tiles}, about {seconds}, {cost.memory_bytes / 1e9:.2f} GB of memory"
    return Outcome(job, "planned", f"{_sizes(job, photo, cost.output_size)}, {costs}")


def _opened(job: Job, order: Order, notify: Callable[[str], None]) -> Photo:
    photo, note = taken(job.source, order.max_pixels)
    if note:
        notify(note)
    check_target(job.target, tuple(side * order.settings.scale for side in photo.rgb.size))
    return photo


def _of(notify: Callable[[str], None], name: str, text: str) -> None:
    notify(f"{name}: {text}")


def _sizes(job: Job, photo: Photo, size: tuple[int, int]) -> str:
    return "{} {}x{} -> {} {}x{}".format(photo.name, *photo.rgb.size, job.target.name, *size)


def _frames(job: Job, photo: Photo) -> list[str]:
    """What to say of an animation."""
    if photo.source_format not in ANIMATED:
        return []
    with contextlib.suppress(*DECODER_ERRORS), Image.open(job.source) as image:
        if getattr(image, "is_animated", False):
            return ["it is animated; its first picture is enlarged"]
    return []
