"""What half precision may not touch, and what the loop tells DeepSpeed, whose optimiser steps inside of `backward`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.training import logbook, scale, sd2


def test_the_noise_of_every_step_is_the_schedules_own_in_bf16(pipeline: MMSRPipeline) -> None:
    """In bf16 the noise of the first two steps would be none at all."""
    alphas = pipeline.scheduler.alphas_cumprod
    loss = sd2.EpsilonLoss(pipeline, sd2.Sd2Config(), 0, torch.device("cpu"))
    z0, generator = torch.zeros(64, 4, 2, 2), torch.Generator().manual_seed(0)
    loss.given = lambda micro: (z0, z0, {}, torch.zeros(64, 4, dtype=torch.bool), generator)
    seen = {}

    def model(given: torch.Tensor, time: torch.Tensor, *_: object) -> torch.Tensor:
        seen.update(z=given[:, :4], time=time)
        return given[:, :4]

    with torch.autocast("cpu", torch.bfloat16):
        loss(model, SimpleNamespace())
    again = torch.Generator().manual_seed(0)
    time = torch.randint(len(alphas), (64,), generator=again)
    noise = torch.randn(z0.shape, generator=again)
    assert torch.equal(time, seen["time"]) and seen["z"].dtype == torch.float32
    torch.testing.assert_close(seen["z"], (1 - alphas[time]).sqrt()[:, None, None, None] * noise)


def test_the_rate_is_set_before_the_backward_pass(tmp_path: Path) -> None:
    model = torch.nn.Linear(1, 1)
    run = scale.Run(model, scale.ScaleConfig(out=tmp_path, lr=1.0, warmup=10, precision="no", workers=0))
    rates, backward = [], run.accelerator.backward
    run.accelerator.backward = lambda loss: (rates.append(run.optimizer.param_groups[0]["lr"]), backward(loss))
    run.fit(lambda net, batch: {"loss": net(batch).square().mean()}, [torch.ones(1, 1)] * 3)
    assert rates == pytest.approx([0.1, 0.2, 0.3])


def test_the_speed_does_not_count_what_comes_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, written = [0.0], []
    monkeypatch.setattr(logbook.time, "monotonic", lambda: now[0])
    config = SimpleNamespace(out=tmp_path, log_every=4, batch=2, rate=lambda step: 0.0)
    accelerator = SimpleNamespace(is_main_process=False, num_processes=1, init_trackers=lambda name: None)
    run = SimpleNamespace(config=config, accelerator=accelerator, step=0)
    monkeypatch.setattr(logbook, "averaged", lambda _, values: {name: float(value) for name, value in values.items()})
    log = logbook.Log(run)
    log.write = written.append
    for step in range(1, 9):
        now[0] += 100 if step in (1, 7) else 1  # the workers start; a validation
        if step == 7:
            log.rest()
        log.add({"loss": torch.tensor(float(step))})
        run.step = step
        log.step()
    assert [row["loss"] for row in written] == [2.5, 6.5]
    assert [row["samples/s"] for row in written] == pytest.approx([2, 2])


@pytest.mark.parametrize("arguments", [["sd2", "--parts", "nope", "--data", "."], ["prepare-sd2", "--weights", "nope"]])
def test_a_wrong_folder_is_refused_in_a_sentence(arguments: list[str], tmp_path: Path, monkeypatch) -> None:
    from mmsr_core.training.__main__ import main

    monkeypatch.chdir(tmp_path)
    more = ["--data", str(tmp_path), "--out", str(tmp_path / "out")] if arguments[0] == "prepare-sd2" else []
    with pytest.raises(SystemExit, match="got nope without model_index.json, wanted the folder that"):
        main([*arguments, *more])


def test_help_is_no_error(capsys: pytest.CaptureFixture) -> None:
    from mmsr_core.training.__main__ import main

    main(["--help"])
    assert "prepare-sd2" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="got 'nonsense'"):
        main(["nonsense"])


def test_machines_without_a_shared_folder_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "broadcast_object_list", lambda found: ["step-0000004"])  # what the first machine has
    with pytest.raises(ValueError, match="got no step-0000004 in .*, wanted a folder all machines share"):
        scale.Run(torch.nn.Linear(1, 1), scale.ScaleConfig(out=tmp_path, precision="no"))
