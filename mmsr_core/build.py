"""First checkpoint of `sd2`: public parts and a fresh connector, ready to be trained. Command of `mmsr_core.weights`.

    Stable Diffusion 2.1-base ──unet──> conv_in 4 -> 8 channels, the new ones zero ─┐
                              ──vae───> VaeCodec                                    ├─> OUT (MMSRPipeline, README.md)
                              ──text_encoder, tokenizer (OpenCLIP ViT-H) ───────────┤
    VQGAN ImageNet f16-1024   ──────────> VQModel                                   │
    fresh connector: zero-gated latents beside the text, marked as untrained ───────┘

At this start the model does what the text-only one does (see `LatentConnector.bypassed`); a test proves it.
"""

from __future__ import annotations

import hashlib
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, VQModel
from diffusers.schedulers import DDIMScheduler
from huggingface_hub import ModelCard
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizerFast

from mmsr_core.codec import VaeCodec
from mmsr_core.fresh import build_connector, build_scheduler, build_speller
from mmsr_core.hub import Source, fetch, revision_of
from mmsr_core.keymaps import read_checkpoint, vq_from_taming
from mmsr_core.maskgit import MARK, vq_from_maskgit
from mmsr_core.modalities.palette import BUNDLED, FULL, named
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.tokens import Tokenizers

PARTS = [f"{part}/*{kind}" for part in ("unet", "vae", "text_encoder") for kind in (".json", "model.safetensors")]
PARTS += ["tokenizer/*", "scheduler/*", "README.md"]  # what of a Stable Diffusion repository is needed
CHECKPOINTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
TRAIN = "python -m mmsr_core.training sd2 --parts {0} --data SHARDS --save TRAINED"


@dataclass(frozen=True)
class Origin:
    """One line of the model card: where a part came from."""

    what: str
    source: str
    revision: str
    licence: str

    @classmethod
    def of(cls, what: str, source: str, found: Path, licence: str) -> Origin:
        """Where `source` was found; of a path only the last part, as cards do not tell how folders are called here."""
        place = Source.parse(source).place
        name = Path(place).name if Path(place).exists() else place
        return cls(what, name, revision_of(found), licence_of(found, licence))


def main(argv: list[str]) -> None:
    parser = ArgumentParser(prog="python -m mmsr_core.weights", description="Checkpoints from public parts.")
    build = parser.add_subparsers(required=True, metavar="build").add_parser("build", help="first checkpoint of sd2")
    build.add_argument("--base", required=True, help="Stable Diffusion 2.1-base: folder or owner/name[@revision]")
    build.add_argument("--vqgan", required=True, help="VQGAN f16-1024 of taming or MaskGIT: file, folder or owner/name")
    build.add_argument("--base-licence", default="openrail++", help="said in the model card where the source is silent")
    build.add_argument("--vqgan-licence", default="mit", help="said in the model card where the source is silent")
    text = "classes of its segmentation maps (default %(default)s): a full palette, or the twelve that mini knows"
    build.add_argument("--palette", choices=(*FULL, BUNDLED.name), default=FULL[0], help=text)
    build.add_argument("--latents", type=int, default=128)
    build.add_argument("--depth", type=int, default=2, help="self-attention blocks of the connector")
    build.add_argument("--seed", type=int, default=0, help="of the connector's first weights")
    build.add_argument("out", type=Path)
    args = parser.parse_args(argv)
    try:
        assemble(args)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    print(f"{args.out}: the connector is untrained; train it with\n  {TRAIN.format(args.out)}")


def assemble(args: Namespace) -> MMSRPipeline:
    """Builds the pipeline, saves it to `args.out` and writes the model card beside it.

    Raises:
        ValueError: a source that is missing or is of another kind than wanted.
    """
    base, vqgan = fetch(args.base, PARTS), fetch(args.vqgan)
    torch.manual_seed(args.seed)
    pipeline = assembled(base, load_vq(vqgan), args.latents, args.depth, args.palette)
    pipeline.save_pretrained(args.out)
    origins = (
        Origin.of("U-Net, VAE, text tower", args.base, base, args.base_licence),
        Origin.of("VQGAN", args.vqgan, vqgan, args.vqgan_licence),
    )
    (args.out / "README.md").write_text(card(pipeline, args.out, origins))
    return pipeline


