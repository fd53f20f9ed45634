"""What a site's surrogates are drawn by: random places for Safe Harbor, a key for experts.

Both outlive the process, so that a run that goes on after a crash trains on the same text. For Safe
Harbor a site draws 32 random bytes at the first run of a configuration and keeps them, sealed, in
SITE/runs/<configuration>.scrub, with the year: surrogates follow from them, from a document's
number and from the order in it, and from no value. For Expert Determination the key is derived
from the site's identity: it is the same in all runs, and a new identity brings new surrogates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from crypto.agreement import hkdf
from crypto.codec import Message, decode, encode
from crypto.errors import ConfigError, IntegrityError, PeerError
from crypto.sealing import seal, unseal
from crypto.secrets import SecretBytes
from secure_fl.storage import refused, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from crypto.secrets import Entropy
    from crypto.signatures import SigningKey
    from privacy.scrubbing.modes.replacing import Draw, Keyed

_SECRET_BYTES: Final = 32
_NUMBER_BYTES: Final = 8
_LIMIT_BYTES: Final = 1 << 10


class ScrubBeginning(Message, frozen=True, tag="secure-fl.scrub-beginning.v1"):
    """What the surrogates of one configuration's runs are drawn by, and the year of the first."""

    secret: Annotated[bytes, msgspec.Meta(min_length=_SECRET_BYTES, max_length=_SECRET_BYTES)]
    year: Annotated[int, msgspec.Meta(ge=1, le=9999)]

    def __repr__(self) -> str:
        return "<what surrogates are drawn by>"


@dataclass(frozen=True)
class ScrubSecrets:
    """The source of one site's surrogates.

    Attributes:
        folder: where the site keeps its sealed state.
        identity: the site's key; who holds it reads what is sealed and knows the expert's key.
        entropy: of the random beginnings.
        clock: says the year in which a beginning is made.
    """

    folder: Path
    identity: SigningKey
    entropy: Entropy
    clock: Callable[[], datetime]

    def __repr__(self) -> str:
        return "<the source of a site's surrogates>"

    def beginning(self, configuration: bytes) -> tuple[Draw, int]:
        """Return the random numbers by place for a configuration's runs, and their year.

        Args:
            configuration: the mechanism's digest, 32 bytes.

        Raises:
            IntegrityError: what was kept does not unseal.
            ConfigError: it cannot be read or written.
        """
        path = self.folder / f"{configuration.hex()}.scrub"
        label = f"scrub-beginning/{configuration.hex()}"
        key = hkdf(self.identity.seed(), "scrub-beginning", b"", _SECRET_BYTES)
        kept = _kept(path)
        if kept is None:
            begun = ScrubBeginning(secret=self.entropy(_SECRET_BYTES), year=self.clock().year)
            _make(self.folder)
            write_atomically(path, seal(key, label, encode(begun), self.entropy))
        else:
            begun = _opened(path, key, label, kept)
        return drawn_by(SecretBytes(begun.secret)), begun.year

    def expert_key(self) -> SecretBytes:
        """Return the key of the site's keyed surrogates and date shifts."""
        return hkdf(self.identity.seed(), "expert-surrogates", b"", _SECRET_BYTES)

    def keyed(self) -> Keyed:
        """Return the site's own pseudo-random function for keyed surrogates and date shifts."""
        return keyed_by(self.expert_key())


def drawn_by(secret: SecretBytes) -> Draw:
    """Return the random numbers by place that follow from 32 random bytes."""

    def draw(document: int, count: int) -> int:
        place = f"{document}/{count}".encode()
        drawn = hkdf(secret, "safe-harbor-surrogate", place, _NUMBER_BYTES).reveal()
        return int.from_bytes(drawn, "big")

    return draw


def keyed_by(key: SecretBytes) -> Keyed:
    """Return the pseudo-random function of a site's key."""

    def keyed(message: bytes) -> bytes:
        return hkdf(key, "expert-surrogate", message, _SECRET_BYTES).reveal()

    return keyed


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise refused(folder, error) from error


def _kept(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            f"{path} could not be read ({error.strerror}): a run that goes on would train on other "
            "surrogates than it began with. Mend the file's permissions or the disk."
        ) from error


def _opened(path: Path, key: SecretBytes, label: str, sealed: bytes) -> ScrubBeginning:
    try:
        return decode(ScrubBeginning, unseal(key, label, sealed), limit_bytes=_LIMIT_BYTES)
    except (IntegrityError, PeerError) as error:
        raise IntegrityError(
            f"{path} does not hold what this site's surrogates were drawn by: it was altered, cut "
            "short, or sealed under another identity. Move it away: runs of this configuration "
            "then get other surrogates, which say as little as the first."
        ) from error
