"""The uses of records that a ledger holds: their strict JSON, and what they charge.

An entry's bytes are RFC 8785 JSON with exactly the fields of its kind, so that one entry has one
digest. Entries that an earlier version wrote keep its schema and their bytes. Nothing here touches
a disk.
"""

from __future__ import annotations

import enum
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crypto.digests import canonical_json
from crypto.errors import ConfigError, IntegrityError
from privacy.events import Event, from_json, to_json
from privacy.ledger_fields import (
    an_object,
    decoded,
    require_fields,
    require_name,
    require_time,
    text,
    whole,
)
from privacy.ledger_fingerprints import Printed, printed_json, read_printed
from privacy.ledger_terms import Terms, read_terms, terms_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crypto.digests import JsonValue
    from crypto.secrets import SecretBytes

EXTRACT_SCHEMA: Final = "secure-fl.ledger-extract-entry.v1"

_DIGEST_BYTES: Final = 32
_SHORTEST_COMMITMENT_KEY_BYTES: Final = 16
_LARGEST_COUNT: Final = 2**31
_DRAW_FIELDS: Final = frozenset({"round", "attempt"})
_USE_FIELDS: Final = frozenset(
    {"schema", "kind", "time", "run", "event", "unit", "relation", "delta"}
)
_ENTRY_FIELDS: Final = _USE_FIELDS | {"sequence", "dataset", "version"}
_EXTRACT_FIELDS: Final = _USE_FIELDS | {"dataset_commitment", "version_commitment"}


class EntrySchema(enum.Enum):
    """The forms that an entry can have in a ledger."""

    V1 = "secure-fl.ledger-entry.v1"
    """Reservations and draws alone. Read for ever, written no more."""

    V2 = "secure-fl.ledger-entry.v2"
    """Also officers' acts, and what records a reservation was for."""


class Kind(enum.Enum):
    """What an entry records."""

    RESERVE = "reserve"
    """The whole planned event of a run, charged before the run starts."""

    DRAW = "draw"
    """Noise about to be drawn: the first of a round uses the reservation, others are charged."""

    DECLARE = "declare"
    """An officer's act: what epsilon means for a named data set, and who else is in it."""

    RESTORED = "restored"
    """An officer's act: a backup took the ledger's place, and entries after it were lost."""


@dataclass(frozen=True)
class Draw:
    """Which draw of noise: the run's round, and the attempt at it."""

    round: int
    attempt: int

    def __post_init__(self) -> None:
        for name, value in (("round", self.round), ("attempt", self.attempt)):
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            if not (is_whole and 0 <= value <= _LARGEST_COUNT):
                raise ConfigError(f"A {name} of {value!r} is no number of a draw: give 0 or more.")


