"""The Batch tab: many files with the settings of the Studio tab, one zip at the end."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from app import controls, texts
from app.handlers import Changes, guarded, without_folders
from app.job import Job, work
from app.visit import Visit
from mmsr_core import batch
from mmsr_core.modalities import MODALITIES


class Stopped(Exception):
    """The visitor pressed Stop in the middle of a photo."""


class Batch(Job):
    """Handlers of the Batch tab."""

    kind = "batch"

    @property
    def notice(self) -> gr.HTML:
        return self.page.batch_notice

    @property
    def status(self) -> gr.HTML:
        return self.page.batch_status

    @property
    def starters(self) -> list[gr.Button]:
        return [self.page.batch_start]

    @property
    def stopper(self) -> gr.Button:
        return self.page.batch_stop

    @guarded
    def chosen(self, visit: Visit, paths: list[str] | None) -> Changes:
        """A folder was chosen: its pictures join the list."""
        return {self.page.batch_files: _pictures(paths)}

    @work
    def start(self, visit: Visit, paths: list[str] | None, form: str, *values: Any) -> Iterator[Changes]:
        """Photo after photo; a failure is a line in the report and does not stop the others."""
        settings = controls.read(values).drawn
        if not paths:
            raise ValueError("Choose some photos or a folder first.")
        if len(paths) > self.engine.options.max_files:
            raise ValueError(f"Got {len(paths)} files, wanted at most {self.engine.options.max_files} in one batch.")
        jobs = self.jobs(visit, paths, form)
        given = {name: None for name, slot in visit.slots.items() if not slot.on}
        limit = self.engine.options.max_pixels
        order = batch.Order(settings, given, extractors=self.extractors(visit), max_pixels=limit)
        lines: list[tuple[str, str]] = []
        for number, job in enumerate(jobs):
            if self.asked_to_stop(visit).is_set():
                break
            text = f"{number + 1} of {len(jobs)}: {job.source.name}"
            yield {self.status: texts.progress(number / len(jobs), text)}
            lines.append(self.one(visit, job, order))
            yield {self.page.batch_report: texts.report(lines)}
        self.pack(visit, jobs, settings.scale)
        done = sum(state == "done" for state, _ in lines)
        left = f", {len(jobs) - len(lines)} not started" if len(lines) < len(jobs) else ""
        yield {
            self.status: texts.notice(f"{done} of {len(jobs)} done{left}."),
            self.page.batch_save: gr.Button(interactive=done > 0),
        }

    def extractors(self, visit: Visit) -> dict[str, str]:
        """Those chosen in the Studio, but for services, which one is asked about photo by photo."""
        chosen = {name: slot.extractor for name, slot in visit.slots.items() if slot.extractor is not None and slot.on}
        ways = {row.name: row.extractors for row in MODALITIES}
        return {name: way for name, way in chosen.items() if ways[name][way].consent is None}

    def jobs(self, visit: Visit, paths: list[str], form: str) -> list[batch.Job]:
        """The uploads side by side in one folder, and the results to make of them.

        Raises:
            ValueError: an upload is gone.
        """
        shutil.rmtree(visit.folder / "batch", ignore_errors=True)
        inbox = visit.folder / "batch" / "in"
        inbox.mkdir(parents=True)
        if lost := [Path(path).name for path in paths if not Path(path).exists()]:
            raise ValueError(f"Files are kept for an hour, choose these again: {', '.join(lost)}.")
        for path in map(Path, paths):
            target, number = inbox / path.name, 1
            while target.exists():
                number += 1
                target = inbox / f"{path.stem}-{number}{path.suffix}"
            shutil.copyfile(path, target)
        return batch.plan(inbox, visit.folder / "batch" / "out", form)

    def one(self, visit: Visit, job: batch.Job, order: batch.Order) -> tuple[str, str]:
        """One photo: (state, line for the report)."""

        def progress(job: batch.Job, step: Any) -> None:
            if self.asked_to_stop(visit).is_set():
                raise Stopped("stopped by you")

        notes: list[str] = []
        outcome = next(batch.run(self.engine.upscaler(), [job], order, progress, notes.append))
        state = "stopped" if outcome.state == "failed" and self.asked_to_stop(visit).is_set() else outcome.state
        line = f"{job.source.name}: stopped" if state == "stopped" else " · ".join([outcome.message, *notes])
        return state, without_folders(line)

    def pack(self, visit: Visit, jobs: list[batch.Job], scale: int) -> None:
        """Results under names that replace no photo where the zip is unpacked."""
        with zipfile.ZipFile(visit.folder / "batch.zip", "w") as bundle:
            for job in jobs:
                if job.target.exists():
                    bundle.write(job.target, f"{job.target.stem}-x{scale}{job.target.suffix}")

    @guarded
    def save(self, visit: Visit) -> Changes:
        path = visit.folder / "batch.zip"
        if not path.exists():
            raise ValueError("There is no finished batch to save yet.")
        return {self.page.file: str(path)}


def _pictures(paths: list[str] | None) -> list[str]:
    """The pictures among the files of a folder; other files and hidden ones are left out."""
    found = [path for path in paths or [] if Path(path).suffix.lower() in batch.READABLE]
    return sorted(path for path in found if not Path(path).name.startswith("."))
