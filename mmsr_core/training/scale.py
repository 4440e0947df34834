"""The training loop for many GPUs and machines: `accelerate` decides how (DDP, FSDP, DeepSpeed), the command line what.

    accelerate launch --config_file mmsr_core/training/launch/ddp.yaml -m mmsr_core.training sd2 ...

A micro-batch is a pure function of (seed, its number, rank), and a checkpoint is a folder that gets its name when it is
complete. So a run that was killed at any moment and started again with the same command ends with the same weights as
one that was not (a test kills one). `loop.py` is the smaller loop that trained the bundled weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, gather_object, is_tensorboard_available
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from mmsr_core.memory import pick_device
from mmsr_core.training.logbook import Log, averaged
from mmsr_core.training.loop import PRECISIONS

OURS = "ours: the paper does not say"


def option(default: Any, help: str, source: str = OURS, choices: tuple[str, ...] = ()) -> Any:
    """One option of the recipe, and where its default comes from."""
    return field(default=default, metadata={"help": help, "source": source, "choices": choices})


@dataclass(frozen=True)
class ScaleConfig:
    """How a model of the paper's size is trained. The default of an option is the paper's where it gives one."""

    out: Path = option(Path("runs/sd2"), "folder of checkpoints, sheets and logs", "-")
    steps: int = option(100_000, "optimiser steps")
    batch: int = option(8, "samples a process and micro-batch")
    accumulate: int = option(1, "micro-batches a step")
    lr: float = option(5e-5, "of AdamW, after the warm-up")
    warmup: int = option(1000, "steps")
    decay: float = option(1e-2, "weight decay")
    clip: float = option(1.0, "of the gradient's norm")
    ema: float = option(0.9999, "decay of the averaged weights that are saved")
    seed: int = option(0, "of everything", "-")
    precision: str = option("bf16", "of the networks' calls", choices=PRECISIONS)
    checkpointing: bool = option(True, "recompute activations in the backward pass: half the memory, a third slower")
    workers: int = option(4, "processes that read data, for each training process", "-")
    checkpoint_every: int = option(1000, "steps", "-")
    keep: int = option(2, "checkpoints", "-")
    validate_every: int = option(2000, "steps", "-")
    log_every: int = option(20, "steps", "-")

    def rate(self, step: int) -> float:
        """Learning rate of a step: a linear warm-up, then constant."""
        return self.lr * min((step + 1) / max(self.warmup, 1), 1.0)


Loss = Callable[[nn.Module, Any], Mapping[str, Tensor]]


class Validation(Protocol):
    """What is measured now and then on the averaged weights."""

    def numbers(self, model: nn.Module) -> Mapping[str, float]:
        """Named numbers of this process's share; they are averaged over all processes."""
        ...

    def draw(self, path: Path) -> Mapping[str, float]:
        """Writes a sheet of samples, and their scores; in the first process, where it has the whole model.

        Outside of autocast: a pipeline knows what of it may be in half precision.
        """
        ...


