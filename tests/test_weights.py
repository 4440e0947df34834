"""Saving, loading and naming of weights."""

import numpy as np
import torch

from mmsr_core.fresh import build_tiny
from mmsr_core.images import to_tensor
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.settings import Settings
from mmsr_core.weights import save_half, weights_hash


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


def test_hash_names_the_weights(tiny_folder, tmp_path):
    build_tiny(tmp_path)
    assert weights_hash(tmp_path) == weights_hash(tiny_folder)
    weights = next(tmp_path.rglob("unet/*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert weights_hash(tmp_path) != weights_hash(tiny_folder)
