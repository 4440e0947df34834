"""Photo files, one after the other: plan the names, restore, save. For the command line and the page."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsr_core import memory
from mmsr_core.compare import protect
from mmsr_core.files import make_folder
from mmsr_core.gather import gather, save_maps
from mmsr_core.images import READABLE, WRITABLE, check_target, open_photo, read_recipe, save_photo
from mmsr_core.outcome import SAID
from mmsr_core.pace import Watch
from mmsr_core.recipe import Recipe, record
from mmsr_core.settings import Settings

if TYPE_CHECKING:
    from mmsr_core.upscaler import Result, Upscaler


MANIFEST = ".txt"  # suffix of a list of photos


@dataclass(frozen=True)
class Job:
    """One photo to restore."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Order:
    """What to do with every photo of a batch."""

    settings: Settings = field(default_factory=Settings)
    given: Mapping[str, str | Path | None] = field(default_factory=dict)  # caption, map file or folder; None = off
    recipe: Recipe | None = None  # for the modalities that `given` leaves open
    maps: Path | None = None  # folder that gets the maps that were used
    quality: int | None = None
    extractors: Mapping[str, str] = field(default_factory=dict)  # modality -> extractor; naming one is leave to use it


@dataclass(frozen=True)
class Outcome:
    """What became of one job."""

    job: Job
    state: str  # "done" or "failed"
    message: str  # one line for people
    result: Result | None = None


def plan(source: Path, target: Path, form: str | None = None) -> list[Job]:
    """Which files to make from a photo, from those of a folder (not of its subfolders), or from those of a manifest.

    Args:
        source: a photo, a folder, or a .txt file with a path on each line, relative to its own folder.
        target: a file; or a folder, which is one that exists, has no suffix, or stands beside a folder or manifest.
        form: a suffix without its dot for results in a folder; None keeps the photo's own where it can be written.

    Raises:
        ValueError: nothing to do, or a result would replace a photo.
    """
    if not source.exists():
        raise ValueError(f"input: got no file or folder named {source.name!r}, wanted a photo or a folder of photos")
    if source.is_dir() or source.suffix == MANIFEST:
        sources = _listed(source) if source.suffix == MANIFEST else sorted(filter(_is_photo, source.iterdir()))
        if not sources:
            raise ValueError(f"input: got no pictures in {source.name!r}, wanted some of {', '.join(READABLE)}")
        if target.exists() and not target.is_dir():
            raise ValueError(f"output: got the file {target.name!r}, wanted a folder, as there may be many photos")
        jobs = _in_folder(sources, target, form)
    elif target.is_dir() or not target.suffix:
        jobs = _in_folder([source], target, form)
    else:
        check_target(target, (1, 1))
        jobs = [Job(source, target)]
    inputs = {_identity(job.source) for job in jobs}
    for job in jobs:
        if job.target.exists() and _identity(job.target) in inputs:
            raise ValueError(f"output: got {job.target.name!r}, which is an input; wanted another file or folder")
    if len(jobs) == 1 and target == jobs[0].target and target.exists() and not _is_result(target):
        raise ValueError(f"output: got {target.name!r}, a file that is no result of this program; wanted a new name")
    return jobs


def _is_result(path: Path) -> bool:
    try:
        return read_recipe(path) is not None
    except ValueError:
        return False


def _identity(path: Path) -> tuple[int, int] | None:
    """What a file is on its disk, by whatever name; None where it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def run(
    upscaler: Upscaler,
    jobs: Sequence[Job],
    order: Order,
    progress: Callable[[Job, Any], None] | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> Iterator[Outcome]:
    """Restore photo after photo; one that fails does not stop the others.

    Args:
        progress: called with the job and each `Step` of its sampling.
        notify: called with warnings.
    """
    for job in jobs:
        try:
            yield restore_file(upscaler, job, order, progress, notify)
        except Exception as error:  # whatever one photo does, the others still have their turn
            reason = str(error) if isinstance(error, SAID) and str(error) else f"{type(error).__name__}: {error}"
            message = " ".join(reason.split())
            yield Outcome(job, "failed", message if job.source.name in message else f"{job.source.name}: {message}")


def restore_file(
    upscaler: Upscaler,
    job: Job,
    order: Order,
    progress: Callable[[Job, Any], None] | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Open, restore and save one photo.

    Raises:
        ValueError: the photo, a map or the target does not fit.
    """
    started = time.monotonic()
    settings = order.settings
    photo = open_photo(job.source)
    check_target(job.target, tuple(side * settings.scale for side in photo.rgb.size))
    make_folder(job.target.parent)
    say = lambda text: notify(f"{photo.name}: {text}")  # noqa: E731
    needed = memory.estimate(photo.rgb.size, settings, upscaler.pipeline.codec, upscaler.device)
    for warning in memory.warnings(None, needed, settings):
        say(warning)
    gathered = gather(upscaler, photo, job.target.stem, order, say)
    if order.maps is not None:
        save_maps(gathered.modalities, order.maps, job.target.stem)
    watch = Watch(say, None if progress is None else lambda step: progress(job, step))
    result = upscaler.restore(photo.rgb, gathered.modalities, settings, progress=watch)
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
    save_photo(job.target, final, photo, recipe.to_json(), order.quality, settings.strip_gps)
    sizes = "{}x{} -> {} {}x{}".format(*photo.rgb.size, job.target.name, *final.size)
    facts = [sizes, f"seed {result.seed}", *([f"cleaned of {result.cleaned}"] if result.cleaned else [])]
    facts += [f"{time.monotonic() - started:.1f} s"]
    return Outcome(job, "done", f"{photo.name} {', '.join(facts)}", result)


def _listed(manifest: Path) -> list[Path]:
    """The photos of a manifest, each once, in its order; empty lines and those that start with # are skipped."""
    try:
        lines = [line.strip() for line in manifest.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"input: got {manifest.name!r}, which is no text, wanted a path on each line") from None
    return [manifest.parent / line for line in dict.fromkeys(lines) if line and not line.startswith("#")]


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in READABLE and not path.name.startswith(".") and path.is_file()


def _in_folder(sources: Sequence[Path], folder: Path, form: str | None) -> list[Job]:
    """Targets whose stems differ, upper and lower case alike, so that no result or map replaces another's."""
    shared = Counter(source.stem.casefold() for source in sources)
    taken: set[str] = set()
    jobs = []
    for source in sources:
        own = source.suffix if source.suffix.lower() in WRITABLE else ".png"
        stem = source.stem
        if shared[stem.casefold()] > 1:
            stem = f"{stem}_{source.suffix[1:].lower()}"
        while stem.casefold() in taken:
            stem += "_"
        taken.add(stem.casefold())
        jobs.append(Job(source, folder / (stem + (own if form is None else f".{form}"))))
    return jobs