class Run:
    """One training run: model, optimiser and averaged weights as `accelerate` spreads them.

    Args:
        model: its parameters with requires_grad are trained.

    Raises:
        ValueError: DeepSpeed's ZeRO stage 3, under which no process has a whole parameter to average.
    """

    def __init__(self, model: nn.Module, config: ScaleConfig) -> None:
        self.config = config
        self.accelerator = Accelerator(
            cpu=pick_device(None) == "cpu",  # unless told so, accelerate takes CPU processes for one each
            mixed_precision=config.precision,
            gradient_accumulation_steps=config.accumulate,
            log_with="tensorboard" if is_tensorboard_available() else None,
            project_dir=config.out,
        )
        self._tell_deepspeed()
        if self.sharded or self._deepspeed:
            model.to(memory_format=torch.contiguous_format)  # they split and send no other
        optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.decay)
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.trained = _held(self.model)
        self.ema = EMAModel(self.trained, decay=config.ema, use_ema_warmup=True, power=0.75)
        self.ema.to(self.accelerator.device, torch.float32)  # a slow average would stand still in bf16
        self.step = 0
        self.resume()

    @property
    def sharded(self) -> bool:
        return self.accelerator.distributed_type == DistributedType.FSDP

    @property
    def _deepspeed(self) -> bool:
        return self.accelerator.distributed_type == DistributedType.DEEPSPEED

    def _autocast(self) -> AbstractContextManager:
        """The context of the model's calls. DeepSpeed keeps the weights in half precision, but turns on no autocast."""
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.config.precision)
        if self._deepspeed and dtype is not None:
            return torch.autocast(self.accelerator.device.type, dtype)
        return self.accelerator.autocast()

    def fit(self, loss: Loss, batches: Iterable[Any], validation: Validation | None = None) -> None:
        """Trains to the end of `config.steps`.

        Args:
            loss: (model, micro-batch) -> named scalars; "loss" is minimised, the others are logged.
            batches: this process's micro-batches from number `step * accumulate` on.

        Raises:
            FloatingPointError: the loss is not finite.
        """
        log = Log(self)
        for batch in batches:
            log.add(self._micro(loss, batch))
            if not self.accelerator.sync_gradients:
                continue
            self.ema.step(self.trained)
            self.step += 1
            log.step()
            last = self.step == self.config.steps
            if last or self.step % self.config.checkpoint_every == 0:
                self.save()
                log.rest()
            if validation is not None and (last or self.step % self.config.validate_every == 0):
                log.write(self._validated(validation))
                log.rest()

    def _micro(self, loss: Loss, batch: Any) -> Mapping[str, Tensor]:
        """Forward and backward of one micro-batch; the optimiser's step after the last of them."""
        accelerator = self.accelerator
        with accelerator.accumulate(self.model):
            with self._autocast():
                values = loss(self.model, batch)
            if not torch.isfinite(values["loss"]):
                raise FloatingPointError(f"training: got loss {float(values['loss'])} at step {self.step}")
            for group in self.optimizer.param_groups:
                group["lr"] = self.config.rate(self.step)
            accelerator.backward(values["loss"])  # under DeepSpeed the optimiser's step too, gradients clipped
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return values

    def _validated(self, validation: Validation) -> dict[str, float]:
        self.ema.store(self.trained)
        self.ema.copy_to(self.trained)
        try:
            with torch.no_grad():
                model = self.model if self.sharded else self.accelerator.unwrap_model(self.model)
                with self._autocast():
                    found = averaged(self.accelerator, validation.numbers(model))
                if self.accelerator.is_main_process and not self.sharded:
                    found |= validation.draw(self.config.out / f"sheet-{self.step:07d}.png")
        finally:
            self.ema.restore(self.trained)
            if self.sharded:
                self.model.reshard()  # the next step must gather the restored weights
        return {f"val_{name}": value for name, value in found.items()}

    def finish(self) -> dict[str, Tensor]:
        """Ends the training. The averaged weights, whole, on the first process; every process must call it."""
        self.ema.copy_to(self.trained)
        state = self.accelerator.get_state_dict(self.model)
        self.accelerator.wait_for_everyone()
        self.model = self.optimizer = None  # DDP's reducer goes before its process group: the other way round can hang
        self.accelerator.free_memory()
        self.accelerator.end_training()
        return state

    def save(self) -> None:
        """Writes `step-NNNNNNN`; older ones but `keep` go."""
        place = self.config.out / f"step-{self.step:07d}"
        partial = place.with_suffix(".partial")
        self.accelerator.save_state(partial)
        rank = self.accelerator.process_index
        if rank == 0 or self.sharded:
            torch.save(self.ema.state_dict(), partial / f"ema-{rank}.pt")
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            shutil.rmtree(place, ignore_errors=True)
            partial.rename(place)
            for old in checkpoints(self.config.out)[: -self.config.keep]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def resume(self) -> None:
        """Goes on from the newest complete checkpoint, where there is one.

        Raises:
            ValueError: in every process, where machines see different ones.
        """
        found = checkpoints(self.config.out)
        seen = sorted(set(gather_object([found[-1].name if found else "none"])))
        if len(seen) > 1:
            wanted = "wanted the same for all machines: one --out that they share"
            raise ValueError(f"training: got {' and '.join(seen)} as newest checkpoints, {wanted}")
        if not found:
            return
        self.accelerator.load_state(found[-1])
        rank = self.accelerator.process_index if self.sharded else 0
        self.ema.load_state_dict(torch.load(found[-1] / f"ema-{rank}.pt", map_location="cpu", weights_only=False))
        self.ema.to(self.accelerator.device)
        self.step = int(found[-1].name.removeprefix("step-"))

    def _tell_deepspeed(self) -> None:
        """What DeepSpeed would else read off a loader."""
        if not self._deepspeed:
            return
        plugin = self.accelerator.state.deepspeed_plugin
        if plugin.zero_stage == 3:
            raise ValueError("training: got DeepSpeed ZeRO stage 3, wanted stage 1 or 2, or FSDP")
        plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = self.config.batch
        plugin.deepspeed_config["gradient_accumulation_steps"] = self.config.accumulate
        plugin.deepspeed_config["gradient_clipping"] = self.config.clip
        self.accelerator.gradient_accumulation_steps = self.config.accumulate  # its launcher says 1


def _held(model: nn.Module) -> list[nn.Parameter]:
    """What this process holds of the trained parameters: all of them, or its shards (FSDP 2), as plain tensors."""
    held = [p for p in model.parameters() if p.requires_grad]
    return [nn.Parameter(p.detach().to_local()) if isinstance(p, DTensor) else p for p in held]


def checkpoints(out: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(path for path in out.glob("step-*") if path.suffix == "")
