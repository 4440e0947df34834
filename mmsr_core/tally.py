"""What became of each photo of a batch: told at the end, and written down whatever the end is."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsr_core.files import write_whole
from mmsr_core.team import PATIENCE, Team

if TYPE_CHECKING:
    from mmsr_core.batch import Job

BRIEF = timedelta(seconds=10)  # for the other processes, once one was stopped


class Tally:
    """A row for each photo; as a context it sums up when it is left, also by an error or by Ctrl-C.

    Args:
        jobs: the share of this process.
        path: gets the rows of all processes as JSON.
    """

    def __init__(self, jobs: Sequence[Job], team: Team, path: Path | None = None) -> None:
        self.jobs, self.team, self.path = jobs, team, path
        self.rows: dict[Job, dict[str, Any]] = {}
        self.failed = False  # a photo of any process, or the summary; known when the context was left

    def add(self, job: Job, state: str, said: str) -> None:
        row = {"photo": str(job.source), "result": str(job.target), "state": state, "said": said}
        self.rows[job] = {**row, "process": self.team.rank}

    def __enter__(self) -> Tally:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for job in self.jobs:
            if job not in self.rows:
                self.add(job, "not started", "the run ended before it was done")
        rows = self._everyones(BRIEF if kind is not None else PATIENCE)
        if rows is not None:
            self.failed = not all([self._told(rows), self._written(rows)])  # both, whatever the first one says

    def _everyones(self, patience: timedelta) -> list[dict[str, Any]] | None:
        """Those of all processes, on the first one; where the others are gone, those of this one."""
        own = list(self.rows.values())
        try:
            return self.team.gathered(own, patience)
        except (RuntimeError, OSError):
            return own if self.team.rank == 0 else None

    def _told(self, rows: Sequence[dict[str, Any]]) -> bool:
        """Lists what failed; whether nothing did."""
        failures = [row["said"] for row in rows if row["state"] == "failed"]
        tried = sum(row["state"] in ("done", "failed") for row in rows)
        if failures and tried > 1:
            listed = "".join(f"\n  {message}" for message in failures)
            print(f"{len(failures)} of {tried} failed:{listed}", file=sys.stderr)
        return not failures

    def _written(self, rows: Sequence[dict[str, Any]]) -> bool:
        if self.path is None:
            return True
        try:
            write_whole(self.path, json.dumps(sorted(rows, key=lambda row: row["photo"]), indent=1).encode())
        except ValueError as error:  # a full disk, or a folder that went away meanwhile
            print(f"failed: --summary {error}", file=sys.stderr)
            return False
        return True


def is_summary(path: Path) -> bool:
    """Whether a file may be replaced by a summary: it is one, or empty."""
    try:
        text = path.read_text("utf-8") if path.is_file() else "no file"
        return text == "" or isinstance(json.loads(text), list)
    except (OSError, ValueError, RecursionError):
        return False
