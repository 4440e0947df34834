"""Clean-up: noise and JPEG damage are measured in a photo and taken out of it before it is enlarged.

photo ─measure─> Damage (noise in grey levels, JPEG steps) ─> thresholds ─clean─> photo

Noise: Chen, Zhu and Heng, "An Efficient Statistical Method for Image Noise Level Estimation" (ICCV 2015).
Cleaning: Yu and Sapiro, "DCT image denoising: a simple and effective image denoising algorithm" (IPOL 2011,
doi 10.5201/ipol.2011.ys-dct). JPEG steps as thresholds of the same transform, and finding them, are ours.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mmsr_core.images import to_pil, to_tensor
from mmsr_core.jpeg import CHROMA, LUMA, SIDE, YCBCR, dct, scaled
from mmsr_core.outcome import Damage

PATCH = 5  # side of the patches whose spread tells the noise
SAMPLES = 5_000  # patches of a region that are looked at, about
REGIONS, REGION = 3, 24  # regions a side at most, and their least side in px
WINDOW = 256  # px: side of the part in which JPEG's steps are looked for
LEAST = 1.3  # grey levels: noise under it is left alone, as nine of ten clean photos seem to have up to so much
STRONGEST, BEST = 5, 92  # JPEG qualities that are looked for; better ones do no harm
SHARE = 0.6  # how regular coefficients must be for a photo to have been a JPEG
NEAR = 6  # qualities whose steps are much the same
FEWEST, KINDS = 60, 6  # coefficients that are needed to tell, and of how many frequencies: a gradient is regular too
LIMIT = 2.7  # standard deviations: smaller coefficients may be noise alone
STEP = 0.22  # standard deviation of a quantised coefficient in steps; of evenly spread ones 0.29, they crowd at 0
APART = 2  # px between blocks that are looked at: a quarter of the time of all of them
TILE, REACH = 256, 2 * (SIDE - 1)  # px that are cleaned at once, which bounds the memory, and how far two passes see


class Cleaner:
    """Measures and cleans pictures; remembers the newest one, so that a moved slider need not wait for it."""

    def __init__(self) -> None:
        self._newest: tuple[Image.Image, Damage, Tensor] | None = None

    def damage(self, image: Image.Image) -> Damage:
        """What can be measured in an RGB picture."""
        return self._known(image)[1]

    def picture(self, image: Image.Image) -> Image.Image:
        """An RGB picture without what was measured in it, which is what its modalities are read from."""
        _, damage, cleaned = self._known(image)
        return to_pil(cleaned) if damage else image

    def _known(self, image: Image.Image) -> tuple[Image.Image, Damage, Tensor]:
        known = self._newest
        if known is None or known[0] != image:
            lr = to_tensor(image)
            damage = measure(lr)
            known = self._newest = image.copy(), damage, clean(lr, damage)
        return known

    def clean(self, image: Image.Image, amount: float, device: str) -> Tensor:
        """An RGB picture without its damage, (1, 3, h, w) in [-1, 1] on a device; `amount` as `clean` has it."""
        _, damage, cleaned = self._known(image)
        return cleaned.to(device) if amount == 1 else clean(to_tensor(image).to(device), damage, amount)


@torch.no_grad()
def measure(photo: Tensor) -> Damage:
    """photo (1, 3, h, w) in [-1, 1] -> what can be seen of noise and JPEG blocks."""
    grey = (photo.float() + 1) * 127.5
    down, across = (max(min(side // REGION, REGIONS), 1) for side in grey.shape[-2:])
    regions = (part for rows in grey.tensor_split(down, -2) for part in rows.tensor_split(across, -1))
    noise = sorted(_noise(region) for region in regions)[:2][-1]  # is everywhere; texture is not
    return Damage(noise if noise >= LEAST else 0.0, _quality(grey))


def _noise(grey: Tensor) -> float:
    """Standard deviation of white noise: what the smallest eigenvalues of the patches' covariance agree on.

    Fine texture is taken for noise, therefore `measure` asks several regions.
    """
    apart = max(round(math.sqrt(grey[0, 0].numel() / SAMPLES)), 1)
    rows = F.unfold(grey, PATCH, stride=apart)[0].T.double()  # (n, 75)
    values = torch.linalg.eigvalsh(torch.cov(rows.T)).clamp(min=0)  # ascending
    for count in range(len(values), 0, -1):
        mean = values[:count].mean()
        if mean <= values[(count - 1) // 2 : count // 2 + 1].mean():  # the median
            break
    return float(mean.sqrt())


def _quality(grey: Tensor) -> int | None:
    """Quality of the JPEG that the photo has been, found by the steps of its luma's coefficients."""
    top, left = (max((side - WINDOW) // 2, 0) for side in grey.shape[-2:])
    part = grey[..., top : top + WINDOW, left : left + WINDOW]
    luma = torch.einsum("c,bchw->bhw", part.new_tensor(YCBCR[0]), part)[:, None]
    found = F.conv2d(luma - 128, _basis().to(luma))[0]  # (64, h - 7, w - 7): of blocks at every place
    small = (found[1:].abs() < 0.5).float().mean(0)  # the share of next to nothing is largest on the grid of the JPEG
    places = itertools.product(range(SIDE), range(SIDE))
    top, left = max(places, key=lambda place: float(small[place[0] :: SIDE, place[1] :: SIDE].mean()))
    blocks = found[1:, top::SIDE, left::SIDE].flatten(1)  # (63, n), without the mean
    qualities = torch.arange(STRONGEST, BEST + 1)
    tables = _steps(LUMA, qualities)[:, 1:, None].to(blocks)
    alike = {quality: _alike(blocks, steps) for quality, steps in zip(qualities.tolist(), tables, strict=True)}
    first = next((quality for quality, share in alike.items() if share > SHARE), None)  # multiples of steps fit too
    return first and max(range(first, min(first + NEAR, BEST) + 1), key=alike.__getitem__)


def _alike(blocks: Tensor, steps: Tensor) -> float:
    """How near coefficients (63, n) are to multiples of their steps (63, 1): 1 all on them, 0 anywhere."""
    clear = (steps >= 3) & (blocks.abs() > 0.6 * steps)
    if clear.sum() < FEWEST or clear.any(1).sum() < KINDS:
        return 0.0
    return float(torch.cos(2 * math.pi * blocks / steps)[clear].mean())


def _steps(table: Sequence[Sequence[int]], qualities: Tensor) -> Tensor:
    """libjpeg's quantisation steps of a table at some qualities, (qualities, 64)."""
    return (scaled(torch.tensor(table), qualities) + 0.5).floor().flatten(1)


def _basis() -> Tensor:
    """The transform of a block as filters, (64, 1, 8, 8), the mean first."""
    return torch.einsum("ay,bx->abyx", dct(), dct()).reshape(SIDE**2, 1, SIDE, SIDE)


@torch.no_grad()
def clean(photo: Tensor, damage: Damage, amount: float = 1.0) -> Tensor:
    """Takes noise and blocks out of a photo.

    Overlapping blocks of 8 x 8 pixels lose the coefficients that noise or quantisation alone could have made; a second
    pass shrinks each coefficient by what the first one found (an empirical Wiener filter). Of what the blocks say of a
    pixel the mean is taken, in which sparse blocks count more.

    Args:
        photo: (1, 3, h, w) in [-1, 1].
        damage: what was measured.
        amount: 0 leaves the photo as it is; `Damage.taken` says what others take out.

    Returns:
        (1, 3, h, w) in [-1, 1]; the photo itself where there is nothing to do.
    """
    matrix = torch.tensor(YCBCR)
    noise = damage.taken(amount).noise
    steps = torch.zeros(3, SIDE**2)
    if damage.quality is not None:
        quality = torch.tensor([damage.quality])
        steps = torch.cat([_steps(table, quality) for table in (LUMA, CHROMA, CHROMA)]) * min(amount, 1)
    spread = torch.hypot(noise * matrix.norm(dim=1, keepdim=True), STEP * steps)  # (3, 64), grey levels
    if not spread.any():
        return photo
    spread[:, 0] = 0  # the mean of a block stays
    matrix, spread, basis = (t.to(photo.device) for t in (matrix, spread[..., None, None], _basis()))
    values = torch.einsum("oc,bchw->obhw", matrix, (photo.float() + 1) * 127.5)  # (3, 1, h, w)
    made = torch.empty_like(values)
    mode = "reflect" if min(values.shape[-2:]) > REACH else "replicate"
    for into, part in zip(_tiles(made), _tiles(F.pad(values, (REACH,) * 4, mode=mode), REACH), strict=True):
        found = F.conv2d(part, basis, stride=APART)
        first = _rebuilt(found, (found.abs() > LIMIT * spread).float(), basis)
        power = F.conv2d(first, basis, stride=APART).square()
        whole = _rebuilt(found, power / (power + spread.square()).clamp(min=1e-9), basis)
        height, width = into.shape[-2:]
        into.copy_(whole[..., REACH : REACH + height, REACH : REACH + width])
    back = torch.einsum("oc,cbhw->bohw", torch.linalg.inv(matrix), made)
    return (back / 127.5 - 1).clamp(-1, 1).to(photo.dtype)


def _tiles(values: Tensor, around: int = 0) -> Iterator[Tensor]:
    """Views of tiles of the last two sides, which have so much `around` what is to be cut."""
    height, width = (side - 2 * around for side in values.shape[-2:])
    for top, left in itertools.product(range(0, height, TILE), range(0, width, TILE)):
        bottom, right = min(top + TILE, height), min(left + TILE, width)
        yield values[..., top : bottom + 2 * around, left : right + 2 * around]


def _rebuilt(found: Tensor, gain: Tensor, basis: Tensor) -> Tensor:
    """Coefficients of blocks at every place and their gains, both (3, 64, h, w) -> (3, 1, h + 7, w + 7)."""
    gain[:, 0] = 1
    weight = 1 / gain.square().sum(1, keepdim=True)
    share = F.conv_transpose2d(weight, torch.ones_like(basis[:1]), stride=APART)
    return F.conv_transpose2d(found * gain * weight, basis, stride=APART) / share