def assembled(base: Path, vq: VQModel, latents: int = 128, depth: int = 2, palette: str = BUNDLED.name) -> MMSRPipeline:
    """A Stable Diffusion folder and a VQ model -> the untrained pipeline.

    Raises:
        ValueError: parts are missing, or the base predicts something else than ε.
    """
    missing = [part for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler") if not (base / part).is_dir()]
    if missing:
        raise ValueError(f"base: got {base.name} without {', '.join(missing)}, wanted a Stable Diffusion folder")
    prediction = DDIMScheduler.from_pretrained(base / "scheduler").config.prediction_type
    if prediction != "epsilon":
        raise ValueError(f"base: got a model that predicts {prediction!r}, wanted 'epsilon' (SD 2.1-base, not 768-v)")
    tokenizer = CLIPTokenizerFast.from_pretrained(base / "tokenizer")
    text = CLIPTextModel.from_pretrained(base / "text_encoder", dtype=torch.float32)
    tokens = Tokenizers(vq, tokenizer, text)
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    return joined(unet, AutoencoderKL.from_pretrained(base / "vae"), tokens, latents, depth, palette)


def joined(
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    tokens: Tokenizers,
    latents: int = 128,
    depth: int = 2,
    palette: str = BUNDLED.name,
) -> MMSRPipeline:
    """The parts of a text-to-image model, with a wider input and a fresh connector. Changes `unet` in place."""
    codec = VaeCodec({name: value for name, value in vae.config.items() if not name.startswith("_")})
    codec.vae.load_state_dict(vae.state_dict())
    widen(unet, codec.latent_channels + codec.condition_channels)
    width = unet.config.cross_attention_dim
    connector = build_connector(tokens, width, latents, depth, text_bypass=True, trained=False)
    with torch.no_grad():
        connector.no_text.copy_(tokens.text_states(tokens.text_ids("")))
    with torch.device("cpu"):  # its tables are numbers even where the networks are shapes only
        scheduler = build_scheduler("epsilon")
    parts = (codec, unet, connector, scheduler, tokens.vq, tokens.tokenizer, tokens.text_encoder)
    return MMSRPipeline(*parts, places=False, palette=palette)


def unlearnt(palette: str = FULL[0]) -> MMSRPipeline:
    """`sd2` at the published sizes with random weights, to measure what it costs: 1.4 billion numbers without meaning.

    The shapes are those of SD 2.1-base and of the ImageNet VQGAN f16-1024.
    """
    unet = UNet2DConditionModel(
        sample_size=64, cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20], use_linear_projection=True
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=768,
    )  # fmt: skip
    vq = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 4 + ("AttnDownEncoderBlock2D",),
        up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 128, 256, 256, 512), layers_per_block=2, latent_channels=256,
        sample_size=256, num_vq_embeddings=1024, vq_embed_dim=256,
    )  # fmt: skip
    shape = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16}
    text = CLIPTextModel(CLIPTextConfig(vocab_size=49408, hidden_act="gelu", **shape))
    return joined(unet, vae, Tokenizers(vq, build_speller(), text), palette=palette)


@torch.no_grad()
def widen(unet: UNet2DConditionModel, channels: int) -> None:
    """Gives the U-Net's input `channels` channels; the new ones have zero weights (InstructPix2Pix, arXiv 2211.09800).

    Raises:
        ValueError: the U-Net has more channels already.
    """
    old = unet.conv_in
    if old.in_channels > channels:
        raise ValueError(f"base: got a U-Net with {old.in_channels} input channels, wanted at most {channels}")
    unet.conv_in = nn.Conv2d(channels, old.out_channels, old.kernel_size, padding=old.padding)
    unet.conv_in.weight.zero_()[:, : old.in_channels] = old.weight
    unet.conv_in.bias.copy_(old.bias)
    unet.register_to_config(in_channels=channels)


def load_vq(place: Path) -> VQModel:
    """A diffusers `VQModel` folder, or a checkpoint of taming or MaskGIT: a file, or the only one of a folder.

    Raises:
        ValueError: neither.
    """
    if (place / "config.json").exists() and "VQModel" in (place / "config.json").read_text():
        return VQModel.from_pretrained(place)
    files = [place] if place.is_file() else sorted(f for f in place.rglob("*") if f.suffix in CHECKPOINTS)
    if len(files) != 1:
        raise ValueError(f"vqgan: got {place.name} with {len(files)} checkpoints, wanted one, or a VQModel's folder")
    state = read_checkpoint(files[0])
    return vq_from_maskgit(state) if MARK in state else vq_from_taming(state)


def licence_of(place: Path, otherwise: str) -> str:
    """The licence that a source's own card states."""
    readme = (place if place.is_dir() else place.parent) / "README.md"
    stated = ModelCard.load(readme, ignore_metadata_errors=True).data.license if readme.exists() else None
    return otherwise if stated is None else stated


def card(pipeline: MMSRPipeline, folder: Path, origins: tuple[Origin, ...]) -> str:
    """The README.md of a built folder: origins, licences, sizes, hashes, and that it is untrained."""
    sizes = {
        n: sum(p.numel() for p in m.parameters()) for n, m in pipeline.components.items() if hasattr(m, "parameters")
    }
    files, palette = sorted(folder.rglob("*.safetensors")), named(pipeline.config.palette)
    lines = [
        "---",
        f"license: {origins[0].licence}",
        "library_name: diffusers",
        "pipeline_tag: image-to-image",
        "---",
        "",
        "# MMSR on Stable Diffusion 2.1: first checkpoint, untrained",
        "",
        "The U-Net does what its text-only original does; the connector has random weights and closed gates.",
        f"Its segmentation maps have the {len(palette.classes)} classes of the palette {palette.name}.",
        f"It refuses to upscale until it is trained: `{TRAIN.format('THIS_FOLDER')}`.",
        "",
        "| part | source | revision | licence |",
        "|---|---|---|---|",
        *(f"| {row.what} | {row.source} | {row.revision} | {row.licence} |" for row in origins),
        "| connector | made fresh by MMSR Studio | - | apache-2.0 |",
        "",
        "| module | parameters |",
        "|---|---|",
        *(f"| {name} | {count:,} |" for name, count in sizes.items()),
        "",
        "| file | SHA-256 |",
        "|---|---|",
        *(f"| {path.relative_to(folder).as_posix()} | {_sha256(path)} |" for path in files),
    ]
    return "\n".join(lines) + "\n"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
