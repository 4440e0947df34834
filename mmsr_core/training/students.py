"""Stage `students`: the depth and the segmentation network, trained together on labelled photos.

Both share one encoder while they are trained (half the cost, and each task helps the other); each is saved complete.
Half of every batch is seen through the degradation, as the networks meet low-resolution pictures at run time.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from mmsr_core.modalities.palette import CLASSES, NAMES
from mmsr_core.modalities.student import Student
from mmsr_core.training import hints, students_check
from mmsr_core.training.data import LABEL, PHOTO, PhotoStore, random_source
from mmsr_core.training.degradation import Degradation, uniform
from mmsr_core.training.loop import TrainConfig, fit

UNKNOWN_WEIGHT = 0.3  # class 0 means "unknown", so a wrong answer there costs little
EXPECTED = {"food": -1.0, "person": 0.5, "animal": 0.5}  # log of how much more often than in training a class is met:
# a quarter of the training crops are food photos. On val: mean IoU .367 -> .375, of "object" .64 -> .74.
DEPTH_WEIGHT = 2.5  # brings the gradient at the shared encoder near that of the segmentation
PRIOR_SHARE = 0.6  # of the class weights' effect, undone after training: +2 points of mean IoU, +3 of accuracy on val
MAX_PIXELS = 208 * 208  # of one network input in training


class Students(nn.Module):
    """Both networks around one encoder, and the linear map that predicts the teacher's features."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = Student(outputs=1)
        self.segmentation = Student(outputs=len(CLASSES))
        self.segmentation.encoder = self.depth.encoder
        widths = self.depth.config.widths
        self.hint = nn.Conv2d(widths[-2] + widths[-1], hints.CHANNELS, 1)

    def forward(self, photo: Tensor) -> dict[str, Tensor]:
        """photo (B, 3, H, W) -> depth (B, 1, H/2, W/2), segmentation (B, 12, H/2, W/2), hint (B, 64, H/16, W/16)."""
        found = self.depth.encoder(photo)
        deep = F.interpolate(found[-1], found[-2].shape[2:], mode="bilinear")
        return {
            "depth": self.depth.decoder(found),
            "segmentation": self.segmentation.decoder(found),
            "hint": self.hint(torch.cat([found[-2], deep], 1)),
        }


