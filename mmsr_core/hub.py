"""Folders of weights by path or hub id: what is on the disk first, then a download; an unreachable hub is said at once.

huggingface_hub retries an unreachable server for 23 s a file, so `reachable` asks first, at most `PATIENCE` seconds.
A download runs in a process of its own, which can be stopped at any moment; what it got so far is kept and continued.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

PATIENCE = 2.0  # seconds that the hub has to answer before it counts as unreachable
STALLED = 45.0  # seconds without a new byte after which a download is given up
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
UNCHECKED = "README.md"  # wanted where it is there


class Stopped(ValueError):
    """A download, or the reading that waits for one, was ended on demand: no error to those who asked for it."""


class Source(NamedTuple):
    """Where weights come from: a path, or "owner/name" on the hub with an optional "@revision"."""

    place: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Source:
        if Path(text).exists() or "@" not in text:
            return cls(text)
        return cls(*text.rsplit("@", 1))


class Request(NamedTuple):
    """The files that are wanted of a hub repository.

    Attributes:
        patterns: globs that all have to match a file; None wants every file.
        weights: globs of which one has to match, the best first, beside the patterns.
    """

    place: str
    revision: str | None
    patterns: list[str] | None
    weights: list[str]

    def met(self, folder: Path) -> bool:
        """Whether a folder has what is wanted."""
        needed = [glob for glob in self.patterns or () if glob != UNCHECKED]
        return all(_has(folder, glob) for glob in needed) and (
            not self.weights or any(_has(folder, glob) for glob in self.weights)
        )


def fetch(
    source: str | Path,
    patterns: list[str] | None = None,
    weights: tuple[str, ...] = (),
    cancel: threading.Event | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """The folder (or the file, where a path names one) of `source`; a hub id is downloaded where it is not on the disk.

    Args:
        source: a path, "owner/name" or "owner/name@revision".
        patterns, weights: as in `Request`; they do not matter to a path.
        cancel: once it is set, a download stops.
        say: told in a sentence that a download begins.

    Raises:
        Stopped: the download was cancelled.
        ValueError: no such path, or the hub cannot be reached or does not have it.
    """
    place, revision = Source.parse(str(source))
    if place and Path(place).exists():
        return Path(place)
    if HUB_ID.fullmatch(place) is None:
        raise ValueError(f"weights: got {place!r}, which is not there, wanted a folder or a hub id such as owner/name")
    request = Request(place, revision, patterns, list(weights))
    found = _on_disk(request)
    if found is not None:
        return found
    if not reachable():
        raise ValueError(
            f"weights: got {place!r}, which is not on this disk, and the hub cannot be reached; "
            "wanted a connection, or the path of a folder with the files"
        )
    if say is not None:
        say(f"Downloading {place}; this happens once.")
    return _downloaded(request, cancel)


def revision_of(folder: Path) -> str:
    """The commit that a hub snapshot's folder is named after; "local" elsewhere."""
    return folder.name if folder.parent.name == "snapshots" else "local"


def reachable() -> bool:
    """Whether the hub answers within `PATIENCE` seconds; False at once where `HF_HUB_OFFLINE` is set."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    answers = []

    def ask() -> None:
        try:
            answers.append(get_session().head(constants.ENDPOINT, timeout=PATIENCE))
        except Exception:  # whatever keeps the hub from answering
            return

    thread = threading.Thread(target=ask, daemon=True)  # a name look-up heeds no timeout
    thread.start()
    thread.join(PATIENCE)
    return bool(answers)


def _has(folder: Path, glob: str) -> bool:
    return any(path.exists() for path in folder.glob(glob))  # a link to a file that is gone does not count


def _on_disk(request: Request) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    place, revision, patterns, _ = request
    try:
        folder = snapshot_download(place, revision=revision, allow_patterns=patterns, local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    return Path(folder) if request.met(Path(folder)) else None


def _downloaded(request: Request, cancel: threading.Event | None) -> Path:
    """Runs `_download` in a process of its own and looks after it."""
    from huggingface_hub import constants

    paths = [str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
    here = {"HF_ENDPOINT": constants.ENDPOINT, "HF_HUB_CACHE": str(constants.HF_HUB_CACHE)}
    process = subprocess.Popen(
        [sys.executable, "-m", "mmsr_core.hub", json.dumps(request)],
        env={**os.environ, **here, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            _watch(process, request.place, cancel)
            answer = json.loads(process.stdout.read() or '{"error": "the download broke off"}')
        finally:
            process.kill()
    if "error" in answer:
        raise ValueError(f"weights: got {request.place!r}, which the hub did not give ({answer['error']})")
    return Path(answer["folder"])


def _watch(process: subprocess.Popen, place: str, cancel: threading.Event | None) -> None:
    """Returns when the process is done.

    Raises:
        Stopped: it was cancelled.
        ValueError: nothing arrived for `STALLED` seconds.
    """
    from huggingface_hub import constants

    blobs = Path(constants.HF_HUB_CACHE) / f"models--{place.replace('/', '--')}" / "blobs"
    size, since = -1, time.monotonic()
    while process.poll() is None:
        if cancel is not None and cancel.is_set():
            raise Stopped(f"weights: stopped the download of {place}; it goes on from here next time")
        now = sum(map(_size, blobs.glob("*")))
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > STALLED:
            raise ValueError(f"weights: got nothing more of {place} for {STALLED:.0f} s, wanted a better connection")
        time.sleep(0.1)


def _size(path: Path) -> int:
    """Bytes of a file; 0 where it was renamed meanwhile, as finished downloads are."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _download(request: Request) -> Path:
    """Downloads here and now, with the hub's own patience.

    Raises:
        FileNotFoundError: the repository lacks a file that is needed.
    """
    from huggingface_hub import snapshot_download

    wanted = {"repo_id": request.place, "revision": request.revision}
    if request.patterns is None:
        return Path(snapshot_download(**wanted))
    for weights in request.weights or [None]:
        patterns = request.patterns if weights is None else [*request.patterns, weights]
        folder = Path(snapshot_download(**wanted, allow_patterns=patterns))
        if request.met(folder):
            return folder
    raise FileNotFoundError(f"without {' or '.join(request.weights) or ', '.join(request.patterns)}")


if __name__ == "__main__":  # the process of `_downloaded`; its answer is one line of JSON
    try:
        result = {"folder": str(_download(Request(*json.loads(sys.argv[1]))))}
    except Exception as error:
        result = {"error": str(error).splitlines()[0][:200] if str(error) else type(error).__name__}
    print(json.dumps(result))
