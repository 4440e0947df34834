"""Foreign checkpoints: their key names -> ours, and their shapes -> a config.

VQGAN of CompVis/taming-transformers (https://github.com/CompVis/taming-transformers, MIT), whose ImageNet f16-1024
model fits the paper's tokeniser of maps, as diffusers' `VQModel`. MaskGIT's, which has other layers: `maskgit.py`.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import torch
from diffusers import VQModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

GRID = 16  # the paper's tokens on each side of a map
_RENAMED = (
    (r"\.mid\.block_1\.", r".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", r".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.", r".mid_block.attentions.0."),
    (r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets."),
    (r"\.down\.(\d+)\.attn\.", r".down_blocks.\1.attentions."),
    (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
    (r"\.up\.(\d+)\.block\.", r".up_blocks.\1.resnets."),
    (r"\.up\.(\d+)\.attn\.", r".up_blocks.\1.attentions."),
    (r"\.up\.(\d+)\.upsample\.", r".up_blocks.\1.upsamplers.0."),
    (r"(attentions\.\d+)\.norm\.", r"\1.group_norm."),
    (r"(attentions\.\d+)\.([qkv])\.", r"\1.to_\2."),
    (r"(attentions\.\d+)\.proj_out\.", r"\1.to_out.0."),
    (r"\.nin_shortcut\.", r".conv_shortcut."),
    (r"\.norm_out\.", r".conv_norm_out."),
)
_PLAIN = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
}
_KEPT = ("encoder.", "decoder.", "quantize.embedding.", "quant_conv.", "post_quant_conv.")  # the rest is the GAN's loss


def vq_from_taming(state: Mapping[str, Tensor], groups: int = 32) -> VQModel:
    """A `VQModel` with the weights of a taming VQGAN; `groups` of its normalisations cannot be read from the shapes.

    Raises:
        ValueError: keys or shapes that are not a taming VQGAN's.
    """
    try:
        config = taming_config(state)
    except KeyError as error:
        raise ValueError(f"vqgan: got a checkpoint without {error}, wanted a taming-transformers VQGAN") from None
    model = VQModel(**config, norm_num_groups=groups)
    try:
        model.load_state_dict(taming_state(state))
    except RuntimeError as error:
        raise ValueError(f"vqgan: got other layers than wanted, {' '.join(str(error).split())[:300]}") from None
    return model


def taming_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """taming's names -> `VQModel`'s. Its 1x1 convolutions of the attention become linear layers."""
    levels = _levels(state)
    renamed = {}
    for name, value in state.items():
        if not name.startswith(_KEPT):
            continue
        for pattern, ours in _RENAMED:
            name = re.sub(pattern, ours, name)
        name = re.sub(r"up_blocks\.(\d+)", lambda found: f"up_blocks.{levels - 1 - int(found[1])}", name)
        linear = re.search(r"attentions\.\d+\.to_.*weight$", name) is not None
        renamed[name] = value[:, :, 0, 0] if linear else value
    return renamed


def taming_config(state: Mapping[str, Tensor]) -> dict[str, object]:
    """The config of a VQGAN, read from the shapes of its weights; maps give 16 x 16 tokens."""
    levels = _levels(state)
    channels = [state[f"encoder.down.{i}.block.0.conv2.weight"].shape[0] for i in range(levels)]
    attends = [f"encoder.down.{i}.attn.0.q.weight" in state for i in range(levels)]
    layers = sum(re.fullmatch(r"encoder\.down\.0\.block\.\d+\.conv1\.weight", name) is not None for name in state)
    codes, width = state["quantize.embedding.weight"].shape
    return {
        "in_channels": state["encoder.conv_in.weight"].shape[1],
        "out_channels": state["decoder.conv_out.weight"].shape[0],
        "down_block_types": tuple("AttnDownEncoderBlock2D" if here else "DownEncoderBlock2D" for here in attends),
        "up_block_types": tuple("AttnUpDecoderBlock2D" if here else "UpDecoderBlock2D" for here in attends[::-1]),
        "block_out_channels": tuple(channels),
        "layers_per_block": layers,
        "latent_channels": state["encoder.conv_out.weight"].shape[0],
        "sample_size": GRID * 2 ** (levels - 1),
        "num_vq_embeddings": codes,
        "vq_embed_dim": width,
    }


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` or a PyTorch file, by name. Only tensors are read; other objects stay names.

    Raises:
        ValueError: neither, or no tensors in it.
    """
    wanted = "wanted a .safetensors or a PyTorch file"
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=False, pickle_module=_tensors_only)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, UnicodeDecodeError):
        raise ValueError(f"checkpoint: got {path.name}, {wanted}") from None
    found = found.get("state_dict", found) if isinstance(found, dict) else {}
    state = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    if not state:
        raise ValueError(f"checkpoint: got {path.name} without named tensors, {wanted} of a model's weights")
    return state


class _Named(dict):
    """Stands for an object of a checkpoint that is not needed: a trainer's callback, its own kind of dict or list."""

    __hash__ = object.__hash__  # it can stand for a key

    def __init__(self, *given: object, **options: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def append(self, value: object) -> None:
        pass


class _TensorUnpickler(pickle.Unpickler):
    """Reads tensors and plain containers; any other class of the file becomes `_Named`, so no foreign code runs."""

    def find_class(self, module: str, name: str) -> type:
        return super().find_class(module, name) if (module, name) in _PLAIN else _Named


def _load(file: IO[bytes], **_: object) -> object:
    return _TensorUnpickler(file).load()


_tensors_only = SimpleNamespace(Unpickler=_TensorUnpickler, load=_load, __name__="tensors only")


def _levels(state: Mapping[str, Tensor]) -> int:
    return 1 + max((int(n.split(".")[2]) for n in state if n.startswith("encoder.down.")), default=-1)
