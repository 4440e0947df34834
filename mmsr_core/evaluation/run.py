"""Runs one experiment from the command line: arguments -> arms x pictures -> report."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from mmsr_core.evaluation import metrics
from mmsr_core.evaluation.datasets import DataSet, open_set
from mmsr_core.evaluation.experiments import EXPERIMENTS, Options
from mmsr_core.evaluation.markup import markdown
from mmsr_core.evaluation.report import write
from mmsr_core.evaluation.runs import Work, run
from mmsr_core.evaluation.summary import Results
from mmsr_core.settings import Settings

if TYPE_CHECKING:
    from mmsr_core.upscaler import Upscaler


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", action="append", required=True, metavar="[NAME=]DIR", help="pairs in lr/ and hr/, or HR; repeatable")
    add("--out", type=Path, help="folder of rows, pictures and report (default: runs/evaluation/EXPERIMENT)")
    add("--limit", action="append", default=[], metavar="[NAME=]N", help="at most N pictures a data set, or of one set")
    add("--preset", default="mini", help="which model (default: mini)")
    add("--weights", help="folder or hub id of weights instead of the preset's own")
    add("--device", help="cuda, mps or cpu (default: the best there is)")
    add("--threads", type=int, help="CPU threads (default: all)")
    add("--model", action="append", default=[], metavar="NAME=DIR", help="another checkpoint beside; repeatable")
    add("--method", action="append", default=[], metavar="NAME=DIR", help="another tool's results, by file stem")
    add("--set", action="append", default=[], metavar="KEY=JSON", help="a setting, such as steps=4; repeatable")
    add("--seed", type=int, default=0, help="of the restorations and of our degradation (default: 0)")
    add("--metrics", help=f"comma-separated, of {', '.join(metrics.METRICS)} (default: what the given files allow)")
    add("--niqe-model", type=Path, metavar="FILE", help="niqe_pris_params.npz")
    add("--perceptual-weights", type=Path, metavar="FILE", help="SqueezeNet v1.0 as .npz")
    add("--flat", choices=("hr", "lr"), default="hr", help="what a folder without subfolders holds (default: hr)")
    add("--strength", type=float, default=1.0, help="of our degradation of HR pictures (default: 1)")
    add("--crop", type=int, metavar="PX", help="centre crop of HR pictures that we degrade")
    add("--pictures", type=int, default=4, metavar="N", help="test pictures in the report's grid (default: 4)")
    add("--show", metavar="NAME", help="show pictures of this data set only, as others may not be published")
    add("--quiet", action="store_true", help="no progress bar and no tables")


def main(name: str, args: Namespace) -> None:
    """Raises ValueError for anything that does not fit, before the first picture where possible."""
    files = metrics.Models(args.niqe_model, args.perceptual_weights, args.device if args.device is not None else "cpu")
    wanted = metrics.available(files) if args.metrics is None else args.metrics.split(",")
    scorers = metrics.load(wanted, files)
    sets = [_data(text, args) for text in args.data]
    settings = Settings.from_dict({"seed": args.seed, **dict(map(_setting, args.set))})
    models = _models(args)
    options = Options(settings, [m for m in models if m], dict(map(_named, args.method)), _has_base(models[""]), wanted)
    experiment = EXPERIMENTS[name][0](options)
    out = Path("runs/evaluation") / name if args.out is None else args.out
    work = Work(experiment.arms, sets, models, scorers, experiment.measures, out, experiment.baseline)
    rows = list(tqdm(run(work), total=work.total(), disable=args.quiet, desc=name, unit="picture"))
    names = [value for value in [*wanted, *experiment.measures] if _measured(value, rows)]
    results = Results(experiment.arms, sets, rows, names)
    shown = [data.name for data in sets if args.show in (None, data.name)]
    tables = write(experiment, results, models[""].info, out, args.pictures, shown)
    if not args.quiet:
        sys.stdout.write(markdown(tables))
    if args.metrics is None and metrics.missing(files):
        sys.stdout.write(f"{metrics.missing(files)}\n")
    sys.stdout.write(f"report: {out / 'report' / 'report.html'}\n")


def _measured(name: str, rows: list[dict]) -> bool:
    return any(row["values"].get(name) is not None for row in rows)


def _data(text: str, args: Namespace) -> DataSet:
    data = open_set(text, args.flat, args.strength, args.seed, args.crop)
    limits = dict(map(_limit, args.limit))
    return data.limited(limits.get(data.name, limits.get("")))


def _limit(text: str) -> tuple[str, int]:
    """ "10" -> ("", 10), "realsr=5" -> ("realsr", 5)."""
    name, _, count = text.rpartition("=")
    if not count.isdigit():
        raise ValueError(f"limit: got {text!r}, wanted N or NAME=N")
    return name, int(count)


def _models(args: Namespace) -> dict[str, Upscaler]:
    import torch

    from mmsr_core.upscaler import Upscaler

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    models = {"": Upscaler.load(args.preset, args.weights, args.device)}
    for name, folder in map(_named, args.model):
        models[name] = Upscaler.load(args.preset, folder, args.device)
    return models


def _has_base(upscaler: Upscaler) -> bool:
    return hasattr(upscaler.pipeline.codec, "base")


def _named(text: str) -> tuple[str, str]:
    name, separator, folder = text.partition("=")
    if not (name and separator and Path(folder).is_dir()):
        raise ValueError(f"got {text!r}, wanted NAME=DIR with a folder that exists")
    return name, folder


def _setting(text: str) -> tuple[str, object]:
    """ "steps=4" -> ("steps", 4); a value that is no JSON is taken as text."""
    key, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"setting: got {text!r}, wanted KEY=VALUE")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value
