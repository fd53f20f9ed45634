"""What a fuzzed decoder is: how it reads, what it may raise, and encodings that it accepts.

Where a signature or a seal guards a decoder, the key is the attacker's: a party of the roster signs
whatever it likes. Files are written to one temporary folder.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import all_test_folders  # noqa: F401 - before the helpers that lie there
from round_simulator import key_of, private_mechanism, roster_of

from crypto.secrets import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostile_bytes import Form
    from hypothesis.strategies import SearchStrategy

    from crypto.errors import SecureFLError

LIMIT_BYTES = 1 << 20
KEY = SecretBytes(bytes(range(32)))
SIGNER = key_of("coordinator")
ROOT_KEY = key_of("consortium")
ROSTER = roster_of(4)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
RUN_ID = b"run-of-the-fuzz."
MECHANISM = private_mechanism()

_OPEN_FOLDER = tempfile.TemporaryDirectory(prefix="fuzzed-files-")
FOLDER = Path(_OPEN_FOLDER.name)


@dataclass(frozen=True)
class Decoder:
    """One decoder.

    Attributes:
        name: of the target.
        read: reads bytes, and fails an assertion where what it read is not written so again.
        errors: all that it may raise.
        valid: encodings that it accepts.
        form: how those can be taken apart.
    """

    name: str
    read: Callable[[bytes], None]
    errors: tuple[type[SecureFLError], ...]
    valid: SearchStrategy[bytes]
    form: Form

    def accepts(self, data: bytes) -> bool:
        """Return whether `data` is read; whatever is not one of `errors` goes up."""
        try:
            self.read(data)
        except self.errors:
            return False
        return True


def entropy(length_bytes: int) -> bytes:
    """The same bytes each time: an input that was found is found again."""
    return b"\x5a" * length_bytes


def placed(name: str, data: bytes, mode: int = 0o600) -> Path:
    """Return the path of a file that holds `data`."""
    path = FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path
