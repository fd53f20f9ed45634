"""A trivial site and coordinator, to run the transport alone over a real SuperLink."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from secure_fl.transport.flower import client_app_for, server_app_for

if TYPE_CHECKING:
    from pathlib import Path

    from secure_fl.transport import Handler, Transport

PATIENT = "the patient Ada Lovelace"
LARGE_BYTES = 12_000_001


def open_site(folder: Path) -> Handler:
    """Echo, with the site's own greeting in front; fail on demand, with a name in the text."""
    greeting = (folder / "greeting").read_bytes()

    def handle(request: bytes) -> bytes:
        if request == b"fail":
            raise ValueError(PATIENT)
        return greeting + request[::-1]

    return handle


def coordinate(transport: Transport, folder: Path) -> None:
    """Do a broadcast and two exchanges, and write down what came of them."""
    hello = transport.broadcast(b"hello")
    large = bytes(range(256)) * (LARGE_BYTES // 256) + b"!"
    answers = transport.exchange(dict.fromkeys(hello, large))
    names = sorted(hello)
    last = transport.exchange({names[0]: b"fail", names[1]: b"go on", "site-9": b"nobody"})
    result = {
        "hello": {name: data.decode() for name, data in hello.items()},
        "large": {
            name: data.endswith(large[::-1]) and len(data) - len(large)
            for name, data in answers.items()
        },
        "last": {name: data.decode() for name, data in last.items()},
        "failures": {name: code.value for name, code in transport.failures.items()},
    }
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


client_app = client_app_for(open_site)
server_app = server_app_for(coordinate)
