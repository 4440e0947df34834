"""Every sentence of the page, and the small HTML fragments they stand in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from PIL import Image, ImageStat

from mmsr_core.images import Photo
from mmsr_core.outcome import Damage
from mmsr_core.settings import Settings

TITLE = "MMSR Studio"
PHOTO_EMPTY = "Drop a photo, paste it, use the camera, or pick an example"
PLAN_EMPTY = '<p class="plan">Load a photo to see its size, time and memory here before you run it.</p>'
RESULT_EMPTY = """Give a photo, or pick an example
Look at what was read from it, and change it where you like
Run: the result appears here, beside the plain upscale"""
ATTENTION_EMPTY = '<p class="fact">After a run: how much the caption and each map counted.</p>'
COMPARE_EMPTY = "Choose what to compare and press Start. The photo and maps of the Studio tab are used."
HISTORY_EMPTY = "Finished runs of this session appear here."
BATCH_LINE = (
    '<p class="fact">Every photo gets its own maps and caption; modalities switched off in the Studio stay off. '
    "Edited maps belong to their photo and are not used here.</p>"
)
MASK_EMPTY = "Load a photo first"
OTHER_PHOTO = (
    "This recipe is of another photo: its settings and seed are here now, your maps stay. Drop its own photo to have "
    "its maps, too."
)
SETTINGS_KEPT = "The settings of your last visit are back. Reset all brings the defaults."
PART_TITLE = "Try a part first"
PART_EMPTY = "Load a photo, then choose a part of it here"
PART_FRAME = "Part of the photo to try. Arrow keys move it, with Shift by one pixel."
PART_SIDE = "Side of the part"
PART_RUN = "Run this part"
PART_RESTORED = "Settings and seed of a part restored; the maps are those of the whole photo."
BADGES = {
    "none": ("empty", "Nothing extracted yet"),
    "auto": ("auto", "Extracted from the photo"),
    "edited": ("edited", "Changed by you"),
    "uploaded": ("uploaded", "Uploaded by you"),
    "file": ("restored", "Restored from a recipe"),
    "off": ("off", "Left out: the model does not see it"),
    "stale": ("stale", "No longer matches this photo or the chosen source"),
}
POLARITY = {  # modality -> label of the box that turns an uploaded map round
    "depth": "Uploaded map: dark is near",
    "edge": "Uploaded map: black lines on white",
}
MAP_EMPTY = {
    "depth": "Bright is near",
    "segmentation": "One colour per class",
    "edge": "White lines on black",
}
HELP = """
### What happens
The photo is read four ways: a **caption**, a **depth** map, a **segmentation** and **edges**. A diffusion model looks
at all of them while it rebuilds the photo at a larger size. Every one can be seen, edited, replaced or switched off
before the run.

### The knobs in plain words
* **Temperature** of a modality: 1 is neutral, above 1 it is heard less, below 1 the result leans on it. Lower *depth*
  blurs what is far away; lower *segmentation* makes objects crisper than what is behind them; lower *edges* sharpens
  along the lines of the edge map. An edit of a map moves that to another place: paint something near, an object or a
  line where you want the picture crisper. How far the bundled weights follow was measured (`assets/results`).
* **Guidance weight w**: how far the result is pushed away from the negative text; other tools call this CFG w + 1.
* **Guidance**: *m-cfg* keeps the modalities in both branches, so only the text is pushed; *null-cfg* has them in one
  branch; *cfg* uses the text alone. The Compare tab shows them side by side at the same seed.
* **Clean-up** takes noise and JPEG blocks that can be measured in the photo out of it before it is enlarged; under the
  photo stands what was found. 0 leaves them, more than 1 takes out more than was measured.
* **Edits** act where the map differs from the one that was read from the photo, and leave the rest as it was. **Edit
  strength** says how plainly: 1 is what the map itself says, which at a temperature of 1 is a matter of a grey level.
* **Try a part first** runs the settings on a small square of the photo, with what the maps of the whole photo say
  there. It shows how the result will look; its pixels are not those of the whole run.
* **Enlarge further** makes the result the photo, to be enlarged again; **Longest side** shrinks the file that is saved.
* **Protect a region** keeps the plain upscale there, for faces or text that must not change.

### Nothing is lost
Every result carries its recipe: drop it (or a recipe file) anywhere on the page, and settings, seed and maps are back.
The history keeps the last runs of this session, the browser your settings. A new photo never throws your edited maps
away; it marks them stale. Photos are deleted from this server an hour or so after you leave; nobody else
sees them.

