"""The first checkpoint of sd2, on tiny stand-ins with the real formats' key names."""

import json
from collections import defaultdict
from enum import Enum

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, VQModel
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizerFast

from mmsr_core.build import main, unlearnt
from mmsr_core.keymaps import read_checkpoint, taming_config, taming_state, vq_from_taming
from mmsr_core.modalities.given import Edited
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.settings import Settings
from mmsr_core.tiling import Tile
from mmsr_core.upscaler import Upscaler
from tests.foreign import GROUPS, TamingVQGAN, as_published, stable_diffusion

PUBLISHED = ((128, 128, 256, 256, 512), 2, 1024, 256, 256)  # vqgan_imagenet_f16_1024: channels, layers, codes, widths


class Callback:
    """What a trainer leaves in its checkpoints."""


@pytest.fixture(scope="module")
def vqgan():
    torch.manual_seed(0)
    return TamingVQGAN().eval()


@pytest.fixture(scope="module")
def base(tiny_folder, tmp_path_factory):
    return as_published(stable_diffusion(tmp_path_factory.mktemp("base"), tiny_folder / "tokenizer"))


@pytest.fixture(scope="module")
def built(base, tiny_folder, tmp_path_factory):
    """Through the command; the VQ model is the tiny one, in diffusers' format."""
    out = tmp_path_factory.mktemp("sd2") / "first"
    main(["build", "--base", str(base), "--vqgan", str(tiny_folder / "vq"), "--latents", "8", "--depth", "1", str(out)])
    return out


def test_a_taming_vqgan_does_in_our_class_what_it_did_in_its_own(vqgan):
    ours = vq_from_taming({**vqgan.state_dict(), "loss.discriminator.main.0.weight": torch.zeros(1)}, GROUPS).eval()
    assert ours.config.sample_size == 64 and ours.config.num_vq_embeddings == 32
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(ours.encode(x).latents, vqgan.quant_conv(vqgan.encoder(x)), atol=1e-5, rtol=1e-4)
        ids = ours.quantize(ours.encode(x).latents)[2][2].reshape(2, -1)
        assert torch.equal(ids, vqgan.ids(x))
        codes = ours.quantize.get_codebook_entry(ids.flatten(), (2, 16, 16, 12))
        seen = ours.decode(codes, force_not_quantize=True).sample
        torch.testing.assert_close(seen, vqgan.decode(ids, 16), atol=1e-4, rtol=1e-3)


def test_names_and_files_of_2022_are_read_whole(base, tiny_folder, tmp_path):
    ours = stable_diffusion(tmp_path, tiny_folder / "tokenizer")
    for part, kind in (("text_encoder", CLIPTextModel), ("vae", AutoencoderKL)):
        wanted, found = (kind.from_pretrained(folder / part).state_dict() for folder in (ours, base))
        assert wanted.keys() == found.keys() and all(torch.equal(wanted[name], found[name]) for name in wanted)
    wanted, found = (CLIPTokenizerFast.from_pretrained(folder / "tokenizer") for folder in (ours, base))
    assert wanted("A red barn").input_ids == found("A red barn").input_ids and found.pad_token == "!"


@pytest.fixture(scope="module")
def full_size():
    """Nothing is computed or held in memory: the `meta` device knows shapes only."""
    with torch.device("meta"):
        return unlearnt()


def test_the_published_vqgan_has_the_papers_shape(full_size):
    with torch.device("meta"):
        state = TamingVQGAN(*PUBLISHED).state_dict()
        ours = VQModel(**taming_config(state))
    shapes = lambda state: {name: value.shape for name, value in state.items()}  # noqa: E731
    assert shapes(ours.state_dict()) == shapes(taming_state(state)) == shapes(full_size.vq.state_dict())
    assert ours.config.sample_size == full_size.vq.config.sample_size == 256


def test_full_size_has_the_published_parameter_counts(full_size):
    count = lambda part: sum(p.numel() for p in part.parameters())  # noqa: E731
    assert full_size.unet.config.down_block_types[:3] == ("CrossAttnDownBlock2D",) * 3
    assert count(full_size.unet) == 865_910_724 + 4 * 320 * 9
    assert (count(full_size.codec), count(full_size.text_encoder)) == (83_653_863, 340_387_840)
    assert sum(spec.count for spec in full_size.connector.specs.values()) == 845
    assert full_size.connector.gate.shape == (128,) and full_size.connector.no_text.shape == (1, 77, 1024)


