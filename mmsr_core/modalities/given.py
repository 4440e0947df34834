"""What the model is given of a photo: a caption and maps, and of an edited map also what was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from PIL import Image


class Edited(NamedTuple):
    """A map that somebody changed, beside the one that was read from the photo.

    It acts where the two differ (`mmsr_core.edits`). Their sizes may differ, too; both cover the whole photo.
    """

    now: Image.Image
    read: Image.Image


Modalities = Mapping[str, Image.Image | str | Edited]  # a missing key means the null token


def now(modalities: Modalities) -> dict[str, Image.Image | str]:
    """The modalities with their edits."""
    return {name: value.now if isinstance(value, Edited) else value for name, value in modalities.items()}


def as_read(modalities: Modalities) -> dict[str, Image.Image | str]:
    """The modalities as they were before their edits."""
    return {name: value.read if isinstance(value, Edited) else value for name, value in modalities.items()}


def beside(
    given: Modalities, read: Callable[[str], Image.Image], say: Callable[[str], None] | None = None
) -> dict[str, Image.Image | str | Edited]:
    """What was given, each map beside what `read(name)` gives of the photo.

    A map stays alone, and then acts as a whole, where `read` raises ValueError, as when its network is out of reach;
    `say` is told so.
    """
    found = dict(given)
    for name, value in given.items():
        if isinstance(value, Image.Image):
            try:
                found[name] = Edited(value, read(name))
            except ValueError as error:
                if say is not None:
                    say(f"the given {name} acts as a whole, as none can be read beside it: {error}")
    return found
