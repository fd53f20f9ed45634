"""The entries of a ledger: their strict JSON, their hash chain, and what they charge.

An entry's bytes are RFC 8785 JSON with exactly the fields of its kind, so that one entry has one
digest. `chained` links it to all entries before it. Nothing here touches a disk.
"""

from __future__ import annotations

import enum
import hmac
import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from crypto.digests import canonical_json, sha256
from crypto.errors import ConfigError, IntegrityError
from privacy.events import Event, Relation, Unit, from_json, require_delta, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crypto.digests import JsonValue
    from crypto.secrets import SecretBytes

ENTRY_SCHEMA: Final = "secure-fl.ledger-entry.v1"
EXTRACT_SCHEMA: Final = "secure-fl.ledger-extract-entry.v1"

GENESIS: Final = sha256(b"secure-fl/v1/ledger")
"""The head of a ledger without entries."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_DIGEST_BYTES: Final = 32
_SHORTEST_COMMITMENT_KEY_BYTES: Final = 16
_LARGEST_COUNT: Final = 2**31
_DRAW_FIELDS: Final = frozenset({"round", "attempt"})
_ENTRY_FIELDS: Final = frozenset(
    {"schema", "kind", "sequence", "time", "dataset", "version", "run", "event"}
    | {"unit", "relation", "delta"}
)
_EXTRACT_FIELDS: Final = frozenset(
    (_ENTRY_FIELDS - {"sequence", "dataset", "version"})
    | {"dataset_commitment", "version_commitment"}
)


class Kind(enum.Enum):
    """What an entry records."""

    RESERVE = "reserve"
    """The whole planned event of a run, charged before the run starts."""

    DRAW = "draw"
    """Noise about to be drawn: the first of a round uses the reservation, others are charged."""


@dataclass(frozen=True)
class Terms:
    """What epsilon means for one named data set, fixed when the name is first used."""

    unit: Unit
    relation: Relation
    delta: float

    def __post_init__(self) -> None:
        require_delta(self.delta)


@dataclass(frozen=True)
class Budget:
    """The policy's ceiling for one named data set, over all runs.

    Attributes:
        epsilon: the ceiling, 0 or more; infinite where the policy allows mode none.
        delta: the delta at which epsilon is computed.
        unit: whose presence is hidden.
        relation: which data sets are compared.

    Raises:
        ConfigError: epsilon or delta is out of range.
    """

    epsilon: float
    delta: float
    unit: Unit
    relation: Relation

    def __post_init__(self) -> None:
        require_delta(self.delta)
        if math.isnan(self.epsilon) or self.epsilon < 0.0:
            raise ConfigError(
                f"A ceiling of epsilon {self.epsilon} bounds nothing: give 0 or more in the policy."
            )

    @property
    def terms(self) -> Terms:
        """What is fixed for the data set; the ceiling itself may change."""
        return Terms(self.unit, self.relation, self.delta)


@dataclass(frozen=True)
class Draw:
    """Which draw of noise: the run's round, and the attempt at it."""

    round: int
    attempt: int

    def __post_init__(self) -> None:
        for name, value in (("round", self.round), ("attempt", self.attempt)):
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not (whole and 0 <= value <= _LARGEST_COUNT):
                raise ConfigError(f"A {name} of {value!r} is no number of a draw: give 0 or more.")


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    Attributes:
        sequence: its number, from 1.
        time: when it was written, RFC 3339 in UTC with seconds.
        dataset: the policy's name of the data set.
        version: the SHA-256 digest of the records (32 bytes).
        run: the run's name.
        event: what is charged, or drawn.
        terms: what epsilon means for this data set.
        draw: which draw this is; None for a reservation.

    Raises:
        ConfigError: a name, the version or the time has another form.
    """

    sequence: int
    time: str
    dataset: str
    version: bytes
    run: str
    event: Event
    terms: Terms
    draw: Draw | None

    def __post_init__(self) -> None:
        for what, name in (("data set", self.dataset), ("run", self.run)):
            _require_name(what, name)
        _require_time(self.time)
        if len(self.version) != _DIGEST_BYTES:
            raise ConfigError(
                f"The version of a data set is a SHA-256 digest of {_DIGEST_BYTES} bytes, not of "
                f"{len(self.version)}: nothing was charged."
            )

    @property
    def kind(self) -> Kind:
        """Whether this reserves or draws."""
        return Kind.RESERVE if self.draw is None else Kind.DRAW

    def body(self) -> bytes:
        """Return the bytes that the ledger stores and chains."""
        return canonical_json(
            {
                "schema": ENTRY_SCHEMA,
                "sequence": self.sequence,
                "dataset": self.dataset,
                "version": self.version.hex(),
                **_common_json(self),
            }
        )

    @classmethod
    def parse(cls, body: bytes) -> Entry:
        """Return the entry whose `body` this is.

        Raises:
            IntegrityError: the bytes are not the canonical JSON of an entry of a known kind.
        """
        try:
            value = json.loads(body)
            fields = _checked_fields(value, ENTRY_SCHEMA, _ENTRY_FIELDS)
            entry = cls(
                sequence=_whole(fields["sequence"]),
                time=_text(fields["time"]),
                dataset=_text(fields["dataset"]),
                version=bytes.fromhex(_text(fields["version"])),
                run=_text(fields["run"]),
                event=from_json(fields["event"]),
                terms=_terms(fields),
                draw=_draw(fields),
            )
            canonical = entry.body()
        except (ValueError, RecursionError, ConfigError) as error:
            raise IntegrityError(f"it is no entry of a ledger: {error}") from error
        if canonical != body:
            raise IntegrityError("it is not in its canonical form, so it was written by other code")
        return entry


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
        _require_name("run", self.run)
        _require_time(self.time)
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
            **_common_json(self),
        }

    @classmethod
    def from_json(cls, value: object) -> ExtractEntry:
        """Return the entry whose JSON form is `value`, as `json.loads` gave it.

        Raises:
            IntegrityError: it is no entry of an extract, or one of unknown kind.
        """
        try:
            fields = _checked_fields(value, EXTRACT_SCHEMA, _EXTRACT_FIELDS)
            return cls(
                time=_text(fields["time"]),
                dataset=_text(fields["dataset_commitment"]),
                version=_text(fields["version_commitment"]),
                run=_text(fields["run"]),
                event=from_json(fields["event"]),
                terms=_terms(fields),
                draw=_draw(fields),
            )
        except (ValueError, ConfigError) as error:
            raise IntegrityError(f"This is no entry of a ledger's extract: {error}") from error


def chained(head: bytes, body: bytes) -> bytes:
    """Return the head after an entry with `body` follows `head`."""
    return sha256(head + body)


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
    how busy the site is otherwise.

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


def written_at(now: datetime) -> str:
    """Return `now` as RFC 3339 in UTC with seconds.

    Raises:
        ConfigError: `now` has no time zone.
    """
    if now.tzinfo is None:
        raise ConfigError("The ledger's clock gave a time without a zone: pass one in UTC.")
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _commitment(key: SecretBytes, label: bytes, value: bytes) -> str:
    message = b"secure-fl/v1/ledger-commitment/" + label + b"\0" + value
    return hmac.digest(key.reveal(), message, "sha256").hex()


def _common_json(entry: Entry | ExtractEntry) -> dict[str, JsonValue]:
    numbers: dict[str, JsonValue] = (
        {} if entry.draw is None else {"round": entry.draw.round, "attempt": entry.draw.attempt}
    )
    return {
        "kind": entry.kind.value,
        "time": entry.time,
        "run": entry.run,
        "event": to_json(entry.event),
        "unit": entry.terms.unit.value,
        "relation": entry.terms.relation.value,
        "delta": entry.terms.delta,
        **numbers,
    }


def _checked_fields(value: object, schema: str, required: frozenset[str]) -> dict[str, object]:
    """Return the object `value` if it has exactly the fields of its kind."""
    if not isinstance(value, dict):
        raise ConfigError("it is not a JSON object")
    if value.get("schema") != schema:
        raise ConfigError("its schema is unknown, so another version of this program wrote it")
    kind = Kind(_text(value.get("kind")))
    if set(value) != (required | _DRAW_FIELDS if kind is Kind.DRAW else required):
        raise ConfigError(f"fields of a {kind.value} are missing, or it has unknown ones")
    return value


def _terms(fields: dict[str, object]) -> Terms:
    delta = fields["delta"]
    if not isinstance(delta, float):
        raise ConfigError("its delta is no fraction")
    return Terms(Unit(_text(fields["unit"])), Relation(_text(fields["relation"])), delta)


def _draw(fields: dict[str, object]) -> Draw | None:
    if "round" not in fields:
        return None
    return Draw(_whole(fields["round"]), _whole(fields["attempt"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError("a field that should be text is not")
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError("a field that should be a whole number is not")
    return value


def _require_name(what: str, name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ConfigError(
            f"The name of a {what} has 1 to 64 lower-case letters, digits, dots, dashes or "
            "underscores and starts with a letter or digit: rename it, nothing was charged."
        )


def _require_time(time: str) -> None:
    if _TIME.fullmatch(time) is None:
        raise ConfigError("a time is not RFC 3339 in UTC with seconds")
    datetime.fromisoformat(time)
