"""The photo and its four modalities: drop, extract, switch, edit, upload, download, look through the model's eyes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from app import controls, handlers, part, texts, views, widgets
from app.engine import Engine
from app.extractors import Extractors
from app.handlers import Changes, Handlers, guarded, guarded_stream
from app.job import Job
from app.page import Page
from app.visit import Visit
from app.widgets import Upload
from mmsr_core import compare
from mmsr_core.images import Photo, open_map
from mmsr_core.intake import taken
from mmsr_core.modalities.palette import Palette
from mmsr_core.modalities.readers import ROWS, Access, Stopped
from mmsr_core.sizes import fitted

NAMES = tuple(ROWS)


class Maps(Handlers):
    """Handlers of the photo and the modality cards."""

    def __init__(self, engine: Engine, page: Page) -> None:
        super().__init__(engine, page)
        self.extractors = Extractors(engine, page)

    @guarded
    def drop(self, visit: Visit, given: Upload | None, *values: Any) -> Changes:
        """A new photo: what was read from the old one goes, what was made by hand stays and becomes stale."""
        if given is None:
            self.forget(visit)
            gone = {self.page.photo_line: "", self.page.part: None, self.page.part_plan: ""}
            return {**gone, self.page.plan: texts.PLAN_EMPTY, **self.cards(visit), **self.protection(visit)}
        try:
            photo, note = taken(given.path, self.engine.options.max_pixels, given.name)
        except ValueError as error:
            before = visit.photo
            kept = "" if before is None else " The photo before it stays in use."
            note = texts.notice(handlers.without_folders(texts.sentence(error)) + kept, "bad")
            return {self.page.notice: note, self.page.photo: views.boxed(before)}
        return self.use(visit, photo, note, *values)

    def use(self, visit: Visit, photo: Photo, note: str, *values: Any) -> Changes:
        """Make `photo` the photo of the visit; `note` says what had to be changed in it."""
        if visit.photo is not None:  # a recipe may have come before the first photo
            self.forget(visit)
        visit.photo = photo
        if visit.expected is not None and visit.expected.fits(photo.rgb):
            visit.take(visit.expected)
        changes: Changes = {self.page.visit: visit, self.page.photo: views.boxed(photo)}
        changes |= {self.page.part: part.shown(photo), self.page.photo_line: texts.photo_line(photo)}
        changes |= self.plans(visit, controls.read(values).settings)
        for name in NAMES:
            changes |= self.card(visit, name)
        kept = [ROWS[name].label.lower() for name, slot in visit.slots.items() if slot.stale and slot.made_by_hand]
        said = " ".join(part for part in (note, texts.stale(kept)) if part)
        return changes | self.protection(visit) | ({self.page.notice: texts.notice(said, "warn")} if said else {})

    def forget(self, visit: Visit) -> None:
        """The photo goes, and what belongs to it."""
        visit.photo = visit.mask = visit.reference = None
        for slot in visit.slots.values():
            slot.forget_photo()

    @guarded_stream(follows=True)
    def extract_new(self, visit: Visit) -> Iterator[Changes]:
        """After a new photo: what is not there yet is read at once, so that it can be looked at before the run."""
        names = [name for name, slot in visit.slots.items() if slot.value is None]
        if visit.photo is not None and names:
            yield from self.extract(visit, names)
            yield {self.page.status: ""}

    @guarded_stream()
    def extract_again(self, visit: Visit, names: Sequence[str]) -> Iterator[Changes]:
        """The visitor asks for it: one whatever was there; all at once leave alone what was made by hand."""
        if visit.photo is None:
            raise ValueError("Load a photo first, then its maps can be extracted.")
        kept = [name for name in names if visit.slots[name].made_by_hand and len(names) > 1]
        yield from self.extract(visit, [name for name in names if name not in kept])
        mine = " and ".join(ROWS[name].label.lower() for name in kept)
        note = f"Your own {mine} stayed; Re-extract on its card replaces it." if kept else ""
        yield {self.page.status: "", self.page.notice: texts.notice(note)}

    def extract(self, visit: Visit, names: Sequence[str], job: str = "read") -> Iterator[Changes]:
        """One modality after the other, each shown as soon as it is there; ends where the photo is changed meanwhile.

        What the visitor makes of a modality while it is being read stays; Reset then brings what was read.
        `job`: whose Stop ends it.
        """
        photo = visit.photo
        yield from self.waiting()
        upscaler = self.engine.upscaler()
        for position, name in enumerate(names):
            if visit.photo is not photo:
                return
            slot = visit.slots[name]
            before = slot.value
            what = f"Reading the photo: {ROWS[name].label.lower()}"
            yield {self.page.status: texts.progress(position / len(names), what)}
            chosen = {} if slot.extractor is None else {name: slot.extractor}
            said: list[str] = []
            access = Access(visit.allowed, visit.stops[job], said.append)
            value = upscaler.extract(photo.rgb, (name,), chosen, access)[name]
            if visit.photo is not photo:
                return
            if slot.value is before:
                slot.set(value, "auto")
                yield self.card(visit, name)
            else:
                slot.extracted = value
            if said:
                yield {self.page.notice: texts.notice(" ".join(said))}
        if names:
            yield {self.page.photo_line: texts.photo_line(photo, upscaler.cleaner.damage(photo.rgb))}

    def ready(self, visit: Visit, job: Job) -> Iterator[Changes]:
        """What Run and Compare do first: read what is missing of the photo.

        Raises:
            ValueError: there is no photo, or it was changed meanwhile.
        """
        photo = visit.photo
        if photo is None:
            raise ValueError("Load a photo on the Studio tab first, or pick one of the examples.")
        with suppress(Stopped):  # what was read before is kept
            for changes in self.extract(visit, self.missing(visit), job.kind):
                yield {job.status: changes.pop(self.page.status, ""), **changes}
        if job.asked_to_stop(visit).is_set():
            return
        if visit.photo is not photo:
            raise ValueError("The photo was changed while the one before it was being read; start again.")

    @property
    def palette(self) -> Palette:
        """The classes that the loaded weights know."""
        return self.engine.upscaler().palette

    def missing(self, visit: Visit) -> list[str]:
        """What Run must extract before it can start."""
        return [name for name, slot in visit.slots.items() if slot.wants_extraction()]

    def card(self, visit: Visit, name: str) -> Changes:
        """Everything one card shows."""
        card, slot = self.page.cards[name], visit.slots[name]
        changes: Changes = {card.badge: texts.badge(slot.badge), card.on: slot.on}
        changes[card.detail] = self.detail(visit, name)
        if card.kind == "text":
            return {**changes, card.view: "" if slot.value is None else slot.value}
        photo = None if visit.photo is None else visit.photo.rgb
        shown = views.map_card(name, slot.value, photo, texts.MAP_EMPTY.get(name))
        if ROWS[name].classes and slot.value is not None:
            shown["tools"] = widgets.class_tools(self.palette)
        return {**changes, card.view: shown, card.seen: ""}

    def cards(self, visit: Visit) -> Changes:
        changes: Changes = {}
        for name in NAMES:
            changes |= self.card(visit, name) | self.extractors.shown(visit, name)
        return changes

    def detail(self, visit: Visit, name: str) -> str:
        """The line under a map: token counter of a text beside the quality words, legend of a map that has classes."""
        slot = visit.slots[name]
        if slot.value is None:
            return ""
        if ROWS[name].kind == "text":
            used, limit, _, cut = self.engine.upscaler().count_tokens(slot.value, visit.words)
            return texts.tokens(used, limit, cut)
        return texts.legend(self.palette.legend(slot.value)) if ROWS[name].classes else ""

    @guarded
    def toggle(self, visit: Visit, on: bool, *, name: str) -> Changes:
        visit.slots[name].on = bool(on)
        return {self.page.cards[name].badge: texts.badge(visit.slots[name].badge)}

    @guarded
    def painted(self, visit: Visit, value: dict, *, name: str) -> Changes:
        """The painter was closed with Apply."""
        slot, card = visit.slots[name], self.page.cards[name]
        if slot.value is None:  # the photo was changed while the dialog was open
            raise ValueError(f"The {ROWS[name].label.lower()} that you painted on was of an earlier photo.")
        try:
            painted = ROWS[name].checked(views.painted(name, slot.value, value["src"]), self.palette)
        except ValueError as error:  # the card goes back to the map that is in use
            return {**self.card(visit, name), self.page.notice: handlers.refusal(error)}
        slot.set(painted, "edited")
        return {card.badge: texts.badge(slot.badge), card.detail: self.detail(visit, name), card.seen: ""}

    @guarded
    def wrote(self, visit: Visit, text: str, *, name: str) -> Changes | None:
        """The caption was typed; the page's own writing to the box changes nothing."""
        slot, card = visit.slots[name], self.page.cards[name]
        if text == ("" if slot.value is None else slot.value):
            return None
        slot.set(text, "edited" if text != slot.extracted else "auto")
        return {card.badge: texts.badge(slot.badge), card.detail: self.detail(visit, name)}

    @guarded
    def worded(self, visit: Visit, words: str) -> Changes:
        """Other quality words leave other room for the caption."""
        visit.words = words or ""
        return {self.page.cards[name].detail: self.detail(visit, name) for name in NAMES if ROWS[name].kind == "text"}

    @guarded
    def reset(self, visit: Visit, *, name: str) -> Changes:
        """Back to what was extracted from this photo."""
        slot = visit.slots[name]
        if slot.extracted is None:
            slot.value, slot.source, slot.stale = None, "none", False
            note = f"The {ROWS[name].label.lower()} of this photo will be extracted by Run, or now with Re-extract."
            return {**self.card(visit, name), self.page.notice: texts.notice(note)}
        slot.set(slot.extracted, "auto")
        return self.card(visit, name)

    @guarded
    def upload(self, visit: Visit, path: str | None, invert: bool, *, name: str) -> Changes | None:
        """Already a map: brought to the exact form the model expects, with a word about what had to change."""
        if path is None:
            return None
        given = _raw(path, bool(invert))
        value = ROWS[name].checked(given, self.palette)
        visit.slots[name].set(value, "uploaded")
        share = compare.changed(given, value) if ROWS[name].classes and given.mode == "RGB" else 0
        note = f"{100 * share:.0f} % of the map had colours of no class and went to the nearest one." if share else ""
        return {**self.card(visit, name), self.page.notice: texts.notice(note, "warn")}

    @guarded
    def download(self, visit: Visit, *, name: str, bits: int = 8) -> Changes:
        """A map as PNG; 16 bits hold the same values times 257."""
        value = visit.slots[name].value
        if value is None:
            raise ValueError(f"There is no {ROWS[name].label.lower()} yet; load a photo first.")
        path = visit.folder / f"{name}{'-16bit' if bits == 16 else ''}.png"
        image = value if bits == 8 else Image.fromarray(np.asarray(value.convert("L"), dtype=np.uint16) * 257)
        image.save(path)
        return {self.page.file: str(path)}

    @guarded
    def see(self, visit: Visit, *, name: str) -> Changes:
        """What is left of the map once it has gone through the tokens."""
        value = visit.slots[name].value
        if value is None:
            raise ValueError(f"There is no {ROWS[name].label.lower()} yet; load a photo first.")
        seen = views.data_url(fitted(self.engine.upscaler().see(name, value).convert("RGB"), 512))
        alt = f"What the model sees of the {ROWS[name].label.lower()}"
        caption = "<figcaption>What the model sees: 256 tokens</figcaption>"
        figure = f'<figure class="seen"><img src="{seen}" alt="{alt}">{caption}</figure>'
        return {self.page.cards[name].seen: figure}

    @guarded
    def protected(self, visit: Visit, value: dict) -> Changes:
        """The protect brush was closed with Apply."""
        mask = views.from_data_url(value["src"]).convert("L")
        visit.mask = mask if mask.getextrema()[1] > 0 else None
        return {self.page.mask_line: texts.mask_line(visit.mask) or texts.fact("Nothing is protected")}

    def protection(self, visit: Visit) -> Changes:
        """The card of the protected region."""
        if visit.photo is None:
            return {self.page.mask: None, self.page.mask_line: texts.mask_line(visit.mask)}
        size = visit.photo.rgb.size
        mask = Image.new("L", size) if visit.mask is None else visit.mask
        shown = views.map_card("protect", mask.convert("RGB"), visit.photo.rgb)
        return {self.page.mask: shown, self.page.mask_line: texts.mask_line(visit.mask)}


def _raw(path: str, invert: bool) -> Image.Image:
    """An uploaded map with its own values; inverted maps are grey."""
    return ImageOps.invert(open_map(path).convert("L")) if invert else open_map(path)