def test_a_checkpoint_of_a_trainer_gives_its_tensors_and_runs_no_code(vqgan, tmp_path):
    saved = {"state_dict": vqgan.state_dict(), "callbacks": {Callback: Callback()}, "epoch": 3}
    torch.save(saved, tmp_path / "last.ckpt")
    found = read_checkpoint(tmp_path / "last.ckpt")
    assert all(torch.equal(found[name], value) for name, value in vqgan.state_dict().items())


class Attributes(dict):
    """A kind of dict of its own, as trainers save their options."""


def test_own_kinds_of_dict_and_list_in_a_checkpoint_do_no_harm(vqgan, tmp_path):
    options, lists = defaultdict(list, {"rate": [1.0]}), [Several([1]), Several([1, 2])]
    saved = {"state_dict": vqgan.state_dict(), "options": options, "more": Attributes(a=1), "lists": lists}
    torch.save(saved, tmp_path / "last.ckpt")
    assert set(read_checkpoint(tmp_path / "last.ckpt")) == set(vqgan.state_dict())


def test_what_is_no_checkpoint_is_refused(tmp_path):
    for name in ("notes.ckpt", "notes.safetensors"):
        (tmp_path / name).write_text("# notes\n" * 10)
        with pytest.raises(ValueError, match=f"checkpoint: got {name}, wanted"):
            read_checkpoint(tmp_path / name)


class Several(list):
    """A kind of list of its own."""


class Stage(Enum):
    """A kind of key of its own."""

    LAST = "last"


def test_own_kinds_of_keys_in_a_checkpoint_do_no_harm(vqgan, tmp_path):
    more = {"seconds": {Stage.LAST: 3.0}, "seen": {Stage.LAST}}
    torch.save({"state_dict": vqgan.state_dict(), **more}, tmp_path / "a.pt")
    assert set(read_checkpoint(tmp_path / "a.pt")) == set(vqgan.state_dict())


@pytest.mark.parametrize("saved", [[torch.zeros(1)], torch.zeros(1), 3, {"epoch": 3}, torch.nn.Linear(1, 1)])
def test_a_file_without_named_tensors_is_refused(saved, tmp_path):
    torch.save(saved, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="checkpoint: got a.pt without named tensors, wanted"):
        read_checkpoint(tmp_path / "a.pt")


def test_another_checkpoint_is_refused():
    with pytest.raises(ValueError, match="vqgan: got .* wanted a taming-transformers VQGAN"):
        vq_from_taming({"encoder.layer.weight": torch.zeros(1), "model.x": torch.zeros(1)})


