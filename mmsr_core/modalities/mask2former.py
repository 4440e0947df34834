"""Segmentation by Mask2Former (Cheng et al. 2022, https://arxiv.org/abs/2112.01527), labels of COCO or ADE20K."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, Mask2FormerForUniversalSegmentation

from mmsr_core.modalities.network import Network
from mmsr_core.modalities.palette import BUNDLED, Palette, named

LARGEST = 768  # long side in pixels at which classes are decided: 134 planes of a large photo would fill the memory


class Mask2Former:
    """A loaded network; `drawing` gives the extractor.

    Args:
        folder: a `Mask2FormerForUniversalSegmentation` with its image processor.
        device: of torch.
        batch: most photos at once in `many`.
    """

    def __init__(self, folder: Path, device: str = "cpu", batch: int = 8) -> None:
        model = Mask2FormerForUniversalSegmentation.from_pretrained(folder, dtype=torch.float32)
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        self.network = Network(model, processor, device, batch)
        self.labels = {int(number): name for number, name in model.config.id2label.items()}

    def drawing(self, labels: str, palette: Palette) -> Mask2FormerMap:
        """The extractor that draws in `palette`; `labels` names the full palette of the network's labels.

        Raises:
            ValueError: the network has other labels, or they cannot be drawn in that palette.
        """
        own = named(labels)
        if palette.name not in (BUNDLED.name, own.name):
            raise ValueError(
                f"segmentation: got {own.name} labels for a model that knows the palette {palette.name}, "
                f"wanted an extractor of {palette.name}"
            )
        places = own.places(self.labels)
        return Mask2FormerMap(self, palette, places if palette.name == own.name else np.array(own.broad)[places])

    @torch.inference_mode()
    def classes(self, images: list[Image.Image]) -> list[np.ndarray]:
        """The label of every pixel, (h, w) int64, of RGB photos; the long side is at most `LARGEST`."""
        network = self.network
        given = network.processor(images=images, return_tensors="pt").to(network.device)
        with network.running():
            found = network.model(pixel_values=given.pixel_values, pixel_mask=given.pixel_mask)
        sizes = []
        for width, height in (image.size for image in images):
            scale = min(LARGEST / max(width, height), 1.0)
            sizes.append((max(round(height * scale), 1), max(round(width * scale), 1)))
        found.class_queries_logits = found.class_queries_logits.float()
        found.masks_queries_logits = found.masks_queries_logits.float()
        maps = network.processor.post_process_semantic_segmentation(found, target_sizes=sizes)
        return [one.cpu().numpy() for one in maps]


class Mask2FormerMap:
    """Mode "RGB" in exact palette colours, at the size of the photo.

    Args:
        network: a loaded network.
        palette: of the map.
        places: index in the palette of every label of the network, (labels,).
    """

    def __init__(self, network: Mask2Former, palette: Palette, places: np.ndarray) -> None:
        self.network, self.palette, self.places = network, palette, places

    def __call__(self, image: Image.Image) -> Image.Image:
        return self.many([image])[0]

    def many(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """One map per photo; photos of one size are read together."""
        return self.network.network.many(images, self._read)

    def _read(self, images: list[Image.Image]) -> list[Image.Image]:
        found = zip(self.network.classes(images), images, strict=True)
        maps = [(self.palette.render(self.places[index]), image.size) for index, image in found]
        return [drawn.resize(size, Image.Resampling.NEAREST) for drawn, size in maps]
