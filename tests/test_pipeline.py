"""Laws of the sampler on tiny real classes."""

import functools
import gc
import json

import numpy as np
import pytest
import torch
from PIL import Image

from mmsr_core.attention import ContextAttention
from mmsr_core.codec import BANDS, softened
from mmsr_core.connector import READ
from mmsr_core.images import to_tensor
from mmsr_core.modalities.given import Edited
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.settings import MODALITY_NAMES, Settings

QUICK = Settings(seed=3, steps=3, weight=2.0)


def run(pipeline: MMSRPipeline, photo, maps, settings=QUICK) -> np.ndarray:
    *_, last = pipeline.stream(to_tensor(photo), maps, settings)
    return np.asarray(last.picture).astype(int)


def test_output_is_exactly_four_times_as_large(pipeline, photo, maps):
    assert run(pipeline, photo, maps).shape == (37 * 4, 53 * 4, 3)


@pytest.mark.parametrize("size", [(16, 16), (17, 200), (131, 16)])
def test_any_size(pipeline, maps, size):
    assert run(pipeline, Image.new("RGB", size, "teal"), maps, QUICK.with_(steps=1)).shape == (
        size[1] * 4,
        size[0] * 4,
        3,
    )


@pytest.mark.parametrize("sampler", ["unipc", "dpmpp-2m", "ddim"])
def test_same_seed_same_pixels(pipeline, photo, maps, sampler):
    settings = QUICK.with_(sampler=sampler)
    first = run(pipeline, photo, maps, settings)
    assert np.array_equal(first, run(pipeline, photo, maps, settings))
    assert not np.array_equal(first, run(pipeline, photo, maps, settings.with_(seed=4)))


def test_weight_zero_ignores_the_negative_text(pipeline, photo, maps):
    zero = QUICK.with_(weight=0.0)
    assert np.array_equal(
        run(pipeline, photo, maps, zero), run(pipeline, photo, maps, zero.with_(negative="something else"))
    )
    other = run(pipeline, photo, maps, QUICK.with_(negative="something else"))
    assert not np.array_equal(run(pipeline, photo, maps), other)


def test_equal_texts_make_the_weight_irrelevant(pipeline, photo, maps):
    same = QUICK.with_(positive="", negative=pipeline.tokenizers.prompt(maps["text"], ""))
    low, high = (run(pipeline, photo, maps, same.with_(weight=w)) for w in (1.0, 9.0))
    assert np.abs(low - high).max() <= 3


def test_the_maps_matter_in_m_cfg_and_not_in_cfg(pipeline, photo, maps):
    turned = {**maps, "depth": photo.convert("L")}
    assert not np.array_equal(run(pipeline, photo, maps), run(pipeline, photo, turned))
    cfg = QUICK.with_(guidance="cfg")
    assert np.array_equal(run(pipeline, photo, maps, cfg), run(pipeline, photo, turned, cfg))


def test_modes_differ(pipeline, photo, maps):
    pictures = [run(pipeline, photo, maps, QUICK.with_(guidance=mode)) for mode in ("m-cfg", "null-cfg", "cfg")]
    assert all(not np.array_equal(a, b) for i, a in enumerate(pictures) for b in pictures[i + 1 :])


def test_neutral_temperature_changes_nothing(pipeline, photo, maps):
    neutral = QUICK.with_(temperature={"depth": 1.0, "edge": 1.0})
    assert np.array_equal(run(pipeline, photo, maps), run(pipeline, photo, maps, neutral))
    assert not np.array_equal(
        run(pipeline, photo, maps), run(pipeline, photo, maps, QUICK.with_(temperature={"edge": 0.4}))
    )


@pytest.mark.parametrize("mode", ["m-cfg", "null-cfg", "cfg"])
@pytest.mark.parametrize("form", ["keys", "bias"])
@pytest.mark.parametrize("name", MODALITY_NAMES)
def test_what_is_off_has_no_temperature(pipeline, photo, maps, mode, form, name):
    settings = QUICK.with_(guidance=mode, temperature_form=form, temperature={"text": 2, "depth": 2, "edge": 0.5})
    without = {other: value for other, value in maps.items() if other != name}
    rest = {other: value for other, value in settings.temperature.items() if other != name}
    off = run(pipeline, photo, without, settings.with_(temperature=rest))
    for delta in (0.4, 10.0):
        given = settings.with_(temperature={**rest, name: delta})
        assert np.array_equal(off, run(pipeline, photo, without, given))
        assert pipeline.attention(without, given) == pipeline.attention(without, settings.with_(temperature=rest))


def test_maps_that_cfg_does_not_hear_have_no_temperature(pipeline, photo, maps):
    cfg = QUICK.with_(guidance="cfg")
    turned = cfg.with_(temperature={"depth": 0.4, "edge": 10})
    assert np.array_equal(run(pipeline, photo, maps, cfg), run(pipeline, photo, maps, turned))


