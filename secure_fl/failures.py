"""Exit codes, and how a failure is told: one sentence on stderr, or one JSON object."""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from crypto.errors import BudgetError, ConfigError, IntegrityError, PeerError, SecureFLError

if TYPE_CHECKING:
    from typing import TextIO


class ExitCode(IntEnum):
    """What the process says to whoever started it."""

    OK = 0
    INTERNAL = 1
    """A defect of this program."""
    CONFIG = 2
    """A file or option that a person wrote cannot be honoured."""
    SIGNER_UNKNOWN = 3
    """A run folder is consistent, and nobody said whose signature to trust."""
    BUDGET = 4
    """A site's policy or ledger says no."""
    PEER = 5
    """Other parties broke the protocol or went away."""
    INTEGRITY = 6
    """A record does not verify."""
    AUDIT = 7
    """An audit found a claim violated."""
    STOPPED = 130
    """Somebody stopped the run; it can be gone on with."""


_CODES: tuple[tuple[type[SecureFLError], ExitCode], ...] = (
    (ConfigError, ExitCode.CONFIG),
    (BudgetError, ExitCode.BUDGET),
    (PeerError, ExitCode.PEER),
    (IntegrityError, ExitCode.INTEGRITY),
)

_DEFECT = (
    "This is a defect of secure-fl and not of your files ({kind}). Nothing that was finished is "
    "lost. Please report it with its traceback and what `secure-fl doctor` prints; look "
    "through the traceback first, in case it quotes a record."
)


@dataclass(frozen=True)
class Failure:
    """Why a command ended early.

    Attributes:
        kind: the error's class, for machines.
        code: the exit code.
        message: the consequence and the mend, in a sentence or two.
        resume: the command that goes on with the run, where one was kept.
        trace: the traceback of a defect; None for every other failure.
    """

    kind: str
    code: ExitCode
    message: str
    resume: str | None = None
    trace: str | None = None

    @classmethod
    def of(cls, error: SecureFLError, resume: str | None = None) -> Failure:
        """Return the failure that an error of the platform's own stands for."""
        for kind, code in _CODES:
            if isinstance(error, kind):
                return cls(kind.__name__, code, str(error), resume)
        # An error that nobody has given a code is a defect, whatever it says.
        return cls.defect(error, resume)

    @classmethod
    def defect(cls, error: Exception, resume: str | None = None) -> Failure:
        """Return the failure that an unforeseen exception stands for."""
        trace = "".join(traceback.format_exception(error))
        message = _DEFECT.format(kind=type(error).__name__)
        return cls("InternalError", ExitCode.INTERNAL, message, resume, trace)

    @classmethod
    def usage(cls, message: str) -> Failure:
        """Return the failure of a command line that cannot be read."""
        return cls("UsageError", ExitCode.CONFIG, message)

    def tell(self, stream: TextIO, *, as_json: bool) -> None:
        """Write the failure to `stream`."""
        if as_json:
            stream.write(json.dumps(self._json(), ensure_ascii=False) + "\n")
        else:
            if self.trace is not None:
                stream.write(self.trace)
            kept = "" if self.resume is None else f" The run is kept. Go on with: {self.resume}"
            stream.write(f"{self.message}{kept}\n")
        stream.flush()

    def _json(self) -> dict[str, object]:
        optional = {"resume": self.resume, "trace": self.trace}
        return {
            "schema": "secure-fl.failure.v1",
            "kind": self.kind,
            "exit_code": int(self.code),
            "message": self.message,
            **{key: value for key, value in optional.items() if value is not None},
        }
