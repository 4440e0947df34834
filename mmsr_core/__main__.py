"""The command line: python -m mmsr_core IN OUT

Exit codes: 0 all done, 1 some failed, 2 usage error, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsr_core import __version__
from mmsr_core.bar import Bar
from mmsr_core.files import write_whole
from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.readers import chosen
from mmsr_core.presets import PRESETS
from mmsr_core.presets import preset as row_of
from mmsr_core.settings import Settings
from mmsr_core.team import Team

if TYPE_CHECKING:
    from mmsr_core.batch import Job, Order
    from mmsr_core.recipe import Recipe

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
OFF = "off"
_SHORT = {"weight": "-w"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        return _run(parser, args)
    except KeyboardInterrupt:
        print("stopped; what was finished is kept, nothing is half-written", file=sys.stderr)
        return INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    """Every knob of `Settings` and every row of the modality table becomes an option."""
    parser = argparse.ArgumentParser(
        "python -m mmsr_core",
        usage="python -m mmsr_core IN OUT [options]      (--help lists them)",
        description="Make a photo, or every photo of a folder, up to four times as large.",
        allow_abbrev=False,
        epilog="Exit codes: 0 all done, 1 some failed, 2 usage error, 130 interrupted.",
    )
    parser.add_argument("input", metavar="IN", type=Path, help="a photo, a folder of photos, or a .txt list of photos")
    parser.add_argument(
        "output", metavar="OUT", type=Path, help="the result (png, jpg, webp, tiff, avif), or a folder for it"
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _add_model(parser.add_argument_group("model"))
    settings = parser.add_argument_group("settings")
    for spec in fields(Settings):
        _add_knob(settings, spec)
    _add_modalities(parser.add_argument_group("modalities (extracted from the photo unless given)"))
    _add_files(parser.add_argument_group("files and progress"))
    return parser


def _add_model(group: argparse._ArgumentGroup) -> None:
    public = [name for name, row in PRESETS.items() if row.public]
    group.add_argument("--preset", metavar="NAME", help=f"{' or '.join(public)} (default {public[0]}, or the recipe's)")
    group.add_argument("--weights", metavar="DIR", help="a folder of weights, or a hub id, instead of the preset's own")
    group.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the best there is)")


def _add_knob(group: argparse._ArgumentGroup, spec: Field) -> None:
    """One option of one knob. Its default is None, so that a given option is known from a recipe's."""
    flags = [*([_SHORT[spec.name]] if spec.name in _SHORT else []), "--" + spec.name.replace("_", "-")]
    about, text = spec.metadata, spec.metadata["help"].replace("%", "%%")
    if spec.default is False:
        group.add_argument(*flags, action="store_const", const=True, help=text)
        return
    if "keys" in about:
        keys, (low, high) = ", ".join(about["keys"]), about["range"]
        text = f"{text} NAME is one of {keys}; {low:g} to {high:g}; may be repeated."
        group.add_argument(*flags, action="append", type=_pair, metavar="NAME=VALUE", help=text)
        return
    if spec.default is not None:
        text = f"{text} (default {str(spec.default).replace('%', '%%')})"
    if "choices" in about:
        group.add_argument(*flags, type=type(about["choices"][0]), choices=about["choices"], help=text)
    elif "range" in about:
        kind = int if isinstance(about["step"], int) else float
        group.add_argument(*flags, type=kind, metavar=about.get("unit", "N").upper(), help=text)
    else:
        group.add_argument(*flags, metavar="TEXT", help=text)


def _add_modalities(group: argparse._ArgumentGroup) -> None:
    for row in MODALITIES:
        if row.kind == "text":
            group.add_argument("--caption", dest=row.name, metavar=f"TEXT|{OFF}", help=f"{row.help} {OFF}: none.")
        else:
            text = f"{row.help} A picture, for a folder of photos a folder from --save-maps, or {OFF}: none."
            group.add_argument(f"--{row.name}", metavar=f"FILE|{OFF}", help=text)
    ways = "; ".join(f"{row.name}: {', '.join(row.extractors)}" for row in MODALITIES if len(row.extractors) > 1)
    several = {"action": "append", "default": [], "type": _named}
    group.add_argument("--extractor", **several, metavar="NAME=WAY", help=f"how to read a modality ({ways})")
    text = "folder, hub id or service name to use for one of the public models (depth-anything, florence, gemini ...)"
    group.add_argument("--extractor-model", **several, metavar="MODEL=ID", help=text)
    group.add_argument("--save-maps", metavar="DIR", type=Path, help="write the maps and captions that were used")


def _add_files(group: argparse._ArgumentGroup) -> None:
    text = "a result picture or its JSON: make it again; other options given here change it"
    group.add_argument("--recipe", metavar="FILE", type=Path, help=text)
    group.add_argument("--resume", action="store_true", help="skip photos whose result exists already")
    text = "of results in a folder (default: the photo's own, or png)"
    group.add_argument("--format", choices=("png", "jpg", "webp", "tiff", "avif"), help=text)
    group.add_argument("--summary", metavar="FILE", type=Path, help="write what became of each photo, as JSON")
    group.add_argument("--quality", type=int, choices=range(1, 101), metavar="1-100", help="of jpg, webp, avif")
    loud = group.add_mutually_exclusive_group()
    loud.add_argument("--progress", action="store_true", help="draw the bar even where there is no terminal")
    loud.add_argument("--quiet", action="store_true", help="print errors only")


