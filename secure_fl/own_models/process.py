"""A process for a site's own recognisers, seen from the one that asks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from typing import Final, TypeVar

from crypto.codec import Message, decode_one_of, encode
from crypto.errors import PeerError
from secure_fl.own_models.pipes import Ends

# Not `-m`, which would put the working folder first; not a fork, which would share our memory.
_PROGRAM: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from secure_fl.own_models.child import main; main()"
)
_ENVIRONMENT: Final = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HOME": f"{os.devnull}/none",
    "USE_HUB_KERNELS": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Keeps Hugging Face's libraries to the folder that they are given: no hub, and no cache of it."""
_REAP_SECONDS: Final = 5

M = TypeVar("M", bound=Message)


class LostError(Exception):
    """There is no answer and there will be none: `reason` says why, and holds no text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ChildProcess:
    """One process, started at once, that ends with this object or at its first silence.

    Everything that it starts itself ends with it, as long as it stays in its process group. Where
    this process dies instead, that one finds its requests at their end; and if it hangs, the system
    ends it soon after its deadline.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-B", "-W", "ignore", "-c", _PROGRAM, json.dumps(sys.path)]
        process = subprocess.Popen(  # noqa: S603 - this interpreter and our own program
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, **_ENVIRONMENT},
            # A group of its own, so that Ctrl-C is ours alone, and that all of it can be ended.
            start_new_session=True,
        )
        if process.stdin is None or process.stdout is None:
            raise TypeError("a process with pipes has both")
        self._process = process
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._ends = Ends(process.stdin.fileno(), process.stdout.fileno())
        self._end = weakref.finalize(self, _end, process, self._owner)

    def exchange(
        self, message: Message, kinds: tuple[type[M], ...], *, seconds: float, limit_bytes: int
    ) -> M:
        """Return the answer to `message`, or end the process.

        Args:
            message: what to ask.
            kinds: what an answer may be.
            seconds: how long to wait for it.
            limit_bytes: how long it may be.

        Raises:
            LostError: none came in time, or the process ended, or what came is none.
        """
        with self._lock:
            if os.getpid() != self._owner:
                raise LostError("it is asked by a copy of the process that it answers")
            if not self._end.alive:
                raise LostError("its process was ended before")
            lost = ""
            answered = False
            deadline = time.monotonic() + seconds
            try:
                self._ends.send(encode(message), deadline)
                data = self._ends.receive(limit_bytes, deadline)
                answer = decode_one_of(kinds, data, limit_bytes=limit_bytes)
                answered = True
            except TimeoutError:
                lost = f"no answer within {seconds:g} seconds"
            except (EOFError, OSError):
                lost = f"its process ended ({self._ending()})"
            except (PeerError, ValueError):
                lost = "its process wrote what is no answer"
            finally:
                # Also when Ctrl-C came in between: what is read next must be the next answer.
                if not answered:
                    self._end()
        if answered:
            return answer
        # Raised out here, so that nothing is chained whose traceback leads back to the text.
        raise LostError(lost)

    def end(self) -> None:
        """End the process; who asks afterwards is told that it is lost."""
        self._end()

    def _ending(self) -> str:
        try:
            code = self._process.wait(_REAP_SECONDS)
        except subprocess.TimeoutExpired:
            return "it closed its pipes"
        if code == -signal.SIGKILL:
            return "killed, as by a system that is short of memory"
        return f"by signal {-code}" if code < 0 else f"exit code {code}"


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    """Kill a process and all of its group; a copy of its owner leaves it alone."""
    if os.getpid() != owner:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_REAP_SECONDS)
