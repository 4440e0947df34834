"""Gemini through its real client, against a service on this machine that answers as Google's does."""

import io
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("google.genai")

from mmsr_core.modalities import MODALITIES, Unavailable
from mmsr_core.modalities.gemini import KEYS, GeminiCaption

KEY = "AIza-secret-key-of-a-visitor"
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
SAID = "A red barn stands\n on a green field."


def answer(text):
    return {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP"}]}


@pytest.fixture
def service():
    """`.answers`: (status, body) of the next calls, the last one for ever; `.calls`: (path, headers, body) seen."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.calls.append((self.path, dict(self.headers), json.loads(body)))
            status, given = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
            if status == 0:
                return server.silence.wait(20)
            data = json.dumps(given).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            return self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.answers, server.calls, server.silence = [(200, answer(SAID))], [], threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.silence.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def caption(service, monkeypatch):
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)

    def make(**options):
        address = f"http://127.0.0.1:{service.server_port}"
        return GeminiCaption("gemini-flash-latest", **{"key": KEY, "address": address, **options})

    return make


def test_sends_a_small_jpeg_without_metadata_and_gives_one_line(service, caption):
    large = PHOTO.resize((3000, 2000))
    large.info["exif"] = b"Exif\0\0 GPS"
    assert caption()(large) == "A red barn stands on a green field."
    path, headers, body = service.calls[0]
    assert path.endswith("models/gemini-flash-latest:generateContent") and KEY not in path
    assert headers["x-goog-api-key"] == KEY
    picture, words = body["contents"][0]["parts"]
    assert "quality" in words["text"]
    sent = caption().packed(large)
    seen = Image.open(io.BytesIO(sent))
    assert "image/jpeg" in picture["inlineData"].values() and seen.size == (1024, 683) and not seen.getexif()


def test_the_same_photo_is_asked_for_once(service, caption):
    cache = {}
    assert caption(cache=cache)(PHOTO) == caption(cache=cache)(PHOTO.copy())
    assert len(service.calls) == 1
    caption(cache=cache)(PHOTO.rotate(90))
    assert len(service.calls) == 2


def test_what_may_pass_is_tried_again(service, caption):
    service.answers = [(503, {"error": {"code": 503, "status": "UNAVAILABLE"}}), (200, answer(SAID))]
    assert caption()(PHOTO).startswith("A red barn")
    assert len(service.calls) == 2


def test_a_refused_key_is_not_tried_again_and_never_said(service, caption, caplog):
    service.answers = [(400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": f"bad key {KEY}"}})]
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(Unavailable, match=r"Gemini .*\(400 INVALID_ARGUMENT\)") as caught,
    ):
        caption()(PHOTO)
    assert len(service.calls) == 1
    assert KEY not in str(caught.value) and KEY not in caplog.text


def test_a_service_that_does_not_answer_is_given_up(service, caption):
    service.answers = [(0, None)]
    with pytest.raises(Unavailable, match="Gemini did not answer"):
        caption(timeout=0.5, attempts=1)(PHOTO)


def test_an_answer_without_words_is_no_caption_and_not_remembered(service, caption):
    service.answers = [(200, {"candidates": [{"finishReason": "SAFETY"}]}), (200, answer(SAID))]
    cache = {}
    with pytest.raises(Unavailable, match="no caption"):
        caption(cache=cache)(PHOTO)
    assert caption(cache=cache)(PHOTO).startswith("A red barn")


def test_a_key_is_wanted(caption, monkeypatch):
    for typed in (None, "", "  "):
        with pytest.raises(ValueError, match="text: got no key for Gemini, wanted one typed in, or in GEMINI_API_KEY"):
            caption(key=typed)


@pytest.mark.parametrize("name", KEYS)
def test_the_key_of_the_environment_is_used(service, caption, monkeypatch, name):
    monkeypatch.setenv(name, "from-outside")
    caption(key=None)(PHOTO)
    assert service.calls[0][1]["x-goog-api-key"] == "from-outside"


def test_the_table_says_what_it_needs():
    (way,) = (way for row in MODALITIES for way in row.extractors.values() if way.keys)
    assert way.keys == KEYS == ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    assert "leaves this machine" in way.consent and way.instead == "composed"
