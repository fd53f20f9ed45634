"""A site's state on its own disk: one sealed file per run, replaced atomically."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from crypto.agreement import hkdf
from crypto.codec import decode, encode
from crypto.errors import ConfigError, IntegrityError, PeerError
from crypto.sealing import seal, unseal
from secure_fl.rounds.site_state import SiteState
from secure_fl.storage import refused, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crypto.secrets import Entropy
    from crypto.signatures import SigningKey

_LIMIT_BYTES = 1 << 30


class FileSiteStore:
    """Sealed under a key that only the holder of the site's identity key can derive.

    Formal guarantees: after `save` returns, the state survives a crash of process or machine;
    a crash during `save` leaves the earlier state whole. A file of another run, or one that was
    changed, does not unseal.
    """

    def __init__(self, folder: Path, identity: SigningKey, entropy: Entropy) -> None:
        self._folder = folder
        self._key = hkdf(identity.seed(), "site-store", b"", 32)
        self._entropy = entropy

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the one lock of this identity.

        Raises:
            ConfigError: another process answers for this site at the moment, or the disk refuses.
        """
        lock = self._folder / "lock"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise refused(lock, error) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"Another process answers for the site in {self._folder.parent}: two would "
                    "use one set of mask keys twice. Stop one of them."
                ) from None
            yield
        finally:
            os.close(handle)

    def load(self, run_id: bytes) -> SiteState | None:
        """Return what was saved for a run, or None.

        Raises:
            IntegrityError: the file does not unseal, or holds something else.
            ConfigError: the file cannot be read.
        """
        path = self._path(run_id)
        try:
            sealed = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(
                f"{path} could not be read ({error.strerror}): the site cannot tell which keys it "
                "has used, and answers nothing. Mend the file's permissions or the disk."
            ) from error
        try:
            plain = unseal(self._key, _label(run_id), sealed)
            return decode(SiteState, plain, limit_bytes=_LIMIT_BYTES)
        except (IntegrityError, PeerError) as error:
            raise _useless(path) from error

    def save(self, run_id: bytes, state: SiteState) -> None:
        """Replace what was saved, atomically and durably."""
        sealed = seal(self._key, _label(run_id), encode(state), self._entropy)
        write_atomically(self._path(run_id), sealed)

    def _path(self, run_id: bytes) -> Path:
        return self._folder / f"{run_id.hex()}.state"


def _useless(path: Path) -> IntegrityError:
    # A backup would be worse than nothing: its keys may have been used since.
    return IntegrityError(
        f"{path} does not hold this site's state: it was altered, cut short, or sealed by another "
        "version or identity. Going on could use mask keys twice. Do not restore a backup: move "
        "the file away, and the site counts as dropped until the run's next attempt."
    )


def _label(run_id: bytes) -> str:
    return f"site-state/{run_id.hex()}"
