"""The two answers of the Hugging Face hub that a snapshot needs, on loopback."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from huggingface_hub import constants

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


@dataclass
class Repository:
    """What the hub has: one commit of one repository, of `models` or `datasets`."""

    kind: str
    name: str
    revision: str
    files: dict[str, bytes]

    @property
    def path(self) -> str:
        """Where its files are."""
        return f"/{self.name}" if self.kind == "models" else f"/{self.kind}/{self.name}"

    def answer(self, path: str) -> bytes | None:
        """Return the body of an answer, or None for what is not there."""
        about = f"/api/{self.kind}/{self.name}"
        if path.startswith(f"{about}/revision/{self.revision}"):
            files = [{"rfilename": name} for name in self.files]
            return json.dumps({"id": self.name, "sha": self.revision, "siblings": files}).encode()
        if path.startswith(f"{about}/tree/"):
            entries = [
                {"type": "file", "path": name, "size": len(body), "oid": "0" * 40}
                for name, body in self.files.items()
            ]
            return json.dumps(entries).encode()
        before, _, name = path.partition(f"/resolve/{self.revision}/")
        return self.files.get(name) if before == self.path else None


@contextmanager
def served(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let huggingface_hub ask this machine within the block."""

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            body = repository.answer(self.path.partition("?")[0])
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", repository.revision)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
