"""Keyed fingerprints of records: how a ledger knows a record that comes back under another name.

A fingerprint is the HMAC-SHA256, under a secret of the site, of the digest of a record's normalised
text. Whoever reads the ledger without that secret cannot test whether a text is in it.

What it finds: the same text, whatever its case, its white space, its label and its identifier.
What it cannot find: a text in which a word was changed, or a person of whom another text is kept.
"""

from __future__ import annotations

import hmac
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crypto.digests import sha256
from crypto.errors import ConfigError
from privacy.ledger_fields import an_object, digest, require_fields, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crypto.digests import JsonValue
    from crypto.secrets import SecretBytes

_LABEL: Final = b"secure-fl/v1/record-fingerprint/"
_SHORTEST_KEY_BYTES: Final = 16
_FIELDS: Final = frozenset({"count", "added", "digest", "key"})


def record_digest(text: str) -> bytes:
    """Return the SHA-256 (32 bytes) of a record's normalised text.

    Normalised is: Unicode NFKC, case folded, each run of white space one space, none at the ends.
    A site takes it of the text as it came, before anything is scrubbed.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return sha256(" ".join(folded.split()).encode("utf-8", "surrogatepass"))


@dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of one run's records.

    Attributes:
        key: says which secret they were made under, and nothing else about it (32 bytes).
        values: the distinct fingerprints, 32 bytes each.
    """

    key: bytes
    values: frozenset[bytes]

    @classmethod
    def of(cls, digests: Iterable[bytes], secret: SecretBytes) -> Fingerprints:
        """Return the fingerprints of the records with these digests.

        Args:
            digests: of `record_digest`, 32 bytes each.
            secret: the site's own, at least 16 bytes; it stays the same for a ledger's life.

        Raises:
            ConfigError: the secret can be guessed, and with it whose texts are here.
        """
        if len(secret) < _SHORTEST_KEY_BYTES:
            raise ConfigError(
                f"A fingerprint key of {len(secret)} bytes can be guessed, and with it which texts "
                f"are here: give at least {_SHORTEST_KEY_BYTES} random bytes."
            )
        key = secret.reveal()
        return cls(
            key=hmac.digest(key, _LABEL + b"key", "sha256"),
            values=frozenset(hmac.digest(key, _LABEL + b"record\0" + d, "sha256") for d in digests),
        )


@dataclass(frozen=True)
class Printed:
    """What a reservation says of the fingerprints that stand beside it.

    Attributes:
        count: how many distinct records the run has.
        added: how many of them were new under this data set's name, and are stored with the entry.
        digest: SHA-256 over those that were added, in ascending order (32 bytes).
        key: which secret they were made under (32 bytes).

    Raises:
        ConfigError: more were added than there are.
    """

    count: int
    added: int
    digest: bytes
    key: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.added <= self.count:
            raise ConfigError("it adds more fingerprints than it has records")

    @classmethod
    def of(cls, prints: Fingerprints, added: frozenset[bytes]) -> Printed:
        """Return what is said of `prints`, of which `added` were new."""
        return cls(len(prints.values), len(added), digest_of(added), prints.key)


def digest_of(prints: Iterable[bytes]) -> bytes:
    """Return the SHA-256 (32 bytes) over `prints` in ascending order."""
    return sha256(b"".join(sorted(prints)))


def printed_json(printed: Printed) -> dict[str, JsonValue]:
    """Return the JSON form of `printed`; `read_printed` is its inverse."""
    return {
        "count": printed.count,
        "added": printed.added,
        "digest": printed.digest.hex(),
        "key": printed.key.hex(),
    }


def read_printed(value: object) -> Printed | None:
    """Return what a reservation says of fingerprints; None where it says that there are none.

    Raises:
        ConfigError: it says something else.
    """
    if value is None:
        return None
    fields = an_object(value)
    require_fields(fields, "reservation's records", _FIELDS)
    return Printed(
        count=whole(fields["count"]),
        added=whole(fields["added"]),
        digest=digest(fields["digest"]),
        key=digest(fields["key"]),
    )
