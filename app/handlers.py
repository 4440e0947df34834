"""What all handlers share: errors become sentences on the page, nothing the visitor made is lost."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from app import controls, part, texts
from app.engine import Engine
from app.page import Page
from app.visit import Visit, of
from mmsr_core.outcome import SAID, Plan
from mmsr_core.settings import Settings

DEVICE = "device"  # concurrency id of everything that computes on the model
log = logging.getLogger(__name__)
_FOLDERS = re.compile(r"(?:[A-Za-z]:)?(?:[/\\][\w.\-]+){2,}[/\\]?")
Changes = dict[Any, Any]


class Handlers:
    """Base of the handlers of one part of the page."""

    def __init__(self, engine: Engine, page: Page) -> None:
        self.engine = engine
        self.page = page

    @property
    def notice(self) -> gr.HTML:
        """Where this part of the page says what went wrong."""
        return self.page.notice

    @property
    def status(self) -> gr.HTML:
        """Where this part of the page shows progress."""
        return self.page.status

    def waiting(self) -> Iterator[Changes]:
        """Stages of loading, while there is something to wait for."""
        if not self.engine.ready:
            for stage in self.engine.stages():
                yield {self.page.status: texts.progress(0, stage.capitalize())}

    def plan(self, visit: Visit, settings: Settings) -> str:
        """The cost line, or why there is none yet."""
        if visit.photo is None:
            return texts.PLAN_EMPTY
        if not self.engine.ready:
            return texts.notice("The cost is shown as soon as the model is loaded.")
        size = visit.photo.rgb.size
        return texts.plan(size, self.cost(visit, size, settings))

    def cost(self, visit: Visit, size: tuple[int, int], settings: Settings) -> Plan:
        """Of a picture of (width, height) pixels, with the modalities that are on."""
        return self.engine.upscaler().plan(size, settings, [name for name, slot in visit.slots.items() if slot.on])

    def plans(self, visit: Visit, settings: Settings, place: Any = None) -> Changes:
        """The cost of the whole photo, and of the part under the frame; without a `place` it is in the middle."""
        changes = {self.page.plan: self.plan(visit, settings), self.page.part_plan: ""}
        if visit.photo is not None and self.engine.ready:
            left, _, right, _ = part.read(place, visit.photo.rgb.size)
            cost = self.cost(visit, (right - left, right - left), settings)
            changes[self.page.part_plan] = texts.part_plan(cost)
        return changes

    def planned(self, visit: Visit | None, place: Any, *values: Any) -> Changes:
        """The cost lines for what the widgets say now, or what is wrong with it."""
        if visit is None:
            return {self.page.plan: texts.PLAN_EMPTY}
        try:
            return self.plans(visit, controls.read(values).settings, place)
        except ValueError as error:
            return {self.page.plan: texts.notice(texts.sentence(error), "bad")}


def refusal(error: Exception) -> str:
    """An error as a notice. What the core did not foresee is logged here and named, without a path, on the page."""
    if isinstance(error, (*SAID, gr.Error)) and str(error):
        return texts.notice(without_folders(texts.sentence(error)), "bad")
    log.exception("unforeseen error in a handler")
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return texts.notice("The device ran out of memory. Choose a smaller tile or scale and run again.", "bad")
    return texts.notice(
        f"The server met an unforeseen {type(error).__name__}. Your photo, maps and settings are kept; try again.",
        "bad",
    )


def without_folders(text: str) -> str:
    """The text with every path cut down to its last part."""
    return _FOLDERS.sub(lambda match: Path(match.group().rstrip("/\\")).name, text)


def guarded(method: Callable) -> Callable:
    """Errors of a handler that returns changes: shown in the notice, everything else stays as it is.

    Whatever it changes takes the place of an older notice; a handler that returns None had nothing to do and leaves
    the page alone.
    """

    @wraps(method)
    def inner(self: Handlers, visit: Visit | None, *args: Any, **kwargs: Any) -> Changes:
        try:
            changes = method(self, of(visit), *args, **kwargs)
            return gr.skip() if changes is None else {self.notice: "", **changes}
        except Exception as error:
            return {self.notice: refusal(error)}

    return inner


def guarded_stream(after: Callable[[Any], Mapping] | None = None, follows: bool = False) -> Callable:
    """The same for a handler that yields changes.

    Args:
        after: `after(self)` is what must change at the end, come what may.
        follows: it goes on where another handler ended, so what that one said in the notice must stay.
    """

    def decorate(method: Callable) -> Callable:
        @wraps(method)
        def inner(self: Handlers, visit: Visit | None, *args: Any, **kwargs: Any) -> Iterator[Changes]:
            final = {} if after is None else dict(after(self))
            try:
                yield gr.skip() if follows else {self.notice: ""}  # a stream without a yield would empty its outputs
                yield from method(self, of(visit), *args, **kwargs)
            except Exception as error:
                final = {**final, self.notice: refusal(error), self.status: ""}
            if final:
                yield final

        return inner

    return decorate
