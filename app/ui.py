"""The layout of the page. What the widgets do is wired in `wiring.py`."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from app import api, controls, examples, part, texts, visit, widgets, wiring
from app.engine import Engine
from app.page import Card, Page
from app.starts import OWN, STARTS, SUFFIXES
from app.tabs import batch_tab, compare_tab
from mmsr_core.modalities import MODALITIES

HERE = Path(__file__).resolve().parent
FONTS = ["-apple-system", "Segoe UI", "Inter", "Roboto", "Noto Sans", "Liberation Sans", "sans-serif"]
STYLES = ("base", "studio", "widgets", "small")
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
PANES = (("photo", "Photo"), ("maps", "Maps"), ("steer", "Steer"), ("result", "Result"))
SAVE_FORMATS = ["png", "jpg", "webp", "tiff"]


def build(engine: Engine) -> gr.Blocks:
    """The whole page, wired to `engine`, which loads when the first visitor comes."""
    with gr.Blocks(title=texts.TITLE, analytics_enabled=False, delete_cache=(600, 3600), fill_width=True) as demo:
        page = Page(gr.State(None, delete_callback=visit.close, time_to_live=6 * 3600))
        page.add(kept=gr.Textbox(visible="hidden", elem_id="kept"))
        _header(page)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Studio", id="studio", elem_id="studio-tab"):
                gr.HTML(_pane_bar(), js_on_load=_script("panes"), elem_id="pane-bar")
                with gr.Row(elem_id="studio", equal_height=False):
                    _left(page)
                    _maps(page)
                    _right(page)
            with gr.Tab("Compare", id="compare", elem_id="compare-tab"):
                compare_tab(page)
            with gr.Tab("Batch", id="batch", elem_id="batch-tab"):
                batch_tab(page)
            with gr.Tab("Help", id="help", elem_id="help-tab"):
                gr.Markdown(texts.HELP, elem_id="help")
        page.add(file=gr.DownloadButton("Download", visible="hidden", elem_id="download-file"))
        wiring.wire(demo, engine, page)
        api.endpoints(engine)
    return demo


def look() -> dict:
    """What `launch()` needs so that the page looks as it should: theme, style sheet, no outside request."""
    theme = gr.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        font=FONTS,
        font_mono=MONO,
        radius_size="sm",
        spacing_size="sm",
        text_size="sm",
    )
    return {"theme": theme, "css_paths": [HERE / "css" / f"{name}.css" for name in STYLES], "js": _script("page")}


def _script(name: str) -> str:
    return (HERE / "js" / f"{name}.js").read_text("utf-8")


def _pane_bar() -> str:
    buttons = "".join(
        f'<button type="button" data-pane="{key}" aria-pressed="{str(key == "photo").lower()}">{label}</button>'
        for key, label in PANES
    )
    return f'<nav class="pane-bar" aria-label="Parts of the studio">{buttons}</nav>'


def _header(page: Page) -> None:
    with gr.Row(elem_id="header"):
        gr.HTML(f"<h1>{texts.TITLE}</h1>", elem_id="brand")
        page.add(engine_line=gr.HTML(texts.engine_line("Loading"), elem_id="engine-line"))
        page.add(theme=gr.Button("◐", elem_id="theme-button", elem_classes="quiet", size="sm"))


def _left(page: Page) -> None:
    with gr.Column(elem_id="left", scale=3, min_width=240):
        with gr.Column(elem_id="pane-photo", elem_classes="pane"):
            page.add(photo=widgets.photo_box())
            page.add(photo_line=gr.HTML("", elem_id="photo-line"))
            page.add(as_photo=gr.Button("Upscale this picture instead", visible=False, size="sm"))
            with gr.Accordion(texts.PART_TITLE, open=False, elem_id="part-fold"):
                page.add(part=widgets.part("part", part.SIDES))
                with gr.Row(elem_classes="tight"):
                    page.add(run_part=gr.Button(texts.PART_RUN, size="sm", elem_id="run-part"))
                    page.add(part_plan=gr.HTML("", elem_id="part-plan"))
            page.add(examples=widgets.shelf("examples", "No examples bundled."))
            page.examples.value = examples.shelf()
        with gr.Column(elem_id="pane-steer", elem_classes="pane"):
            _steer(page)


def _steer(page: Page) -> None:
    settings = {}
    with gr.Row(elem_classes="tight pane-head"):
        gr.HTML("<h2>Steer</h2>")
        page.add(reset_all=gr.Button("Reset all", size="sm", elem_id="reset-all"))
    first = next(iter(STARTS))
    page.add(start=gr.Dropdown([*STARTS, OWN], value=first, label="Starting point", filterable=False, elem_id="start"))
    page.add(start_help=gr.Markdown(STARTS[first].help, elem_classes="help-line"))
    settings["guidance"] = controls.control("guidance")
    settings["weight"] = controls.control("weight")
    settings["steps"] = controls.control("steps")
    settings["scale"] = controls.control("scale")
    settings["cleanup"] = controls.control("cleanup")
    with gr.Accordion("Words", open=False):
        page.add(
            suffix=gr.Radio(list(SUFFIXES), label="Quality words added to the caption", value=None, elem_id="suffix")
        )
        settings["positive"] = controls.control("positive")
        settings["negative"] = controls.control("negative")
    with gr.Accordion("Seed", open=False):
        page.add(new_seed=gr.Checkbox(True, label="New seed for every run", elem_id="new-seed"))
        settings["seed"] = controls.control("seed")
        with gr.Row(elem_classes="tight"):
            page.add(dice=gr.Button("Dice", size="sm"), reuse=gr.Button("Reuse last", size="sm"))
    with gr.Accordion("Protect a region", open=False):
        page.add(mask=widgets.painter("protect", "protected region", texts.MASK_EMPTY, verb="Paint"))
        page.add(mask_line=gr.HTML("", elem_id="mask-line"))
    with gr.Accordion("Advanced", open=False):
        for name in ("sampler", "tile", "overlap", "temperature_form"):
            settings[name] = controls.control(name)
    page.add(seed=settings["seed"])
    page.settings |= settings


def _maps(page: Page) -> None:
    with gr.Column(elem_id="pane-maps", elem_classes="pane", scale=4, min_width=300):
        with gr.Row(elem_classes="tight pane-head"):
            gr.HTML("<h2>What the model looks at</h2>")
            page.add(extract_all=gr.Button("Re-extract all", size="sm", elem_id="extract-all"))
        with gr.Row(elem_id="cards"):
            for row in [*MODALITIES[1:], MODALITIES[0]]:  # the pictures first, the caption below them
                page.cards[row.name] = _card(page, row)
        page.settings["edit_strength"] = controls.control("edit_strength")
        page.cards = {row.name: page.cards[row.name] for row in MODALITIES}


def _card(page: Page, row) -> Card:
    with gr.Column(elem_id=f"card-{row.name}", elem_classes=f"card card-{row.kind}", min_width=170):
        with gr.Row(elem_classes="tight card-head"):
            on = gr.Checkbox(True, label=row.label, elem_classes="card-on", info=None, container=False)
            badge = gr.HTML(texts.badge("none"), elem_classes="card-badge")
        card = Card(row.name, row.kind, on, badge, _view(row), gr.HTML("", elem_classes="card-detail"))
        page.settings[f"temperature.{row.name}"] = controls.temperature(row.name)
        with gr.Row(elem_classes="tight card-tools"):
            card.reextract = gr.Button("Re-extract", size="sm", elem_id=f"reextract-{row.name}")
            card.reset = gr.Button("Reset", size="sm", elem_id=f"reset-{row.name}")
            if row.kind == "map":
                card.see = gr.Button("Model’s view", size="sm", elem_id=f"see-{row.name}")
        card.seen = gr.HTML("", elem_classes="card-seen")
        if row.kind == "map" or len(row.extractors) > 1:
            _more(card, row)
    return card


def _view(row) -> gr.HTML | gr.Textbox:
    if row.kind == "map":
        return widgets.painter(row.name, row.label.lower(), texts.MAP_EMPTY.get(row.name, ""))
    return gr.Textbox(
        label=f"{row.label} text",
        placeholder=row.help,
        lines=2,
        max_lines=5,
        elem_id=f"map-{row.name}",
        show_label=False,
    )


def _more(card: Card, row) -> None:
    title = "Source" if row.kind == "text" else "Source and files" if len(row.extractors) > 1 else "Files"
    with gr.Accordion(title, open=False, elem_classes="card-more"):
        if len(row.extractors) > 1:
            _extractors(card, row)
        if row.kind != "map":
            return
        if row.name in texts.POLARITY:
            card.invert = gr.Checkbox(
                False, label=texts.POLARITY[row.name], container=False, elem_id=f"invert-{row.name}"
            )
        with gr.Row(elem_classes="tight"):
            card.upload = gr.UploadButton("Upload a map", file_types=["image"], size="sm", elem_id=f"upload-{row.name}")
            card.save.append(gr.Button("Save PNG", size="sm", elem_id=f"save-{row.name}"))
            if row.name == "depth":
                card.save.append(gr.Button("16-bit", size="sm", elem_id=f"save16-{row.name}"))


def _extractors(card: Card, row) -> None:
    """Which extractor reads this modality; consent and key show only for one that sends the photo away."""
    ways = row.extractors
    first = next(iter(ways))
    choices = [(way.label, name) for name, way in ways.items()]
    card.extractor = gr.Dropdown(choices, value=first, label=f"{row.label} extractor", filterable=False)
    card.about = gr.HTML(texts.fact(ways[first].help), elem_classes="card-about")
    if any(way.consent for way in ways.values()):
        card.consent = gr.Checkbox(False, label="Consent", visible=False, elem_id=f"consent-{row.name}")
        card.key = gr.Textbox(label="Key of the service", type="password", visible=False, elem_id=f"key-{row.name}")


def _right(page: Page) -> None:
    with gr.Column(elem_id="pane-result", elem_classes="pane", scale=6, min_width=320):
        with gr.Column(elem_id="run-head"):  # stays in view, whatever else is scrolled
            with gr.Row(elem_id="run-bar", elem_classes="tight"):
                page.add(run=gr.Button("Run", variant="primary", elem_id="run"))
                page.add(stop=gr.Button("Stop", variant="stop", interactive=False, elem_id="stop"))
                with gr.Column(elem_id="run-info"):
                    page.add(plan=gr.HTML(texts.PLAN_EMPTY, elem_id="plan"))
                    page.add(status=gr.HTML("", elem_id="status", elem_classes="status"))
            page.add(notice=gr.HTML("", elem_id="notice"))
        page.add(viewer=widgets.viewer("viewer", "Result beside the plain upscale", texts.RESULT_EMPTY))
        with gr.Column(elem_id="below-viewer"):
            page.add(readout=gr.HTML("", elem_id="readout"))
            _downloads(page)
            with gr.Accordion("How much each modality was heard", open=True, elem_id="heard"):
                page.add(attention=gr.HTML(texts.ATTENTION_EMPTY, elem_id="attention"))
            gr.HTML("<h2>History of this session</h2>")
            page.add(history=widgets.shelf("history", texts.HISTORY_EMPTY))
            _uploads(page)


def _downloads(page: Page) -> None:
    with gr.Row(elem_id="downloads"):
        with gr.Row(elem_id="choices"):
            page.settings["color"] = controls.control("color", info=None, min_width=120)
            page.add(form=gr.Dropdown(SAVE_FORMATS, value="png", label="Format", filterable=False, elem_id="form"))
            page.settings["long_side"] = controls.control("long_side", label="Longest side, 0 = all", info=None)
            page.settings["strip_gps"] = controls.control("strip_gps", info=None)
        with gr.Row(elem_id="hand-over"):
            page.add(further=gr.Button("Enlarge further", interactive=False, size="sm", elem_id="further"))
            page.add(save_recipe=gr.Button("Recipe", interactive=False, size="sm", elem_id="save-recipe"))
            page.add(bundle=gr.Button("Zip with maps", interactive=False, size="sm", elem_id="bundle"))
            page.add(save=gr.Button("Download", interactive=False, size="sm", elem_id="save", variant="primary"))


def _uploads(page: Page) -> None:
    with gr.Row(elem_classes="tight"):
        page.add(restore=_upload("Restore from a result or recipe", [".json", "image"], "restore"))
        page.add(reference=_upload("Reference photo for metrics", ["image"], "reference"))


def _upload(label: str, kinds: list[str], elem_id: str) -> gr.UploadButton:
    return gr.UploadButton(label, file_types=kinds, size="sm", elem_id=elem_id)
