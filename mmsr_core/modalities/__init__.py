"""The modalities: photo -> caption, depth, segmentation, edges. One row each; the order is the token order."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from mmsr_core.modalities.base import Extractor, Modalities, Modality
from mmsr_core.modalities.checks import check_caption, check_depth, check_edge, check_segmentation

__all__ = ["MODALITIES", "Extractor", "Modalities", "Modality"]


# Factories import what they need when they are called: reading the table loads no torch.
def _composed_caption(weights: Path, device: str) -> Extractor:
    from mmsr_core.modalities.text import ComposedCaption

    return ComposedCaption(_student_segmentation(weights, device))


def _student_depth(weights: Path, device: str) -> Extractor:
    from mmsr_core.modalities.depth import StudentDepth

    return StudentDepth(Path(weights) / "depth", device)


def _student_segmentation(weights: Path, device: str) -> Extractor:
    from mmsr_core.modalities.segmentation import StudentSegmentation

    return StudentSegmentation(Path(weights) / "segmentation", device)


def _canny(weights: Path, device: str) -> Extractor:
    from mmsr_core.modalities.edge import CannyEdges

    return CannyEdges()


MODALITIES = (
    Modality(
        name="text",
        kind="text",
        label="Caption",
        help="What the photo shows, in one sentence.",
        ends=("follows the caption", "ignores the caption"),
        extractors={"composed": _composed_caption},
        check=check_caption,
    ),
    Modality(
        name="depth",
        kind="map",
        label="Depth",
        help="How near each place is: near is bright, far is dark.",
        ends=("more depth of field", "ignores depth"),
        extractors={"student": _student_depth},
        check=check_depth,
        resample=Image.Resampling.BICUBIC,
    ),
    Modality(
        name="segmentation",
        kind="map",
        label="Segmentation",
        help="What each place belongs to: twelve classes, one colour each.",
        ends=("objects stand out", "ignores segmentation"),
        extractors={"student": _student_segmentation},
        check=check_segmentation,
        resample=Image.Resampling.NEAREST,
    ),
    Modality(
        name="edge",
        kind="map",
        label="Edges",
        help="Where lines and borders are: white lines on black.",
        ends=("sharper detail", "ignores edges"),
        extractors={"canny": _canny},
        check=check_edge,
        resample=Image.Resampling.BILINEAR,
        lines=True,
    ),
)
