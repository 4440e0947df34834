"""The paper's experiments, one function each: from the settings of a plain restoration to arms, tables and curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmsr_core.compare import GUIDANCE_MODES, SWEEP_TEMPERATURES
from mmsr_core.evaluation.arms import BICUBIC, Arm, map_names
from mmsr_core.evaluation.datasets import DataSet
from mmsr_core.evaluation.dials import CLAIMS, FORMS, change_curve, dial_curve, dials, tempered
from mmsr_core.evaluation.edits import EDITS, SIDE
from mmsr_core.evaluation.metrics import METRICS
from mmsr_core.evaluation.report import Experiment
from mmsr_core.evaluation.summary import (
    Results,
    Table,
    by_place,
    entry,
    gaps,
    means,
    number,
    wins,
)
from mmsr_core.settings import MODALITY_NAMES, Settings, declared

WEIGHTS = (0.0, 2.0, 6.0, 10.0, 14.0)  # paper, figure 6, and no guidance at all
STEPS = (1, 2, 4, 8)
OURS = "ours"
ALL, NONE = "all", "none"


@dataclass(frozen=True)
class Options:
    """What an experiment is built from.

    Attributes:
        settings: of a plain restoration, seed set.
        models: names of further loaded models, beside the default "".
        methods: name -> folder of another tool's results.
        has_base: whether the codec has a base upscaler that can be shown alone.
        metrics: names of the wanted metrics.
    """

    settings: Settings
    models: Sequence[str] = ()
    methods: Mapping[str, Path] = ()
    has_base: bool = False
    metrics: Sequence[str] = ("psnr", "ssim")


def bicubic(options: Options) -> Arm:
    return Arm(BICUBIC, method=BICUBIC, settings=options.settings)


def main_table(options: Options) -> Experiment:
    settings = options.settings
    arms = [bicubic(options)]
    arms += [
        Arm(name, method="folder", settings=settings, folder=Path(folder)) for name, folder in options.methods.items()
    ]
    arms += [Arm("base only", method="base", settings=settings)] if options.has_base else []
    aside = {f"{OURS}, w = 0": {"weight": 0.0}, f"{OURS}, no clean-up": {"cleanup": 0.0}}
    arms += [Arm(label, settings=settings.with_(**changes)) for label, changes in aside.items()]
    arms += [Arm(OURS, settings=settings)]
    arms += [Arm(name, settings=settings, model=name) for name in options.models]
    return Experiment(
        "main",
        "Quality beside bicubic and other methods",
        f"Every picture is restored at the default settings ({settings.steps} steps of {settings.sampler}, "
        f"{settings.guidance} at w = {settings.weight:g}) and scored against the reference. “base only” is the "
        "regression part without the diffusion model; w = 0 is the diffusion model without guidance; “no clean-up” "
        "leaves in the noise and JPEG blocks that are measured in the input.",
        arms,
        lambda results, data: [
            means(results, data),
            gaps(results, data, BICUBIC),
            wins(results, data, BICUBIC, [name for name in results.names if name in METRICS]),
        ],
        grid=[arm.label for arm in arms if arm.label not in aside],
    )


def guidance(options: Options) -> Experiment:
    arms = [
        Arm(
            f"{mode}, w = {weight:g}",
            settings=options.settings.with_(guidance=mode, weight=weight),
            place=(mode, weight),
        )
        for mode in GUIDANCE_MODES
        for weight in WEIGHTS
    ]
    return Experiment(
        "guidance",
        "Guidance: cfg, null-cfg and m-cfg over the weight w",
        "The same pictures, seed and noise; only the guidance changes. m-cfg keeps the maps in both branches, "
        "null-cfg only in the positive one, cfg has text alone. w is other tools' CFG scale minus 1. At w = 0 "
        "null-cfg and m-cfg are the same.",
        [bicubic(options), *arms],
        lambda results, data: [means(results, data, best=False), *_by_weight(results, data)],
        lambda results, data: [by_place(results, data, name, "guidance weight w") for name in results.names],
        measures=("detail", "fidelity"),
        grid=[BICUBIC, *(f"{mode}, w = {weight:g}" for mode in GUIDANCE_MODES for weight in (2.0, 14.0))],
        paper="guidance",
    )


def _by_weight(results: Results, data: DataSet) -> list[Table]:
    """One table a measure in the paper's layout: modes down, weights across."""
    tables = []
    for name in (name for name in results.names if name in METRICS):
        rows = []
        for mode in GUIDANCE_MODES:
            cells = [results.mean(data.name, f"{mode}, w = {weight:g}", name) for weight in WEIGHTS]
            rows.append([mode, *(number(value, entry(name).digits) for value in cells)])
        tables.append(Table(f"{data.name}: {entry(name).heading}", ["", *(f"w = {w:g}" for w in WEIGHTS)], rows))
    return tables


