"""What a run of many processes writes down: its recipe, and numbers in a file, on the terminal and in TensorBoard."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.utils import is_tensorboard_available
from torch import Tensor

if TYPE_CHECKING:
    from mmsr_core.training.scale import Run


def recipe(config: Any) -> dict[str, dict[str, Any]]:
    """Every option with its value and where its default comes from."""
    values = asdict(config)
    return {
        spec.name: {"value": values[spec.name], "default from": spec.metadata["source"]} for spec in fields(config)
    }


def averaged(accelerator: Accelerator, values: Mapping[str, float]) -> dict[str, float]:
    """The mean of each number over all processes."""
    packed = torch.tensor([float(value) for value in values.values()], device=accelerator.device)
    return dict(zip(values, accelerator.reduce(packed, "mean").tolist()))


class Log:
    """`log.jsonl`, the terminal, and TensorBoard where it is installed."""

    def __init__(self, run: Run) -> None:
        self.run, self.sums, self.count = run, {}, 0
        self.rest()
        self.path = run.config.out / "log.jsonl"
        if run.accelerator.is_main_process:
            run.config.out.mkdir(parents=True, exist_ok=True)
            (run.config.out / "recipe.json").write_text(json.dumps(recipe(run.config), indent=1, default=str))
        if is_tensorboard_available():
            run.accelerator.init_trackers("tensorboard")

    def rest(self) -> None:
        """The speed is that of what follows, from the second micro-batch on: the first may wait for the workers."""
        self.since, self.timed = None, 0

    def add(self, values: Mapping[str, Tensor]) -> None:
        if self.since is None:
            self.since = time.monotonic()
        else:
            self.timed += 1
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.detach().float()
        self.count += 1

    def step(self) -> None:
        run = self.run
        if run.step % run.config.log_every:
            return
        numbers = averaged(run.accelerator, {name: total / self.count for name, total in self.sums.items()})
        samples = self.timed * run.config.batch * run.accelerator.num_processes
        speed = {"samples/s": samples / (time.monotonic() - self.since)} if self.timed else {}
        self.write({**numbers, "lr": run.config.rate(run.step - 1), **speed})
        self.sums, self.count, self.since, self.timed = {}, 0, time.monotonic(), 0

    def write(self, numbers: Mapping[str, float]) -> None:
        if not self.run.accelerator.is_main_process:
            return
        row = {"step": self.run.step} | {name: float(f"{value:.6g}") for name, value in numbers.items()}
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)
        self.run.accelerator.log(dict(numbers), step=self.run.step)
