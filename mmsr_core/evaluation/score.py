"""Scores folders of pictures against references, without restoring anything."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
from PIL import Image

from mmsr_core.evaluation import metrics
from mmsr_core.evaluation.datasets import pictures
from mmsr_core.evaluation.markup import markdown
from mmsr_core.evaluation.summary import DASH, Table, shown
from mmsr_core.images import open_photo


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("reference", help="folder of true pictures, or - for measures without reference")
    add("results", nargs="+", type=Path, help="folders of results; files are matched by stem")
    add("--metrics", help=f"comma-separated, of {', '.join(metrics.METRICS)} (default: what the given files allow)")
    add("--niqe-model", type=Path, metavar="FILE", help="niqe_pris_params.npz")
    add("--perceptual-weights", type=Path, metavar="FILE", help="SqueezeNet v1.0 as .npz")


def main(args: Namespace) -> None:
    """Prints one row a folder.

    Raises:
        ValueError: no files match, or sizes differ.
    """
    files = metrics.Models(args.niqe_model, args.perceptual_weights)
    names = metrics.available(files) if args.metrics is None else args.metrics.split(",")
    references = None if args.reference == "-" else pictures(Path(args.reference))
    names = [n for n in names if not metrics.metric(n).whole_set and (references or not metrics.metric(n).reference)]
    if not names:
        raise ValueError("score: got no measure that works without references, wanted --niqe-model FILE or --metrics")
    scorers = metrics.load(names, files)
    rows = [_row(folder, references, scorers) for folder in args.results]
    header = ["", "pictures", *(metrics.METRICS[name].heading for name in names)]
    note = metrics.missing(files) if args.metrics is None else ""
    sys.stdout.write(markdown([Table(f"against {args.reference}", header, rows, note)]))


def _row(folder: Path, references: dict[str, Path] | None, scorers: dict[str, metrics.Scorer]) -> list[str]:
    found = pictures(folder)
    stems = [stem for stem in found if references is None or stem in references]
    if not stems:
        raise ValueError(f"score: got {folder.name!r} without files named as the references, wanted some")
    values: dict[str, list[float]] = {name: [] for name in scorers}
    for stem in stems:
        image = open_photo(found[stem]).rgb
        reference: Image.Image | None = None if references is None else open_photo(references[stem]).rgb
        for name, scorer in scorers.items():
            values[name].append(scorer(image, reference) if metrics.METRICS[name].reference else scorer(image))
    means = [shown(name, float(np.mean(column))) if column else DASH for name, column in values.items()]
    return [folder.name, str(len(stems)), *means]
