"""The options of the command line: every knob of `Settings` and every row of the modality table becomes one."""

from __future__ import annotations

import argparse
from dataclasses import Field, fields
from pathlib import Path

from mmsr_core import __version__
from mmsr_core.modalities import MODALITIES
from mmsr_core.presets import PRESETS
from mmsr_core.settings import Settings

OFF, AUTO = "off", "auto"  # words that stand for a modality
CODES = "Exit codes: 0 all done, 1 some failed, 2 usage error, 130 interrupted."
_SHORT = {"weight": "-w"}


def build_parser() -> argparse.ArgumentParser:
    """Reads the command line; an option that was not given is None, so that it is known from a recipe's."""
    parser = argparse.ArgumentParser(
        "python -m mmsr_core",
        usage="python -m mmsr_core IN OUT [options]      (--help lists them)",
        description="Make a photo, or every photo of a folder, up to four times as large.",
        allow_abbrev=False,
        epilog=CODES,
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
    _add_modalities(parser.add_argument_group("modalities (as in the recipe, else extracted, unless given)"))
    _add_files(parser.add_argument_group("files and progress"))
    return parser


def _add_model(group: argparse._ArgumentGroup) -> None:
    public = [name for name, row in PRESETS.items() if row.public]
    group.add_argument("--preset", metavar="NAME", help=f"{' or '.join(public)} (default {public[0]}, or the recipe's)")
    group.add_argument("--weights", metavar="DIR", help="a folder of weights, or a hub id, instead of the preset's own")
    group.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the best there is)")


def _add_knob(group: argparse._ArgumentGroup, spec: Field) -> None:
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
    words = f"{OFF}: none; {AUTO}: extracted, whatever the recipe has."
    for row in MODALITIES:
        flag, given = ("--caption", "TEXT") if row.kind == "text" else (f"--{row.name}", "FILE")
        one = "The words" if row.kind == "text" else "A picture"
        text = f"{row.help} {one}, or for a folder of photos a folder from --save-maps; {words}"
        group.add_argument(flag, dest=row.name, metavar=f"{given}|DIR|{OFF}|{AUTO}", help=text)
    ways = "; ".join(f"{row.name}: {', '.join(row.extractors)}" for row in MODALITIES if len(row.extractors) > 1)
    several = {"action": "append", "default": [], "type": _named}
    text = f"extract a modality in this way, whatever the recipe has ({ways})"
    group.add_argument("--extractor", **several, metavar="NAME=WAY", help=text)
    text = "folder, hub id or service name to use for one of the public models (depth-anything, florence, gemini ...)"
    group.add_argument("--extractor-model", **several, metavar="MODEL=ID", help=text)
    group.add_argument("--save-maps", metavar="DIR", type=Path, help="write the maps and captions that were used")


def _add_files(group: argparse._ArgumentGroup) -> None:
    text = "a result picture or its JSON: make it again; other options given here change it"
    group.add_argument("--recipe", metavar="FILE", type=Path, help=text)
    group.add_argument("--resume", action="store_true", help="skip photos whose result exists already")
    text = "of results in a folder (default: the photo's own, or png)"
    group.add_argument("--format", choices=("png", "jpg", "webp", "tiff", "avif"), help=text)
    text = "write what became of each photo, as JSON, also of a run that was stopped"
    group.add_argument("--summary", metavar="FILE", type=Path, help=text)
    group.add_argument("--quality", type=int, choices=range(1, 101), metavar="1-100", help="of jpg, webp, avif")
    text = "print the size, tiles, time and memory of each result, and write nothing"
    group.add_argument("--dry-run", action="store_true", help=text)
    loud = group.add_mutually_exclusive_group()
    loud.add_argument("--progress", action="store_true", help="draw the bar even where there is no terminal")
    loud.add_argument("--quiet", action="store_true", help="print errors only")


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
