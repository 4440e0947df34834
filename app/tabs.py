"""Layout of the Compare and Batch tabs."""

from __future__ import annotations

import gradio as gr

from app import texts, widgets
from app.compare import KINDS, WEIGHT
from app.page import Page
from mmsr_core.compare import GUIDANCE_MODES, SWEEP_TEMPERATURES, SWEEP_WEIGHTS
from mmsr_core.images import READABLE
from mmsr_core.modalities import MODALITIES
from mmsr_core.settings import declared


def compare_tab(page: Page) -> None:
    """What to compare on the left, the pictures on the right."""
    with gr.Row(elem_id="compare", elem_classes="split"):
        with gr.Column(elem_classes="pane side"):
            gr.HTML("<h2>Same photo, seed and noise; one thing changes</h2>")
            page.add(
                compare_kind=gr.Radio(
                    [(label, key) for key, label in KINDS.items()],
                    value="guidance",
                    label="What to compare",
                    elem_id="compare-kind",
                )
            )
            _options(page)
            with gr.Row(elem_classes="tight"):
                page.add(compare_start=gr.Button("Start", variant="primary", size="sm", elem_id="compare-start"))
                page.add(
                    compare_stop=gr.Button("Stop", variant="stop", size="sm", interactive=False, elem_id="compare-stop")
                )
            page.add(compare_status=gr.HTML("", elem_id="compare-status", elem_classes="status"))
            page.add(compare_notice=gr.HTML("", elem_id="compare-notice"))
            gr.HTML("<h2>Worked example</h2>")
            page.add(
                worked=gr.Button("Depth temperature 0.4 against 10 on a bundled photo", size="sm", elem_id="worked")
            )
            page.add(compare_numbers=gr.HTML("", elem_id="compare-numbers"))
        with gr.Column(elem_classes="pane wide"):
            page.add(
                compare_viewer=widgets.viewer("compare-viewer", "Two of the compared pictures", texts.COMPARE_EMPTY)
            )
            page.add(compare_sheet=gr.HTML("", elem_id="compare-sheet"))
            page.add(
                compare_save=gr.Button("Save the grid as PNG", size="sm", interactive=False, elem_id="compare-save")
            )


def _options(page: Page) -> None:
    hidden = {"visible": False}
    weights = ", ".join(f"{value:g}" for value in SWEEP_WEIGHTS)
    temperatures = ", ".join(f"{value:g}" for value in SWEEP_TEMPERATURES)
    low, high = declared("weight").metadata["range"]
    page.add(compare_weight=gr.Slider(low, high, WEIGHT, step=0.1, label="Weight w", elem_id="compare-weight"))
    page.add(compare_weights=gr.Textbox(weights, label="Weights w, 0 to 14", elem_id="compare-weights", **hidden))
    page.add(
        compare_modes=gr.CheckboxGroup(
            list(GUIDANCE_MODES), value=["cfg", "m-cfg"], label="Guidance modes", elem_id="compare-modes", **hidden
        )
    )
    names = [(row.label, row.name) for row in MODALITIES]
    page.add(compare_name=gr.Dropdown(names, value="depth", label="Modality", filterable=False, **hidden))
    page.add(
        compare_temperatures=gr.Textbox(
            temperatures, label="Temperatures, 0.4 to 10", elem_id="compare-temperatures", **hidden
        )
    )


def batch_tab(page: Page) -> None:
    """Files in, one zip out."""
    with gr.Row(elem_id="batch", elem_classes="split"):
        with gr.Column(elem_classes="pane side"):
            gr.HTML("<h2>Many photos, the settings of the Studio tab</h2>")
            page.add(
                batch_files=gr.File(
                    file_count="multiple", file_types=list(READABLE), label="Photos", height=150, elem_id="batch-files"
                ),
                batch_folder=gr.UploadButton(
                    "Choose a folder instead", file_count="directory", size="sm", elem_id="batch-folder"
                ),
            )
            gr.HTML(texts.BATCH_LINE)
            with gr.Row(elem_classes="tight"):
                page.add(batch_start=gr.Button("Start", variant="primary", size="sm", elem_id="batch-start"))
                page.add(
                    batch_stop=gr.Button("Stop", variant="stop", size="sm", interactive=False, elem_id="batch-stop")
                )
            page.add(batch_status=gr.HTML("", elem_id="batch-status", elem_classes="status"))
            page.add(batch_notice=gr.HTML("", elem_id="batch-notice"))
        with gr.Column(elem_classes="pane wide"):
            page.add(batch_report=gr.HTML(texts.report([]), elem_id="batch-report"))
            page.add(batch_save=gr.Button("Download all as zip", size="sm", interactive=False, elem_id="batch-save"))
