"""The one training loop: every stage is a model, a loss and a way to make batches.

A batch is a pure function of (seed, step, rank): a run that was killed and resumed sees the same batches as one that
was not. One process, more are refused; the paper's size is trained by many (`scale.py`). Devices and mixed precision
are accelerate's.
"""

from __future__ import annotations

import json
import math
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer

from mmsr_core.team import Team

CHECKPOINT = "last.pt"  # in a run's folder: everything to go on from
PRECISIONS = ("no", "bf16", "fp16")  # of the networks' calls


@dataclass(frozen=True)
class TrainConfig:
    """How long, how fast and where. One of `minutes` (wall clock) or `steps` sets the end of the cosine schedule."""

    out: Path
    minutes: float | None = None
    steps: int | None = None
    lr: float = 3e-4
    batch: int = 16
    warmup: int = 100
    ema: float = 0.999
    seed: int = 0
    precision: str = "no"
    clip: float = 1.0
    checkpoint_minutes: float = 3.0
    sheet_minutes: float = 10.0
    log_every: int = 20

    @classmethod
    def add_arguments(cls, parser: ArgumentParser, **defaults: Any) -> None:
        """The loop's options, with a stage's own defaults."""
        for spec in fields(cls):
            default = defaults.get(spec.name, None if spec.name == "out" else spec.default)
            kind = Path if spec.name == "out" else {"minutes": float, "steps": int}.get(spec.name, type(default))
            choices = PRECISIONS if spec.name == "precision" else None
            parser.add_argument(f"--{spec.name.replace('_', '-')}", type=kind, default=default, choices=choices)

    @classmethod
    def from_arguments(cls, args: Namespace) -> TrainConfig:
        config = cls(**{spec.name: getattr(args, spec.name) for spec in fields(cls)})
        if (config.minutes is None) == (config.steps is None):
            raise ValueError(
                f"training: got minutes={config.minutes}, steps={config.steps}, wanted exactly one of the two"
            )
        return config


Batch = Any
Loss = Callable[[nn.Module, Batch], Mapping[str, Tensor]]


@dataclass
class Clock:
    """Progress of a run, kept across resumes."""

    config: TrainConfig
    step: int = 0
    seconds: float = 0.0

    @property
    def done(self) -> float:
        """Share of the budget that is used, 0..1."""
        if self.config.steps is not None:
            return min(self.step / self.config.steps, 1.0)
        return min(self.seconds / (60 * self.config.minutes), 1.0)

    @property
    def rate(self) -> float:
        """Learning rate: linear warm-up, then a cosine down to 2 % of it."""
        warm = min((self.step + 1) / max(self.config.warmup, 1), 1.0)
        return self.config.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.done)))


