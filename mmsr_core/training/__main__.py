"""`python -m mmsr_core.training STAGE ...`: the stages in the order in which they are run."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from importlib import import_module
from pathlib import Path

from mmsr_core.weights import INDEX, check_weights

STAGES = {
    "prepare": ("data", "decode photos, labels and captions into arrays"),
    "students": ("students", "depth and segmentation networks"),
    "vq": ("vq", "the tokeniser of the maps"),
    "tokenizer": ("tokenizer", "the tokeniser of the text"),
    "text": ("text", "the text tower"),
    "tokens": ("cache", "token ids of every training window, computed once"),
    "base": ("base", "the regression upscaler"),
    "codec": ("codec", "the patch codec's whitening, in closed form"),
    "steering": ("steering", "the connector and its reader, from tokens to gains"),
    "diffusion": ("diffusion", "connector and U-Net"),
    "prepare-sd2": ("prepare_sd2", "windows and modalities of large photo collections, by many processes"),
    "sd2": ("sd2", "connector and U-Net of the paper's size, on many GPUs"),
}
INPUTS = ("parts", "weights", "init", "connector", "base", "tokenizer", "teacher", "perceptual_weights")
ONE = ("config.json",)  # what a folder with one network has
READ = ("vq/config.json", "tokenizer/tokenizer_config.json", "text_encoder/config.json")  # what makes tokens
NEEDED = {  # files that have to be in a stage's folders of weights
    "text": {"tokenizer": ("tokenizer_config.json",)},
    "tokens": {"weights": ("vq/config.json",)},
    "base": {"init": ONE},
    "codec": {"base": ONE},
    "steering": {"parts": READ, "init": ONE},
    "diffusion": {"parts": ("codec/config.json", *READ), "init": (INDEX,), "connector": ONE},
    "prepare-sd2": {"weights": (INDEX,)},
    "sd2": {"parts": (INDEX,)},
}


def main(argv: list[str]) -> None:
    if not argv or argv[0] not in STAGES:
        width = max(map(len, STAGES))
        rows = "\n".join(f"  {name:{width}}  {about}" for name, (_, about) in STAGES.items())
        usage = f"usage: python -m mmsr_core.training STAGE [options]\n\nstages:\n{rows}"
        if argv[:1] not in (["-h"], ["--help"]):
            raise SystemExit(usage)
        print(usage)
        return
    stage = import_module(f"mmsr_core.training.{STAGES[argv[0]][0]}")
    parser = ArgumentParser(prog=f"python -m mmsr_core.training {argv[0]}", description=STAGES[argv[0]][1])
    stage.add_arguments(parser)
    args = parser.parse_args(argv[1:])
    try:
        check_inputs(argv[0], args)
        stage.main(args)
    except ValueError as error:
        raise SystemExit(f"{error}.") from None


def check_inputs(stage: str, args: Namespace) -> None:
    """Raises ValueError where a path is not there, so that diffusers would ask the hub, or holds something else."""
    for name in INPUTS:
        path = getattr(args, name, None)
        if not isinstance(path, Path):
            continue
        flag = f"--{name.replace('_', '-')}"
        if not path.exists():
            raise ValueError(f"{flag}: got {path}, which is not there, wanted an existing folder or file")
        check_weights(flag, path, NEEDED.get(stage, {}).get(name, ()))


if __name__ == "__main__":
    main(sys.argv[1:])
