"""MMSR: photo super-resolution steered by caption, depth, segmentation and edges.

The public names load on first use, so that `import mmsr_core` stays instant.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Upscaler": "mmsr_core.upscaler",
    "Settings": "mmsr_core.settings",
    "Edited": "mmsr_core.modalities.given",
    "Order": "mmsr_core.order",
    "Recipe": "mmsr_core.recipe",
    "open_photo": "mmsr_core.images",
    "restore_file": "mmsr_core.order",
    "save_photo": "mmsr_core.images",
}
__all__ = [
    "Edited",
    "Order",
    "Recipe",
    "Settings",
    "Upscaler",
    "__version__",
    "open_photo",
    "restore_file",
    "save_photo",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mmsr_core' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
