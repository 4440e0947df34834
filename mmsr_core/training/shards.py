"""Training windows on disk: webdataset tar files that are read at random.

A sample is KEY.png (the window, lossless), KEY.npy (map ids, (2 sources, 3 maps, tokens) uint16) and KEY.json (caption,
photo, place). Beside each `shard-00012.tar` a `shard-00012.json` says where everything lies and what could not be read;
it is written last, so a shard is complete where it exists. Any webdataset reader takes the tar files as they are.
"""

from __future__ import annotations

import bisect
import io
import json
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

COMPRESSION = 1  # of PNG: reading speed matters more than the last percent of the disk


class Window(NamedTuple):
    """One training sample: picture (H, W, 3) uint8, map ids (2, maps, tokens), caption of the photo."""

    picture: np.ndarray
    ids: np.ndarray
    caption: str


def shard_names(number: int) -> tuple[str, str]:
    return f"shard-{number:05d}.tar", f"shard-{number:05d}.json"


class ShardWriter:
    """Writes one shard; nothing is there under its name until `finish`."""

    def __init__(self, folder: Path, number: int, owner: int) -> None:
        self.tar_path, self.index_path = (folder / name for name in shard_names(number))
        self.partial = self.tar_path.with_suffix(f".{owner}.partial")
        self.tar = tarfile.open(self.partial, "w")  # noqa: SIM115 -- closed by `finish`
        self.samples: list[dict[str, Any]] = []
        self.refused: dict[str, str] = {}

    def refuse(self, photo: str, reason: str) -> None:
        """Lists a photo that gives no sample."""
        self.refused[photo] = reason

    def add(self, key: str, picture: Image.Image, ids: np.ndarray, about: Mapping[str, Any]) -> None:
        """One sample. `about` needs a "caption"."""
        png, npy = io.BytesIO(), io.BytesIO()
        picture.save(png, "PNG", compress_level=COMPRESSION)
        np.save(npy, ids)
        places = {"png": self._member(f"{key}.png", png.getvalue()), "npy": self._member(f"{key}.npy", npy.getvalue())}
        self._member(f"{key}.json", json.dumps(dict(about)).encode())
        self.samples.append({**places, "caption": about["caption"]})

    def _member(self, name: str, content: bytes) -> tuple[int, int]:
        """Writes a file; returns where its content begins, and its length."""
        info = tarfile.TarInfo(name)
        info.size = len(content)
        self.tar.addfile(info, io.BytesIO(content))
        padded = -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        return self.tar.offset - padded, len(content)

    def finish(self) -> None:
        self.tar.close()
        self.partial.replace(self.tar_path)
        partial = self.index_path.with_suffix(self.partial.suffix)
        partial.write_text(json.dumps({"samples": self.samples, "refused": self.refused}))
        partial.replace(self.index_path)


@dataclass
class ShardSet:
    """All complete shards of a folder as one list of windows."""

    tars: list[Path]
    samples: list[list[dict[str, Any]]]
    ends: list[int]
    refused: dict[str, str]
    _files: dict[tuple[int, int], int] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, folder: Path) -> ShardSet:
        """Raises ValueError where there is no sample."""
        indices = sorted(folder.glob("shard-*.json"))
        tables = [json.loads(path.read_text()) for path in indices]
        ends = list(accumulate(len(table["samples"]) for table in tables))
        if not ends or ends[-1] == 0:
            raise ValueError(f"data: got {folder.name} without samples, wanted a folder made by stage prepare-sd2")
        tars = [path.with_suffix(".tar") for path in indices]
        refused = {photo: reason for table in tables for photo, reason in table["refused"].items()}
        return cls(tars, [table["samples"] for table in tables], ends, refused)

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Window:
        shard = bisect.bisect_right(self.ends, index)
        sample = self.samples[shard][index - (self.ends[shard - 1] if shard else 0)]
        png, npy = (self._read(shard, *sample[kind]) for kind in ("png", "npy"))
        with Image.open(io.BytesIO(png)) as image:
            picture = np.asarray(image)
        return Window(picture, np.load(io.BytesIO(npy)), sample["caption"])

    def _read(self, shard: int, start: int, length: int) -> bytes:
        key = (os.getpid(), shard)  # a loader's worker opens its own files
        if key not in self._files:
            self._files[key] = os.open(self.tars[shard], os.O_RDONLY)
        return os.pread(self._files[key], length, start)
