"""Folders of weights by path or hub id: what is on the disk first, then a download; an unreachable hub is said at once.

huggingface_hub retries an unreachable server for 23 s a file; `reachable` asks once, for at most `PATIENCE` seconds.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import NamedTuple

PATIENCE = 2.0  # seconds that the hub has to answer before it counts as unreachable
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class Source(NamedTuple):
    """Where weights come from: a path, or "owner/name" on the hub with an optional "@revision"."""

    place: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Source:
        if Path(text).exists() or "@" not in text:
            return cls(text)
        return cls(*text.rsplit("@", 1))


def fetch(source: str | Path, patterns: list[str] | None = None) -> Path:
    """The folder (or the file, where a path names one) of `source`; a hub id is downloaded where it is not on the disk.

    Args:
        source: a path, "owner/name" or "owner/name@revision".
        patterns: the files of a hub repository that are needed, as globs; None takes all.

    Raises:
        ValueError: no such path, or the hub cannot be reached or does not have it.
    """
    place, revision = Source.parse(str(source))
    if Path(place).exists():
        return Path(place)
    if HUB_ID.fullmatch(place) is None:
        raise ValueError(f"weights: got {place!r}, which is not there, wanted a folder or a hub id such as owner/name")
    return _from_hub(place, revision, patterns)


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


def _from_hub(place: str, revision: str | None, patterns: list[str] | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = {"repo_id": place, "revision": revision, "allow_patterns": patterns}
    try:
        return Path(snapshot_download(**wanted, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    if not reachable():
        raise ValueError(
            f"weights: got {place!r}, which is not on this disk, and the hub cannot be reached; "
            "wanted a connection, or the path of a folder with the files"
        )
    try:
        return Path(snapshot_download(**wanted))
    except HfHubHTTPError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"weights: got {place!r}, which the hub did not give ({reason}), wanted a public id") from None
