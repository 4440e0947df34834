"""Model cards, and weights for the hub.

    python -m mmsr_core.card FOLDER OWNER/NAME [--private]       a folder of weights, with the extractors beside them

`MMSRPipeline.save_pretrained` writes a card beside the weights, `push_to_hub` sends them; `Upscaler.load(weights=
"OWNER/NAME")` and `MMSRPipeline.from_pretrained("OWNER/NAME")` take them from there.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import HfApi, ModelCard, ModelCardData

from mmsr_core.weights import check_weights

if TYPE_CHECKING:
    from mmsr_core.pipeline import MMSRPipeline

CARD = "README.md"
OWN_CARD = "MODEL_CARD.md"  # what a bundled preset's card is called here
PAPER = "https://arxiv.org/abs/2503.14503"


def model_card(pipeline: MMSRPipeline, name: str, licence: str | None = None) -> ModelCard:
    """What the weights themselves can say: parts, sizes, how to load them. Data, numbers and licence are its owner's.

    Args:
        name: of the model, for people.
    """
    about = ModelCardData(
        license=licence,
        library_name="diffusers",
        pipeline_tag="image-to-image",
        tags=["super-resolution", "mmsr", "multimodal"],
        model_name=name,
    )
    parts = {key: part for key, part in pipeline.components.items() if hasattr(part, "parameters")}
    rows = [f"| {key} | {type(part).__name__} | {_count(part):,} |" for key, part in parts.items()]
    trained = "" if pipeline.connector.config.trained else "\n**Untrained: these weights refuse to upscale.**\n"
    text = f"""---
{about.to_yaml()}
---

# {name}

Photo super-resolution x4 steered by caption, depth, segmentation and edges, after MMSR ({PAPER}).
Not the authors' weights.
{trained}
```python
from mmsr_core import Settings, Upscaler, open_photo

upscaler = Upscaler.load("{"mini" if pipeline.config.places else "sd2"}", weights="OWNER/NAME")  # this folder or its id
photo = open_photo("photo.jpg").rgb
result = upscaler.restore(photo, upscaler.extract(photo), Settings(weight=2))
```

| part | class | parameters |
|---|---|---|
{chr(10).join(rows)}

Predicts {pipeline.scheduler.config.prediction_type}; draws segmentation in the palette {pipeline.config.palette}.
Training data, measured quality and licence: to be said by whoever trained and publishes these weights.
"""
    return ModelCard(text)


def publish(
    folder: Path, repo: str, private: bool | None = None, token: str | None = None, message: str | None = None
) -> str:
    """Sends a folder of weights to the hub, made there where it does not exist; returns its address.

    Raises:
        ValueError: no weights in it.
    """
    check_weights("weights", folder)
    hub = HfApi(token=token)
    repo = hub.create_repo(repo, private=private, exist_ok=True).repo_id
    if not (folder / CARD).exists() and (folder / OWN_CARD).exists():
        hub.upload_file(path_or_fileobj=folder / OWN_CARD, path_in_repo=CARD, repo_id=repo)
    hub.upload_folder(repo_id=repo, folder_path=folder, commit_message=message)
    return f"{hub.endpoint}/{repo}"


def _count(part: object) -> int:
    return sum(p.numel() for p in part.parameters())


def main(argv: list[str]) -> None:
    parser = ArgumentParser(prog="python -m mmsr_core.card", description="Send a folder of weights to the hub.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("repo", metavar="OWNER/NAME")
    parser.add_argument("--private", action="store_true", default=None)
    args = parser.parse_args(argv)
    try:
        print(publish(args.folder, args.repo, args.private))
    except ValueError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main(sys.argv[1:])