@dataclass(frozen=True)
class Entry:
    """One use of a data set's records.

    Attributes:
        sequence: its number, from 1.
        time: when it was written, RFC 3339 in UTC with seconds.
        dataset: the policy's name of the data set.
        version: the SHA-256 digest of the records (32 bytes).
        run: the run's name.
        event: what is charged, or drawn.
        terms: what epsilon means for this data set.
        draw: which draw this is; None for a reservation.
        printed: which fingerprints of records stand beside a reservation; None where the caller
            gave none, in a draw, and in an entry of the first schema.
        schema: the form that it is written in.

    Raises:
        ConfigError: a name, the version or the time has another form, or fingerprints stand where
            none can.
    """

    sequence: int
    time: str
    dataset: str
    version: bytes
    run: str
    event: Event
    terms: Terms
    draw: Draw | None
    printed: Printed | None = None
    schema: EntrySchema = EntrySchema.V2

    def __post_init__(self) -> None:
        for what, name in (("data set", self.dataset), ("run", self.run)):
            require_name(what, name)
        require_time(self.time)
        if len(self.version) != _DIGEST_BYTES:
            raise ConfigError(
                f"The version of a data set is a SHA-256 digest of {_DIGEST_BYTES} bytes, not of "
                f"{len(self.version)}: nothing was charged."
            )
        if self.printed is not None and not self._may_be_printed:
            raise ConfigError("a draw, or an entry of the first schema, has no fingerprints")

    @property
    def kind(self) -> Kind:
        """Whether this reserves or draws."""
        return Kind.RESERVE if self.draw is None else Kind.DRAW

    @property
    def _may_be_printed(self) -> bool:
        return self.draw is None and self.schema is not EntrySchema.V1

    def body(self) -> bytes:
        """Return the bytes that the ledger stores and chains."""
        records: dict[str, JsonValue] = {}
        if self._may_be_printed:
            records["records"] = None if self.printed is None else printed_json(self.printed)
        return canonical_json(
            {
                "schema": self.schema.value,
                "sequence": self.sequence,
                "dataset": self.dataset,
                "version": self.version.hex(),
                **records,
                **_use_json(self),
            }
        )

    @classmethod
    def parse(cls, body: bytes) -> Entry:
        """Return the entry whose `body` this is.

        Raises:
            IntegrityError: the bytes are not the canonical JSON of a reservation or a draw.
        """
        return decoded(body, cls.of_fields)

    @classmethod
    def of_fields(cls, fields: dict[str, object]) -> Entry:
        """Return the entry with these fields, as `json.loads` gave them.

        Raises:
            ConfigError: a field is missing, unknown or of another type or range.
            ValueError: a name of a kind, a unit or a relation is unknown.
        """
        schema = _entry_schema(fields)
        known = _ENTRY_FIELDS
        if schema is not EntrySchema.V1 and fields.get("kind") == Kind.RESERVE.value:
            known |= {"records"}
        _require_use(fields, known)
        return cls(
            sequence=whole(fields["sequence"]),
            time=text(fields["time"]),
            dataset=text(fields["dataset"]),
            version=bytes.fromhex(text(fields["version"])),
            run=text(fields["run"]),
            event=from_json(fields["event"]),
            terms=read_terms(fields),
            draw=_draw(fields),
            printed=read_printed(fields.get("records")),
            schema=schema,
        )


