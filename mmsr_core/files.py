"""Where results go: files that are written whole or not at all, in folders that can be written to."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from mmsr_core.decoding import ImageError


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it, so that nobody ever sees half of it.

    Raises:
        ImageError: the place cannot be written.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise ImageError(f"{path.name}: got {error.strerror or error}, wanted a place to write to") from None
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        ValueError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"output folder {folder.name!r}: got {error.strerror}, wanted a folder to write to") from None
    if not os.access(folder, os.W_OK):
        raise ValueError(f"output folder {folder.name!r}: got one without write permission, wanted one with it")
