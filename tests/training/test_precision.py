"""What half precision may not touch, and what the loop tells DeepSpeed, whose optimiser steps inside of `backward`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import VQModel

from mmsr_core.build import assembled
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.training import logbook, loop, scale, sd2
from mmsr_core.training.__main__ import main
from tests.foreign import stable_diffusion


@pytest.fixture(scope="module")
def large(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> MMSRPipeline:
    """The parts of sd2, tiny: with an autoencoder."""
    base = stable_diffusion(tmp_path_factory.mktemp("base"), tiny_folder / "tokenizer")
    return assembled(base, VQModel.from_pretrained(tiny_folder / "vq"), latents=8, depth=1)


@pytest.fixture
def micro(large: MMSRPipeline) -> sd2.Micro:
    rng, tokens = np.random.default_rng(0), large.tokenizers.grid**2
    pictures = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    return sd2.Micro(0, pictures, rng.integers(0, 8, (2, len(sd2.MAPS), tokens)), ["a barn", "a cat"])


def test_noise_and_encodings_are_exact_in_bf16(large: MMSRPipeline, micro: sd2.Micro) -> None:
    """In bf16 the first two steps would have no noise at all, and twelve be off by more than 5 %."""
    loss = sd2.EpsilonLoss(large, sd2.Sd2Config(batch=2), 0, torch.device("cpu"))
    condition, z0, _, _, generator = loss.given(micro)
    time = torch.randint(1000, (2,), generator=generator)
    alpha = large.scheduler.alphas_cumprod[time][:, None, None, None]
    noise = torch.randn(z0.shape, generator=generator)
    seen = []
    with torch.autocast("cpu", torch.bfloat16):
        loss(lambda given, time, *_: (seen.extend((given, time)), given[:, :4])[1], micro)
    assert torch.equal(seen[1], time)
    torch.testing.assert_close(seen[0], torch.cat([alpha.sqrt() * z0 + (1 - alpha).sqrt() * noise, condition], 1))


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


class Watching:
    """A validation that notes in which precision it runs."""

    def __init__(self) -> None:
        self.half: dict[str, bool] = {}

    def numbers(self, model: torch.nn.Module) -> dict[str, float]:
        self.half["numbers"] = torch.is_autocast_enabled("cpu")
        return {"loss": 1.0}

    def draw(self, path: Path) -> dict[str, float]:
        self.half["draw"] = torch.is_autocast_enabled("cpu")
        return {"psnr": 2.0}


def test_a_sheet_is_drawn_in_the_pipelines_own_precision(tmp_path: Path) -> None:
    """Else its autoencoder would run in bf16, which it does not in use."""
    run, watching = scale.Run(torch.nn.Linear(1, 1), scale.ScaleConfig(out=tmp_path, precision="no")), Watching()
    run._autocast = lambda: torch.autocast("cpu", torch.bfloat16)
    assert run._validated(watching) == {"val_loss": 1.0, "val_psnr": 2.0}
    assert watching.half == {"numbers": True, "draw": False}


WANTED = {
    "sd2": ["--parts", "PATH", "--data", "."],
    "prepare-sd2": ["--weights", "PATH", "--data", ".", "--out", "out"],
    "tokens": ["--weights", "PATH"],
    "base": ["--perceptual-weights", "PATH", "--steps", "1", "--out", "out"],
    "codec": ["--base", "PATH", "--out", "out"],
    "text": ["--tokenizer", "PATH", "--steps", "1", "--out", "out"],
}


@pytest.mark.parametrize("stage", WANTED)
def test_a_path_that_is_not_there_is_refused_in_a_sentence(stage: str, tmp_path: Path, monkeypatch) -> None:
    """Not by the hub, which was not meant."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="^--.*: got nope, which is not there, wanted an existing folder or file.$"):
        main([stage, *(word.replace("PATH", "nope") for word in WANTED[stage])])
    assert not list(tmp_path.iterdir())


OTHER_FILES = {
    "sd2": (["--parts", "photos", "--data", "."], "--parts", "model_index.json"),
    "prepare-sd2": (["--weights", "photos", "--data", ".", "--out", "out"], "--weights", "model_index.json"),
    "tokens": (["--weights", "photos"], "--weights", "vq/config.json"),
    "base": (["--perceptual-weights", ".", "--init", "photos", "--out", "out"], "--init", "config.json"),
    "codec": (["--base", "photos", "--out", "out"], "--base", "config.json"),
    "text": (["--tokenizer", "photos", "--out", "out"], "--tokenizer", "tokenizer_config.json"),
    "steering": (["--parts", "photos", "--out", "out"], "--parts", "vq/config.json"),
    "diffusion": (["--parts", "photos", "--perceptual-weights", ".", "--out", "out"], "--parts", "codec/config.json"),
    "diffusion init": (["--init", "photos"], "--init", "model_index.json"),
    "diffusion connector": (["--connector", "photos"], "--connector", "config.json"),
}


@pytest.mark.parametrize("case", OTHER_FILES)
def test_a_folder_of_other_files_is_refused_in_a_sentence(
    case: str, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by a traceback of diffusers, and before anything is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    words, flag, missing = OTHER_FILES[case]
    stage, *more = case.split()
    given = ["--parts", str(tiny_folder), "--perceptual-weights", "."] if more else []
    with pytest.raises(SystemExit, match=f"^{flag}: got photos without {missing}, wanted a folder of [^\\n]*$"):
        main([stage, *given, *words])
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_help_is_no_error(capsys: pytest.CaptureFixture) -> None:
    main(["--help"])
    assert "prepare-sd2" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="prepare-sd2"):
        main(["nonsense"])


def test_deepspeed_clips_at_what_was_asked_for() -> None:
    """Its engine clips, and reads the limit off its own config only."""
    plugin = SimpleNamespace(zero_stage=2, deepspeed_config={"gradient_clipping": "auto"})
    accelerator = SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=plugin), gradient_accumulation_steps=1)
    config = scale.ScaleConfig(clip=0.25, accumulate=3)
    scale.Run._tell_deepspeed(SimpleNamespace(_deepspeed=True, accelerator=accelerator, config=config))
    assert plugin.deepspeed_config["gradient_clipping"] == 0.25 and accelerator.gradient_accumulation_steps == 3


def test_the_stages_of_one_process_refuse_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would write the same files."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="got 2 processes, wanted one: this stage does not share its work"):
        loop.fit(torch.nn.Linear(1, 1), lambda *_: {}, lambda *_: None, loop.TrainConfig(tmp_path, steps=1))
    assert not list(tmp_path.iterdir())


def test_an_unknown_precision_is_no_choice(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    given = {"base": ["--perceptual-weights", "x"], "sd2": ["--parts", "x", "--data", "x"]}
    for stage, needed in given.items():
        with pytest.raises(SystemExit):
            main([stage, "--out", str(tmp_path), *needed, "--precision", "fp8"])
        assert "invalid choice: 'fp8'" in capsys.readouterr().err
