"""What a process is in the middle of, for whoever has to tell how it ended."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto.errors import SecureFLError

if TYPE_CHECKING:
    from pathlib import Path


class StopRequestedError(BaseException):
    """Somebody asked this process to end; no handler of errors may take it for one."""


@dataclass
class Attempt:
    """A run that this process starts or goes on with.

    Attributes:
        folder: the run's folder, once it is known.
        resume_command: goes on with that run.
        made_state: a state folder that this process makes for this run alone.
        audit_work: where an audit keeps what it found so far.
    """

    folder: Path | None = None
    resume_command: str = ""
    made_state: Path | None = None
    audit_work: Path | None = None

    def resume(self) -> str | None:
        """Return the command that goes on with the run, or None where there is none to go on."""
        return None if self._rounds_done() is None else self.resume_command

    def stopped(self) -> str:
        """Return the sentence for a run that somebody stopped."""
        if self.audit_work is not None:
            return self._stopped_audit(self.audit_work)
        if self.folder is None:
            return "Stopped."
        done = self._rounds_done()
        if done is not None:
            return f"Stopped after {done} finished {'round' if done == 1 else 'rounds'}."
        if self.folder.exists():
            return f"Stopped: {self.folder} holds no run that could be gone on with."
        return "Stopped before the run began: nothing was written and nothing was spent."

    @staticmethod
    def _stopped_audit(work: Path) -> str:
        kept = len(list(work.glob("*.json")))
        if not kept:
            return "Stopped before an attack was finished: nothing was signed."
        who = "1 attack" if kept == 1 else f"{kept} attacks"
        return (
            f"Stopped, and nothing was signed. What {who} found is kept in {work}; the same "
            "command goes on."
        )

    def clean(self) -> None:
        """Remove the state folder that was made for a run which never began.

        Nothing was spent from its ledgers: a run's folder is there before its first charge.
        """
        if self.made_state is not None and self.folder is not None and not self.folder.exists():
            shutil.rmtree(self.made_state, ignore_errors=True)

    def _rounds_done(self) -> int | None:
        if self.folder is None:
            return None
        from secure_fl.runfolder import RunFolder  # noqa: PLC0415 - `--help` needs none of it

        try:
            return RunFolder(self.folder).progress().rounds_done
        except SecureFLError:
            return None
