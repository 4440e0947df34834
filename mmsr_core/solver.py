"""Denoising steps of a band of latents: diffusers' solvers strip by strip, so that scratch memory is a strip's."""

from __future__ import annotations

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)
from torch import Tensor

SAMPLERS: dict[str, tuple[type[SchedulerMixin], dict]] = {
    "unipc": (UniPCMultistepScheduler, {"solver_type": "bh2", "solver_order": 2, "lower_order_final": True}),
    "dpmpp-2m": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "ddim": (DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": True}),
}
STRIP = 64  # rows of latents


class Solver:
    """A sampler with its steps set. Solvers treat every value alike, so one for each strip gives what one for all does.

    Args:
        schedule: the model's own scheduler, whose noise schedule and kind of prediction are kept.
        sampler: a row of `SAMPLERS`.
        steps: how many.
        height: rows of the latents.
    """

    def __init__(self, schedule: SchedulerMixin, sampler: str, steps: int, height: int, device: torch.device) -> None:
        kind, options = SAMPLERS[sampler]
        self.strips = [
            (slice(top, top + STRIP), kind.from_config(schedule.config, **options)) for top in range(0, height, STRIP)
        ]
        for _, scheduler in self.strips:
            scheduler.set_timesteps(steps, device=device)
        _, self._any = self.strips[0]

    @property
    def timesteps(self) -> Tensor:
        return self._any.timesteps

    def start(self, noise: Tensor) -> Tensor:
        """Unit noise (1, c, h, w) -> the z of the first step."""
        return noise * self._any.init_noise_sigma

    def scaled(self, z: Tensor, time: Tensor) -> Tensor:
        """Tiles of z, any shape -> what the network is to see of them."""
        return self._any.scale_model_input(z, time)

    def step(self, prediction: Tensor, time: Tensor, z: Tensor) -> Tensor:
        """prediction and z (1, c, h, w) -> the next z, in memory of its own."""
        made = torch.empty_like(z)
        for rows, scheduler in self.strips:
            part = scheduler.step(prediction[..., rows, :], time, z[..., rows, :], return_dict=False)[0]
            made[..., rows, :] = part
        return made

    def expected(self, prediction: Tensor, time: Tensor, z: Tensor) -> Tensor:
        """The clean latents that a prediction at `time` implies."""
        kind = self._any.config.prediction_type
        if kind == "sample":
            return prediction
        alpha = self._any.alphas_cumprod[int(time)].to(z)
        if kind == "epsilon":
            return (z - (1 - alpha).sqrt() * prediction) / alpha.sqrt()
        return alpha.sqrt() * z - (1 - alpha).sqrt() * prediction