def test_the_null_tokens_of_the_negative_branch_have_no_temperature(pipeline, photo, maps):
    plain = QUICK.with_(guidance="null-cfg")
    turned, tile = plain.with_(temperature={"depth": 0.4}), pipeline.tiles(photo.size, plain)[0]
    before, after = (pipeline.contexts(maps, tile, photo.size, settings).context for settings in (plain, turned))
    torch.testing.assert_close(before[1], after[1], rtol=1e-4, atol=1e-5)
    assert (before[0] - after[0]).abs().max() > 1e-3


@pytest.mark.parametrize("mode", ["m-cfg", "cfg"])
def test_without_a_caption_one_branch_gives_the_picture_of_two(pipeline, photo, maps, mode, monkeypatch):
    without, calls = {name: value for name, value in maps.items() if name != "text"}, []
    settings = QUICK.with_(guidance=mode)
    monkeypatch.setattr("mmsr_core.guidance.count", lambda *_: 2)
    both = run(pipeline, photo, without, settings)
    monkeypatch.undo()
    handle = pipeline.unet.conv_out.register_forward_hook(lambda layer, given, out: calls.append(len(out)))
    one = run(pipeline, photo, without, settings)
    handle.remove()
    assert np.abs(one - both).max() <= 1 and calls == [1] * settings.steps
    assert np.array_equal(one, run(pipeline, photo, without, settings.with_(weight=9.0, negative="other", positive="")))


def test_edits_of_maps_that_are_not_heard_cost_nothing(pipeline, photo, maps):
    given = {**maps, "depth": Edited(maps["depth"].point(lambda value: 255 - value), maps["depth"])}
    tile = pipeline.tiles(photo.size, QUICK)[0]
    for settings in (QUICK.with_(guidance="cfg"), QUICK.with_(edit_strength=0.0)):
        made = pipeline.contexts(given, tile, photo.size, settings)
        assert made.edited is None and made.context.shape[1] == 128
        assert torch.equal(made.context, pipeline.contexts(maps, tile, photo.size, settings).context)


def test_the_picture_gets_the_gains_that_the_connector_reads(pipeline, photo, maps):
    """A gain of -1 everywhere takes all fine detail of the base: the codec and the connector mean the same unit."""
    lr = pipeline.padded(to_tensor(photo))
    size, plain = (lr.shape[-1], lr.shape[-2]), QUICK.with_(weight=0.0, steps=1)
    tile, condition = pipeline.tiles(size, plain)[0], pipeline.canvas(lr, plain).condition(0, lr.shape[-2])
    branches = pipeline.contexts(maps, tile, size, plain)
    branches.gains = torch.tensor([-1.0, 0.0]).reshape(1, 2, 1, 1).expand(1, 2, READ, READ)
    z = torch.zeros(1, pipeline.codec.latent_channels, *condition.shape[-2:])
    made = pipeline.predict(z, torch.tensor(999), condition, branches, 0.0)
    base = pipeline.codec.picture(condition)
    with torch.no_grad():
        torch.testing.assert_close(pipeline.codec.gained(made, condition), softened(base, BANDS[0]) - base)


def test_missing_map_is_the_null_token(pipeline, photo, maps):
    without = {name: value for name, value in maps.items() if name != "depth"}
    assert not np.array_equal(run(pipeline, photo, maps), run(pipeline, photo, without))


def test_cached_keys_and_values_change_nothing(pipeline, photo, maps, monkeypatch):
    with_cache = run(pipeline, photo, maps)
    call = ContextAttention.__call__

    @functools.wraps(call)  # diffusers reads the signature to know which arguments a processor takes
    def without_cache(self, *args, **kwargs):
        return call(self, *args, **{**kwargs, "cache": None})

    monkeypatch.setattr(ContextAttention, "__call__", without_cache)
    assert np.array_equal(with_cache, run(pipeline, photo, maps))


def test_keys_and_values_are_computed_once_a_run(pipeline, photo, maps, monkeypatch):
    layer = next(m for name, m in pipeline.unet.named_modules() if name.endswith("attn2.to_k"))
    calls = []
    handle = layer.register_forward_hook(lambda *_: calls.append(1))
    run(pipeline, photo, maps, QUICK.with_(steps=5))
    handle.remove()
    assert len(calls) == 1


def test_one_step_per_denoising_step_and_tile(pipeline, photo, maps):
    settings = QUICK.with_(tile=128, overlap=0.25)
    steps = list(pipeline.stream(to_tensor(photo), maps, settings))
    count = len(pipeline.tiles(photo.size, settings))
    assert count > 1 and len(steps) == 3 * count
    assert [s.step for s in steps if s.tile == s.tiles] == [1, 2, 3]
    assert all((s.picture is None) == (s.tile < s.tiles) for s in steps)


