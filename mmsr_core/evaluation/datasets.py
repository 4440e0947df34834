"""Test pictures: LR/HR pairs by folder, HR pictures with our degradation, or LR pictures without a reference."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from mmsr_core.images import READABLE, open_photo, to_pil, to_tensor
from mmsr_core.settings import SCALE


@dataclass(frozen=True)
class Definition:
    """A known test set: where to get it and which of its subfolders hold LR and HR pictures ("" is the folder)."""

    name: str
    title: str
    lr: str | None
    hr: str | None
    where: str


DEFINITIONS = {
    row.name: row
    for row in (
        Definition(
            "div2k-val",
            "DIV2K-Val-3k (StableSR test set, synthetic, 128 -> 512)",
            "lq",
            "gt",
            "folder DIV2K_V2_val of https://huggingface.co/datasets/Iceclear/StableSR-TestSets",
        ),
        Definition(
            "realsr",
            "RealSR (StableSR test set, camera pairs, 128 -> 512)",
            "test_LR",
            "test_HR",
            "folder RealSRVal_crop128 of https://huggingface.co/datasets/Iceclear/StableSR-TestSets",
        ),
        Definition(
            "drealsr",
            "DRealSR (StableSR test set, camera pairs, 128 -> 512)",
            "test_LR",
            "test_HR",
            "folder DrealSRVal_crop128 of https://huggingface.co/datasets/Iceclear/StableSR-TestSets",
        ),
        Definition(
            "realphoto60",
            "RealPhoto60 (SUPIR, real photos, no reference)",
            "",
            None,
            "linked from https://github.com/Fanghua-Yu/SUPIR",
        ),
        Definition("examples", "the page's example photos (no reference)", "", None, "folder assets/examples"),
    )
}
LAYOUTS = (("lr", "hr"), ("LR", "HR"), ("test_LR", "test_HR"), ("lq", "gt"), ("LQ", "GT"))


@dataclass(frozen=True)
class Sample:
    """One test picture; `lr` is None where it is made from `hr`, `hr` is None where there is no reference."""

    name: str
    lr: Path | None
    hr: Path | None


@dataclass(frozen=True)
class DataSet:
    """Named test pictures.

    Attributes:
        strength, seed: of the degradation, where the LR pictures are made here.
        crop: side in px of the centre crop of such HR pictures; None takes them whole.
    """

    name: str
    samples: tuple[Sample, ...]
    strength: float = 1.0
    seed: int = 0
    crop: int | None = None

    @property
    def about(self) -> str:
        """One line for the report."""
        first = self.samples[0]
        if first.lr is None:
            kind = f"HR pictures, LR made with Real-ESRGAN's degradation (strength {self.strength:g}, seed {self.seed})"
        else:
            kind = "LR pictures without reference" if first.hr is None else "LR/HR pairs"
        return f"{self.name}: {len(self.samples)} {kind}"

    def limited(self, count: int | None) -> DataSet:
        """At most `count` samples, spread evenly, so that a small run sees every kind of picture."""
        total = len(self.samples)
        if count is None or count >= total:
            return self
        if count < 1:
            raise ValueError(f"limit: got {count}, wanted at least 1")
        return replace(self, samples=tuple(self.samples[i * total // count] for i in range(count)))

    def pair(self, sample: Sample) -> tuple[Image.Image, Image.Image | None]:
        """LR and HR picture, both upright RGB.

        Raises:
            ValueError: a file that cannot be read, or sizes that are not 1 : 4.
        """
        if sample.lr is None:
            return self._made(open_photo(sample.hr).rgb, sample.name)
        lr = open_photo(sample.lr).rgb
        hr = None if sample.hr is None else open_photo(sample.hr).rgb
        if hr is not None and hr.size != (lr.width * SCALE, lr.height * SCALE):
            raise ValueError(f"{sample.name}: got LR {lr.size} and HR {hr.size} px, wanted HR four times as large")
        return lr, hr

    def _made(self, hr: Image.Image, name: str) -> tuple[Image.Image, Image.Image]:
        import torch

        from mmsr_core.training.degradation import Degradation

        hr = centred(hr, self.crop)
        number = int.from_bytes(hashlib.sha256(f"{self.seed} {name}".encode()).digest()[:7])
        degrade = Degradation(self.strength, clean=0.0 if self.strength > 0 else 1.0)
        return to_pil(degrade(to_tensor(hr), torch.Generator().manual_seed(number))), hr


def centred(image: Image.Image, side: int | None) -> Image.Image:
    """Centre crop of at most `side` px, sides cut to multiples of the scale."""
    width, height = (min(full, full if side is None else side) // SCALE * SCALE for full in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def open_set(text: str, flat: str = "hr", strength: float = 1.0, seed: int = 0, crop: int | None = None) -> DataSet:
    """A data set from "FOLDER" or "NAME=FOLDER".

    Args:
        text: NAME may be one of `DEFINITIONS`, whose layout is then tried first.
        flat: what a folder without LR/HR subfolders holds: "hr" (degraded here) or "lr" (no reference).

    Raises:
        ValueError: no such folder, no pictures in it, or pictures without their partner.
    """
    name, _, place = text.rpartition("=")
    folder = Path(place).expanduser()
    name = name if name else folder.name
    if not folder.is_dir():
        raise ValueError(f"data: got {place!r}, wanted a folder ({_where(name)})")
    known = DEFINITIONS.get(name)
    layouts = [(known.lr, known.hr)] if known is not None and known.hr is not None else []
    for lr, hr in (*layouts, *LAYOUTS):
        if (folder / lr).is_dir() and (folder / hr).is_dir():
            return DataSet(name, _pairs(pictures(folder / lr), pictures(folder / hr), name))
    found = pictures(folder)
    if not found:
        raise ValueError(f"data: got no pictures in {folder.name!r}, wanted pictures, or folders lr and hr of them")
    if flat == "lr" or (known is not None and known.hr is None):
        return DataSet(name, tuple(Sample(stem, path, None) for stem, path in found.items()))
    return DataSet(name, tuple(Sample(stem, None, path) for stem, path in found.items()), strength, seed, crop)


def pictures(folder: Path) -> dict[str, Path]:
    """File stem -> picture file, in name order."""
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in READABLE}


def _pairs(lr: dict[str, Path], hr: dict[str, Path], name: str) -> tuple[Sample, ...]:
    """Partners have the same stem, or else there are as many of both, in the same order (RealSR's _LR4 and _HR)."""
    if set(lr) <= set(hr) and lr:
        return tuple(Sample(stem, lr[stem], hr[stem]) for stem in lr)
    if not lr or len(lr) != len(hr):
        raise ValueError(f"data {name}: got {len(lr)} LR and {len(hr)} HR pictures, wanted one HR for each LR")
    return tuple(Sample(stem, path, other) for (stem, path), other in zip(lr.items(), hr.values()))


def _where(name: str) -> str:
    if name in DEFINITIONS:
        return f"{name} comes from {DEFINITIONS[name].where}"
    return f"or NAME=FOLDER with a NAME among {', '.join(DEFINITIONS)}"


def listing(rows: Sequence[Definition] = tuple(DEFINITIONS.values())) -> str:
    """The known sets for people to read."""
    return "\n".join(f"{row.name:12} {row.title}\n{'':12} {row.where}" for row in rows)
