"""What Run, Compare and Batch have in common: a start, a Stop that works while waiting too, and buttons that follow."""

from __future__ import annotations

import threading
from abc import abstractmethod

import gradio as gr

from app import texts
from app.handlers import Changes, Handlers, guarded
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
        """A start button was pressed: said at once, before the place in the queue is reached."""
        self.asked_to_stop(visit).clear()
        return {**self.buttons(True), self.status: texts.progress(0, "Waiting for the device")}

    @guarded
    def stop(self, visit: Visit) -> Changes:
        """Stop was pressed. The page itself says so at once, see `wiring`; what follows, says the job when it ends."""
        self.asked_to_stop(visit).set()
        return {self.stopper: gr.Button(interactive=False)}

    @guarded
    def refused(self, visit: Visit) -> Changes:
        """Gradio itself turned the work away, before it began: the queue is full, or a value cannot be read."""
        said = "This could not be started: the queue is full or a value cannot be read. Nothing is lost; try again."
        return {**self.buttons(False), self.status: "", self.notice: texts.notice(said, "bad")}

    def buttons(self, busy: bool) -> Changes:
        return {
            **{button: gr.Button(interactive=not busy) for button in self.starters},
            self.stopper: gr.Button(interactive=busy),
        }
