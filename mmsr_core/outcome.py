"""What the facade tells its callers: what is loaded, what a run will cost, how far it is, what came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from textwrap import shorten

from PIL import Image

from mmsr_core import color
from mmsr_core.settings import Settings

SAID = (ValueError, FloatingPointError, MemoryError)  # errors whose text is a sentence for people
MORE = 5.0  # grey levels of noise that one more of the clean-up's amount stands for


@dataclass(frozen=True)
class Info:
    """What is loaded, for people to read."""

    preset: str
    title: str
    description: str
    device: str
    dtype: str
    hash: str
    parameters: Mapping[str, int]
    trained: bool


@dataclass(frozen=True)
class Plan:
    """What a run will cost, before it starts."""

    output_size: tuple[int, int]
    megapixels: float
    tiles: int
    unet_calls: int  # one a tile, step and branch of the guidance
    seconds: float
    memory_bytes: int
    warnings: list[str]


@dataclass(frozen=True)
class Damage:
    """What is wrong with a photo, as far as it can be measured.

    Attributes:
        noise: standard deviation of its noise in grey levels of 0..255; 0 where there is none to speak of.
        quality: libjpeg's quality, 1 to 100, that its blocks come from; None where there are none to speak of.
    """

    noise: float = 0.0
    quality: int | None = None

    def __bool__(self) -> bool:
        return self != Damage()

    def taken(self, amount: float) -> Damage:
        """What is taken out: at an amount of 1 what was measured, of 0 nothing, and each over 1 is noise on top."""
        noise = self.noise * min(amount, 1) + MORE * max(amount - 1, 0)
        return Damage(noise, self.quality if amount > 0 else None)

    def __str__(self) -> str:
        """ "noise of 5 grey levels, JPEG blocks of quality 40", or "" where nothing was found."""
        noise = f"noise of {self.noise:.2g} grey levels" if self.noise > 0 else ""
        blocks = f"JPEG blocks of quality {self.quality}" if self.quality is not None else ""
        return ", ".join(part for part in (noise, blocks) if part)


def unread(cut: str) -> str:
    """What to say of a caption whose end is cut."""
    return f'The caption is too long, its end is not read: "{shorten(cut, 80, placeholder=" ...")}"'


@dataclass
class Result:
    """A finished run. `sampled` is the picture before the colour match, at the wanted size.

    Attributes:
        seed: the seed that was used.
        attention: modality -> share of the connector's attention; sums to one.
        damage: what was measured in the source, and taken out of it as far as the settings say.
        tiles: (x0, y0, x1, y1) in output pixels.
        seconds: wall-clock time of the sampling.
        notices: sentences for the visitor on what had to change on the way.
    """

    sampled: Image.Image
    source: Image.Image
    settings: Settings
    seed: int
    attention: dict[str, float]
    damage: Damage
    tiles: list[tuple[int, int, int, int]]
    seconds: float
    notices: tuple[str, ...] = ()

    @property
    def bicubic(self) -> Image.Image:
        """The plain enlargement to compare with; made anew each time, as it is large and soon made."""
        return self.source.resize(self.sampled.size, Image.Resampling.BICUBIC)

    @property
    def cleaned(self) -> str:
        """What was taken out of the source, in words; "" where that was nothing."""
        return str(self.damage.taken(self.settings.cleanup))

    def finish(self, method: str | None = None) -> Image.Image:
        """The picture with its colours matched to the input; another method needs no new sampling."""
        return color.match(self.sampled, self.source, self.settings.color if method is None else method)


@dataclass
class Step:
    """One event of a run: `step` of `steps` denoising steps are done, and `tile` of `tiles` of the current one.

    While the photo is prepared both are 0.

    Attributes:
        seconds_left: None where that cannot be told yet.
        notice: a sentence for the visitor when something had to change on the way (smaller tiles for want of memory).
    """

    step: int
    steps: int
    tile: int
    tiles: int
    seconds_left: float | None
    picture: Callable[[], Image.Image | None] | None = field(default=None, repr=False)
    result: Result | None = field(default=None, repr=False)
    notice: str = ""

    @property
    def done(self) -> int:
        """Tiles that are done, over all steps, of `steps` times `tiles`."""
        return min(self.step * self.tiles + self.tile % self.tiles, self.steps * self.tiles)

    @property
    def preview(self) -> Image.Image | None:
        """The expected picture as of now, decoded when asked for; None between the ends of denoising steps."""
        return None if self.picture is None else self.picture()
