"""The modalities: photo -> caption, depth, segmentation, edges. One row each; the order is the token order."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from mmsr_core.modalities.base import Extractor, Modality, Site, Unavailable, Way
from mmsr_core.modalities.checks import check_caption, check_depth, check_edge, check_segmentation
from mmsr_core.modalities.given import Edited, Modalities
from mmsr_core.modalities.models import MODELS
from mmsr_core.modalities.palette import BUNDLED, Palette

__all__ = ["MODALITIES", "Edited", "Extractor", "Modalities", "Modality", "Site", "Unavailable", "Way", "check"]


# Factories import what they need when they are called: reading the table loads no torch.
def _composed_caption(site: Site) -> Extractor:
    from mmsr_core.modalities.text import ComposedCaption

    return ComposedCaption(_student_segmentation(site))


def _florence(length: str) -> Callable[[Site], Extractor]:
    def make(site: Site) -> Extractor:
        from mmsr_core.modalities.captions import Florence

        return site.network(MODELS["florence"], Florence).saying(length)

    return make


def _blip(site: Site) -> Extractor:
    from mmsr_core.modalities.captions import Blip

    return site.network(MODELS["blip"], Blip)


def _gemini(site: Site) -> Extractor:
    from mmsr_core.modalities.gemini import GeminiCaption

    model = MODELS["gemini"].id if site.source is None else site.source
    return GeminiCaption(model, site.key, cache=site.keep("gemini captions", dict))


def _student_depth(site: Site) -> Extractor:
    from mmsr_core.modalities.depth import StudentDepth

    return site.keep(f"student depth {site.device}", lambda: StudentDepth(site.bundled("depth"), site.device))


def _depth_anything(site: Site) -> Extractor:
    from mmsr_core.modalities.depth_anything import DepthAnything

    return site.network(MODELS["depth-anything"], DepthAnything)


def _student_segmentation(site: Site) -> Extractor:
    from mmsr_core.modalities.segmentation import StudentSegmentation

    folder = site.bundled("segmentation")
    return site.keep(f"student segmentation {site.device}", lambda: StudentSegmentation(folder, site.device))


def _mask2former(labels: str) -> Callable[[Site], Extractor]:
    def make(site: Site) -> Extractor:
        from mmsr_core.modalities.mask2former import Mask2Former

        return site.network(MODELS[f"mask2former-{labels}"], Mask2Former).drawing(labels, site.palette)

    return make


def _canny(**thresholds: float) -> Callable[[Site], Extractor]:
    def make(site: Site) -> Extractor:
        from mmsr_core.modalities.edge import CannyEdges

        return CannyEdges(**thresholds)

    return make


MODALITIES = (
    Modality(
        name="text",
        kind="text",
        label="Caption",
        help="What the photo shows, in one sentence.",
        ends=("follows the caption", "ignores the caption"),
        extractors={
            "composed": Way("Composed (bundled)", _composed_caption, "From the segmentation, colours and light."),
            "florence-brief": Way(
                "Florence-2, brief", _florence("brief"), "One short sentence. 463 MB once.", MODELS["florence"]
            ),
            "florence-detailed": Way(
                "Florence-2, detailed", _florence("detailed"), "A long sentence or two.", MODELS["florence"]
            ),
            "florence-more": Way(
                "Florence-2, more detailed",
                _florence("more detailed"),
                "A paragraph; what is beyond 77 tokens is cut.",
                MODELS["florence"],
            ),
            "blip": Way("BLIP", _blip, "A few plain words. 990 MB once.", MODELS["blip"]),
            "gemini": Way(
                "Gemini Flash",
                _gemini,
                "The captions of the paper, from Google's service; needs a key.",
                MODELS["gemini"],
                consent="The photo leaves this machine: it is sent to Google's Gemini API, under Google's terms.",
                instead="composed",
            ),
        },
        check=check_caption,
    ),
    Modality(
        name="depth",
        kind="map",
        label="Depth",
        help="How near each place is: near is bright, far is dark.",
        ends=("more depth of field", "ignores depth"),
        extractors={
            "student": Way("Bundled network", _student_depth, "A small network of our own; instant."),
            "depth-anything": Way(
                "Depth Anything V2 Small", _depth_anything, "Sharper and surer. 99 MB once.", MODELS["depth-anything"]
            ),
        },
        check=check_depth,
        resample=Image.Resampling.BICUBIC,
    ),
    Modality(
        name="segmentation",
        kind="map",
        label="Segmentation",
        help="What each place belongs to: twelve classes, one colour each.",
        ends=("objects stand out", "ignores segmentation"),
        extractors={
            "student": Way("Bundled network", _student_segmentation, "A small network of our own; instant."),
            "mask2former-coco": Way(
                "Mask2Former, COCO",
                _mask2former("coco"),
                "133 classes of things and stuff, drawn in the classes the model knows. 190 MB once.",
                MODELS["mask2former-coco"],
                palettes=(BUNDLED.name, "coco"),
            ),
            "mask2former-ade": Way(
                "Mask2Former, ADE20K",
                _mask2former("ade"),
                "150 classes of scenes, drawn in the classes the model knows. 190 MB once.",
                MODELS["mask2former-ade"],
                palettes=(BUNDLED.name, "ade"),
            ),
        },
        check=check_segmentation,
        resample=Image.Resampling.NEAREST,
        classes=True,
    ),
    Modality(
        name="edge",
        kind="map",
        label="Edges",
        help="Where lines and borders are: white lines on black.",
        ends=("sharper detail", "ignores edges"),
        extractors={
            "canny": Way("Canny (bundled)", _canny(), "Thresholds follow the photo."),
            "canny-few": Way(
                "Canny, outlines only",
                _canny(percentile=97.0, floor=12.0, ceiling=110.0),
                "The strongest borders, little else.",
            ),
            "canny-many": Way(
                "Canny, fine lines too", _canny(percentile=78.0, floor=3.0), "Faint borders and texture, too."
            ),
        },
        check=check_edge,
        resample=Image.Resampling.BILINEAR,
        lines=True,
    ),
)


def check(modalities: Modalities, palette: Palette = BUNDLED) -> dict[str, Image.Image | str | Edited]:
    """Every modality in the exact form that the model expects, in token order.

    Raises:
        ValueError: an unknown name, or a value of a wrong kind.
    """
    known = [row.name for row in MODALITIES]
    if unknown := sorted(set(modalities) - set(known)):
        raise ValueError(f"modalities: got {', '.join(unknown)}, wanted some of {', '.join(known)}")
    return {row.name: row.checked(modalities[row.name], palette) for row in MODALITIES if row.name in modalities}
