"""Out of memory is no end: the run starts again with smaller tiles and says so."""

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from app import texts
from mmsr_core import memory, placement
from mmsr_core.images import to_tensor
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.settings import Settings

QUICK = Settings(seed=1, steps=1, weight=0.0, tile=512)
NO_MEMORY = RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")


@pytest.fixture
def cramped(upscaler, monkeypatch):
    """A pipeline that has room for tiles of 128 px only."""
    stream = upscaler.pipeline.stream

    def short_stream(lr, modalities, settings):
        if settings.tile > 128:
            raise NO_MEMORY
        yield from stream(lr, modalities, settings)

    monkeypatch.setattr(upscaler.pipeline, "stream", short_stream)
    return upscaler


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), NO_MEMORY])
def test_every_device_s_way_of_saying_it_is_known(error):
    assert memory.is_out_of_memory(error)


def test_other_errors_are_not_taken_for_it():
    assert not memory.is_out_of_memory(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        list(memory.with_smaller_tiles(lambda *_: (_ for _ in ()).throw(RuntimeError("shapes")), QUICK))


def test_a_run_without_room_starts_again_with_smaller_tiles_and_says_so(cramped, photo, maps):
    steps = list(cramped.stream(photo, maps, QUICK))
    result = steps[-1].result
    assert result.settings.tile == 128 and len(result.notices) == 2
    assert "tiles of 512 px: started again with tiles of 256 px" in result.notices[0]
    done = [step for step in steps if step.step]
    assert done and all(step.notice == " ".join(result.notices) for step in done)
    assert result.notices[1] in texts.step(steps[-1]) and result.notices[1] in texts.readout(result, {})
    wanted = cramped.restore(photo, maps, QUICK.with_(tile=128))
    assert np.array_equal(np.asarray(result.sampled), np.asarray(wanted.sampled)) and not wanted.notices


def test_it_ends_where_the_smallest_tile_does_not_fit():
    def run(settings, notices):
        raise NO_MEMORY
        yield

    with pytest.raises(MemoryError, match="got too little for tiles of 128 px, wanted a smaller photo"):
        list(memory.with_smaller_tiles(run, QUICK))


def test_smaller_tiles_stay_valid():
    settings = Settings(tile=2048)
    while settings.tile > 128:
        settings, _ = memory.smaller(settings)
        assert settings.tile % 64 == 0


def test_settings_and_results_can_leave_the_process(upscaler, photo, maps):
    settings = QUICK.with_(temperature={"depth": 0.5})
    assert pickle.loads(pickle.dumps(settings)) == settings == copy.deepcopy(settings)
    result = upscaler.restore(photo, maps, settings)
    again = pickle.loads(pickle.dumps(result))
    assert again.settings == settings and again.sampled.size == result.sampled.size


def test_networks_that_do_not_fit_are_streamed_and_give_the_same_picture(tiny_folder, photo, maps, monkeypatch):
    whole, streamed = (MMSRPipeline.from_pretrained(tiny_folder) for _ in range(2))
    for one in (whole, streamed):
        torch.manual_seed(1)
        torch.nn.init.normal_(one.unet.conv_out.weight, std=0.05)
    assert not placement.place(whole, "cpu")
    placement.stream(streamed, torch.device("cpu"))
    pictures = [list(one.stream(to_tensor(photo), maps, QUICK))[-1].picture for one in (whole, streamed)]
    assert np.array_equal(*map(np.asarray, pictures))
    assert placement.weight_bytes(whole) == placement.weight_bytes(streamed) > 1e5


def test_what_fits_decides_where_the_networks_are(pipeline, monkeypatch):
    called = []
    monkeypatch.setattr(placement, "stream", lambda _, device: called.append(device.type))
    monkeypatch.setattr(pipeline, "to", called.append)
    room = placement.weight_bytes(pipeline) + placement.work_bytes(pipeline, "mps")
    assert placement.place(pipeline, "mps", room - 1) and not placement.place(pipeline, "mps", room)
    assert called == ["mps", "mps"] and not placement.place(pipeline, "cpu", 0)


def test_the_estimate_counts_the_tiles_that_are_denoised_at_once(pipeline):
    on_gpu, on_cpu = (memory.estimate((1000, 1000), Settings(), pipeline.codec, kind) for kind in ("cuda:1", "cpu"))
    assert on_gpu - on_cpu == 3 * 512**2 * pipeline.codec.tile_bytes


def test_streaming_does_not_count_on_a_forward_that_is_passed_by(monkeypatch):
    """diffusers arranges for copying ahead once the U-Net's own forward ran; until then its list of calls grows."""
    asked = []
    monkeypatch.setattr("diffusers.hooks.apply_group_offloading", lambda part, **options: asked.append(options))
    placement.stream(SimpleNamespace(components=dict.fromkeys(placement.LARGE)), torch.device("cuda"))
    assert len(asked) == 2 and not any(options.get("use_stream") for options in asked)


def test_weights_stay_on_the_device_where_the_estimate_says_that_a_run_fits(pipeline):
    wanted = memory.estimate((256, 256), Settings(), pipeline.codec, "cuda")
    assert placement.work_bytes(pipeline, "cuda") == wanted > placement.work_bytes(pipeline, "cpu")


def test_what_has_no_effect_is_said():
    def said(given=("text", "depth"), **changes):
        return memory.warnings(None, 0, Settings(**changes), given)

    assert said() == said(["text"], guidance="cfg") == said(["depth"], guidance="null-cfg") == []
    assert said(weight=0.0) == said(["depth"], weight=0.0) == ["At weight 0 the negative text has no effect."]
    (sentence,) = said(["depth"])
    assert sentence == "While the caption is off, the guidance weight and the words have no effect."
    assert said(["depth"], guidance="cfg") == [sentence]
