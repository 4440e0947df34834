"""Saving, loading and naming of weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mmsr_core import card
from mmsr_core.fresh import build_tiny
from mmsr_core.images import to_tensor
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.settings import Settings
from mmsr_core.upscaler import Upscaler
from mmsr_core.weights import check_weights, save_half, weights_hash


def test_half_size_files_load_in_full_precision_and_look_the_same(tiny_folder, photo, maps, tmp_path):
    whole = MMSRPipeline.from_pretrained(tiny_folder)
    save_half(MMSRPipeline.from_pretrained(tiny_folder), tmp_path)
    half = MMSRPipeline.from_pretrained(tmp_path, dtype=torch.float32)
    networks = (half.unet, half.text_encoder, half.codec)
    assert {p.dtype for part in networks for p in part.parameters()} == {torch.float32}
    settings, pictures = Settings(seed=0, steps=2), []
    for pipeline in (whole, half):
        *_, last = pipeline.stream(to_tensor(photo), maps, settings)
        pictures.append(np.asarray(last.picture).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 2
    size = lambda folder: sum(f.stat().st_size for f in (folder / "unet").glob("*.safetensors"))  # noqa: E731
    assert size(tmp_path) < 0.6 * size(tiny_folder)


def test_a_folder_of_other_files_is_refused_in_one_sentence_by_whoever_gets_it(tmp_path, tiny_folder, monkeypatch):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").touch()
    wanted = "wanted a folder of weights as training or `python -m mmsr_core.weights build` saves it"
    for use in (lambda: Upscaler.load("mini", weights=folder), lambda: card.publish(folder, "owner/name")):
        with pytest.raises(ValueError) as caught:
            use()
        assert str(caught.value) == f"weights: got photos without model_index.json, {wanted}"
    check_weights("weights", tiny_folder)
    check_weights("--parts", tiny_folder, ("vq/config.json", "tokenizer/tokenizer_config.json"))
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match="^--parts: got photos without vq/config.json, wanted"):
        check_weights("--parts", Path("."), ("vq/config.json",))


def test_hash_names_the_weights(tiny_folder, tmp_path):
    build_tiny(tmp_path)
    assert weights_hash(tmp_path) == weights_hash(tiny_folder)
    weights = next(tmp_path.rglob("unet/*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert weights_hash(tmp_path) != weights_hash(tiny_folder)
