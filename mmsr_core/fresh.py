"""Fresh models: the shapes of each preset's trained parts, before any training."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel, UniPCMultistepScheduler, VQModel
from tokenizers import pre_tokenizers
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizerFast

from mmsr_core.attention import look_around
from mmsr_core.codec import PatchCodec
from mmsr_core.connector import LatentConnector
from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.palette import CLASSES
from mmsr_core.modalities.student import Student
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.places import HEAD
from mmsr_core.tokens import Tokenizers

MINI_CHANNELS = (64, 96, 160, 224)
MINI_CONTEXT = 256


def build_unet(
    codec: PatchCodec, channels: tuple[int, ...] = MINI_CHANNELS, context: int = MINI_CONTEXT
) -> UNet2DConditionModel:
    """The U-Net of `mini`: self-attention at a quarter and an eighth of the latent grid, where a CPU can pay for it.

    On the way up the half grid hears the context too, without self-attention: from the coarse levels alone, what the
    context says reaches the output only weakly (measured: a random context moved the output by 0.4 %).
    """
    plain, attending = len(channels) - 2, 2
    unet = UNet2DConditionModel(
        sample_size=32,
        in_channels=codec.painted_channels + codec.condition_channels,
        out_channels=codec.painted_channels,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * plain + ("CrossAttnDownBlock2D",) * attending,
        up_block_types=("CrossAttnUpBlock2D",) * (attending + 1) + ("UpBlock2D",) * (plain - 1),
        only_cross_attention=(True,) * plain + (False,) * attending,
        cross_attention_dim=context,
        attention_head_dim=tuple(max(side // HEAD, 1) for side in channels),
        norm_num_groups=16,
    )
    look_around(unet)
    nn.init.zeros_(unet.conv_out.weight)  # an untrained U-Net predicts no residual: the base's picture
    nn.init.zeros_(unet.conv_out.bias)
    return unet


def build_connector(
    tokens: Tokenizers, width: int = MINI_CONTEXT, latents: int = 128, depth: int = 2, **options: int
) -> LatentConnector:
    """A fresh connector whose token shapes are those of the frozen parts; `options` as `LatentConnector` has them."""
    shapes = {"text": [tokens.text_length, tokens.text_width, False], "map": [tokens.grid**2, tokens.map_width, True]}
    return LatentConnector([[row.name, *shapes[row.kind]] for row in MODALITIES], width, latents, depth, **options)


def build_scheduler(prediction: str = "sample") -> UniPCMultistepScheduler:
    """Scaled-linear betas; zero terminal SNR (Lin et al. 2023, https://arxiv.org/abs/2305.08891) but for ε."""
    return UniPCMultistepScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        rescale_betas_zero_snr=prediction != "epsilon",
        timestep_spacing="trailing",
        solver_order=2,
        solver_type="bh2",
    )


def build_speller() -> CLIPTokenizerFast:
    """A tokenizer in CLIP's layout that has learnt no words: every letter is a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    marks = ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = [*alphabet, *(letter + "</w>" for letter in alphabet), *marks]
    return CLIPTokenizerFast({word: i for i, word in enumerate(vocabulary)}, [], model_max_length=77)


def build_tiny(folder: Path) -> None:
    """Writes every part of a preset with a few random weights each: real classes, no meaning. For tests."""
    torch.manual_seed(0)
    vq = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 5,
        up_block_types=("UpDecoderBlock2D",) * 5,
        block_out_channels=(8,) * 5,
        layers_per_block=1,
        latent_channels=16,
        sample_size=64,
        num_vq_embeddings=32,
        norm_num_groups=4,
        vq_embed_dim=16,
        mid_block_add_attention=False,
    )
    tokenizer = build_speller()
    ids = {
        "bos_token_id": len(tokenizer) - 2,
        "eos_token_id": len(tokenizer) - 1,
        "pad_token_id": len(tokenizer) - 1,
    }
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), max_position_embeddings=77, **shape, **ids))
    tokens, codec = Tokenizers(vq, tokenizer, text), PatchCodec(channels=8, blocks=1, head=4)
    parts = (
        codec,
        build_unet(codec, (32, 32, 32), 32),
        build_connector(tokens, 32, depth=1, gains=codec.gain_channels),
        build_scheduler(),
    )
    MMSRPipeline(*parts, vq, tokenizer, text).save_pretrained(folder)
    for name, channels in (("depth", 1), ("segmentation", len(CLASSES))):
        Student(outputs=channels, widths=(8,) * 5, blocks=(0,) * 5, thin=8).save_pretrained(folder / name)
