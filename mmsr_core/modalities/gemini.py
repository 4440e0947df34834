"""Captions by Gemini Flash, the paper's captioner, through Google's `google-genai` (requirements-gemini.txt).

The photo leaves this machine. The key is used for the call and kept nowhere.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import MutableMapping
from typing import Any

from PIL import Image

from mmsr_core.modalities.base import Unavailable
from mmsr_core.modalities.models import MODELS

KEYS = MODELS["gemini"].keys
PROMPT = (
    "Describe what this photo shows in one or two plain sentences of at most 50 words: the main subjects, their "
    "materials and textures, the setting and the light. Say nothing about the quality, sharpness, noise or resolution "
    "of the picture. Answer with the description alone."
)
REMEMBERED = 512  # captions in a cache


class GeminiCaption:
    """Photo -> sentences, or `Unavailable` where the service does not answer.

    Args:
        model: the service's name of the model.
        key: of the service; None takes it from the environment.
        timeout: seconds for one attempt.
        attempts: how often a call is tried that fails for reasons that may pass (timeout, 408, 429, 5xx).
        side: the photo is sent with at most this long side in pixels, as JPEG without metadata.
        cache: captions by the hash of model, prompt and what was sent.
        address: of the service, where it is not Google's own.

    Raises:
        ValueError: no key, or google-genai is not installed.
    """

    def __init__(
        self,
        model: str,
        key: str | None = None,
        timeout: float = 15.0,
        attempts: int = 3,
        side: int = 1024,
        cache: MutableMapping[str, str] | None = None,
        address: str | None = None,
    ) -> None:
        try:
            from google.genai import Client, types
        except ImportError:
            raise ValueError(
                "text: got no package google-genai, wanted it: pip install -r requirements-gemini.txt"
            ) from None
        typed = (key or "").strip()
        found = typed if typed else next((os.environ[name] for name in KEYS if os.environ.get(name)), None)
        if found is None:
            raise ValueError(f"text: got no key for Gemini, wanted one typed in, or in {' or '.join(KEYS)}")
        retry = types.HttpRetryOptions(attempts=attempts, initial_delay=0.5, max_delay=4.0)
        options = types.HttpOptions(timeout=round(timeout * 1000), retry_options=retry, base_url=address)
        self._client = Client(api_key=found, vertexai=False, http_options=options)
        self.model, self.side = model, side
        self.cache = {} if cache is None else cache

    def __call__(self, image: Image.Image) -> str:
        sent = self.packed(image)
        name = hashlib.sha256(f"{self.model}\n{PROMPT}\n".encode() + sent).hexdigest()
        if name not in self.cache:
            caption = self._ask(sent)
            while len(self.cache) >= REMEMBERED:
                del self.cache[next(iter(self.cache))]  # the oldest
            self.cache[name] = caption
        return self.cache[name]

    def packed(self, image: Image.Image) -> bytes:
        """What is sent of a photo: a JPEG of its pixels, at most `side` px, without metadata."""
        small, out = image.convert("RGB"), io.BytesIO()
        small.thumbnail((self.side, self.side))
        Image.frombytes("RGB", small.size, small.tobytes()).save(out, "JPEG", quality=90)
        return out.getvalue()

    def _ask(self, sent: bytes) -> str:
        from google.genai import types

        picture = types.Part.from_bytes(data=sent, mime_type="image/jpeg")
        try:
            answer = self._client.models.generate_content(model=self.model, contents=[picture, PROMPT])
        except Exception as error:  # of the service, its client or the connection: all mean that there is no caption
            raise Unavailable(f"Gemini did not answer ({_reason(error)})") from None
        caption = " ".join((answer.text or "").split())
        if not caption:
            raise Unavailable("Gemini gave no caption for this photo")
        return caption


def _reason(error: Any) -> str:
    """Why, without any text of the request: it may hold the key."""
    code, status = getattr(error, "code", None), getattr(error, "status", None)
    return type(error).__name__ if code is None else f"{code} {status}"
