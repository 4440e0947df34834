"""`python -m mmsr_core.evaluation COMMAND`: experiments, scores of folders, benchmarks."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from functools import partial

from mmsr_core.evaluation.experiments import EXPERIMENTS

TOOLS = {
    "results": "all experiments and the benchmark, as committed in assets/results",
    "score": "folders of pictures against references",
    "sheet": "24 photos at 1:1, to be looked at",
    "bench": "speed and memory, as ratios measured in one run",
    "bench-sd2": "time and memory of the paper's size, with random weights, beside InstructPix2Pix",
    "metrics": "the table of measures",
    "datasets": "known test sets and where to get them",
}


def main(argv: list[str]) -> None:
    abouts = {**{name: about for name, (_, about) in EXPERIMENTS.items()}, **TOOLS}
    if not argv or argv[0] not in abouts:
        width = max(map(len, abouts))
        rows = "\n".join(f"  {name:{width}}  {about}" for name, about in abouts.items())
        raise SystemExit(f"usage: python -m mmsr_core.evaluation COMMAND [options]\n\ncommands:\n{rows}")
    parser = ArgumentParser(prog=f"python -m mmsr_core.evaluation {argv[0]}", description=abouts[argv[0]])
    command = _command(argv[0], parser)
    try:
        command(parser.parse_args(argv[1:]))
    except ValueError as error:
        raise SystemExit(f"{error}.") from None


def _command(name: str, parser: ArgumentParser):
    if name in EXPERIMENTS:
        from mmsr_core.evaluation import run

        run.add_arguments(parser)
        return partial(run.main, name)
    if name == "results":
        from mmsr_core.evaluation import suite

        suite.add_arguments(parser)
        return suite.main
    if name == "score":
        from mmsr_core.evaluation import score

        score.add_arguments(parser)
        return score.main
    if name == "sheet":
        from mmsr_core.evaluation import sheet

        sheet.add_arguments(parser)
        return sheet.main
    if name == "bench":
        from mmsr_core.evaluation import bench

        bench.add_arguments(parser)
        return bench.main
    if name == "bench-sd2":
        from mmsr_core.evaluation import bench_sd2

        bench_sd2.add_arguments(parser)
        return bench_sd2.main
    return partial(_print, name)


def _print(name: str, args: object) -> None:
    from mmsr_core.evaluation import datasets, metrics

    rows = [f"{row.name:11} {row.heading:14} {row.source}" for row in metrics.METRICS.values()]
    sys.stdout.write((datasets.listing() if name == "datasets" else "\n".join(rows)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
