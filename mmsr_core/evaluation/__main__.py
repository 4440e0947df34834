"""`python -m mmsr_core.evaluation COMMAND`: experiments, scores of folders, benchmarks."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from importlib import import_module

from mmsr_core.evaluation.experiments import EXPERIMENTS

TOOLS = {  # command -> the module that does it, with its `add_arguments` and `main`; and what for
    "results": ("suite", "all experiments and the benchmark, as committed in assets/results"),
    "score": ("score", "folders of pictures against references"),
    "sheet": ("sheet", "24 photos at 1:1, to be looked at"),
    "bench": ("bench", "speed and memory, as ratios measured in one run"),
    "bench-sd2": ("bench_sd2", "time and memory of the paper's size, with random weights, beside InstructPix2Pix"),
}
LISTS = {"metrics": "the table of measures", "datasets": "known test sets and where to get them"}


def main(argv: list[str]) -> None:
    abouts = {name: about for name, (_, about) in {**EXPERIMENTS, **TOOLS}.items()} | LISTS
    if not argv or argv[0] not in abouts:
        width = max(map(len, abouts))
        rows = "\n".join(f"  {name:{width}}  {about}" for name, about in abouts.items())
        usage = f"usage: python -m mmsr_core.evaluation COMMAND [options]\n\ncommands:\n{rows}"
        if argv[:1] not in (["-h"], ["--help"]):
            raise SystemExit(usage)
        print(usage)
        return
    parser = ArgumentParser(prog=f"python -m mmsr_core.evaluation {argv[0]}", description=abouts[argv[0]])
    command = _command(argv[0], parser)
    try:
        command(parser.parse_args(argv[1:]))
    except ValueError as error:
        raise SystemExit(f"{error}.") from None


def _command(name: str, parser: ArgumentParser) -> Callable[[Namespace], None]:
    if name in LISTS:
        return partial(_print, name)
    module = import_module(f"mmsr_core.evaluation.{TOOLS[name][0] if name in TOOLS else 'run'}")
    module.add_arguments(parser)
    return module.main if name in TOOLS else partial(module.main, name)


def _print(name: str, args: object) -> None:
    from mmsr_core.evaluation import datasets, metrics

    rows = [f"{row.name:11} {row.heading:14} {row.source}" for row in metrics.METRICS.values()]
    sys.stdout.write((datasets.listing() if name == "datasets" else "\n".join(rows)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
