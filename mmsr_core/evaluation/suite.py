"""`python -m mmsr_core.evaluation results`: every experiment on the user's test sets -> reports that may be published.

The test pictures stay at home: the reports carry numbers and charts of them, and pictures of the example photos only.
Each experiment is a process of its own on one thread, `--jobs` of them at a time; all are resumable.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mmsr_core.presets import ASSETS

EXAMPLES = ASSETS / "examples"
KEPT = (".md", ".json", ".png", ".webp")  # of a report's folder


@dataclass(frozen=True)
class Job:
    """One experiment of the suite. `whole`: on all test pictures, not just on `--grid` of them."""

    experiment: str
    metrics: tuple[str, ...]
    examples: int = 3
    whole: bool = False


QUICK, FULL = ("psnr", "perceptual"), ("psnr", "ssim", "perceptual", "niqe")
SUITE = (
    Job("main", FULL, examples=6, whole=True),
    Job("temperature", QUICK),
    Job("guidance", FULL),
    Job("modalities", FULL),
    Job("steps", FULL, examples=1),
    Job("edits", QUICK),
)


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", action="append", required=True, metavar="[NAME=]DIR", help="LR/HR pairs or HR pictures; repeatable")
    add("--niqe-model", type=Path, metavar="FILE", help="niqe_pris_params.npz; without it NIQE is left out")
    add("--perceptual-weights", type=Path, metavar="FILE", help="SqueezeNet v1.0 as .npz; without it left out")
    add("--grid", type=int, default=10, metavar="N", help="pictures a set for all but the main table (default: 10)")
    add("--main", type=int, metavar="N", help="pictures a set for the main table (default: all)")
    add("--only", action="append", default=[], choices=[job.experiment for job in SUITE], help="repeatable")
    add("--preset", default="mini", help="which model (default: mini)")
    add("--weights", help="folder or hub id of weights instead of the preset's own")
    add("--jobs", type=int, default=os.cpu_count(), help="experiments at a time, one thread each (default: all cores)")
    add("--work", type=Path, default=Path("runs/evaluation"), help="folder of rows and pictures")
    add("--out", type=Path, default=ASSETS / "results", help="folder of the reports (default: assets/results)")


def main(args: Namespace) -> None:
    """Runs the suite, then copies the reports.

    Raises:
        ValueError: an experiment failed; the others are finished and kept.
    """
    jobs = [job for job in SUITE if not args.only or job.experiment in args.only]
    with ThreadPoolExecutor(max(args.jobs, 1)) as pool:
        failures = [failure for failure in pool.map(lambda job: _run(job, args), jobs) if failure]
    if failures:
        raise ValueError("; ".join(failures))
    for job in jobs:
        _publish(args.work / job.experiment / "report", args.out / job.experiment)


def command(job: Job, args: Namespace) -> list[str]:
    """The command line of one experiment."""
    files = {"niqe": ("--niqe-model", args.niqe_model), "perceptual": ("--perceptual-weights", args.perceptual_weights)}
    metrics = [name for name in job.metrics if name not in files or files[name][1] is not None]
    words = [sys.executable, "-m", "mmsr_core.evaluation", job.experiment, "--quiet", "--threads", "1"]
    words += ["--out", str(args.work / job.experiment), "--preset", args.preset, "--metrics", ",".join(metrics)]
    for data in [*args.data, f"examples={EXAMPLES}"]:
        words += ["--data", data]
    words += ["--show", "examples", "--limit", f"examples={job.examples}", "--pictures", str(job.examples)]
    count = args.main if job.whole else args.grid
    words += [] if count is None else ["--limit", str(count)]
    words += [] if args.weights is None else ["--weights", args.weights]
    for option, file in files.values():
        words += [] if file is None else [option, str(file)]
    return words


def _run(job: Job, args: Namespace) -> str:
    """Returns what went wrong, or ""."""
    start = time.monotonic()
    done = subprocess.run(command(job, args), capture_output=True, text=True)
    sys.stdout.write(f"{job.experiment}: {time.monotonic() - start:.0f} s\n")
    sys.stdout.flush()
    return f"{job.experiment}: {_last_line(done.stderr)}" if done.returncode != 0 else ""


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "got no message"


def _publish(report: Path, folder: Path) -> None:
    """Copies a report without its page; the numbers lose their white space."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for path in _files(report):
        if path.suffix == ".json":
            (folder / path.name).write_text(json.dumps(json.loads(path.read_text()), separators=(",", ":")) + "\n")
        else:
            shutil.copy(path, folder / path.name)


def _files(report: Path) -> Sequence[Path]:
    return sorted(path for path in report.iterdir() if path.suffix in KEPT)