class Batches:
    """Random windows of the training photos with their labels: `batches(step, rank, device)`."""

    def __init__(self, store: PhotoStore, hint: np.ndarray | None, batch: int, seed: int, strength: float) -> None:
        self.store, self.hint, self.batch, self.seed, self.strength = store, hint, batch, seed, strength
        shares = np.stack([np.bincount(seg[::4, ::4].ravel(), minlength=len(CLASSES)) for seg in store.segmentation])
        shares = shares / shares.sum(1, keepdims=True)
        rarity = 1 / np.maximum((shares > 0.02).sum(0), 1) ** 0.5
        rarity[0] = 0
        chance = np.where(shares > 0.02, rarity, 0).max(1) + rarity[1:].min()
        self.chance = chance / chance.sum()
        weight = shares.mean(0).clip(1e-3) ** -0.5
        weight[0] = 0
        weight /= weight[1:].mean()
        weight[0] = UNKNOWN_WEIGHT
        self.class_weight = torch.tensor(weight, dtype=torch.float32)

    def __call__(self, step: int, rank: int, device: torch.device) -> dict[str, Tensor]:
        rng, generator = random_source(self.seed, step, rank)
        indices = rng.choice(len(self.store), self.batch, p=self.chance)
        side = int(rng.choice((240, 288, 336, 384, 384)))
        size = _network_size(rng)
        corners = rng.integers(0, (PHOTO - side) // 2 + 1, (self.batch, 2)) * 2
        half = self.batch // 2
        low = Degradation(self.strength, clean=0.1, scale=int(rng.choice((1, 2, 2, 3))))
        bad = low(self._photos(indices[:half], corners[:half], side, (side // 2, side // 2)), generator)
        photo = torch.cat([_resized(bad, size), self._photos(indices[half:], corners[half:], side, size)])
        photo = jittered(photo.clamp(-1, 1), generator)
        half_size = (size[0] // 2, size[1] // 2)
        depth = self._labels(self.store.depth, indices, corners, side)
        segmentation = self._labels(self.store.segmentation, indices, corners, side)
        soft = (segmentation[:, None] == torch.arange(len(CLASSES))[:, None, None]).float()
        batch = {
            "photo": photo,
            "depth": _resized(depth[:, None].float() / 255, half_size),
            "segmentation": F.interpolate(soft, half_size, mode="bilinear", antialias=True),
        }
        if self.hint is not None:
            batch["hint"] = self._hints(indices, corners, side, (size[0] // 16, size[1] // 16))
        flip = torch.from_numpy(rng.random((self.batch, 1, 1, 1)) < 0.5)
        batch = {name: torch.where(flip, value.flip(-1), value) for name, value in batch.items()}
        return {name: value.to(device) for name, value in {**batch, "class_weight": self.class_weight}.items()}

    def _photos(self, indices: np.ndarray, corners: np.ndarray, side: int, size: tuple[int, int]) -> Tensor:
        """Windows of the photos, shrunk while they are still bytes (fast): (B, 3, *size) in [-1, 1]."""
        windows = [self.store.photos[i, y : y + side, x : x + side] for i, (x, y) in zip(indices, corners, strict=True)]
        small = [cv2.resize(window, size[::-1], interpolation=cv2.INTER_AREA) for window in windows]
        return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 255 * 2 - 1

    @staticmethod
    def _labels(labels: np.ndarray, indices: np.ndarray, corners: np.ndarray, side: int) -> Tensor:
        scale = PHOTO // LABEL
        boxes = [(i, x // scale, y // scale, side // scale) for i, (x, y) in zip(indices, corners, strict=True)]
        return torch.from_numpy(np.stack([labels[i, y : y + s, x : x + s] for i, x, y, s in boxes]))

    def _hints(self, indices: np.ndarray, corners: np.ndarray, side: int, size: tuple[int, int]) -> Tensor:
        """The teacher's features at the same windows, (B, 64, *size)."""
        found = torch.from_numpy(self.hint[indices].astype(np.float32))
        shift = torch.from_numpy((2 * corners + side) / PHOTO - 1).float()  # centre of the window in -1..1
        zoom = side / PHOTO
        theta = torch.zeros(len(indices), 2, 3)
        theta[:, 0, 0] = theta[:, 1, 1] = zoom
        theta[:, :, 2] = shift
        grid = F.affine_grid(theta, (len(indices), 1, *size), align_corners=False)
        return F.grid_sample(found, grid, padding_mode="border", align_corners=False)


def jittered(photo: Tensor, generator: Generator) -> Tensor:
    """Random light, contrast, saturation and tint per picture. (B, 3, H, W) in [-1, 1], same out."""
    draw = lambda low, high, n=1: uniform((len(photo), n, 1, 1), low, high, photo, generator)  # noqa: E731
    x = (photo * 0.5 + 0.5).clamp(1e-3, 1) ** torch.exp(draw(-0.4, 0.4))
    x = (x - 0.5) * draw(0.75, 1.2) + 0.5 + draw(-0.08, 0.08, 3)
    grey = x.mean(1, keepdim=True)
    saturation = torch.where(draw(0, 1) < 0.06, 0.0, draw(0.5, 1.4))
    return ((grey + (x - grey) * saturation) * 2 - 1).clamp(-1, 1)


def _network_size(rng: np.random.Generator) -> tuple[int, int]:
    while True:
        height, width = rng.integers(4, 9, 2) * 32
        if height * width <= MAX_PIXELS and 0.6 < height / width < 1.7:
            return int(height), int(width)


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bicubic", antialias=True)


def depth_loss(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Scale- and shift-invariant L1 with gradients at four scales (MiDaS, Ranftl et al. 2020, eq. 5-11), and a little

    plain L1 that keeps the output near 0..1. Both (B, 1, H, W); constant depth teaches only the plain term.
    """
    plain = (predicted - wanted).abs().mean()
    p, _ = _standard(predicted)
    w, spread = _standard(wanted)
    varied = (spread > 0.02).float()
    difference = (p - w) * varied
    loss = difference.abs().clamp(max=4).mean()
    for level in range(4):
        part = F.avg_pool2d(difference, 2**level)
        loss = loss + 0.25 * sum(part.diff(dim=dim).abs().mean() for dim in (2, 3))
    return loss + 0.5 * plain


def _standard(x: Tensor) -> tuple[Tensor, Tensor]:
    """Median 0 and mean absolute deviation 1 per picture; and that deviation."""
    x = x - x.flatten(1).median(1).values[:, None, None, None]
    spread = x.abs().mean((1, 2, 3), keepdim=True)
    return x / spread.clamp(min=1e-2), spread


def segmentation_loss(logits: Tensor, soft: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy with soft labels (B, 12, H, W) (mixed at class borders) and one weight per class (12,)."""
    weighted = soft * weight[:, None, None]
    return -(weighted * logits.log_softmax(1)).sum() / weighted.sum()


def loss(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Segmentation + depth + the teacher's features, whose share falls with the training (`loss.done`)."""
    found = {name: value.float() for name, value in model(batch["photo"]).items()}
    terms = {
        "segmentation": segmentation_loss(found["segmentation"], batch["segmentation"], batch["class_weight"]),
        "depth": depth_loss(found["depth"], batch["depth"]),
    }
    total = terms["segmentation"] + DEPTH_WEIGHT * terms["depth"]
    if "hint" in batch:
        terms["hint"] = F.mse_loss(found["hint"], batch["hint"])
        total = total + (4 - 3 * loss.done) * terms["hint"]
    return {"loss": total, **terms}


@torch.no_grad()
def calibrate(student: Student, weight: Tensor) -> None:
    """Lowers the logits of classes that weighed much in the loss (12,), so that rare ones are not seen everywhere, and
    moves those of classes that visitors' photos show more or less often than the training photos (`EXPECTED`).

    Logit adjustment, Menon et al. 2021, https://arxiv.org/abs/2007.07314, section 4.2; "unknown" stays as it is.
    """
    bias = student.decoder.head[-1].bias
    bias[1:] -= PRIOR_SHARE * weight[1:].log().to(student.device)
    bias += bias.new_tensor([EXPECTED.get(name, 0.0) for name in NAMES])


def add_arguments(parser: ArgumentParser) -> None:
    TrainConfig.add_arguments(parser, batch=24, lr=2e-3, ema=0.998, precision="bf16", seed=1, clip=3.0)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="arrays made by the prepare stage")
    parser.add_argument("--teacher", type=Path, help="npz of SqueezeNet v1.0; without it no features are imitated")
    parser.add_argument("--strength", type=float, default=0.8, help="strength of the degradation")


def main(args: Namespace) -> None:
    config = TrainConfig.from_arguments(args)
    torch.manual_seed(config.seed)
    store, held_out = PhotoStore.open(args.cache, "train"), PhotoStore.open(args.cache, "val")
    hint = None if args.teacher is None else _hint_array(args.teacher, args.cache, store)
    batches = Batches(store, hint, config.batch, config.seed, args.strength)

    def look(model: Students, path: Path) -> None:
        ready = students_check.settled(model, (batches(10**7 + i, 0, torch.device("cpu"))["photo"] for i in range(24)))
        calibrate(ready.segmentation, batches.class_weight)
        students_check.report(ready, held_out, path)
        for name in ("depth", "segmentation"):
            getattr(ready, name).half().save_pretrained(config.out / "export" / name)

    fit(Students(), loss, batches, config, look)


def _hint_array(teacher: Path, cache: Path, store: PhotoStore) -> np.ndarray:
    path = cache / "train" / "hints.npy"
    if not path.exists():
        hints.prepare(hints.SqueezeNet(teacher), store.photos, path)
    return np.load(path, mmap_mode="r")
