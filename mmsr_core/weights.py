"""Sets of weights on the disk: how they are told and saved, and the hash that names them.

`python -m mmsr_core.weights build ...` assembles the first checkpoint of `sd2` (`build.py`).
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmsr_core.pipeline import MMSRPipeline

INDEX = "model_index.json"  # what a folder with a whole pipeline has


def check_weights(name: str, folder: Path, needed: tuple[str, ...] = (INDEX,)) -> None:
    """Refuses a folder that holds something else, before diffusers reads it or asks the hub for what it lacks.

    Args:
        name: what the folder was given as.
        needed: files that have to be in it.

    Raises:
        ValueError: one of them is not there.
    """
    for file in needed:
        if not (folder / file).exists():
            wanted = "a folder of weights as training or `python -m mmsr_core.weights build` saves it"
            raise ValueError(f"{name}: got {folder.absolute().name} without {file}, wanted {wanted}")


def save_half(pipeline: MMSRPipeline, folder: Path) -> None:
    """Saves a pipeline with its networks in fp16, the whitening exact; changes it in place."""
    for network in (pipeline.unet, pipeline.connector, pipeline.vq, pipeline.text_encoder, pipeline.codec.base):
        network.half()
    pipeline.save_pretrained(folder)


def weights_hash(folder: Path) -> str:
    """First 12 hex digits of the SHA-256 over every safetensors file of a folder, in name order."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


if __name__ == "__main__":  # python -m mmsr_core.weights build ...
    from mmsr_core.build import main

    main(sys.argv[1:])