def fit(
    model: nn.Module,
    loss: Loss,
    batches: Callable[[int, int, torch.device], Batch],
    config: TrainConfig,
    sheet: Callable[[nn.Module, Path], None] | None = None,
    also: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Trains `model`, resuming from `config.out/last.pt` where there is one, and leaves it with its EMA weights.

    Args:
        model: its parameters with requires_grad are trained.
        loss: (model, batch) -> named scalars; "loss" is minimised, the others are logged. A `done` attribute on the
            function, where it exists, is set to the share of the budget used before each step.
        batches: (step, rank, device) -> batch.
        sheet: writes a sample picture from the EMA model to the path it gets.
        also: more objects with state_dict / load_state_dict to keep in the checkpoint (a discriminator, say).

    Raises:
        ValueError: several processes.
        FloatingPointError: the loss is not finite.
    """
    _alone(Team.here())
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision=config.precision)
    model.to(memory_format=torch.channels_last)  # measured on a CPU with bf16: a step takes 0.6 of the time
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.lr, betas=(0.9, 0.99), weight_decay=1e-4)
    model, optimizer = accelerator.prepare(model, optimizer)
    bare = accelerator.unwrap_model(model)
    ema = EMAModel(trained, decay=config.ema, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    ema.to(accelerator.device)
    clock = Clock(config)
    parts = {"model": bare, "optimizer": optimizer, "ema": ema, **(also if also is not None else {})}
    _resume(config.out / CHECKPOINT, parts, clock)
    log = _Log(config, clock)
    while clock.done < 1:
        start = time.monotonic()
        optimizer.param_groups[0]["lr"] = clock.rate
        loss.done = clock.done
        batch = batches(clock.step, accelerator.process_index, accelerator.device)
        values = _update(accelerator, model, loss, batch, optimizer, config.clip)
        ema.step(trained)
        clock.step += 1
        clock.seconds += time.monotonic() - start
        log.write(values)
        if log.due("checkpoint") or clock.done >= 1:
            _save(config.out / CHECKPOINT, parts, clock)
        if sheet is not None and (log.due("sheet") or clock.done >= 1):
            _with_ema(ema, trained, lambda: sheet(bare, config.out / f"sheet-{clock.step:07d}.png"))
    ema.copy_to(trained)
    return bare


def _alone(team: Team) -> None:
    if team.world > 1:  # they would all write the same files
        raise ValueError(f"training: got {team.world} processes, wanted one: this stage does not share its work")


def _update(
    accelerator: Accelerator, model: nn.Module, loss: Loss, batch: Batch, optimizer: Optimizer, clip: float
) -> Mapping[str, Tensor]:
    """One forward, backward and optimiser step."""
    with _attention(accelerator.device):
        with accelerator.autocast():
            values = loss(model, batch)
        accelerator.backward(values["loss"])
    norm = accelerator.clip_grad_norm_(optimizer.param_groups[0]["params"], clip)
    if not torch.isfinite(norm):
        raise FloatingPointError(
            f"training: got loss {float(values['loss'])} with gradient {float(norm)}, wanted finite ones"
        )
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return values


def _attention(device: torch.device) -> AbstractContextManager:
    """On CPU the fused kernel's backward loses to plain products at our sizes (measured: 1.3 against 0.9 s a step)."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _with_ema(ema: EMAModel, trained: list[nn.Parameter], act: Callable[[], None]) -> None:
    ema.store(trained)
    ema.copy_to(trained)
    try:
        with torch.no_grad():
            act()
    finally:
        ema.restore(trained)


def _save(path: Path, parts: Mapping[str, Any], clock: Clock) -> None:
    state = {name: part.state_dict() for name, part in parts.items()}
    partial = path.with_suffix(".partial")
    torch.save({**state, "step": clock.step, "seconds": clock.seconds}, partial)
    partial.replace(path)


def _resume(path: Path, parts: Mapping[str, Any], clock: Clock) -> None:
    if not path.exists():
        return
    state = torch.load(path, map_location="cpu", weights_only=False)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    clock.step, clock.seconds = state["step"], state["seconds"]


class _Log:
    """`log.jsonl` in the run folder, a line on the terminal, and the timers of checkpoints and sheets."""

    def __init__(self, config: TrainConfig, clock: Clock) -> None:
        self.config, self.clock = config, clock
        self.last = {"checkpoint": clock.seconds, "sheet": clock.seconds}
        self.sums: dict[str, float] = {}
        config.out.mkdir(parents=True, exist_ok=True)
        (config.out / "config.json").write_text(json.dumps(asdict(config), indent=2, default=str))

    def write(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach())
        if self.clock.step % self.config.log_every:
            return
        row = {"step": self.clock.step, "minutes": round(self.clock.seconds / 60, 2), "lr": self.clock.rate}
        row |= {name: round(total / self.config.log_every, 5) for name, total in self.sums.items()}
        self.sums = {}
        with (self.config.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)

    def due(self, name: str) -> bool:
        """True once every `<name>_minutes` of training time."""
        if self.clock.seconds - self.last[name] < 60 * getattr(self.config, f"{name}_minutes"):
            return False
        self.last[name] = self.clock.seconds
        return True
