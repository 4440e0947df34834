"""What the students are worth: scores on held-out photos, clean and degraded, and a sheet to look at."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from mmsr_core.modalities.palette import CLASSES, NAMES, render
from mmsr_core.training.data import PHOTO, PhotoStore
from mmsr_core.training.degradation import Degradation

INPUT = 256  # side at which a photo is shown to the networks
SHEET_ROWS = 14


def settled(model: nn.Module, photos: Iterable[Tensor]) -> nn.Module:
    """A copy in evaluation mode whose normalisation statistics belong to its present (averaged) weights."""
    ready = copy.deepcopy(model)
    with torch.no_grad():
        update_bn(photos, ready)
    return ready.eval()


@torch.no_grad()
def predict(model: nn.Module, photo: Tensor) -> tuple[Tensor, Tensor]:
    """photo (B, 3, h, w) of any size -> depth (B, INPUT/2, INPUT/2) and class index (B, INPUT/2, INPUT/2)."""
    found = model(F.interpolate(photo, (INPUT, INPUT), mode="bicubic", antialias=True).clamp(-1, 1))
    return found["depth"][:, 0], found["segmentation"].argmax(1)


def report(model: nn.Module, store: PhotoStore, path: Path) -> dict[str, float]:
    """Writes the sheet to `path` and its scores beside it (.json)."""
    everything, corner = np.arange(len(store)), np.zeros((len(store), 2), int)
    clean = store.crops(everything, corner, PHOTO)
    low = Degradation(clean=0.0)(clean, torch.Generator().manual_seed(0))
    seen = {"clean": predict(model, clean), "degraded": predict(model, low)}
    scores = {}
    for kind, (depth, index) in seen.items():
        iou = class_iou(index.numpy(), store.segmentation)
        present = [i for i in range(1, len(CLASSES)) if not np.isnan(iou[i])]
        scores[f"{kind} mean IoU"] = float(np.mean([iou[i] for i in present]))
        scores[f"{kind} accuracy"] = accuracy(index.numpy(), store.segmentation)
        scores[f"{kind} depth rank"] = rank_correlation(depth.numpy(), store.depth)
        scores |= {f"{kind} IoU {NAMES[i]}": float(iou[i]) for i in present}
    path.with_suffix(".json").write_text(
        json.dumps({name: round(value, 4) for name, value in scores.items()}, indent=1)
    )
    print({name: round(value, 3) for name, value in scores.items() if "IoU " not in name[-14:]}, flush=True)
    _sheet(clean, low, store, seen).save(path)
    return scores


def class_iou(found: np.ndarray, wanted: np.ndarray) -> list[float]:
    """Intersection over union of each class over the whole split, nan where absent; pixels labelled 0 do not count."""
    found = _enlarged(found, wanted.shape[1:])
    known = wanted > 0
    result = []
    for i in range(len(CLASSES)):
        hit, union = ((found == i) & (wanted == i)).sum(), (((found == i) & known) | (wanted == i)).sum()
        result.append(float(hit / union) if (wanted == i).any() else float("nan"))
    return result


def accuracy(found: np.ndarray, wanted: np.ndarray) -> float:
    """Share of right pixels among those whose label is known."""
    found, known = _enlarged(found, wanted.shape[1:]), wanted > 0
    return float((found == wanted)[known].mean())


def rank_correlation(found: np.ndarray, wanted: np.ndarray) -> float:
    """Mean Spearman correlation of the depth order over the photos whose depth varies."""
    found = _enlarged(found, wanted.shape[1:])
    rows = [
        spearmanr(f[::4, ::4].ravel(), w[::4, ::4].ravel())[0]
        for f, w in zip(found, wanted, strict=True)
        if w.std() > 4
    ]
    return float(np.nanmean(rows))


def _enlarged(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N, h, w) -> (N, *size), nearest."""
    rows, columns = (np.arange(n) * m // n for n, m in zip(size, maps.shape[1:], strict=True))
    return maps[:, rows][:, :, columns]


def _sheet(clean: Tensor, low: Tensor, store: PhotoStore, seen: dict[str, tuple[Tensor, Tensor]]) -> Image.Image:
    """Columns: photo; segmentation wanted, found, found on the degraded photo; depth likewise; the degraded photo."""
    side = 128
    sheet = Image.new("RGB", (8 * side, SHEET_ROWS * side))
    for row, i in enumerate(np.linspace(0, len(store) - 1, SHEET_ROWS).astype(int)):
        maps = [_picture(clean[i]), render(store.segmentation[i])]
        maps += [render(index[i].numpy()) for _, index in seen.values()]
        maps += [Image.fromarray(store.depth[i])]
        maps += [Image.fromarray((depth[i].clamp(0, 1) * 255).byte().numpy()) for depth, _ in seen.values()]
        for column, image in enumerate([*maps, _picture(low[i])]):
            sheet.paste(image.convert("RGB").resize((side, side), Image.Resampling.BOX), (column * side, row * side))
    return sheet


def _picture(photo: Tensor) -> Image.Image:
    return Image.fromarray(((photo + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())