def test_at_the_start_the_model_does_what_the_text_only_one_does(built, base, photo, maps):
    pipeline = MMSRPipeline.from_pretrained(built)
    original = UNet2DConditionModel.from_pretrained(base / "unet")  # diffusers' own attention
    tokenizer = CLIPTokenizerFast.from_pretrained(base / "tokenizer")
    text = CLIPTextModel.from_pretrained(base / "text_encoder").eval()
    settings = Settings(weight=0.0, positive="")
    z, condition = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    time = torch.tensor(500)
    ids = tokenizer(maps["text"].rstrip("."), padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    branches = pipeline.contexts(maps, Tile(0, 0, 8, 8), photo.size, settings)
    assert branches.context.shape == (1, 77 + 8, 32)
    with torch.no_grad():
        wanted = original(z, time, text(ids.input_ids).last_hidden_state).sample
        torch.testing.assert_close(pipeline.predict(z, time, condition, branches, 0.0), wanted, atol=1e-6, rtol=1e-5)
        empty = tokenizer("", padding="max_length", max_length=77, return_tensors="pt")
        wanted = original(z, time, text(empty.input_ids).last_hidden_state).sample
        branches = pipeline.contexts({}, Tile(0, 0, 8, 8), photo.size, settings)
        torch.testing.assert_close(pipeline.predict(z, time, condition, branches, 0.0), wanted, atol=1e-6, rtol=1e-5)


def test_opened_gates_let_the_maps_be_heard_and_closed_ones_pass_a_gradient(built, photo, maps):
    pipeline = MMSRPipeline.from_pretrained(built)
    z, time, tile = torch.randn(1, 8, 8, 8), torch.tensor(500), Tile(0, 0, 8, 8)

    def output(given):
        context = pipeline.contexts(given, tile, photo.size, Settings(weight=0.0)).context
        return pipeline.unet(z, time, context, cross_attention_kwargs=pipeline.hearing((8, 8))).sample

    texts = {"text": maps["text"]}
    assert torch.equal(output(maps), output(texts))
    output(maps).square().sum().backward()
    assert pipeline.connector.gate.grad.abs().min() > 0
    torch.nn.init.constant_(pipeline.connector.gate, 0.5)
    assert not torch.allclose(output(maps), output(texts))


@torch.no_grad()
def test_an_edited_map_is_heard_beside_the_one_that_was_read(built, photo, maps):
    """With text and gated latents in both contexts: the same map twice is no edit, one that differs everywhere all."""
    pipeline = MMSRPipeline.from_pretrained(built)
    torch.nn.init.constant_(pipeline.connector.gate, 2.0)
    z, condition, time = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8), torch.tensor(500)
    settings = Settings(weight=1.0, edit_strength=1.0)

    def output(depth):
        branches = pipeline.contexts({**maps, "depth": depth}, Tile(0, 0, 8, 8), photo.size, settings)
        return pipeline.predict(z, time, condition, branches, 1.0)

    near, far = Image.new("L", photo.size, 255), Image.new("L", photo.size, 0)
    alone, other = output(near), output(far)
    assert not torch.allclose(alone, other, atol=1e-4)
    torch.testing.assert_close(output(Edited(near, near)), alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(output(Edited(near, far)), alone, atol=1e-5, rtol=1e-4)
    half = far.copy()
    half.paste(255, (0, 0, photo.width // 2, photo.height))
    change = (output(Edited(half, far)) - other).abs().mean((0, 1))
    assert change[:, :4].mean() > change[:, 5:].mean()


def test_without_a_bypass_nothing_changes(pipeline):
    assert pipeline.connector.gate is None and not {"gate", "no_text"} & set(pipeline.connector.state_dict())
    assert pipeline.connector.bypassed(None) is None


def test_an_untrained_folder_refuses_and_says_how_to_train_it(built):
    with pytest.raises(ValueError, match="connector is untrained.*mmsr_core.training sd2 --parts"):
        Upscaler.load("sd2", built, "cpu")


def test_once_marked_as_trained_it_upscales(built, photo, tmp_path):
    pipeline = MMSRPipeline.from_pretrained(built)
    pipeline.connector.register_to_config(trained=True)
    pipeline.save_pretrained(tmp_path)
    upscaler = Upscaler.load("sd2", tmp_path, "cpu")
    result = upscaler.restore(photo, {"text": "a red barn"}, Settings(steps=2, seed=0, tile=128))
    assert result.finish().size == (photo.width * 4, photo.height * 4)


def test_the_model_card_names_sources_licences_and_hashes(built, base):
    card = (built / "README.md").read_text()
    assert card.startswith("---\nlicense: openrail++\n") and f"| {base.name} | local | openrail++ |" in card
    assert str(base.parent) not in card
    assert "untrained" in card and card.count(".safetensors | ") == len(list(built.rglob("*.safetensors")))
    config = json.loads((built / "connector" / "config.json").read_text())
    assert config["trained"] is False and config["text_bypass"] is True
    assert json.loads((built / "unet" / "config.json").read_text())["in_channels"] == 8
    assert json.loads((built / "model_index.json").read_text())["palette"] == "coco" and "133 classes" in card


def test_a_base_of_another_kind_is_refused(tiny_folder, tmp_path, capsys):
    with pytest.raises(SystemExit, match="base: got .* without unet, vae"):
        main(["build", "--base", str(tmp_path), "--vqgan", str(tiny_folder / "vq"), str(tmp_path / "out")])
    stable_diffusion(tmp_path / "v", tiny_folder / "tokenizer", "v_prediction")
    with pytest.raises(SystemExit, match="wanted 'epsilon'"):
        main(["build", "--base", str(tmp_path / "v"), "--vqgan", str(tiny_folder / "vq"), str(tmp_path / "out")])