def _run(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    from mmsr_core import batch

    try:
        recipe = None if args.recipe is None else _recipe(args.recipe)
        preset = args.preset if args.preset is not None else "mini" if recipe is None else recipe.preset
        order = _order(args, recipe, row_of(preset).defaults)
        team = Team.here()
        every = batch.plan(args.input, args.output, args.format)
        _check_maps(order, every)
        jobs = team.share(every)
        todo = [job for job in jobs if not (args.resume and job.target.exists())]
        _check_summary(args.summary, every)
        _say(args, f"{len(jobs) - len(todo)} of {len(jobs)} done already" if len(todo) < len(jobs) else None)
        upscaler = _load(args, preset, team) if todo else None
    except ValueError as error:
        parser.error(str(error))
    except (OSError, RuntimeError, ImportError) as error:
        print(f"failed: the model could not be loaded: {error}", file=sys.stderr)
        return FAILED
    if None not in (recipe, upscaler) and recipe.weights_hash != upscaler.info.hash:
        _warn(args, "these are not the weights of the recipe, so the result will differ")
    started = set(todo)
    rows = [_row(job, "skipped", "its result is there") for job in jobs if job not in started]
    rows += _restored(args, upscaler, todo, order)
    rows = team.gathered([{**row, "process": team.rank} for row in rows])
    return DONE if rows is None else _summed(args, rows)


def _restored(args: argparse.Namespace, upscaler: Any, jobs: Sequence[Job], order: Order) -> Iterator[dict[str, Any]]:
    """Restores photo after photo; what became of each, as plain words."""
    from mmsr_core import batch

    with Bar(jobs) if _wants_bar(args) else nullcontext() as bar:
        for outcome in batch.run(upscaler, jobs, order, bar, lambda text: _warn(args, text)):
            if bar is not None:
                bar.close()
            if outcome.state == "failed":
                print(f"failed: {outcome.message}", file=sys.stderr)
            else:
                _say(args, outcome.message)
            row = _row(outcome.job, outcome.state, outcome.message)
            del outcome  # and its pictures, before the next photo needs the memory
            yield row


def _row(job: Job, state: str, said: str) -> dict[str, Any]:
    return {"photo": str(job.source), "result": str(job.target), "state": state, "said": said}


def _summed(args: argparse.Namespace, rows: Sequence[dict[str, Any]]) -> int:
    """One summary of all processes; returns the exit code."""
    failures = [row["said"] for row in rows if row["state"] == "failed"]
    tried = sum(row["state"] != "skipped" for row in rows)
    if failures and tried > 1:
        listed = "".join(f"\n  {message}" for message in failures)
        print(f"{len(failures)} of {tried} failed:{listed}", file=sys.stderr)
    if args.summary is not None:
        try:
            write_whole(args.summary, json.dumps(sorted(rows, key=lambda row: row["photo"]), indent=1).encode())
        except ValueError as error:  # a full disk, or a folder that went away meanwhile
            print(f"failed: --summary {error}", file=sys.stderr)
            return FAILED
    return FAILED if failures else DONE


def _order(args: argparse.Namespace, recipe: Recipe | None, plain: Settings) -> Order:
    from mmsr_core.batch import Order

    base = plain if recipe is None else recipe.used_settings()
    changes: dict[str, Any] = {}
    for spec in fields(Settings):
        value = getattr(args, spec.name)
        if value is not None:
            changes[spec.name] = {**getattr(base, spec.name), **dict(value)} if "keys" in spec.metadata else value
    given: dict[str, str | Path | None] = {}
    for row in MODALITIES:
        value = getattr(args, row.name)
        if value is not None:
            given[row.name] = None if value == OFF else value if row.kind == "text" else Path(value)
    chosen(None, dict(args.extractor))  # refuses unknown names
    return Order(base.with_(**changes), given, recipe, args.save_maps, args.quality, dict(args.extractor))


def _check_maps(order: Order, jobs: Sequence[Job]) -> None:
    for name, value in order.given.items():
        if isinstance(value, Path) and not value.exists():
            raise ValueError(f"--{name}: got no file named {value.name!r}, wanted a picture or {OFF}")
        if isinstance(value, Path) and value.is_file() and len(jobs) > 1:
            raise ValueError(
                f"--{name}: got one picture for {len(jobs)} photos, wanted a folder from --save-maps or {OFF}"
            )


def _check_summary(path: Path | None, jobs: Sequence[Job]) -> None:
    """Before the work, not after it. A folder for the results need not be there yet, as the run makes it."""
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"--summary: got the folder {path.name!r}, wanted a file to write")
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


def _load(args: argparse.Namespace, preset: str, team: Team) -> Any:
    row_of(preset)
    _say(args, f"loading {preset} ...", file=sys.stderr)
    _hush_libraries()
    from mmsr_core.upscaler import Upscaler

    return Upscaler.load(preset, args.weights, team.device(args.device), models=dict(args.extractor_model))


def _hush_libraries() -> None:
    """No bars and hints of the libraries between ours."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    for library in (of_diffusers, of_transformers):
        library.disable_progress_bar()
        library.set_verbosity_error()


def _pair(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted NAME=VALUE such as depth=0.7") from None


def _named(text: str) -> tuple[str, str]:
    name, mark, value = (part.strip() for part in text.partition("="))
    if not (name and mark and value):
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted NAME=VALUE such as depth=depth-anything")
    return name, value


def _wants_bar(args: argparse.Namespace) -> bool:
    return args.progress or (not args.quiet and sys.stderr.isatty())


def _say(args: argparse.Namespace, text: str | None, file: Any = None) -> None:
    if text is not None and not args.quiet:
        print(text, file=file, flush=True)


def _warn(args: argparse.Namespace, text: str) -> None:
    _say(args, f"note: {text}", file=sys.stderr)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill cleans up as Ctrl-C does
    sys.exit(main())