@dataclass(frozen=True)
class ExtractEntry:
    """One entry of a run as it may leave the site: data set and version are commitments.

    Attributes:
        time: when it was written, RFC 3339 in UTC with seconds.
        dataset: HMAC-SHA256 of the data set's name under the site's secret, in hex.
        version: the same of the version.
        run: the run's name.
        event: what is charged, or drawn.
        terms: what epsilon means for this data set.
        draw: which draw this is; None for a reservation.
    """

    time: str
    dataset: str
    version: str
    run: str
    event: Event
    terms: Terms
    draw: Draw | None

    def __post_init__(self) -> None:
        require_name("run", self.run)
        require_time(self.time)
        for commitment in (self.dataset, self.version):
            if re.fullmatch(r"[0-9a-f]{64}", commitment) is None:
                raise ConfigError("A commitment in a ledger's extract is 32 bytes in hexadecimal.")

    @property
    def kind(self) -> Kind:
        """Whether this reserves or draws."""
        return Kind.RESERVE if self.draw is None else Kind.DRAW

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON form; `from_json` is its inverse."""
        return {
            "schema": EXTRACT_SCHEMA,
            "dataset_commitment": self.dataset,
            "version_commitment": self.version,
            **_use_json(self),
        }

    @classmethod
    def from_json(cls, value: object) -> ExtractEntry:
        """Return the entry whose JSON form is `value`, as `json.loads` gave it.

        Raises:
            IntegrityError: it is no entry of an extract, or one of unknown kind.
        """
        try:
            fields = an_object(value)
            _require_extract(fields)
            _require_use(fields, _EXTRACT_FIELDS)
            return cls(
                time=text(fields["time"]),
                dataset=text(fields["dataset_commitment"]),
                version=text(fields["version_commitment"]),
                run=text(fields["run"]),
                event=from_json(fields["event"]),
                terms=read_terms(fields),
                draw=_draw(fields),
            )
        except (ValueError, ConfigError) as error:
            raise IntegrityError(f"This is no entry of a ledger's extract: {error}") from error


def charged_events(entries: Iterable[Entry | ExtractEntry]) -> tuple[Event, ...]:
    """Return what `entries`, in their order, charge: the events to compute epsilon from.

    A reservation is charged whole. A draw is charged only when its round was drawn before: the
    first draw of a round uses the reservation.
    """
    drawn: set[tuple[str, str, int]] = set()
    charged: list[Event] = []
    for entry in entries:
        if entry.draw is None:
            charged.append(entry.event)
            continue
        key = (entry.dataset, entry.run, entry.draw.round)
        if key in drawn:
            charged.append(entry.event)
        drawn.add(key)
    return tuple(charged)


def extracted(entries: Iterable[Entry], commitment_key: SecretBytes) -> tuple[ExtractEntry, ...]:
    """Return `entries` with data set and version replaced by commitments under a site's secret.

    One data set has one commitment in every extract of a site, so that a reader can tell that two
    runs spent from the same one, and nothing else. Sequence numbers stay behind, since they tell
    how busy the site is otherwise, and so do the counts of records.

    Raises:
        ConfigError: the key is shorter than 16 bytes, so that names could be guessed.
    """
    if len(commitment_key) < _SHORTEST_COMMITMENT_KEY_BYTES:
        raise ConfigError(
            f"A commitment key of {len(commitment_key)} bytes can be guessed, and with it the "
            f"data set's name: give at least {_SHORTEST_COMMITMENT_KEY_BYTES} random bytes."
        )
    return tuple(
        ExtractEntry(
            time=entry.time,
            dataset=_commitment(commitment_key, b"dataset", entry.dataset.encode()),
            version=_commitment(commitment_key, b"version", entry.version),
            run=entry.run,
            event=entry.event,
            terms=entry.terms,
            draw=entry.draw,
        )
        for entry in entries
    )


def _commitment(key: SecretBytes, label: bytes, value: bytes) -> str:
    message = b"secure-fl/v1/ledger-commitment/" + label + b"\0" + value
    return hmac.digest(key.reveal(), message, "sha256").hex()


def _use_json(entry: Entry | ExtractEntry) -> dict[str, JsonValue]:
    numbers: dict[str, JsonValue] = (
        {} if entry.draw is None else {"round": entry.draw.round, "attempt": entry.draw.attempt}
    )
    return {
        "kind": entry.kind.value,
        "time": entry.time,
        "run": entry.run,
        "event": to_json(entry.event),
        **terms_json(entry.terms),
        **numbers,
    }


def _entry_schema(fields: dict[str, object]) -> EntrySchema:
    try:
        return EntrySchema(text(fields.get("schema")))
    except ValueError:
        raise ConfigError(
            "its schema is unknown, so another version of this program wrote it"
        ) from None


def _require_extract(fields: dict[str, object]) -> None:
    if fields.get("schema") != EXTRACT_SCHEMA:
        raise ConfigError("its schema is unknown, so another version of this program wrote it")


def _require_use(fields: dict[str, object], required: frozenset[str]) -> None:
    """Refuse an object that has not exactly the fields of a reservation or a draw."""
    kind = Kind(text(fields.get("kind")))
    if kind not in {Kind.RESERVE, Kind.DRAW}:
        raise ConfigError("it records no use of the records")
    require_fields(fields, kind.value, required | _DRAW_FIELDS if kind is Kind.DRAW else required)


def _draw(fields: dict[str, object]) -> Draw | None:
    if "round" not in fields:
        return None
    return Draw(whole(fields["round"]), whole(fields["attempt"]))
