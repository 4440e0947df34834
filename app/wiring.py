"""Which widget calls which handler. Nothing is computed here."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from app import controls, examples, texts
from app.batch import Batch
from app.compare import Compare
from app.engine import Engine
from app.handlers import DEVICE, Changes
from app.job import Job
from app.maps import NAMES, Maps
from app.page import Page
from app.restore import Restore
from app.run import Run
from app.starts import KEPT, OWN
from app.visit import Visit
from app.widgets import Upload
from mmsr_core.settings import Settings

# Nothing of the page is an API; the documented endpoints stand in `api.py`.
# Gradio drops an event whose handler still works on the one before ("once"); the last word of an input must be heard,
# and work that was asked for must be done. Only what needs the device waits in the queue, which may be full.
HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE: dict[str, Any] = {**HIDDEN, "queue": False}
LATEST: dict[str, Any] = {**AT_ONCE, "trigger_mode": "always_last"}
ON_DEVICE: dict[str, Any] = {**HIDDEN, "concurrency_id": DEVICE, "concurrency_limit": 1, "trigger_mode": "multiple"}


def wire(demo: gr.Blocks, engine: Engine, page: Page) -> None:
    """Connect everything."""
    page.settings = {key: page.settings[key] for key in controls.keys_in_order()}
    maps = Maps(engine, page)
    run = Run(maps)
    restore = Restore(maps, run)
    _load(demo, engine, page)
    _photo(page, maps, restore)
    _cards(page, maps)
    _steer(page, maps, restore)
    _run(page, run)
    _result(page, maps, run, restore)
    _compare(page, Compare(maps))
    _batch(page, Batch(engine, page))


def _load(demo: gr.Blocks, engine: Engine, page: Page) -> None:
    extractors = {name: card.extractor for name, card in page.cards.items() if card.extractor is not None}

    def greet(kept: str | None):
        """A fresh visit, with the settings of the last one; what is loaded, where it is."""
        values = controls.kept(kept, engine.options.preset, engine.defaults)
        first = {page.visit: Visit(words=values.settings.positive), page.kept: engine.options.preset}
        stage = loaded() if engine.ready else {page.engine_line: texts.engine_line("Loading")}
        return {**first, **_found(engine, page, values), **stage}

    def stages():
        """The stages of loading, then what is loaded."""
        if engine.ready:
            yield gr.skip()
            return
        for stage in engine.stages():
            yield {page.engine_line: texts.engine_line(stage.capitalize(), engine.failed)}
        if engine.ready:
            yield loaded()

    def loaded():
        """The line about the weights, and how they read photos."""
        defaults = engine.upscaler().readers.defaults
        chosen = {box: defaults[name] for name, box in extractors.items() if name in defaults}
        return {page.engine_line: texts.info_line(engine.upscaler().info), **chosen}

    about = [page.engine_line, *extractors.values()]
    outputs = [page.visit, page.kept, page.notice, page.start, page.start_help, *page.values(), *about]
    recall, keep = _kept_in_browser(page)
    greeted = demo.load(greet, page.kept, outputs, js=recall, **AT_ONCE)
    greeted.then(stages, None, about, **HIDDEN, concurrency_limit=None)
    changes = [widget.change for widget in page.values()]
    gr.on(changes, None, [page.kept, *page.values()], js=keep, api_visibility="private")
    page.theme.click(None, js="() => window.toggleTheme()", api_visibility="private")


def _kept_in_browser(page: Page) -> tuple[str, str]:
    """Scripts that read and write the settings kept in the browser; where storage is forbidden, nothing is kept.

    `gr.BrowserState` does not serve: in a frame without storage it keeps the page from loading every other time.
    """
    keys = json.dumps([controls.PRESET, *page.settings, controls.NEW_SEED])
    recall = "() => { try { return [localStorage.getItem('mmsr-settings')]; } catch { return [null]; } }"
    text = f"JSON.stringify(Object.fromEntries({keys}.map((key, place) => [key, values[place]])))"
    keep = f"(...values) => {{ try {{ localStorage.setItem('mmsr-settings', {text}); }} catch {{ }} return []; }}"
    return recall, keep


def _found(engine: Engine, page: Page, values: controls.Values) -> dict[Any, Any]:
    """The controls as the visitor left them, or at what suits the preset, where they were made with something else."""
    found = dict(zip(page.values(), [*controls.write(values.settings), values.new_seed], strict=True))
    if values.settings != engine.defaults:
        return {**found, page.start: OWN, page.start_help: "", page.notice: texts.notice(texts.SETTINGS_KEPT)}
    return {} if engine.defaults == Settings() and values.new_seed else found


def _photo(page: Page, maps: Maps, restore: Restore) -> None:
    own = [page.notice, page.photo, page.photo_line, page.mask, page.mask_line, page.as_photo]
    own += [page.visit, page.start, page.start_help, page.suffix, *page.plans(), page.part]
    everything = [*own, *page.values(), *page.card_outputs()]
    inputs = [page.visit, *page.values()]

    def example(visit: Visit, *args: Any):
        *values, event = args
        path = examples.path(int(event.index))
        return restore.drop(visit, Upload(str(path), path.name), *values)

    def example_picked(visit: Visit, event: gr.EventData, *values: Any):
        return example(visit, *values, event)

    drop = page.photo.input(restore.drop, [page.visit, page.photo, *page.values()], everything, **LATEST)
    pick = page.examples.select(example_picked, inputs, everything, **LATEST)
    anyway = page.as_photo.click(restore.as_photo, inputs, everything, **AT_ONCE)
    further = page.further.click(restore.further, inputs, everything, **AT_ONCE)
    further.then(None, js="() => window.choosePane('photo')", api_visibility="private")
    for event in (drop, pick, anyway, further):
        _read(page, maps, event)
    page.extract_all.click(partial(maps.extract_again, names=NAMES), page.visit, page.read(), **ON_DEVICE)


def _read(page: Page, maps: Maps, event: gr.events.Dependency) -> None:
    """After a new photo its maps; and its cost, which nobody knew while the model was being loaded."""
    read = event.then(maps.extract_new, page.visit, page.read(), **ON_DEVICE)
    read.then(maps.planned, page.planned(), page.plans(), **LATEST)


def _cards(page: Page, maps: Maps) -> None:
    for name, card in page.cards.items():
        own = [page.notice, *card.outputs()]
        switched = card.on.input(partial(maps.toggle, name=name), [page.visit, card.on], own, **LATEST)
        switched.then(maps.planned, page.planned(), page.plans(), **LATEST)
        again = partial(maps.extract_again, names=(name,))
        read = [page.notice, page.status, page.photo_line, *card.outputs()]
        card.reextract.click(again, page.visit, read, **ON_DEVICE)
        card.reset.click(partial(maps.reset, name=name), page.visit, own, **AT_ONCE)
        if card.kind == "text":
            card.view.change(partial(maps.wrote, name=name), [page.visit, card.view], own, **LATEST)
        else:
            _map_card(page, maps, name, own)
        if card.extractor is not None:
            choose = partial(maps.extractors.choose, name=name)
            card.extractor.input(choose, [page.visit, card.extractor], own, **LATEST)
        if card.consent is not None:
            agreed = partial(maps.extractors.allow, name=name)
            for event in (card.consent.input, card.key.input):
                event(agreed, [page.visit, card.consent, card.key], page.notice, **LATEST)


def _map_card(page: Page, maps: Maps, name: str, own: list[Any]) -> None:
    card = page.cards[name]
    card.view.input(partial(maps.painted, name=name), [page.visit, card.view], own, **LATEST)
    card.see.click(partial(maps.see, name=name), page.visit, own, **ON_DEVICE)
    invert = card.invert if card.invert is not None else gr.State(False)
    card.upload.upload(partial(maps.upload, name=name), [page.visit, card.upload, invert], own, **AT_ONCE)
    for bits, button in zip((8, 16), card.save, strict=False):
        download(button, page, partial(maps.download, name=name, bits=bits), [page.visit])


def download(
    button: gr.Button, page: Page, handler: Callable, inputs: list[Any], notice: gr.HTML | None = None
) -> None:
    """A button that makes a file and hands it over at once."""
    notice = page.notice if notice is None else notice

    def made(*args: Any) -> Changes:
        return {page.file: None, **handler(*args)}  # where nothing could be made, the file before is not handed over

    button.click(made, inputs, [notice, page.file], **AT_ONCE).then(
        None,
        js="() => setTimeout(() => document.querySelector('#download-file')?.click(), 50)",
        api_visibility="private",
    )


def start(
    page: Page, job: Job, button: gr.Button, handler: Callable, inputs: list[Any], outputs: list[Any]
) -> gr.events.Dependency:
    """A start button: what it says at once, then the work, and free buttons even where Gradio itself refuses."""
    bar = [page.visit, job.notice, job.status, *job.starters, job.stopper]
    slow = {**ON_DEVICE, "show_progress": "minimal", "show_progress_on": job.status}
    pressed = button.click(job.press, page.visit, bar, **AT_ONCE)
    worked = pressed.then(handler, inputs, [*bar, *outputs], **slow)
    worked.failure(job.refused, page.visit, bar, **AT_ONCE)
    return worked


def stop(page: Page, job: Job) -> None:
    """Stop is said by the browser, so that no late answer can overwrite what the job says when it has ended."""
    said = json.dumps(texts.progress(1, "Stopping after this step"))
    job.stopper.click(None, None, job.status, js=f"() => {said}", api_visibility="private")
    job.stopper.click(job.stop, page.visit, [job.notice, job.status, *job.starters, job.stopper], **AT_ONCE)


def _steer(page: Page, maps: Maps, restore: Restore) -> None:
    inputs = page.planned()
    for key in ("scale", "steps", "guidance", "weight", "tile", "overlap"):
        page.settings[key].change(maps.planned, inputs, page.plans(), **LATEST)
    page.part.input(maps.planned, inputs, page.plans(), **LATEST)
    words, counts = page.settings["positive"], [card.detail for card in page.cards.values() if card.kind == "text"]
    words.change(maps.worded, [page.visit, words], [page.notice, *counts], **LATEST)
    page.mask.input(maps.protected, [page.visit, page.mask], [page.notice, page.mask_line], **LATEST)
    badges = [part for card in page.cards.values() for part in (card.on, card.badge)]
    outputs = [page.notice, page.start, page.start_help, page.suffix, *page.values(), *badges]
    page.start.select(restore.start, [page.visit, page.start, *page.values()], outputs, **LATEST)
    page.reset_all.click(restore.reset, page.visit, outputs, **AT_ONCE)
    start, own = [page.start, page.start_help], f"() => ['{OWN}', '']"  # no starting point any more
    for key in [key for key in page.settings if key not in KEPT]:
        page.settings[key].input(None, None, start, js=own, api_visibility="private")
    page.suffix.input(restore.suffix, [page.visit, page.suffix], [page.notice, page.settings["positive"]], **LATEST)
    page.settings["positive"].input(None, None, page.suffix, js="() => [null]", api_visibility="private")
    page.dice.click(restore.dice, page.visit, [page.notice, page.seed, page.new_seed], **AT_ONCE)
    page.reuse.click(restore.reuse, page.visit, [page.notice, page.seed, page.new_seed], **AT_ONCE)
    page.seed.input(lambda: False, None, page.new_seed, **AT_ONCE)


def _run(page: Page, run: Run) -> None:
    shown = [page.viewer, page.readout, page.attention, *page.hand_over(), page.history]
    outputs = [*shown, page.photo_line, *page.card_outputs()]
    for button, handler, place in ((page.run, run.run, []), (page.run_part, run.run_part, [page.part])):
        worked = start(page, run, button, handler, [page.visit, *place, *page.values()], outputs)
        worked.then(run.learnt, page.planned(), [page.seed, *page.plans()], **LATEST)
        button.click(None, js="() => window.choosePane('result')", api_visibility="private")
    stop(page, run)


def _result(page: Page, maps: Maps, run: Run, restore: Restore) -> None:
    shown = [page.notice, page.viewer, page.readout, page.attention, *page.hand_over()]
    page.settings["color"].input(run.recolor, [page.visit, page.settings["color"]], shown, **LATEST)
    for name in ("strip_gps", "long_side"):
        amend = partial(run.amend, name=name)
        page.settings[name].input(amend, [page.visit, page.settings[name]], page.notice, **LATEST)
    page.reference.upload(run.refer, [page.visit, page.reference], shown, **AT_ONCE)
    download(page.save, page, run.save, [page.visit, page.form])
    download(page.bundle, page, run.bundle, [page.visit, page.form])
    download(page.save_recipe, page, run.save_recipe, [page.visit])
    settings = [*page.values(), page.start, page.start_help, page.suffix]
    photo = [page.visit, page.photo, page.photo_line, *page.plans(), page.part, page.mask, page.mask_line]
    restored = [page.notice, *settings, *photo, *page.card_outputs()]
    back = page.restore.upload(restore.upload, [page.visit, page.restore], restored, **AT_ONCE)
    _read(page, maps, back)
    page.history.select(restore.choose, page.visit, [*shown, *settings, *photo, *page.card_outputs()], **AT_ONCE)


def _compare(page: Page, handlers: Compare) -> None:
    options = [page.compare_weight, page.compare_weights, page.compare_modes]
    options += [page.compare_name, page.compare_temperatures]
    page.compare_kind.input(handlers.options, page.compare_kind, options, **LATEST)
    shown = [page.compare_viewer, page.compare_numbers, page.compare_sheet, page.compare_save]
    inputs = [page.visit, page.compare_kind, *options, *page.values()]
    start(page, handlers, page.compare_start, handlers.start, inputs, [*page.read(), *shown])  # maps may be missing
    start(page, handlers, page.worked, handlers.worked, [page.visit], shown)
    stop(page, handlers)
    download(page.compare_save, page, handlers.save, [page.visit], handlers.notice)


def _batch(page: Page, handlers: Batch) -> None:
    page.batch_folder.upload(
        handlers.chosen, [page.visit, page.batch_folder], [page.batch_notice, page.batch_files], **AT_ONCE
    )
    inputs = [page.visit, page.batch_files, page.form, *page.values()]
    start(page, handlers, page.batch_start, handlers.start, inputs, [page.batch_report, page.batch_save])
    stop(page, handlers)
    download(page.batch_save, page, handlers.save, [page.visit], handlers.notice)