### Keys
In the painting dialog: arrow keys move, space paints and, held, moves the picture, F fills, [ and ] size the brush,
Ctrl+Z undoes, Esc leaves. In the result: the arrow keys move the handle, X swaps the sides. In both: plus, minus and 0
zoom, as does Ctrl with the wheel. Anywhere: Ctrl+Enter runs, Esc stops.

### From Python
```python
from gradio_client import Client, handle_file

client = Client("http://127.0.0.1:7860")
caption, depth, segmentation, edge = client.predict(handle_file("photo.jpg"), api_name="/extract")
picture, recipe, notes = client.predict(handle_file("photo.jpg"), '{"weight": 4, "seed": 1}', api_name="/restore")
```
"""


def stale(labels: Sequence[str]) -> str:
    """What was made by hand for an earlier photo, in a sentence."""
    if not labels:
        return ""
    return f"Your {' and '.join(labels)} came from an earlier photo and will be used as it is; Reset drops it."


def fact(text: str) -> str:
    return f'<p class="fact">{escape(text)}</p>' if text else ""


def badge(kind: str) -> str:
    text, why = BADGES[kind]
    return f'<span class="badge badge-{kind}" title="{escape(why)}">{text}</span>'


def engine_line(stage: str, failed: bool = False) -> str:
    kind = "bad" if failed else "wait"
    return f'<p class="engine {kind}" role="status"><i></i>{escape(stage)}</p>'


def info_line(info: Any) -> str:
    """Which weights run on which device, and, unfolded, what they are."""
    trained = "" if info.trained else "untrained, random weights · "
    facts = {"Device": info.device, "Precision": info.dtype, "Weights": info.hash[:16]}
    facts |= {f"{name.capitalize().replace('_', ' ')}": millions(count) for name, count in info.parameters.items()}
    rows = "".join(f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>" for key, value in facts.items())
    return (
        f'<div class="engine ok" role="status"><details><summary><i></i><b>{escape(info.title)}</b> · '
        f"{trained}{escape(info.device)}, {escape(info.dtype)} · weights {escape(info.hash[:8])}</summary>"
        f"<div><p>{escape(info.description)}</p><dl>{rows}</dl></div></details></div>"
    )


def millions(count: int) -> str:
    return f"{count / 1e6:.1f} M parameters"


def photo_line(photo: Photo | None, damage: Damage | None = None) -> str:
    """What the photo is, and, once it was read, what was measured to be wrong with it."""
    if photo is None:
        return ""
    kinds = [photo.source_format or "picture", f"{photo.rgb.width} × {photo.rgb.height}"]
    kinds += ["grey"] if photo.grey else []
    kinds += ["transparent"] if photo.alpha is not None else []
    kinds += [f"{photo.bits}-bit, read as 8-bit"] if photo.bits > 8 else []
    kinds += [str(damage)] if damage else []
    return f'<p class="fact">{escape(photo.name)} · {" · ".join(kinds)}</p>'


def mask_line(mask: Image.Image | None) -> str:
    """How much of the picture is protected; "" for nothing."""
    share = 0 if mask is None else ImageStat.Stat(mask).mean[0] / 255
    return fact(f"{100 * share:.0f} % of the picture keeps the plain upscale") if mask is not None else ""


def plan(size: tuple[int, int], plan: Any) -> str:
    """The cost before the click."""
    width, height = plan.output_size
    facts = (
        f"<span><b>{size[0]} × {size[1]} → {width} × {height}</b></span>",
        f'<span class="more">{plan.megapixels:.2g} megapixels</span>',
        f"<span>about {seconds(plan.seconds)}</span>",
        f'<span class="more">{plan.tiles} tile{"s" if plan.tiles != 1 else ""}</span>',
        f'<span class="more">{plan.unet_calls} U-Net calls</span>',
        f'<span class="more">{plan.memory_bytes / 2**30:.1f} GB</span>',
    )
    warnings = "".join(notice(text, "warn") for text in plan.warnings)
    return f'<p class="plan">{" ".join(facts)}</p>{warnings}'


def part_plan(plan: Any) -> str:
    """The cost of a part, before the click."""
    width, height = plan.output_size
    return f'<p class="plan"><span>→ {width} × {height}</span> <span>about {seconds(plan.seconds)}</span></p>'


def part_of(run: Any) -> str:
    """Which part of its photo a run is of, "" for the whole."""
    if run.box is None:
        return ""
    left, top, right, bottom = run.box
    return f"{right - left} × {bottom - top} px at {left}, {top}"


def seconds(value: float) -> str:
    if value < 1:
        return "1 s"
    return f"{value:.0f} s" if value < 100 else f"{value / 60:.0f} min"


def progress(share: float, text: str) -> str:
    return (
        f'<div class="progress" role="status"><progress max="1" value="{share:.3f}" aria-label="Progress"></progress>'
        f"<span>{escape(text)}</span></div>"
    )


def step(step: Any, prefix: str = "", share: float | None = None) -> str:
    """Progress of a sampling; `share` where it is a part of something longer."""
    share = step.step / max(1, step.steps) if share is None else share
    if step.step == step.tile == 0:
        return progress(share, f"{prefix}Preparing the photo") + notice(step.notice, "warn")
    tiles = f" · tile {step.tile} of {step.tiles}" if step.tiles > 1 else ""
    left = f" · {seconds(step.seconds_left)} left" if step.seconds_left and step.seconds_left > 0.5 else ""
    bar = progress(share, f"{prefix}Step {step.step} of {step.steps}{tiles}{left}")
    return bar + notice(step.notice, "warn")


def notice(text: str, kind: str = "info") -> str:
    return (
        f'<p class="notice {kind}" role="{"alert" if kind == "bad" else "status"}">{escape(text)}</p>' if text else ""
    )


def sentence(error: Exception) -> str:
    """A refusal of the core as a sentence: capital first, full stop last."""
    text = str(error).strip()
    first = text.split(" ", 1)[0]
    start = text[:1] if "." in first else text[:1].upper()  # the name of a file stays as it is
    return f"{start}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def tokens(used: int, limit: int, cut: str) -> str:
    """The counter under the caption."""
    over = f" · cut off: <s>{escape(cut)}</s>" if cut else ""
    return f'<p class="fact tokens{" over" if cut else ""}" role="status">{used} of {limit} tokens{over}</p>'


def legend(rows: Sequence[tuple[Any, float]]) -> str:
    """Classes of a segmentation with their share of the area."""
    items = "".join(
        f'<li><i style="background:rgb{row.rgb}"></i>{escape(row.name)} <span>{100 * share:.0f} %</span></li>'
        for row, share in rows
    )
    return f'<ul class="legend" aria-label="Classes present">{items}</ul>'


def readout(run: Any, numbers: Mapping[str, float], part: str = "") -> str:
    """The numbers under a result; `part` says where it was not the whole photo."""
    facts = {"Part of the photo": part} if part else {}
    facts |= {"Sampling": f"{run.seconds:.1f} s", "Seed": str(run.seed)}
    facts |= {"Cleaned of": run.cleaned} if run.cleaned else {}
    facts |= {name: f"{value:.3g}" for name, value in numbers.items()}
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    why = "Fidelity error: the result shrunk back to the input's size, mean absolute difference; 0 is identical"
    said = "".join(notice(text, "warn") for text in run.notices)
    return f'{said}<dl class="readout" title="{escape(why)}">{rows}</dl>'


def run_title(run: Any) -> str:
    """The settings line of a run in the history."""
    settings = run.settings
    dials = ", ".join(f"{name} {value:g}" for name, value in settings.temperature.items())
    off = [name for name, slot in run.slots.items() if not slot.on]
    parts = [f"part {part_of(run)}"] if run.box else []
    parts += [f"{settings.guidance} w {settings.weight:g}", f"{settings.steps} steps", f"x{settings.scale}"]
    parts += [f"seed {run.result.seed}"] + ([dials] if dials else []) + ([f"without {', '.join(off)}"] if off else [])
    return " · ".join(parts)


def run_note(run: Any) -> str:
    """The few words under a run in the history: what differs from the defaults, and the weight."""
    settings, plain = run.settings, Settings()
    found = ["part"] if run.box else []
    found += [f"w {settings.weight:g}"]
    found += [settings.guidance] if settings.guidance != plain.guidance else []
    found += [f"{name} {value:g}" for name, value in settings.temperature.items()]
    found += [f"×{settings.scale}"] if settings.scale != plain.scale else []
    return " · ".join(found)


def table(labels: Sequence[str], rows: Sequence[Mapping[str, float]]) -> str:
    """Numbers of the compared pictures."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in rows[0])
    body = "".join(
        f'<tr><th scope="row">{escape(label)}</th>{"".join(f"<td>{value:.4g}</td>" for value in row.values())}</tr>'
        for label, row in zip(labels, rows, strict=True)
    )
    head = f'<thead><tr><th scope="col">Picture</th>{head}</tr></thead>'
    return f'<table class="numbers">{head}<tbody>{body}</tbody></table>'


def report(lines: Sequence[tuple[str, str]]) -> str:
    """What became of each photo of a batch."""
    if not lines:
        return '<p class="fact">One line per photo appears here.</p>'
    rows = "".join(f'<li class="{state}"><b>{state}</b> {escape(text)}</li>' for state, text in lines)
    return f'<ul class="report" aria-label="Photos of this batch">{rows}</ul>'
