"""Tiny checkpoints of the public networks' own classes, saved as their repositories save them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BertTokenizerFast,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessorPil,
    BlipProcessor,
    CLIPImageProcessorPil,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTImageProcessorPil,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessorPil,
    PreTrainedTokenizerFast,
    SwinConfig,
)


def shaken(part: torch.nn.Module, std: float = 0.2) -> None:
    """Larger weights: fresh ones see almost no difference between two places."""
    for weight in part.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=std)


def depth_anything(folder: Path, **options: object) -> Path:
    torch.manual_seed(0)
    backbone = Dinov2Config(
        image_size=56, patch_size=14, hidden_size=32, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=32, neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=8,
        head_hidden_size=8, patch_size=14, **options,
    )  # fmt: skip
    model = DepthAnythingForDepthEstimation(config)
    shaken(model.neck), shaken(model.head)
    torch.nn.init.constant_(model.head.conv3.bias, 3.0)  # the head ends in a ReLU
    model.save_pretrained(folder)
    DPTImageProcessorPil(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14, resample=3
    ).save_pretrained(folder)  # fmt: skip
    return folder


def mask2former(folder: Path, labels: list[str], side: int = 64) -> Path:
    torch.manual_seed(0)
    backbone = SwinConfig(
        image_size=side, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = Mask2FormerConfig(
        backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=16,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, dim_feedforward=16, num_queries=10,
        id2label=dict(enumerate(labels)), label2id={name: i for i, name in enumerate(labels)},
    )  # fmt: skip
    model = Mask2FormerForUniversalSegmentation(config)
    shaken(model, 0.3)
    model.save_pretrained(folder)
    Mask2FormerImageProcessorPil(size={"height": side, "width": side}).save_pretrained(folder)
    return folder


def spelling() -> PreTrainedTokenizerFast:
    """BART's marks and bytes, no words: `<image>` is the last of 262 tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<s>", "<pad>", "</s>", "<unk>", *letters, "<mask>", "<image>"]
    bpe = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, [], unk_token="<unk>"))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    bpe.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
        mask_token="<mask>", extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip


def florence(folder: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = spelling()
    words = len(tokenizer)
    text = BartConfig(
        vocab_size=words, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=256,
        bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=2,
    )  # fmt: skip
    vision = {
        "model_type": "florence_vision", "depths": (1, 1, 1, 1), "embed_dim": (8, 8, 8, 16), "num_heads": (1, 1, 1, 2),
        "num_groups": (1, 1, 1, 2), "window_size": 4, "projection_dim": 16, "drop_path_rate": 0.0,
    }  # fmt: skip
    config = Florence2Config(
        text_config=text.to_dict(), vision_config=vision, image_token_id=words - 1, bos_token_id=0,
        pad_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = Florence2ForConditionalGeneration(config)
    seen = model.get_input_embeddings().weight  # tied to the output: marks at zero are not said first
    torch.nn.init.normal_(seen, std=1.0)
    with torch.no_grad():
        seen[[*range(4), words - 2, words - 1]] = 0
    model.save_pretrained(folder)
    images = CLIPImageProcessorPil(size={"height": 64, "width": 64}, do_center_crop=False)
    images.image_seq_length = 5  # 2 x 2 cells and their mean
    Florence2Processor(images, tokenizer, post_processor_config={"pure_text": {}}).save_pretrained(folder)
    return folder


def blip(folder: Path) -> Path:
    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "barn", "cat", "on", "grass", "[DEC]", "[ENC]"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizerFast(vocab={word: i for i, word in enumerate(words)})
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    marks = {"bos_token_id": 11, "pad_token_id": 0, "sep_token_id": 3, "eos_token_id": 3}
    text = {"vocab_size": len(words), "encoder_hidden_size": 16, "max_position_embeddings": 64}
    config = BlipConfig(
        text_config={**text, **small, **marks},
        vision_config={"image_size": 32, "patch_size": 16, **small},
        projection_dim=16,
    )  # fmt: skip
    BlipForConditionalGeneration(config).save_pretrained(folder)
    BlipProcessor(BlipImageProcessorPil(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return folder


def as_published(folder: Path, tokenizer: str) -> Path:
    """The files that transformers 4 wrote: image and text options apart, the tokenizer under its own class."""
    about = json.loads((folder / "processor_config.json").read_text())
    images = about.pop("image_processor")
    (folder / "preprocessor_config.json").write_text(
        json.dumps({**images, "processor_class": about["processor_class"]})
    )
    if len(about) > 1:
        (folder / "processor_config.json").write_text(json.dumps(about))
    else:
        (folder / "processor_config.json").unlink()
    words = json.loads((folder / "tokenizer_config.json").read_text())
    marks = {name: words[name] for name in ("image_token",) if name in words}
    words = {**words, "tokenizer_class": tokenizer, "extra_special_tokens": marks}
    words.pop("backend")
    (folder / "tokenizer_config.json").write_text(json.dumps(words))
    return folder
