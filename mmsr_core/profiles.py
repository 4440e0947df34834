"""ICC colour profiles: everything becomes sRGB on the way in and is tagged as sRGB on the way out."""

from __future__ import annotations

import io
import struct
from functools import cache

from PIL import Image, ImageCms

_FIXED_DATE = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)  # littlecms writes "now"; equal inputs must give equal files
_D50 = (0.9642, 1.0, 0.8249)
_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}


@cache
def srgb_profile() -> bytes:
    """The ICC profile that tags a colour picture as sRGB."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return made[:24] + _FIXED_DATE + made[36:]


@cache
def grey_profile() -> bytes:
    """The ICC profile that tags a grey picture with sRGB's tone curve (ICC.1:2010, sections 7.2 and 10)."""
    tags = {
        b"desc": _localized("sRGB tone curve, grey"),
        b"cprt": _localized("No copyright, use freely"),
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(*_D50),
        # parametric curve 3: (a x + b)^g from d on, c x below; IEC 61966-2-1
        b"kTRC": b"para\0\0\0\0\0\3\0\0" + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    }
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    header = struct.pack(">I4xI4s4s4s", offset + len(body), 0x04200000, b"mntr", b"GRAY", b"XYZ ") + _FIXED_DATE
    return (header + b"acsp").ljust(68, b"\0") + _fixed(*_D50).ljust(60, b"\0") + table + body


def to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """An opaque picture of any 8-bit mode as RGB in sRGB.

    A profile that is damaged, or of another colour space than the pixels, is ignored as viewers do.
    """
    if image.mode == "LAB":
        icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    if icc is None:
        return image.convert("RGB")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        mode = _MODE_OF_SPACE.get(profile.profile.xcolor_space.strip())
        if (mode in ("CMYK", "LAB")) != (image.mode in ("CMYK", "LAB")) or _is_srgb(profile):
            return image.convert("RGB")
        return ImageCms.profileToProfile(
            image.convert(mode),
            profile,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, KeyError):
        return image.convert("RGB")


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    return (profile.profile.profile_description or "").startswith("sRGB")  # no needless round of rounding


def _localized(text: str) -> bytes:
    data = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(data), 28) + data


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)
