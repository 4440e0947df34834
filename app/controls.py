"""`Settings` -> widgets -> `Settings`. Label, range, choices and help come from the declaration, never from here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app import widgets
from mmsr_core.modalities import MODALITIES
from mmsr_core.settings import Settings, declared, names

TEMPERATURE = "temperature"
NEW_SEED, PRESET = "new_seed", "preset"
LONG = ("negative", "positive")


def keys_in_order() -> list[str]:
    """One key per widget, in the order of `Settings`; a temperature is "temperature.depth"."""
    found = []
    for name in names():
        metadata = declared(name).metadata
        found += [f"{name}.{part}" for part in metadata["keys"]] if "keys" in metadata else [name]
    return found


def control(name: str, **changes: Any) -> gr.components.Component:
    """The widget of one setting."""
    spec = declared(name)
    about = spec.metadata
    label = f"{about['label']} ({about['unit']})" if about.get("unit") not in (None, name) else about["label"]
    common = {"label": label, "info": about["help"], "elem_id": f"set-{name}", **changes}
    if "choices" in about:
        if len(about["choices"]) > 3:
            return gr.Dropdown(list(about["choices"]), value=spec.default, filterable=False, **common)
        return gr.Radio(list(about["choices"]), value=spec.default, **common)
    if about.get("typed"):
        return gr.Number(value=spec.default, precision=0, **common)  # `Settings` checks the range, with a sentence
    if "range" in about:
        low, high = about["range"]
        return gr.Slider(low, high, value=spec.default, step=about.get("step"), **common)
    if isinstance(spec.default, bool):
        return gr.Checkbox(value=spec.default, **common)
    return gr.Textbox(value=spec.default, lines=2, max_lines=4, **common)


def temperature(name: str) -> gr.HTML:
    """The logarithmic dial of one modality."""
    row = next(row for row in MODALITIES if row.name == name)
    return widgets.dial(name, row.label, declared(TEMPERATURE).metadata["range"], row.ends)


@dataclass(frozen=True)
class Values:
    """The settings on the page and whether a new seed is wanted for the next run."""

    settings: Settings
    new_seed: bool

    @property
    def drawn(self) -> Settings:
        """What a run gets: without a seed where a new one is to be drawn."""
        return self.settings.with_(seed=None) if self.new_seed else self.settings


def read(values: Sequence[Any]) -> Values:
    """Values of the widgets in the order of `keys_in_order()`, then the "new seed" box -> validated settings.

    Raises:
        ValueError: a value outside its range, with what was got and wanted.
    """
    *plain, new_seed = values
    found: dict[str, Any] = {TEMPERATURE: {}}
    for key, value in zip(keys_in_order(), plain, strict=True):
        name, _, part = key.partition(".")
        if part:
            if value is not None and float(value) != 1.0:
                found[name][part] = float(value)
        else:
            found[name] = (value or "") if name in LONG else value
    return Values(Settings.from_dict(found), bool(new_seed))


def kept(text: str | None, preset: str, defaults: Settings) -> Values:
    """What a browser kept of an earlier visit, JSON of keys with "preset" and "new_seed"; else the defaults."""
    plain = dict(zip(keys_in_order(), write(defaults), strict=True)) | {NEW_SEED: True}
    try:
        stored = json.loads(text or "{}")
        same = stored.get(PRESET) == preset  # what suits one model does not suit the other
        return read([stored.get(key, value) if same else value for key, value in plain.items()])
    except (AttributeError, TypeError, ValueError):  # of another version of the page
        return Values(defaults, True)


def write(settings: Settings) -> list[Any]:
    """Settings -> values of the widgets in the order of `keys_in_order()`."""
    found = []
    for key in keys_in_order():
        name, _, part = key.partition(".")
        found.append(settings.temperature_of(part) if part else getattr(settings, name))
    return found
