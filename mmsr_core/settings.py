"""Every knob of a restoration, declared once: default, range, unit and help text.

The page, the command line, the recipe JSON and the benchmarks all read this declaration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

SCALE = 4  # the model's own; results at smaller scales are made from it
MODALITY_NAMES = ("text", "depth", "segmentation", "edge")  # token order: 77 + 3 * 256 = 845 tokens
TEMPERATURE_RANGE = (0.4, 10.0)  # paper, section 4.3: attention temperature of one modality


def knob(default: Any, label: str, help: str, **extra: Any) -> Any:
    """A dataclass field that carries what a user interface needs to show it; `typed`: a number that no slider suits."""
    metadata = {"label": label, "help": help, **extra}
    if isinstance(default, dict):
        return field(default_factory=lambda: MappingProxyType(dict(default)), metadata=metadata, hash=False)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """What one restoration should do. Frozen and validated: a `Settings` that exists is valid.

    Raises:
        ValueError: a value outside its range or choices, with what was got and what was wanted.
    """

    scale: int = knob(SCALE, "Scale", "Output size as a multiple of the input size.", choices=(2, 3, SCALE))
    guidance: str = knob(
        "m-cfg",
        "Guidance",
        "m-cfg: the maps count in both branches, so that only the words differ (the paper's method). For comparison: "
        "null-cfg has the maps in one branch, cfg has none.",
        choices=("m-cfg", "null-cfg", "cfg"),
    )
    weight: float = knob(
        2.0,
        "Guidance weight w",
        "0 ignores the negative text; higher pushes away from it. Other tools call this CFG scale w+1.",
        range=(0.0, 14.0),
        step=0.1,
    )
    steps: int = knob(
        2, "Steps", "Denoising steps: fewer is faster, more is finer.", range=(1, 100), step=1, unit="steps"
    )
    sampler: str = knob(
        "unipc",
        "Sampler",
        "The solver of the denoising; results hardly differ.",
        choices=("unipc", "dpmpp-2m", "ddim"),
    )
    seed: int | None = knob(
        None,
        "Seed",
        "The same seed gives the same picture; empty draws one.",
        range=(0, 2**32 - 1),
        step=1,
        typed=True,
    )
    cleanup: float = knob(
        1.0,
        "Clean-up",
        "Noise and JPEG blocks that can be measured in the photo are taken out before it is enlarged. 0 leaves them, "
        "1 takes out what was measured, each more another 5 grey levels of noise.",
        range=(0.0, 4.0),
        step=0.1,
    )
    temperature: Mapping[str, float] = knob(
        {},
        "Attention temperature",
        "Per modality: below 1 the result leans on it, above 1 it is heard less. 1 is neutral.",
        range=TEMPERATURE_RANGE,
        keys=MODALITY_NAMES,
    )
    temperature_form: str = knob(
        "keys",
        "Temperature form",
        "Two formulas for the dials. keys: divides the modality's attention logits. bias: subtracts log(temperature) "
        "from them.",
        choices=("keys", "bias"),
    )
    edit_strength: float = knob(
        4.0,
        "Edit strength",
        "How strongly an edited map acts where it was edited: 1 is what the map itself says, which at neutral "
        "temperatures is little; more makes it plain to see, 0 leaves the edits out.",
        range=(0.0, 8.0),
        step=0.5,
    )
    positive: str = knob(
        "sharp, clean, highly detailed",
        "Quality words",
        "Appended to the caption in the positive branch.",
    )
    negative: str = knob(
        "blurry, noisy, jpeg artifacts, low quality",
        "Negative text",
        "What the guidance pushes away from.",
    )
    color: str = knob(
        "wavelet",
        "Colour match",
        "Takes the colours of the input; can be changed on the finished result.",
        choices=("wavelet", "adain", "ycbcr", "none"),
    )
    tile: int = knob(
        512,
        "Tile",
        "Side of one tile in pixels of the x4 picture, from which smaller ones are made; less needs less memory.",
        range=(128, 2048),
        step=64,
        unit="px",
    )
    overlap: float = knob(
        0.25, "Tile overlap", "Share of a tile that its neighbour covers too.", range=(0.1, 0.75), step=0.05
    )
    long_side: int = knob(
        0,
        "Longest side",
        "The finished picture is shrunk to so many pixels on its longer side; 0 keeps them all.",
        range=(0, 65535),
        step=1,
        unit="px",
        typed=True,
    )
    strip_gps: bool = knob(False, "Remove location", "Leave the GPS position out of the result's EXIF data.")

    def __post_init__(self) -> None:
        for spec in fields(self):
            object.__setattr__(self, spec.name, _checked(spec, getattr(self, spec.name)))

    def temperature_of(self, name: str) -> float:
        """Temperature of one modality; 1.0 (neutral) where none is set."""
        return self.temperature.get(name, 1.0)

    def of_file(self) -> dict[str, Any]:
        """The knobs that are about the written file only, for `images.encode` and `images.save_photo`."""
        return {"strip_gps": self.strip_gps, "long_side": self.long_side}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types only."""
        values = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        return {**values, "temperature": dict(self.temperature)}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Strict inverse of `to_dict`.

        Raises:
            ValueError: an unknown key, or a value that does not fit its field.
        """
        unknown = sorted(set(values) - {spec.name for spec in fields(cls)})
        if unknown:
            raise ValueError(f"settings: got unknown {', '.join(unknown)}, wanted some of {', '.join(names())}")
        return cls(**values)

    @classmethod
    def from_json(cls, text: str, defaults: Settings | None = None) -> Settings:
        """A JSON object of some settings; the others are those of `defaults`.

        Raises:
            ValueError: no JSON object, or as `from_dict`.
        """
        try:
            values = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"settings: got text that is not JSON ({error}), wanted a JSON object") from None
        if not isinstance(values, dict):
            raise ValueError(f"settings: got a JSON {type(values).__name__}, wanted a JSON object")
        return cls.from_dict(values if defaults is None else {**defaults.to_dict(), **values})

    def __reduce__(self) -> tuple:
        return Settings.from_dict, (self.to_dict(),)  # a mapping proxy alone can be neither pickled nor copied

    def with_(self, **changes: Any) -> Settings:
        """A copy with some fields changed, validated again."""
        return replace(self, **changes)


def names() -> tuple[str, ...]:
    """The names of all knobs, in declaration order."""
    return tuple(spec.name for spec in fields(Settings))


def declared(name: str) -> Field:
    """The declaration of one knob: `.default`, `.metadata["label" | "help" | "range" | "choices" | ...]`."""
    return next(spec for spec in fields(Settings) if spec.name == name)


def _checked(spec: Field, value: Any) -> Any:
    if "keys" in spec.metadata:
        return _checked_mapping(spec, value)
    if "choices" in spec.metadata:
        if isinstance(value, bool) or value not in spec.metadata["choices"]:
            wanted = ", ".join(str(choice) for choice in spec.metadata["choices"])
            raise ValueError(f"{spec.name}: got {value!r}, wanted one of {wanted}")
        return next(choice for choice in spec.metadata["choices"] if choice == value)  # 4.0 is the 4 among them
    if "range" in spec.metadata:
        return _checked_number(spec, spec.name, value)
    wanted_type = type(spec.default)
    if not isinstance(value, wanted_type):
        raise ValueError(f"{spec.name}: got {value!r}, wanted a {wanted_type.__name__}")
    return value


def _checked_number(spec: Field, name: str, value: Any) -> Any:
    low, high = spec.metadata["range"]
    if value is None and spec.default is None:
        return None
    whole = spec.name in ("steps", "seed", "tile", "long_side")
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not low <= value <= high or (whole and value != int(value)):  # what is no number is in no range
        raise ValueError(f"{name}: got {value!r}, wanted a {'whole ' if whole else ''}number from {low} to {high}")
    step = spec.metadata["step"] if spec.name == "tile" else 1
    if value % step and whole:
        raise ValueError(f"{name}: got {value!r}, wanted a multiple of {step}")
    return int(value) if whole else float(value)


def _checked_mapping(spec: Field, value: Any) -> Mapping[str, float]:
    keys = spec.metadata["keys"]
    if not isinstance(value, Mapping) or set(value) - set(keys):
        raise ValueError(f"{spec.name}: got {value!r}, wanted a mapping with keys among {', '.join(keys)}")
    return MappingProxyType(
        {key: _checked_number(spec, f"{spec.name} {key}", value[key]) for key in keys if key in value}
    )
