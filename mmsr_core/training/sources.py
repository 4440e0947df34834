"""Where large photo collections come from: folders (LSDIR, DIV2K), webdataset tar files, or `datasets` streams.

A source names its units of work; a unit is read front to back by one process. What a photo's bytes are worth is the
reader's affair: a source hands over bytes and never decodes.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
STREAM = "hf:"  # a source that is a data set on the hub: hf:owner/name or hf:owner/name:split


class Source(Protocol):
    """`units()` -> names of a unit's contents, the same list whenever nothing has changed; `photos(unit)` reads one."""

    def units(self) -> list[list[str]]: ...

    def photos(self, unit: list[str]) -> Iterator[tuple[str, bytes]]:
        """(name, content of the file) of every photo."""
        ...


@dataclass(frozen=True)
class Folder:
    """Photos in a folder and its subfolders, so many a unit."""

    root: Path
    size: int = 256

    def units(self) -> list[list[str]]:
        found = (path for path in self.root.rglob("*") if path.suffix.lower() in PICTURES)
        names = sorted(path.relative_to(self.root).as_posix() for path in found)
        return [names[start : start + self.size] for start in range(0, len(names), self.size)]

    def photos(self, unit: list[str]) -> Iterator[tuple[str, bytes]]:
        for name in unit:
            try:
                yield name, (self.root / name).read_bytes()
            except OSError:
                yield name, b""


@dataclass(frozen=True)
class Tars:
    """Webdataset tar files, one a unit; whatever else lies beside the pictures is not read."""

    paths: tuple[Path, ...]

    def units(self) -> list[list[str]]:
        return [[path.as_posix()] for path in self.paths]

    def photos(self, unit: list[str]) -> Iterator[tuple[str, bytes]]:
        name = Path(unit[0]).name
        try:
            with tarfile.open(unit[0], "r|*") as tar:
                for member in tar:
                    if member.isfile() and Path(member.name).suffix.lower() in PICTURES:
                        yield f"{name}/{member.name}", tar.extractfile(member).read()
        except tarfile.ReadError:  # the rest of a broken file is listed as one unreadable photo
            yield name, b""


@dataclass(frozen=True)
class Stream:
    """A data set on the hub, streamed by the package `datasets` (optional); one of its own shards a unit."""

    name: str
    split: str = "train"
    column: str = "image"

    def units(self) -> list[list[str]]:
        return [[str(index)] for index in range(self._data().num_shards)]

    def photos(self, unit: list[str]) -> Iterator[tuple[str, bytes]]:
        data = self._data()
        for number, row in enumerate(data.shard(num_shards=data.num_shards, index=int(unit[0]))):
            content = row[self.column]["bytes"]
            yield f"{self.name}/{self.split}-{unit[0]}-{number}", b"" if content is None else content

    def _data(self) -> object:
        try:
            import datasets
        except ImportError:
            raise ValueError("data: got a hub data set without the package datasets, wanted it installed") from None
        data = datasets.load_dataset(self.name, split=self.split, streaming=True)
        return data.cast_column(self.column, datasets.Image(decode=False))  # a broken file is then ours to list


def source(text: str, size: int = 256) -> Source:
    """A folder, a folder of tar files, a tar file, or hf:owner/name[:split].

    Raises:
        ValueError: nothing there.
    """
    if text.startswith(STREAM):
        name, _, split = text.removeprefix(STREAM).partition(":")
        return Stream(name, split) if split else Stream(name)
    path = Path(text)
    if path.suffix == ".tar" and path.is_file():
        return Tars((path,))
    if not path.is_dir():
        raise ValueError(f"data: got {text!r}, wanted a folder, a tar file or hf:owner/name")
    tars = tuple(sorted(path.glob("*.tar")))
    return Tars(tars) if tars else Folder(path, size)
