"""Strips of a picture are denoised as the whole is."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler

from mmsr_core.solver import SAMPLERS, STRIP, Solver


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("kind", ["sample", "epsilon", "v_prediction"])
def test_strips_give_what_one_scheduler_gives(sampler: str, kind: str) -> None:
    schedule = DDPMScheduler(prediction_type=kind)
    random = torch.Generator().manual_seed(0)
    z = torch.randn(1, 3, 2 * STRIP + 5, 8, generator=random)
    solver = Solver(schedule, sampler, 4, z.shape[-2], torch.device("cpu"))
    assert len(solver.strips) == 3
    cls, options = SAMPLERS[sampler]
    whole, expected = cls.from_config(schedule.config, **options), z * solver.start(torch.ones(()))
    whole.set_timesteps(4)
    z = solver.start(z)
    assert torch.equal(solver.timesteps, whole.timesteps)
    for time in whole.timesteps:
        prediction = torch.randn(z.shape, generator=random)
        before = z.clone()
        made = solver.step(prediction, time, z)
        expected = whole.step(prediction, time, expected, return_dict=False)[0]
        assert torch.equal(z, before), "the solver still needs the last z"
        torch.testing.assert_close(made, expected)
        z = made


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_expected_picture_of_a_true_prediction_is_the_truth(kind: str) -> None:
    schedule = DDPMScheduler(prediction_type=kind)
    solver = Solver(schedule, "ddim", 3, 8, torch.device("cpu"))
    truth, noise = torch.randn(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    time = solver.timesteps[1]
    z = schedule.add_noise(truth, noise, time[None])
    alpha = schedule.alphas_cumprod[time]
    prediction = {
        "sample": truth,
        "epsilon": noise,
        "v_prediction": alpha.sqrt() * noise - (1 - alpha).sqrt() * truth,
    }[kind]
    torch.testing.assert_close(solver.expected(prediction, time, z), truth, rtol=1e-4, atol=1e-4)
