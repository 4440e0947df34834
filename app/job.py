"""What Run, Compare and Batch have in common: a start, a Stop that works while waiting too, and buttons that follow."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import gradio as gr

from app import texts
from app.handlers import Changes, Handlers, guarded, guarded_stream
from app.visit import Visit


class Job(Handlers):
    """Handlers of a part of the page that computes for a while."""

    kind = ""  # its key in `Visit.stops`

    @property
    @abstractmethod
    def starters(self) -> list[gr.Button]:
        """The buttons that start it."""

    @property
    @abstractmethod
    def stopper(self) -> gr.Button:
        """The button that stops it."""

    def asked_to_stop(self, visit: Visit) -> threading.Event:
        """Set from the press of Stop until the next start."""
        return visit.stops[self.kind]

    @guarded
    def press(self, visit: Visit) -> Changes:
        """A start button was pressed: said at once, before the place in the queue is reached.

        Handing the visit back makes Gradio count its time to live anew, here and where a photo is given.
        """
        self.asked_to_stop(visit).clear()
        visit.waiting.append(self.kind)
        return {self.page.visit: visit, **self.buttons(True), self.status: texts.progress(0, "Waiting for the device")}

    @guarded
    def stop(self, visit: Visit) -> Changes:
        """Stop was pressed. The page itself says so at once, see `wiring`; what follows, says the job when it ends.

        A job that still waits has no voice: it is given up here, and does nothing when its turn comes.
        """
        self.asked_to_stop(visit).set()
        if self.kind not in visit.waiting:
            return {self.stopper: gr.Button(interactive=False)}
        visit.waiting.remove(self.kind)
        visit.given_up.append(self.kind)
        return {**self.buttons(False), self.status: texts.notice("Stopped before it began; nothing was changed.")}

    @guarded
    def refused(self, visit: Visit) -> Changes:
        """Gradio itself turned the work away, before it began: the queue is full, or a value cannot be read."""
        if self.kind in visit.waiting:
            visit.waiting.remove(self.kind)
        said = "This could not be started: the queue is full or a value cannot be read. Nothing is lost; try again."
        return {**self.buttons(False), self.status: "", self.notice: texts.notice(said, "bad")}

    def buttons(self, busy: bool) -> Changes:
        return {
            **{button: gr.Button(interactive=not busy) for button in self.starters},
            self.stopper: gr.Button(interactive=busy),
        }


def work(method: Callable) -> Callable:
    """What a start button does when its turn has come: a stream whose buttons are free again at its end."""
    stream = guarded_stream(after=lambda self: self.buttons(False), follows=True)(method)

    @wraps(method)
    def inner(self: Job, visit: Visit | None, *args: Any) -> Iterator[Changes]:
        if visit is not None and self.kind in visit.given_up:  # the queue keeps its order: the oldest is the first
            visit.given_up.remove(self.kind)
            yield gr.skip() if self.kind in visit.waiting else self.buttons(False)
            return
        if visit is not None and self.kind in visit.waiting:
            visit.waiting.remove(self.kind)
        yield from stream(self, visit, *args)

    return inner
