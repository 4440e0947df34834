"""Photo files, one after the other: plan the names, restore, save. For the command line and the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsr_core.images import READABLE, WRITABLE, check_target, read_recipe
from mmsr_core.metadata import RECIPE_KEY
from mmsr_core.order import Job, Order, Outcome, forecast_file, restore_file
from mmsr_core.outcome import SAID

if TYPE_CHECKING:
    from mmsr_core.upscaler import Upscaler

MANIFEST = ".txt"  # suffix of a list of photos
_MARKS = (RECIPE_KEY.encode() + b"\0", b'{"recipe": ')  # of a recipe inside a picture file
_PEEK = 1 << 17  # bytes at both ends of a file, one of which holds the beginning of its recipe as a rule


def plan(source: Path, target: Path, form: str | None = None, keep: bool = False) -> list[Job]:
    """Which files to make from a photo, from those of a folder (not of its subfolders), or from those of a manifest.

    Args:
        source: a photo, a folder, or a .txt file with a path on each line, relative to its own folder.
        target: a file; or a folder, which is one that exists, has no suffix, or stands beside a folder or manifest.
        form: a suffix without its dot for results in a folder; None keeps the photo's own where it can be written.
        keep: files that exist already will be left alone, whatever they are.

    Raises:
        ValueError: nothing to do, or a result would replace a photo or another file that is no result.
    """
    if not source.exists():
        raise ValueError(f"input: got no file or folder named {source.name!r}, wanted a photo or a folder of photos")
    listed = source.suffix.lower() == MANIFEST
    if source.is_dir() or listed:
        sources = sorted(filter(_is_photo, source.iterdir())) if source.is_dir() else _listed(source)
        if not sources:
            raise ValueError(f"input: got no pictures in {source.name!r}, wanted some of {', '.join(READABLE)}")
        if target.exists() and not target.is_dir():
            raise ValueError(f"output: got the file {target.name!r}, wanted a folder, as there may be many photos")
        jobs = _in_folder(sources, target, form)
    elif target.is_dir() or not target.suffix:
        jobs = _in_folder([source], target, form)
    else:
        check_target(target, (1, 1))
        _check_form(target, form)
        jobs = [Job(source, target)]
    _check_replaced(jobs, keep)
    return jobs


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
        watch = None if progress is None else partial(progress, job)
        yield _tried(job, partial(restore_file, upscaler, job.source, job.target, order, watch, notify))


def forecast(
    upscaler: Upscaler, jobs: Sequence[Job], order: Order, notify: Callable[[str], None] = lambda text: None
) -> Iterator[Outcome]:
    """What `run` would make of each photo, and what that would cost; nothing is written."""
    for job in jobs:
        yield _tried(job, partial(forecast_file, upscaler, job, order, notify))


def _tried(job: Job, work: Callable[[], Outcome]) -> Outcome:
    try:
        return work()
    except Exception as error:  # whatever one photo does, the others still have their turn
        reason = str(error) if isinstance(error, SAID) and str(error) else f"{type(error).__name__}: {error}"
        message = " ".join(reason.split())
        return Outcome(job, "failed", message if job.source.name in message else f"{job.source.name}: {message}")


def _listed(manifest: Path) -> list[Path]:
    """The photos of a manifest, each once, in its order; empty lines and those that start with # are skipped."""
    try:
        lines = [line.strip() for line in manifest.read_text("utf-8-sig").splitlines()]
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


def _check_form(target: Path, form: str | None) -> None:
    if form is not None and WRITABLE[f".{form}"][0] != WRITABLE[target.suffix.lower()][0]:
        raise ValueError(f"format: got {form} for the file {target.name!r}, wanted one of both, or a folder")


def _check_replaced(jobs: Sequence[Job], keep: bool) -> None:
    """Looks at each file once: comparing each result with each photo took 48 s for 2,000 files."""
    inputs = {_identity(job.source) for job in jobs}
    there = {job.target: found for job in jobs if (found := _identity(job.target)) is not None}
    for target, found in there.items():
        if found in inputs:
            raise ValueError(f"output: got {target.name!r}, which is an input; wanted another file or folder")
    foreign = None if keep else next((target for target in there if not _is_result(target)), None)
    if foreign is not None:
        got = f"{foreign.name!r}, a file that is no result of this program"
        raise ValueError(f"output: got {got}; wanted a new name or another folder")


def _identity(path: Path) -> tuple[int, int] | None:
    """What a file is on its disk, by whatever name; None where it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_result(path: Path) -> bool:
    """Whether a picture has a recipe. Its ends are looked at first, as thousands may be there already."""
    try:
        with path.open("rb") as file:
            ends = [file.read(_PEEK)]
            file.seek(max(file.seek(0, 2) - _PEEK, 0))
            ends.append(file.read())
        return any(mark in end for mark in _MARKS for end in ends) or read_recipe(path) is not None
    except (OSError, ValueError):
        return False
