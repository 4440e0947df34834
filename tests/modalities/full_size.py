"""The public networks at their published size, with random weights: what they cost can be measured without them.

python -m tests.modalities.full_size FOLDER
python -m mmsr_core.modalities.speed --models FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
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
    DPTImageProcessorPil,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessorPil,
    PreTrainedModel,
    SwinConfig,
)

from mmsr_core.modalities.palette import named
from tests.modalities.checkpoints import spelling

# Million parameters, from the sizes of the published files (BLIP's holds its tied output layer twice: 247.4).
PUBLISHED = {"depth-anything": 24.8, "mask2former-coco": 47.4, "florence": 231.6, "blip": 224.0}


def depth_anything() -> tuple[PreTrainedModel, list]:
    images = DPTImageProcessorPil(
        size={"height": 518, "width": 518}, keep_aspect_ratio=True, ensure_multiple_of=14, resample=3
    )
    return DepthAnythingForDepthEstimation(DepthAnythingConfig()), [images]


def mask2former() -> tuple[PreTrainedModel, list]:
    swin = SwinConfig(
        image_size=224, embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], window_size=7,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    labels = dict(enumerate(named("coco").names))
    config = Mask2FormerConfig(backbone_config=swin, id2label=labels, label2id={n: i for i, n in labels.items()})
    return Mask2FormerForUniversalSegmentation(config), [
        Mask2FormerImageProcessorPil(size={"height": 384, "width": 384})
    ]


def florence() -> tuple[PreTrainedModel, list]:
    tokenizer = spelling()
    text = BartConfig(
        vocab_size=51290, d_model=768, encoder_layers=6, decoder_layers=6, encoder_attention_heads=12,
        decoder_attention_heads=12, encoder_ffn_dim=3072, decoder_ffn_dim=3072, max_position_embeddings=1024,
        decoder_start_token_id=2,
    )  # fmt: skip
    vision = {"model_type": "florence_vision", "projection_dim": 768}
    config = Florence2Config(text_config=text.to_dict(), vision_config=vision, image_token_id=len(tokenizer) - 1)
    images = CLIPImageProcessorPil(size={"height": 768, "width": 768}, do_center_crop=False)
    images.image_seq_length = 577
    return Florence2ForConditionalGeneration(config), [Florence2Processor(images, tokenizer)]


def blip() -> tuple[PreTrainedModel, list]:
    tokenizer = BertTokenizerFast(vocab={word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"])})
    images = BlipImageProcessorPil(size={"height": 384, "width": 384})
    model = BlipForConditionalGeneration(BlipConfig(vision_config={"image_size": 384}))
    return model, [BlipProcessor(images, tokenizer)]


def main(home: Path) -> None:
    torch.manual_seed(0)
    makers = (depth_anything, mask2former, florence, blip)
    for (name, millions), make in zip(PUBLISHED.items(), makers, strict=True):
        model, others = make()
        count = sum(weight.numel() for weight in model.parameters()) / 1e6
        print(f"{name}: {count:.1f} M parameters, published {millions} M")
        for part in (model, *others):
            part.save_pretrained(home / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
