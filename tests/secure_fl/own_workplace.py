"""Recognisers of a site's own that do everything wrong, for the tests of what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privacy.scrubbing.own_models import OwnFunction

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "Zorbina Quuxdottir"
"""What may stand in no log, error or output."""
TEXT = f"Seen today: {CANARY}, in good spirits."

_MODULE = '''
import ctypes, logging, os, re, signal, socket, sys, threading, time, warnings
from privacy.scrubbing import Span

CANARY = "Zorbina Quuxdottir"

def find(text):
    return [Span(m.start(), m.end(), "PERSON", 0.9) for m in re.finditer(CANARY, text)]

def find_badge(text):
    return [Span(m.start(), m.end(), "BADGE", 0.9) for m in re.finditer("Badge-Zulu", text)]

def find_capitals(text):
    return [Span(*m.span(), "CAPITALISED", 0.9) for m in re.finditer(r"\\b[A-Z]\\w+", text)]

def find_nothing(text):
    return ()

def raise_with_text(text):
    raise RuntimeError(text) from ValueError(text)

def raise_named_by_text(text):
    raise type(text, (Exception,), {})(text)

def raise_once(text, told=[]):
    if not told:
        told.append(1)
        raise LookupError(text)
    return find(text)

def hang(text):
    time.sleep(3600)

def hang_in_c(text):
    """Holds the interpreter's lock for longer than the universe is old."""
    re.fullmatch("(a|a)*b", "a" * 200)

def hang_and_say_so(text):
    open(os.path.join(os.path.dirname(__file__), "hangs"), "w").close()
    hang_in_c(text)

def rest(text, seen=[]):
    """Finds something once no alarm was set between two texts."""
    def watch():
        while signal.getitimer(signal.ITIMER_REAL)[0]:
            time.sleep(0.01)
        seen.append(1)
    if not watching:
        watching.append(threading.Thread(target=watch, daemon=True))
        watching[0].start()
    return [Span(0, 1, "PERSON", 0.9)] if seen else []

watching = []

def hang_with_children(text):
    """Leaves a copy of this process that keeps its pipes open."""
    os.fork()
    time.sleep(3600)

def hang_deaf(text):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(3600)

def hang_on_long(text):
    if len(text) > 50:
        time.sleep(3600)
    return find(text)

def exit_quietly(text):
    sys.exit(7)

def die(text):
    os.kill(os.getpid(), signal.SIGKILL)

def crash(text):
    ctypes.string_at(0)

def shout(text):
    """Writes wherever it can, and only then finds."""
    print(text)
    print(text, file=sys.stderr)
    os.write(1, text.encode()), os.write(2, text.encode())
    logging.basicConfig(level=0)
    logging.error(text)
    warnings.warn(text)
    return find(text)

def garble(text):
    """Writes into every pipe that it can find."""
    for descriptor in range(3, 20):
        try:
            os.write(descriptor, b"\\xff" * 64)
        except OSError:
            pass
    return find(text)

def flood(text):
    return [Span(0, 1, "PERSON", 0.9)] * 1_000_000

def connect(text):
    socket.create_connection(("127.0.0.1", 9))

def look_up(text):
    socket.getaddrinfo("localhost", 80)

def send(text):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(text.encode(), ("127.0.0.1", 9))

def return_none(text):
    return None

def return_tuples(text):
    return [(0, 4, "PERSON", 0.9)]

def beyond(text):
    return [Span(0, len(text) + 1, "PERSON", 0.9)]

def backwards(text):
    return [Span(4, 4, "PERSON", 0.9)]

def undeclared(text):
    return [Span(0, 4, "ORGANIZATION", 0.9)]

def unlikely(text):
    return [Span(0, 4, "PERSON", float("nan"))]

def no_entity(text):
    return [Span(0, 4, object(), 0.9)]

def no_score(text):
    return [Span(0, 4, "PERSON", None)]

def half(text):
    return [Span(0.5, 4, "PERSON", 0.9)]

def where(text):
    """Says by one span where its environment is not what it should be."""
    wrong = [
        os.environ.get("HF_HUB_OFFLINE") != "1",
        os.environ.get("TRANSFORMERS_OFFLINE") != "1",
        os.path.exists(os.environ["HF_HOME"]),
        any(os.readlink(f"/proc/self/fd/{n}") != os.devnull for n in (0, 1, 2)),
        "__main__" in sys.modules and hasattr(sys.modules["__main__"], "pytest"),
        os.getpgrp() != os.getpid(),
        __import__("resource").getrlimit(__import__("resource").RLIMIT_CORE) != (0, 0),
    ]
    return [Span(0, 1 + sum(2**n for n, bad in enumerate(wrong) if bad), "PERSON", 0.9)]

not_callable = 3
'''


def write_module(folder: Path, name: str = "site_recognizers") -> Path:
    """Write the module with the recognisers into `folder`, and return the folder."""
    (folder / f"{name}.py").write_text(_MODULE, encoding="utf-8")
    return folder


def function(folder: Path, name: str, *, seconds: float = 30.0) -> OwnFunction:
    """Return one of them."""
    return OwnFunction(f"site_recognizers:{name}", ("PERSON",), folder, seconds)
