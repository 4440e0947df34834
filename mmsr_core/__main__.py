"""The command line: python -m mmsr_core IN OUT

Exit codes: 0 all done, 1 some failed, 2 usage error, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsr_core.bar import Bar
from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.readers import chosen
from mmsr_core.options import AUTO, OFF, build_parser
from mmsr_core.presets import preset as row_of
from mmsr_core.settings import Settings
from mmsr_core.tally import Tally, is_summary
from mmsr_core.team import Team

if TYPE_CHECKING:
    from mmsr_core.batch import Job, Order
    from mmsr_core.recipe import Recipe
    from mmsr_core.upscaler import Upscaler

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Work:
    """What the command line asks of this process: `jobs` are its share, `todo` those that are not done yet."""

    preset: str
    recipe: Recipe | None
    order: Order
    team: Team
    jobs: Sequence[Job]
    todo: Sequence[Job]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a photo's name may have letters that a console lacks
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        return _run(parser, args)
    except KeyboardInterrupt:
        print("stopped; what was finished is kept, nothing is half-written", file=sys.stderr)
    except BrokenPipeError:  # nobody reads any further, as behind `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return INTERRUPTED


def _run(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    try:
        work = _planned(args)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        name = Path(str(error.filename)).name[:80]
        parser.error(f"got {error.strerror} for {name!r}, wanted files and folders that can be read")
    done = set(work.jobs) - set(work.todo)
    _say(args, f"{len(done)} of {len(work.jobs)} done already" if done else None)
    if args.dry_run:
        return _forecast(parser, args, work)
    with Tally(work.jobs, work.team, args.summary) as tally:
        for job in done:
            tally.add(job, "skipped", "its result is there")
        loaded = not work.todo or _restore(_load(parser, args, work), args, work, tally)
    return DONE if loaded and not tally.failed else FAILED


def _planned(args: argparse.Namespace) -> Work:
    """Everything that can be refused before a model is loaded."""
    from mmsr_core import batch

    recipe = None if args.recipe is None else _recipe(args.recipe)
    preset = args.preset if args.preset is not None else "mini" if recipe is None else recipe.preset
    order = _order(args, recipe, row_of(preset).defaults)
    team = Team.here()
    every = batch.plan(args.input, args.output, args.format, keep=args.resume)
    _check_maps(order, every)
    _check_quality(args.quality, every)
    _check_summary(args.summary, every)
    jobs = team.share(every)
    todo = [job for job in jobs if not (args.resume and job.target.exists())]
    return Work(preset, recipe, order, team, jobs, todo)


def _restore(upscaler: Upscaler | None, args: argparse.Namespace, work: Work, tally: Tally) -> bool:
    """Restores photo after photo; False where there is no model to do it."""
    from mmsr_core import batch

    if upscaler is None:
        return False
    if work.recipe is not None and work.recipe.weights_hash != upscaler.info.hash:
        _warn(args, "these are not the weights of the recipe, so the result will differ")
    with Bar(work.todo) if _wants_bar(args) else nullcontext() as bar:
        for outcome in batch.run(upscaler, work.todo, work.order, bar, lambda text: _warn(args, text)):
            if bar is not None:
                bar.close()
            tally.add(outcome.job, outcome.state, outcome.message)
            _tell(args, outcome.state, outcome.message)
            del outcome  # and its pictures, before the next photo needs the memory
    return True


def _forecast(parser: argparse.ArgumentParser, args: argparse.Namespace, work: Work) -> int:
    """Tells what each photo would become and cost."""
    from mmsr_core import batch

    upscaler = _load(parser, args, work) if work.todo else None
    if upscaler is None:
        return FAILED if work.todo else DONE
    states = set()
    for outcome in batch.forecast(upscaler, work.todo, work.order, lambda text: _warn(args, text)):
        _tell(args, outcome.state, outcome.message)
        states.add(outcome.state)
    return FAILED if "failed" in states else DONE


def _order(args: argparse.Namespace, recipe: Recipe | None, plain: Settings) -> Order:
    from mmsr_core.batch import Order

    base = plain if recipe is None else recipe.used_settings()
    changes: dict[str, Any] = {}
    for spec in fields(Settings):
        value = getattr(args, spec.name)
        if value is not None:
            changes[spec.name] = {**getattr(base, spec.name), **dict(value)} if "keys" in spec.metadata else value
    words = [(row, getattr(args, row.name)) for row in MODALITIES]
    fresh = [row.name for row, word in words if word == AUTO]
    given: dict[str, str | Path | None] = {}
    for row, word in words:
        if word not in (None, AUTO):
            is_path = row.kind == "map" or (word != "" and os.path.isdir(word))
            given[row.name] = None if word == OFF else Path(word) if is_path else word
    extractors = dict(args.extractor)
    chosen(None, extractors)  # refuses unknown names
    _check_extractors(extractors, given)
    return Order(base.with_(**changes), given, recipe, args.save_maps, args.quality, extractors, fresh)


def _check_extractors(extractors: dict[str, str], given: dict[str, str | Path | None]) -> None:
    for name, way in extractors.items():
        if name in given and not isinstance(given[name], Path):
            got = OFF if given[name] is None else "a caption"
            raise ValueError(f"--extractor: got {name}={way} beside {got} for it, wanted one of both")


def _check_maps(order: Order, jobs: Sequence[Job]) -> None:
    for name, value in order.given.items():
        if isinstance(value, Path) and not value.exists():
            raise ValueError(f"--{name}: got no file named {value.name!r}, wanted a picture, {OFF} or {AUTO}")
        if isinstance(value, Path) and value.is_file() and len(jobs) > 1:
            raise ValueError(
                f"--{name}: got one picture for {len(jobs)} photos, wanted a folder from --save-maps, {OFF} or {AUTO}"
            )


def _check_quality(quality: int | None, jobs: Sequence[Job]) -> None:
    from mmsr_core.images import WRITABLE

    suffixes = {job.target.suffix.lower() for job in jobs}
    if quality is not None and all(WRITABLE[suffix][1] is None for suffix in suffixes):
        raise ValueError(f"--quality: got it for {', '.join(sorted(suffixes))}, wanted jpg, webp or avif results")


def _check_summary(path: Path | None, jobs: Sequence[Job]) -> None:
    """Before the work, not after it. A folder for the results need not be there yet, as the run makes it."""
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"--summary: got the folder {path.name!r}, wanted a file to write")
    if path.exists() and not is_summary(path):
        raise ValueError(f"--summary: got {path.name!r}, a file that is no summary, wanted a new name")
    if path.resolve() in {job.target.resolve() for job in jobs}:
        raise ValueError(f"--summary: got {path.name!r}, which is the name of a result, wanted another one")
    there = path.parent.is_dir() and os.access(path.parent, os.W_OK)
    made = {folder.resolve() for folder in {job.target.parent for job in jobs}}
    if not there and path.parent.resolve() not in made:
        raise ValueError(f"--summary: got no folder {path.parent.name!r} to write to, wanted one that is there")


def _recipe(path: Path) -> Recipe:
    from mmsr_core.images import read_recipe
    from mmsr_core.recipe import Recipe

    text = read_recipe(path)
    if text is None:
        raise ValueError(f"--recipe {path.name}: got a picture without a recipe, wanted a result of this program")
    return Recipe.from_json(text)


def _load(parser: argparse.ArgumentParser, args: argparse.Namespace, work: Work) -> Upscaler | None:
    """The model; None, and the reason is told, where it cannot be had through no fault of the command line."""
    _say(args, f"loading {work.preset} ...", file=sys.stderr)
    try:
        _hush_libraries()
        from mmsr_core.upscaler import Upscaler

        device = work.team.device(args.device)
        return Upscaler.load(work.preset, args.weights, device, models=dict(args.extractor_model))
    except ValueError as error:
        parser.error(str(error))
    except (OSError, RuntimeError, ImportError) as error:
        print(f"failed: the model could not be loaded: {error}", file=sys.stderr)
    return None


def _hush_libraries() -> None:
    """No bars and hints of the libraries between ours."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    for library in (of_diffusers, of_transformers):
        library.disable_progress_bar()
        library.set_verbosity_error()


def _wants_bar(args: argparse.Namespace) -> bool:
    return args.progress or (not args.quiet and sys.stderr.isatty())


def _tell(args: argparse.Namespace, state: str, message: str) -> None:
    if state == "failed":
        print(f"failed: {message}", file=sys.stderr)
    else:
        _say(args, message)


def _say(args: argparse.Namespace, text: str | None, file: Any = None) -> None:
    if text is not None and not args.quiet:
        print(text, file=file, flush=True)


def _warn(args: argparse.Namespace, text: str) -> None:
    _say(args, f"note: {text}", file=sys.stderr)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill cleans up as Ctrl-C does
    sys.exit(main())
