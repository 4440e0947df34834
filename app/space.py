"""`make space`: the exact tree to push to a Hugging Face Space.

    python -m app.space build/space
    hf upload OWNER/NAME build/space . --repo-type space       (or git, with LFS or Xet)

The front matter is that of https://huggingface.co/docs/hub/spaces-config-reference; its `sdk_version` is the
Gradio that is installed here, with which the page was tested.
"""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import SpaceCardData

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("app.py", "app", "mmsr_core", "assets", "LICENSE", "requirements.txt")
JUNK = shutil.ignore_patterns("__pycache__", "*.py[co]", ".*", "*.partial")
ZERO_GPU = "spaces>=0.51,<1"  # lends a GPU for one call on ZeroGPU, does nothing elsewhere
# The hub refuses binary files that are not in LFS or Xet, small ones too.
BINARIES = ("safetensors", "npz", "npy", "png", "jpg", "jpeg", "webp", "avif", "tiff", "ico", "woff2")


def front_matter() -> str:
    """The YAML block that configures the Space, between its two lines of dashes."""
    about = SpaceCardData(
        title="MMSR Studio",
        sdk="gradio",
        sdk_version=version("gradio"),
        python_version="3.12",
        app_file="app.py",
        license="apache-2.0",
        tags=["super-resolution", "image-to-image", "diffusion", "multimodal"],
        emoji="🔍",
        colorFrom="blue",
        colorTo="gray",
        short_description="Photo super-resolution steered by four maps",
        suggested_hardware="cpu-basic",
    )
    return f"---\n{about.to_yaml()}\n---\n\n"


def attributes() -> str:
    """The `.gitattributes` of the tree."""
    return "".join(f"*.{kind} filter=lfs diff=lfs merge=lfs -text\n" for kind in BINARIES)


def build(out: Path, root: Path = ROOT) -> list[Path]:
    """Writes the tree to `out`, which is replaced where this command made it; returns the files, relative to it.

    Raises:
        ValueError: `out` is a folder of something else, or a part of the tree is missing.
    """
    if out.exists() and any(out.iterdir()) and not (out / ".gitattributes").exists():
        raise ValueError(f"space: got the folder {out.name!r} with other files, wanted a new one or an earlier tree")
    missing = [part for part in PARTS if not (root / part).exists()]
    if missing:
        raise ValueError(f"space: got a source tree without {', '.join(missing)}, wanted a full checkout")
    for part in PARTS:
        _replace(root / part, out / part)
    requirements = (root / "requirements.txt").read_text().rstrip("\n")
    (out / "requirements.txt").write_text(f"{requirements}\n{ZERO_GPU}\n")
    (out / "README.md").write_text(front_matter() + (root / "README.md").read_text(), "utf-8")
    (out / ".gitattributes").write_text(attributes())
    return sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file() and ".git" not in path.parts)


def _replace(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        shutil.copyfile(source, target)
        return
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=JUNK)


def main(argv: list[str]) -> None:
    parser = ArgumentParser(prog="python -m app.space", description="Build the tree of a Hugging Face Space.")
    parser.add_argument("out", type=Path)
    out = parser.parse_args(argv).out
    try:
        files = build(out)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    size = sum((out / path).stat().st_size for path in files)
    print(f"{out}: {len(files)} files, {size / 1e6:.0f} MB; push with")
    print(f"  hf upload OWNER/NAME {out} . --repo-type space")


if __name__ == "__main__":
    main(sys.argv[1:])
