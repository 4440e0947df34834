"""The facade: extract once, restore many, costs said before, sentences for what is wrong."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from mmsr_core.modalities import Edited, check
from mmsr_core.settings import MODALITY_NAMES, Settings
from mmsr_core.upscaler import Upscaler, pick_device

QUICK = Settings(seed=1, steps=2)


def test_extract_gives_every_modality_in_order(photo, upscaler):
    maps = upscaler.extract(photo)
    assert tuple(maps) == MODALITY_NAMES
    assert isinstance(maps["text"], str) and all(maps[name].size == photo.size for name in MODALITY_NAMES[1:])
    assert tuple(upscaler.extract(photo, names=("edge",))) == ("edge",)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_scale_is_exact(photo, maps, upscaler, scale):
    result = upscaler.restore(photo, maps, QUICK.with_(scale=scale))
    assert result.sampled.size == result.bicubic.size == (53 * scale, 37 * scale)
    assert result.finish().size == result.sampled.size


def test_smaller_scales_come_from_the_same_sampling(photo, maps, upscaler):
    full = upscaler.restore(photo, maps, QUICK).sampled
    half = upscaler.restore(photo, maps, QUICK.with_(scale=2)).sampled
    wanted = np.asarray(full.resize(half.size, Image.Resampling.BICUBIC)).astype(int)
    assert np.array_equal(wanted, np.asarray(half))


def test_colours_switch_without_sampling(photo, maps, upscaler, monkeypatch):
    result = upscaler.restore(photo, maps, QUICK)
    monkeypatch.setattr(upscaler.pipeline, "stream", None)
    methods = {method: np.asarray(result.finish(method)) for method in ("wavelet", "adain", "ycbcr", "none")}
    assert np.array_equal(methods["none"], np.asarray(result.sampled))
    assert np.array_equal(methods["wavelet"], np.asarray(result.finish()))
    assert not np.array_equal(methods["adain"], methods["none"])


def test_seed_is_drawn_and_reported(photo, maps, upscaler):
    free = QUICK.with_(seed=None)
    first, second = upscaler.restore(photo, maps, free), upscaler.restore(photo, maps, free)
    assert first.seed != second.seed and first.settings.seed is None
    again = upscaler.restore(photo, maps, free.with_(seed=first.seed))
    assert np.array_equal(np.asarray(first.sampled), np.asarray(again.sampled))


def test_steps_count_down_and_end_with_the_result(photo, maps, upscaler):
    steps = list(upscaler.stream(photo, maps, QUICK))
    assert steps[-1].result is not None and all(step.result is None for step in steps[:-1])
    preparing, first = ([step for step in steps if (step.step + step.tile > 0) is begun] for begun in (False, True))
    assert steps[: len(preparing)] == preparing and all(step.preview is None for step in preparing)
    assert first[0].preview is not None and first[0].preview.size == (53 * 4, 37 * 4)
    assert steps[-1].seconds_left == 0


def test_a_run_can_be_stopped_before_the_photo_is_cleaned(photo, maps, upscaler, monkeypatch):
    monkeypatch.setattr(upscaler.cleaner, "damage", lambda image: pytest.fail("the run had been stopped"))
    steps = upscaler.stream(photo, maps, QUICK)
    assert next(steps).step == 0
    steps.close()


def test_a_noisy_photo_is_cleaned_as_far_as_the_settings_say(photo, upscaler):
    spoilt = np.asarray(photo) + np.random.default_rng(0).normal(0, 12, (37, 53, 3))
    noisy = Image.fromarray(spoilt.clip(0, 255).astype(np.uint8))
    kept, cleaned = (upscaler.restore(noisy, {}, QUICK.with_(cleanup=amount)) for amount in (0.0, 1.0))
    assert kept.damage == cleaned.damage and kept.damage.noise > 8
    assert kept.cleaned == "" and cleaned.cleaned.startswith("noise of ")
    assert np.asarray(kept.sampled, float).std() > np.asarray(cleaned.sampled, float).std()
    assert cleaned.source is not noisy and np.array_equal(cleaned.source, noisy)  # colours and fidelity: what came in


def test_plan_matches_the_run(photo, maps, upscaler):
    settings = QUICK.with_(tile=128)
    plan = upscaler.plan(photo.size, settings)
    result = upscaler.restore(photo, maps, settings)
    assert plan.output_size == result.sampled.size
    assert plan.tiles == len(result.tiles) and plan.unet_calls == plan.tiles * settings.steps * 2
    assert plan.seconds > 0 and plan.memory_bytes > 0


@pytest.mark.parametrize("off", ["text", "depth"])
@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_the_plan_counts_the_branches_that_are_computed(photo, maps, upscaler, off, weight):
    given, calls = {name: value for name, value in maps.items() if name != off}, []
    settings = QUICK.with_(tile=128, weight=weight)
    plan = upscaler.plan(photo.size, settings, given)
    layer = upscaler.pipeline.unet.conv_out
    handle = layer.register_forward_hook(lambda layer, inputs, out: calls.append(len(out)))
    upscaler.restore(photo, given, settings)
    handle.remove()
    assert sum(calls) == plan.unet_calls == plan.tiles * settings.steps * (2 if weight > 0 and off != "text" else 1)
    assert any("caption is off" in warning for warning in plan.warnings) == (off == "text" and weight > 0)


def test_a_caption_that_is_cut_is_said(photo, maps, upscaler):
    long = "a house by a lake " * 30 + "and a boat"
    (notice,) = upscaler.restore(photo, {**maps, "text": long}, QUICK).notices
    used, limit, kept, cut = upscaler.count_tokens(long, QUICK.positive)
    assert notice.startswith("The caption is too long, its end is not read: ") and cut.split()[0] in notice
    assert used <= limit and len(kept) < len(upscaler.count_tokens(long)[2]) and kept + cut == long
    assert not upscaler.restore(photo, {**maps, "text": "a house by a lake"}, QUICK).notices
    assert not upscaler.restore(photo, {"depth": maps["depth"]}, QUICK).notices


def test_tiles_lie_inside_the_result(photo, maps, upscaler):
    result = upscaler.restore(photo, maps, QUICK.with_(tile=128, scale=3))
    for x0, y0, x1, y1 in result.tiles:
        assert 0 <= x0 < x1 <= 53 * 3 and 0 <= y0 < y1 <= 37 * 3


def test_more_megapixels_cost_more(upscaler):
    small, large = upscaler.plan((100, 100), QUICK), upscaler.plan((1000, 1000), QUICK)
    assert large.seconds > 10 * small.seconds and large.memory_bytes > small.memory_bytes
    assert any("Memory" in w or "memory" in w for w in upscaler.plan((6000, 6000), QUICK).warnings)


def test_see_gives_a_map_of_the_same_kind(maps, upscaler):
    for name in MODALITY_NAMES[1:]:
        seen = upscaler.see(name, maps[name])
        assert (seen.size, seen.mode) == (maps[name].size, maps[name].mode)


def test_a_map_that_is_accepted_can_be_seen(upscaler, monkeypatch):
    tokens = upscaler.pipeline.tokenizers
    monkeypatch.setattr(tokens, "reconstruct", lambda ids: torch.ones(1, 3, 64, 64))  # lines may come back as white
    assert upscaler.see("edge", Image.new("L", (32, 32), 100)).getextrema() == (255, 255)


def test_small_pictures_and_unknown_names_are_refused(maps, upscaler):
    with pytest.raises(ValueError, match="got 15x40 px, wanted at least 16 px"):
        upscaler.restore(Image.new("RGB", (15, 40)), maps, QUICK)
    with pytest.raises(ValueError, match="got 1x40 px, wanted at least 16 px"):
        upscaler.extract(Image.new("RGB", (1, 40)))
    with pytest.raises(ValueError, match="text: got an edit .* wanted a text"):
        upscaler.restore(Image.new("RGB", (32, 32)), {"text": Edited("a cat", "a dog")}, QUICK)
    with pytest.raises(ValueError, match="got colour, wanted some of text"):
        check({"colour": "red"})
    with pytest.raises(ValueError, match="got extractor 'midas'"):
        upscaler.extract(Image.new("RGB", (32, 32)), names=("depth",), extractors={"depth": "midas"})


def test_presets_without_weights_say_so(tmp_path):
    with pytest.raises(ValueError, match="got no weights"):
        Upscaler.load("sd2")
    with pytest.raises(ValueError, match="got 'maxi', wanted one of mini, sd2"):
        Upscaler.load("maxi")
    with pytest.raises(ValueError, match="without model_index.json"):
        Upscaler.load("mini", weights=tmp_path)


@pytest.mark.parametrize("device", ["tpu", "cpu:x", "cpu:1", "cpu:", "cuda:99", ""])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(ValueError, match=f"device: got '{device}', wanted one of .*cpu"):
        Upscaler.load("tiny", device=device)


def test_a_device_may_be_numbered():
    assert pick_device("cpu") == "cpu" and pick_device("cpu:0") == "cpu:0"


def test_tiny_is_never_called_trained(upscaler):
    assert not upscaler.info.trained and len(upscaler.info.hash) == 12


def test_several_threads_may_load_at_once(photo):
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: Upscaler.load("tiny", device="cpu"), range(4)))
        read = list(pool.map(lambda upscaler: upscaler.extract(photo), loaded))
    assert all(set(maps) == set(read[0]) for maps in read)
