"""Clocks of the benchmark: fair races in one process, and peak memory in a process of its own."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ALLOCATOR = "MALLOC_"  # environment variables that tune the allocator, which would hide what is given back


def clock() -> float:
    """Seconds: this process's own where torch has one thread, which other programs disturb least; else the wall's."""
    import torch

    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def race(runners: Mapping[str, Callable[[], object]], rounds: int, warm: bool = True) -> dict[str, float]:
    """Median seconds of each runner. They take turns, so that a busy moment of the machine hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    if warm:
        for runner in runners.values():
            runner()
    for _ in range(rounds):
        for name, runner in runners.items():
            start = clock()
            runner()
            times[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in times.items()}


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Torch on so many CPU threads, and back afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_bytes() -> int:
    """The largest resident set that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def peak_of(device: str) -> Iterator[Callable[[], int]]:
    """Yields what tells the largest memory in bytes since then: of torch on a GPU, else of this process.

    On a CPU it is the kernel's own count, set back at the start; where that cannot be done, the largest ever.
    """
    import torch

    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: torch.cuda.max_memory_allocated(device)
        return
    marks = Path("/proc/self/clear_refs")
    if marks.exists():
        marks.write_text("5")  # proc(5): resets the peak resident set
    yield peak_bytes if not marks.exists() else _high_water


def _high_water() -> int:
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("VmHWM"))


def alone(arguments: Sequence[str]) -> dict[str, float]:
    """Runs a module in a fresh process and reads the JSON object on its last line.

    Raises:
        ValueError: it failed.
    """
    import torch

    environment = {name: value for name, value in os.environ.items() if not name.startswith(ALLOCATOR)}
    environment["OMP_NUM_THREADS"] = str(torch.get_num_threads())
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise ValueError(
            f"benchmark: got a failed run of {arguments[0]} ({done.stderr.strip()[-300:]}), wanted a result"
        )
    return json.loads(done.stdout.strip().splitlines()[-1])