def test_tiles_see_their_own_part_of_the_maps(pipeline, photo, maps):
    """A change in the right half of a map leaves a tile on the far left as it was."""
    settings, size = QUICK.with_(tile=128), photo.size
    left = min(pipeline.tiles(size, settings), key=lambda tile: (tile.x, tile.y))
    changed = np.asarray(maps["depth"]).copy()
    changed[:, 45:] = 255 - changed[:, 45:]
    edited = {**maps, "depth": Image.fromarray(changed)}
    before, after = (pipeline.contexts(m, left, size, settings).context for m in (maps, edited))
    assert torch.equal(before, after)


def test_no_seam_on_a_constant_picture(pipeline):
    """Untrained weights invent texture, but the same one in every tile: borders must not stand out."""
    grey = Image.new("RGB", (64, 64), "gray")
    picture = run(pipeline, grey, {}, QUICK.with_(tile=128, steps=1, weight=0.0)).mean(-1)
    jumps = np.abs(np.diff(picture, axis=1)).mean(0)
    assert jumps.max() < 6 * np.median(jumps) + 2


def test_closing_the_generator_stops(pipeline, photo, maps):
    stream = pipeline.stream(to_tensor(photo), maps, QUICK.with_(steps=50))
    next(stream)
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)
    gc.collect()


def test_values_that_are_not_finite_are_reported(pipeline, photo, maps, monkeypatch):
    monkeypatch.setattr(pipeline, "predict", lambda z, *a: z * float("nan"))
    with pytest.raises(FloatingPointError, match="not finite at step 1 of 3"):
        run(pipeline, photo, maps)


def test_save_and_load_give_the_same_picture(pipeline, photo, maps, tmp_path):
    pipeline.save_pretrained(tmp_path)
    again = MMSRPipeline.from_pretrained(tmp_path)
    assert np.array_equal(run(pipeline, photo, maps), run(again, photo, maps))


def test_module_paths_are_part_of_the_file_format(tiny_folder):
    index = json.loads((tiny_folder / "model_index.json").read_text())
    assert index["_class_name"] == "MMSRPipeline"
    assert index["codec"] == ["mmsr_core.codec", "PatchCodec"]
    assert index["connector"] == ["mmsr_core.connector", "LatentConnector"]


def test_attention_shares(pipeline, maps):
    shares = pipeline.attention(maps, QUICK)
    assert list(shares) == ["text", "depth", "segmentation", "edge"]
    assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
    louder = pipeline.attention(maps, QUICK.with_(temperature={"edge": 0.4}, temperature_form="bias"))
    assert louder["edge"] > shares["edge"]


def test_attention_is_of_the_maps_that_made_the_picture(pipeline, maps):
    given = {**maps, "depth": Edited(maps["depth"].point(lambda value: 255 - value), maps["depth"])}
    assert pipeline.attention(given, QUICK.with_(edit_strength=0.0)) == pipeline.attention(maps, QUICK)
    assert pipeline.attention(given, QUICK) != pipeline.attention(maps, QUICK)


def test_the_quality_words_are_heard_behind_a_caption_of_any_length(pipeline, photo, maps):
    long = {**maps, "text": "a house by a lake with many trees " * 30}
    one, other = (run(pipeline, photo, long, QUICK.with_(positive=words)) for words in ("blurry", "sharp, crisp"))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_tiles_together_give_what_they_give_one_by_one(pipeline, photo, maps, monkeypatch, weight):
    settings = QUICK.with_(tile=128, weight=weight, steps=2)
    count, steps = len(pipeline.tiles(photo.size, settings)), []
    alone = run(pipeline, photo, maps, settings)
    monkeypatch.setattr("mmsr_core.memory.TILES_AT_ONCE", {"cpu": 3})
    monkeypatch.setattr("mmsr_core.pipeline.CACHED", 0)  # keys and values made anew: many tiles
    for step in pipeline.stream(to_tensor(photo), maps, settings):
        steps.append((step.step, step.tile))
    assert np.abs(np.asarray(step.picture).astype(int) - alone).max() <= 1
    assert count == 4 and steps == [(0, 3), (1, 4), (1, 3), (2, 4)]


def test_a_network_in_half_precision_gives_nearly_the_same_picture(tiny_folder, photo, maps):
    settings = QUICK.with_(weight=0.0)
    whole, half = (MMSRPipeline.from_pretrained(tiny_folder) for _ in range(2))
    for one in (whole, half):
        torch.manual_seed(1)
        torch.nn.init.normal_(one.unet.conv_out.weight, std=0.01)
    half.unet.bfloat16()
    assert np.abs(run(whole, photo, maps, settings) - run(half, photo, maps, settings)).mean() < 1
