"""The widgets of the page by name, so that handlers can say what they change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gradio as gr


@dataclass
class Card:
    """The widgets of one modality."""

    name: str
    kind: str
    on: gr.Checkbox
    badge: gr.HTML
    view: gr.HTML | gr.Textbox  # painter or caption box
    detail: gr.HTML  # legend, token counter or a notice of an upload
    extractor: gr.Dropdown | None = None
    about: gr.HTML | None = None  # what the chosen extractor is
    consent: gr.Checkbox | None = None  # to send the photo to a service
    key: gr.Textbox | None = None  # of that service
    reextract: gr.Button | None = None
    reset: gr.Button | None = None
    upload: gr.UploadButton | None = None
    invert: gr.Checkbox | None = None
    save: list[gr.Button] = field(default_factory=list)
    see: gr.Button | None = None
    seen: gr.HTML | None = None

    def outputs(self) -> list[Any]:
        parts = (self.on, self.badge, self.view, self.detail, self.seen)
        return [part for part in (*parts, self.extractor, self.about, self.consent, self.key) if part is not None]


@dataclass
class Page:
    """All widgets that handlers touch. Filled by `ui.build`, read by the handlers."""

    visit: gr.State
    cards: dict[str, Card] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)  # controls.keys_in_order() -> widget
    parts: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        parts = self.__dict__.get("parts", {})
        if name not in parts:
            raise AttributeError(f"page has no widget {name!r}, only {', '.join(parts)}")
        return parts[name]

    def add(self, **widgets: Any) -> None:
        self.parts.update(widgets)

    def values(self) -> list[Any]:
        """Inputs for `controls.read`."""
        return [*self.settings.values(), self.new_seed]

    def planned(self) -> list[Any]:
        """Inputs for `Handlers.planned`."""
        return [self.visit, self.part, *self.values()]

    def plans(self) -> list[Any]:
        """The cost lines."""
        return [self.plan, self.part_plan]

    def hand_over(self) -> list[Any]:
        """The buttons that need a result."""
        return [self.save, self.bundle, self.save_recipe, self.further]

    def read(self) -> list[Any]:
        """What reading the photo changes."""
        return [self.notice, self.status, self.photo_line, *self.card_outputs()]

    def card_outputs(self) -> list[Any]:
        return [part for card in self.cards.values() for part in card.outputs()]