def modalities(options: Options) -> Experiment:
    settings = options.settings
    arms = [Arm(ALL, settings=settings), Arm(NONE, settings=settings, names=())]
    arms += [Arm(f"only {name}", settings=settings, names=(name,)) for name in MODALITY_NAMES]
    arms += [
        Arm(f"all but {name}", settings=settings, names=tuple(n for n in MODALITY_NAMES if n != name))
        for name in MODALITY_NAMES
    ]
    arms += [
        Arm("all, caption empty", settings=settings, caption=""),
        Arm("all, read from HR", settings=settings, source="hr"),
        Arm("maps of another picture", settings=settings, source="other"),
    ]
    return Experiment(
        "modalities",
        "What each modality contributes",
        "A modality that is left out is its null token. Without the text there is no guidance (both branches are then "
        "equal), so “all but text” differs from “all, caption empty”, which keeps the quality words. “read from HR” "
        "takes maps and caption from the reference: what perfect extractors could add. “maps of another picture” is "
        "the control: a model that ignores its maps would not mind.",
        [bicubic(options), *arms],
        lambda results, data: [means(results, data, best=False), gaps(results, data, ALL)],
        measures=("change", "detail"),
        baseline=ALL,
        grid=[ALL, NONE, *(f"only {name}" for name in map_names()), "all, read from HR", "maps of another picture"],
    )


def temperature(options: Options) -> Experiment:
    arms = [Arm("neutral", settings=options.settings)]
    for name in MODALITY_NAMES:
        for form in FORMS:
            for value in (value for value in SWEEP_TEMPERATURES if value != 1):
                changed = options.settings.with_(temperature={name: value}, temperature_form=form)
                arms.append(Arm(tempered(name, form, value), settings=changed, place=(f"{name} ({form})", value)))
    return Experiment(
        "temperature",
        "Attention temperature of each modality",
        "One modality's temperature δ at a time, all else equal; “keys” divides its attention logits by δ, “bias” "
        "subtracts log δ. The paper says that a lower δ of depth deepens the depth of field, of segmentation makes "
        "objects stand out, of edges sharpens detail: the last columns measure exactly that.",
        arms,
        lambda results, data: [dials(results, data), means(results, data, best=False)],
        lambda results, data: [
            change_curve(results, data),
            *(dial_curve(results, data, name, measure) for name, measure in CLAIMS.items()),
        ],
        measures=("change", "detail", *CLAIMS.values(), "far_detail", "object_contrast"),
        baseline="neutral",
        grid=["neutral", *(tempered(name, FORMS[0], value) for name in map_names() for value in (0.4, 10.0))],
    )


def edits(options: Options) -> Experiment:
    arms = [Arm("no edit", settings=options.settings)]
    arms += [Arm(f"{name} edited", settings=options.settings, edit=name) for name in EDITS]
    plain = options.settings.with_(edit_strength=1.0)
    arms += [Arm(f"{name} edited, strength 1", settings=plain, edit=name) for name in EDITS]
    arms += [Arm(f"{name} edited, alone", settings=plain, edit=name, alone=True) for name in EDITS]
    return Experiment(
        "edits",
        "Do edits of a map act where they were made?",
        f"In a box of {SIDE:.0%} x {SIDE:.0%} of the picture depth is inverted, the class repainted, or edges are "
        f"replaced by lines. The box covers {SIDE**2:.0%} of the picture: a share of the change near "
        "that would mean that place does not matter, 1 that everything stays inside. An edited map is heard beside the "
        f"one that was read, and acts where they differ, with strength {options.settings.edit_strength:g}; “alone” is "
        "the connector's own work, as for a map of which nothing else is known.",
        arms,
        lambda results, data: [means(results, data, best=False)],
        measures=("change", "inside"),
        baseline="no edit",
        grid=[arm.label for arm in arms[: 1 + len(EDITS)]],
    )


def connector(options: Options) -> Experiment:
    """Raises ValueError where the second model is missing."""
    if not options.models:
        raise ValueError("connector: got one model, wanted a second one trained without MMLC (--model NAME=DIR)")
    arms = [bicubic(options), Arm("with MMLC", settings=options.settings)]
    arms += [Arm(name, settings=options.settings, model=name) for name in options.models]
    return Experiment(
        "connector",
        "With and without the multimodal latent connector",
        "Two checkpoints trained alike but for the connector: 128 latent tokens against all 845 in the U-Net's "
        "cross-attention.",
        arms,
        lambda results, data: [means(results, data), gaps(results, data, "with MMLC")],
        grid=[arm.label for arm in arms],
    )


def steps(options: Options) -> Experiment:
    arms = [
        Arm(
            f"{sampler}, {count} steps",
            settings=options.settings.with_(sampler=sampler, steps=count),
            place=(sampler, count),
        )
        for sampler in declared("sampler").metadata["choices"]
        for count in STEPS
    ]
    return Experiment(
        "steps",
        "How many steps are needed",
        "The default settings with each sampler and number of steps; the time grows with the steps.",
        [bicubic(options), *arms],
        lambda results, data: [means(results, data)],
        lambda results, data: [by_place(results, data, name, "steps", log=True) for name in results.names],
    )


EXPERIMENTS: dict[str, tuple[Callable[[Options], Experiment], str]] = {
    "main": (main_table, "quality beside bicubic, other tools' results and other models"),
    "guidance": (guidance, "cfg, null-cfg and m-cfg over w = 0, 2, 6, 10, 14"),
    "modalities": (modalities, "all, none, each alone, all but one, from HR, of another picture"),
    "temperature": (temperature, "each modality's temperature in both forms"),
    "edits": (edits, "share of the change inside an edited region"),
    "connector": (connector, "with and without MMLC (--model NAME=DIR)"),
    "steps": (steps, "samplers and numbers of steps"),
}
