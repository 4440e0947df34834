"""Bring settings back: from a result picture, a recipe file, the history of the session, or a starting point."""

from __future__ import annotations

import contextlib
import copy
import secrets
from dataclasses import replace
from typing import Any

import gradio as gr
from PIL import Image

from app import controls, part, texts, views
from app.handlers import Changes, Handlers, guarded
from app.maps import Maps
from app.run import Run, picture
from app.starts import KEPT, OWN, STARTS, SUFFIXES
from app.visit import Visit
from app.widgets import Upload
from mmsr_core.images import Photo, read_recipe
from mmsr_core.intake import shrunk, taken
from mmsr_core.recipe import Recipe
from mmsr_core.settings import Settings


class Restore(Handlers):
    """Handlers that write to many controls at once."""

    def __init__(self, maps: Maps, run: Run) -> None:
        super().__init__(maps.engine, maps.page)
        self.maps, self.run = maps, run

    def settings(self, settings: Settings, new_seed: bool) -> Changes:
        """Every control gets its value; no starting point and no choice of words is shown any more."""
        values = [*controls.write(settings), new_seed]
        own = {self.page.start: OWN, self.page.start_help: "", self.page.suffix: None}
        return {**dict(zip(self.page.values(), values, strict=True)), **own}

    @guarded
    def drop(self, visit: Visit, given: Upload | None, *values: Any) -> Changes:
        """The photo box: a photo is used, a result picture brings its recipe back."""
        text = None
        with contextlib.suppress(ValueError):  # what is wrong with the file, the maps part says better
            text = None if given is None else read_recipe(given.path)
        if text is None:
            return {self.page.as_photo: gr.Button(visible=False), **self.maps.drop(visit, given, *values)}
        visit.pending = given
        return {
            **self.recipe(visit, text),
            self.page.as_photo: gr.Button(visible=True),
            self.page.photo: views.boxed(visit.photo),
        }

    @guarded
    def as_photo(self, visit: Visit, *values: Any) -> Changes:
        """The dropped result picture is meant as a photo after all."""
        given = visit.pending
        if given is None:
            return None
        photo, note = taken(given.path, self.engine.options.max_pixels, given.name)
        return {**self.maps.use(visit, photo, note, *values), self.page.as_photo: gr.Button(visible=False)}

    @guarded
    def further(self, visit: Visit, *values: Any) -> Changes:
        """The result that is shown becomes the photo."""
        run = visit.finished
        rgb, alpha = picture(run), run.photo.alpha
        alpha = None if alpha is None else alpha.resize(rgb.size, Image.Resampling.BICUBIC)
        photo = replace(run.photo, rgb=rgb, alpha=alpha, name=run.file_name("png"), source_format="Result", bits=8)
        return self.maps.use(visit, *shrunk(photo, self.engine.options.max_pixels), *values)

    @guarded
    def upload(self, visit: Visit, path: str | None) -> Changes:
        """A recipe or a result picture dropped anywhere on the page."""
        if path is None:
            return None
        text = read_recipe(path)
        if text is None:
            raise ValueError("This picture carries no recipe; drop it on the photo box to use it as a photo.")
        return self.recipe(visit, text)

    def recipe(self, visit: Visit, text: str) -> Changes:
        """Settings, seed and maps of a recipe; the photo too where this session knows it."""
        recipe = Recipe.from_json(text)
        changes: Changes = self.settings(recipe.used_settings(), new_seed=False)
        known = next((run for run in visit.history if recipe.fits(run.photo.rgb)), None)
        if (visit.photo is None or not recipe.fits(visit.photo.rgb)) and known is not None:
            if known.whole is not None:
                return {**changes, **self.of_part(visit, recipe, known.whole.photo)}
            changes |= self.maps.use(visit, known.photo, "", *controls.write(recipe.settings), False)
        fits = visit.photo is not None and recipe.fits(visit.photo.rgb)
        visit.expected = None if fits else recipe
        if visit.photo is not None and not fits:
            return {**changes, self.page.notice: texts.notice(texts.OTHER_PHOTO, "warn")}
        visit.take(recipe)
        note = "Settings, seed and maps restored." + ("" if fits else " Now drop the original photo to make it again.")
        changes |= {self.page.plan: self.plan(visit, recipe.settings), **self.maps.cards(visit)}
        changes |= self.maps.protection(visit)
        return {**changes, self.page.notice: texts.notice(note)}

    def of_part(self, visit: Visit, recipe: Recipe, photo: Photo) -> Changes:
        """What a part of a photo has to say about the whole: nothing of its maps."""
        changes: Changes = {}
        if visit.photo is not photo:
            changes = self.maps.use(visit, photo, "", *controls.write(recipe.settings), False)
        for name, slot in visit.slots.items():
            slot.on = recipe.sources.get(name, "off") != "off"
        changes |= {self.page.plan: self.plan(visit, recipe.settings), **self.maps.cards(visit)}
        return {**changes, self.page.notice: texts.notice(texts.PART_RESTORED)}

    @guarded
    def choose(self, visit: Visit, event: gr.EventData) -> Changes:
        """A run of the history: its photo, maps, settings and result; of a part the whole photo with its maps."""
        position = int(event.index)
        if not 0 <= position < len(visit.history):
            return None
        run = visit.history[position]
        changes = self.settings(run.settings.with_(seed=run.result.seed), new_seed=False)
        whole = run.origin
        if visit.photo is not whole.photo:
            visit.reference = None
        if visit.photo is not whole.photo or whole is run:  # a part does not know what is wrong with the whole
            damage = None if whole.result is None else whole.result.damage
            changes |= {self.page.photo_line: texts.photo_line(whole.photo, damage)}
        visit.photo, visit.mask, visit.finished = whole.photo, whole.mask, run
        visit.slots = {name: copy.copy(slot) for name, slot in whole.slots.items()}
        shown = part.shown(whole.photo, run.box)
        changes |= {
            self.page.photo: views.boxed(whole.photo),
            self.page.part: shown,
            **self.plans(visit, run.settings, shown),
            **self.maps.cards(visit),
            **self.maps.protection(visit),
            **self.run.finished(visit),
        }
        return {**changes, self.page.notice: texts.notice(f"Restored: {texts.run_title(run)}")}

    @guarded
    def start(self, visit: Visit, name: str | None, *values: Any) -> Changes:
        """A named starting point; text, seed and size stay as they are."""
        if name not in STARTS:
            return None
        start, now, plain = STARTS[name], controls.read(values), self.engine.defaults
        kept = {key: getattr(now.settings, key) for key in KEPT}
        settings = plain.with_(**{**kept, **start.changes})
        changes, back = {**self.settings(settings, now.new_seed), self.page.start: name}, []
        changes.pop(self.page.suffix)  # it changes no words
        for key, slot in visit.slots.items():
            back += [key] if not slot.on and key not in start.off else []
            slot.on = key not in start.off
            changes |= {self.page.cards[key].on: slot.on, self.page.cards[key].badge: texts.badge(slot.badge)}
        if back:
            changes |= {self.page.notice: texts.notice(f"Switched on again: {', '.join(back)}.")}
        return {**changes, self.page.start_help: start.help}

    @guarded
    def reset(self, visit: Visit) -> Changes:
        """Every control to its default, every modality on; photo, maps and results stay."""
        first = next(iter(STARTS))
        plain, help_line = self.engine.defaults, STARTS[first].help
        changes = {**self.settings(plain, True), self.page.start: first, self.page.start_help: help_line}
        for key, slot in visit.slots.items():
            slot.on = True
            changes |= {self.page.cards[key].on: True, self.page.cards[key].badge: texts.badge(slot.badge)}
        return changes

    @guarded
    def suffix(self, visit: Visit, name: str) -> Changes:
        return {self.page.settings["positive"]: SUFFIXES[name]}

    @guarded
    def dice(self, visit: Visit) -> Changes:
        return {self.page.seed: secrets.randbelow(2**32), self.page.new_seed: False}

    @guarded
    def reuse(self, visit: Visit) -> Changes:
        if visit.seed is None:
            raise ValueError("There is no run yet whose seed could be used again.")
        return {self.page.seed: visit.seed, self.page.new_seed: False}
