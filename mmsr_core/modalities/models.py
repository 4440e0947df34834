"""Public models that read modalities: where each is, its licence and size. Which one is used is a setting
(`Upscaler.load(models={"depth-anything": "owner/name@revision"})`, `--extractor-model`); these are the defaults.

The revisions are commits of the hub, so that tomorrow's download is today's. Base and Large of Depth Anything V2 are
for non-commercial use only (CC-BY-NC-4.0), therefore Small.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmsr_core.hub import fetch

WEIGHTS = ("*.safetensors", "pytorch_model.bin")  # older repositories have no safetensors


@dataclass(frozen=True)
class Model:
    """One public model.

    Attributes:
        name: what the setting is called.
        id: "owner/name@revision" on the hub, or a service's name of the model.
        licence: SPDX id, or a link to terms.
        megabytes: of the download; 0 for a service.
        files: globs of the files it needs beside its weights.
        keys: environment variables that may hold a service's key, the first wins.
    """

    name: str
    id: str
    licence: str
    megabytes: int = 0
    files: tuple[str, ...] = ("config.json", "*.json")
    keys: tuple[str, ...] = ()

    def folder(
        self, source: str, cancel: threading.Event | None = None, say: Callable[[str], None] | None = None
    ) -> Path:
        """The files of `source`, downloaded where they are not on the disk.

        Raises:
            ValueError: not there, and the hub cannot be reached or does not have it.
        """
        return fetch(source, list(self.files), WEIGHTS, cancel, say)


MODELS = {
    row.name: row
    for row in (
        Model(
            "depth-anything",
            "depth-anything/Depth-Anything-V2-Small-hf@5426e4f0f36572d16453bbda7a8389317b1bef99",
            "apache-2.0",
            99,
        ),
        Model(
            "mask2former-coco",
            "facebook/mask2former-swin-tiny-coco-panoptic@df6b1142ff50c3276559d9d78f35f6a579c75a77",
            "mit",
            190,
        ),
        Model(
            "mask2former-ade",
            "facebook/mask2former-swin-tiny-ade-semantic@c8cf1b5e823aee214d937d0d001c1850ba44ef6a",
            "mit",
            190,
        ),
        Model(
            "florence",
            "florence-community/Florence-2-base@00921df66db728a9ceb750f5eca43e5c203a2051",
            "mit",
            463,
        ),
        Model(
            "blip",
            "Salesforce/blip-image-captioning-base@82a37760796d32b1411fe092ab5d4e227313294b",
            "bsd-3-clause",
            990,
        ),
        Model(
            "gemini",
            "gemini-flash-latest",  # Google's name for its newest Flash; dated names are shut down after a year or so
            "https://ai.google.dev/gemini-api/terms",
            keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        ),
    )
}
