from __future__ import annotations

import logging
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from pytest_socket import SocketBlockedError

from privacy.scrubbing import PATTERN_ENTITIES, Scrubber, ScrubProfile

TEXT = (
    "Anna Berg <anna.berg@example.co.uk>, +44 20 7946 0958, IBAN DE89370400440532013000, "
    "account 12345678, http://intranet.hospital.local/x, SSN 536-90-4399, 10.20.30.40"
)
PIECES = ("Anna", "Berg", "7946", "DE89", "12345678", "hospital", "4399", "10.20", "account")

ROOT = Path(__file__).resolve().parents[2]


def isolated(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_importing_the_package_imports_nothing_heavy() -> None:
    done = isolated(
        "import sys, privacy.scrubbing as s\n"
        "s.ScrubProfile(('IBAN_CODE',)); s.ScrubTally()\n"
        "heavy = {'presidio_analyzer', 'spacy', 'torch', 'phonenumbers', 'tldextract'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


# Before Presidio is imported, every way out raises in a manner that no library swallows.
CUT_OFF = """
import os, socket, sys

class Reached(BaseException):
    pass

def refuse(*args, **kwargs):
    raise Reached(args)

import asyncio, ssl  # these subclass socket.socket, which must still be a class
for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, refuse)
for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"):
    setattr(socket, name, refuse)
os.environ["HOME"] = "/nonexistent"
os.environ.pop("XDG_CACHE_HOME", None)
sys.addaudithook(lambda event, args: refuse(event) if event in (
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto",
    "subprocess.Popen", "os.system", "os.posix_spawn", "os.fork", "urllib.Request") else None)
"""


def test_a_whole_process_scrubs_without_one_outbound_call() -> None:
    done = isolated(
        CUT_OFF
        + "from privacy.scrubbing import *\n"
        + f"print(Scrubber(ScrubProfile(PATTERN_ENTITIES)).scrub({TEXT!r}).text)"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == (
        "Anna Berg <<EMAIL_ADDRESS>>, <PHONE_NUMBER>, IBAN <IBAN_CODE>, "
        "account <ACCOUNT_NUMBER>, <URL>, SSN <US_SSN>, <IP_ADDRESS>"
    )


def test_presidios_own_email_recogniser_would_have_been_caught() -> None:
    """The test above rests on this: the same cut stops what Presidio does by default."""
    done = isolated(
        CUT_OFF
        + "import tempfile\n"
        + "os.environ['TLDEXTRACT_CACHE'] = tempfile.mkdtemp()\n"
        + "import presidio_analyzer.predefined_recognizers as p\n"
        + f"p.EmailRecognizer().analyze({TEXT!r}, ['EMAIL_ADDRESS'])\n"
    )
    assert done.returncode != 0
    assert "Reached" in done.stderr


@pytest.mark.usefixtures("socket_disabled")
def test_no_socket_is_opened_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        pytest.fail("a host name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.warns(UserWarning, match="socket"), pytest.raises(SocketBlockedError):
        socket.socket()
    assert len(Scrubber(ScrubProfile(PATTERN_ENTITIES)).scrub(TEXT).spans) == 7


class Everything(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def test_nothing_of_a_text_is_logged_at_any_level(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scrubber = Scrubber(ScrubProfile(PATTERN_ENTITIES))
    everything = Everything()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [everything])
    monkeypatch.setattr(root, "level", logging.NOTSET)
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "level", logging.DEBUG)
        monkeypatch.setattr(logger, "disabled", False)
        monkeypatch.setattr(logger, "propagate", True)
    logging.getLogger("heard").debug("heard")
    assert scrubber.scrub(TEXT).spans
    assert scrubber._engine is not None
    scrubber._engine.find_by_presidio(TEXT)
    logging.getLogger("presidio-analyzer").error("Failed to validate text %s", TEXT)
    logging.getLogger("decision_process").error(TEXT)
    assert "heard" in everything.lines
    printed = capfd.readouterr()
    told = "\n".join([*everything.lines, printed.out, printed.err])
    assert not [piece for piece in PIECES if piece in told]
