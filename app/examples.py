"""The bundled example photos."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from PIL import Image

from app import views

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "examples"


@cache
def rows() -> tuple[dict[str, str], ...]:
    """One row per photo: file, title, source, licence; the index stands in `assets/examples/index.json`."""
    return tuple(json.loads((FOLDER / "index.json").read_text("utf-8")))


def shelf() -> list[dict[str, str]]:
    """Value of the example strip."""
    return [
        {
            "src": views.thumb(Image.open(FOLDER / row["file"])),
            "title": f"{row['title']} ({row['licence']})",
            "note": row["title"],
        }
        for row in rows()
    ]


def path(index: int) -> Path:
    """The file of one example.

    Raises:
        ValueError: no such example.
    """
    if not 0 <= index < len(rows()):
        raise ValueError(f"example: got number {index}, wanted 0 to {len(rows()) - 1}")
    return FOLDER / rows()[index]["file"]
