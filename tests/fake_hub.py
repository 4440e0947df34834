"""A hub on this machine: the few answers of huggingface.co that a download needs, for one repository."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """`files`: name -> content of the repository "some/model"; `pause`: seconds between two pieces of a file."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], pause: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.pause, self.sent = files, pause, []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def running(files: dict[str, bytes], pause: float = 0.0) -> Iterator[Hub]:
    hub = Hub(files, pause)
    threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        path = urlparse(self.path).path
        files = self.server.files
        if path == "/":
            return self._send(b"", {}, body)
        if path.startswith("/api/models/some/model/tree/"):
            rows = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for name, data in files.items()
            ]
            return self._send(json.dumps(rows).encode(), {"Content-Type": "application/json"}, body)
        if path.startswith("/api/models/some/model"):
            about = {"id": "some/model", "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
            return self._send(json.dumps(about).encode(), {"Content-Type": "application/json"}, body)
        name = path.removeprefix("/some/model/resolve/").partition("/")[2]
        if name in files and path.startswith("/some/model/resolve/"):
            if body:
                self.server.sent.append(name)
            tag = hashlib.sha1(files[name]).hexdigest()
            return self._send(files[name], {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}, body)
        self.send_response(404)
        self.send_header("X-Error-Code", "EntryNotFound" if path.startswith("/some/model/") else "RepoNotFound")
        self.send_header("Content-Length", "0")
        return self.end_headers()

    def _send(self, data: bytes, headers: dict[str, str], body: bool) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0] or 0)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        for name, value in {**headers, "Content-Length": str(len(data) - start)}.items():
            self.send_header(name, value)
        self.end_headers()
        pieces = range(start, len(data), 65536) if body else ()
        for at in pieces:
            try:
                self.wfile.write(data[at : at + 65536])
            except OSError:  # the other side is gone
                return
            time.sleep(self.server.pause)
