"""An officer's acts in a ledger: declaring a named data set, and restoring a backup.

Their JSON is as strict as that of the uses of records, and stands in the same chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from crypto.digests import canonical_json
from crypto.errors import ConfigError
from privacy.events import Event, from_json, to_json
from privacy.ledger_entries import Entry, EntrySchema, Kind
from privacy.ledger_fields import (
    an_object,
    decoded,
    digest,
    many,
    require_fields,
    require_name,
    require_time,
    text,
    whole,
)
from privacy.ledger_terms import (
    Composition,
    Terms,
    composition_json,
    read_composition,
    read_terms,
    terms_json,
)

if TYPE_CHECKING:
    from crypto.digests import JsonValue

_COMMON: Final = frozenset({"schema", "kind", "sequence", "time"})
_DECLARE_FIELDS: Final = _COMMON | {
    *("dataset", "unit", "relation", "delta"),
    *("composition", "shares_people_with"),
}
_RESTORED_FIELDS: Final = _COMMON | {"lost_head", "charges"}
_CHARGE_FIELDS: Final = frozenset({"dataset", "events"})


@dataclass(frozen=True)
class Declaration:
    """What an officer says of one named data set, from this entry on.

    Attributes:
        sequence: its number, from 1.
        time: when it was written, RFC 3339 in UTC with seconds.
        dataset: the name.
        terms: what epsilon means for it.
        composition: whether its runs were planned together.
        shares_people_with: other names under which some of the same people are, ascending.

    Raises:
        ConfigError: a name or the time has another form, or the names are not ascending.
    """

    sequence: int
    time: str
    dataset: str
    terms: Terms
    composition: Composition
    shares_people_with: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in (self.dataset, *self.shares_people_with):
            require_name("data set", name)
        require_time(self.time)
        if list(self.shares_people_with) != sorted({*self.shares_people_with} - {self.dataset}):
            raise ConfigError("the names that share people are not other names in ascending order")

    @property
    def kind(self) -> Kind:
        """That this declares."""
        return Kind.DECLARE

    def body(self) -> bytes:
        """Return the bytes that the ledger stores and chains."""
        return canonical_json(
            {
                "schema": EntrySchema.V2.value,
                "kind": self.kind.value,
                "sequence": self.sequence,
                "time": self.time,
                "dataset": self.dataset,
                **terms_json(self.terms),
                "composition": composition_json(self.composition),
                "shares_people_with": list(self.shares_people_with),
            }
        )

    @classmethod
    def of_fields(cls, fields: dict[str, object]) -> Declaration:
        """Return the declaration with these fields, as `json.loads` gave them.

        Raises:
            ConfigError: a field is missing, unknown or of another type or range.
            ValueError: a unit or a relation is unknown.
        """
        require_fields(fields, Kind.DECLARE.value, _DECLARE_FIELDS)
        return cls(
            sequence=whole(fields["sequence"]),
            time=text(fields["time"]),
            dataset=text(fields["dataset"]),
            terms=read_terms(fields),
            composition=read_composition(fields["composition"]),
            shares_people_with=tuple(text(name) for name in many(fields["shares_people_with"])),
        )


@dataclass(frozen=True)
class LostCharge:
    """What is charged to one data set for the entries that a restored backup does not hold.

    Attributes:
        dataset: the name.
        events: everything that may have been charged since the backup; without a statement of the
            officer, a use without any guarantee, which is infinity.

    Raises:
        ConfigError: the name has another form.
    """

    dataset: str
    events: tuple[Event, ...]

    def __post_init__(self) -> None:
        require_name("data set", self.dataset)


@dataclass(frozen=True)
class Restoration:
    """That a backup took the ledger's place, and what is charged for what was lost.

    Attributes:
        sequence: its number, from 1.
        time: when it was written, RFC 3339 in UTC with seconds.
        lost_head: the head that was lost (32 bytes); None where nobody knows it.
        charges: by data set, ascending.

    Raises:
        ConfigError: the head or the time has another form, or the names are not ascending.
    """

    sequence: int
    time: str
    lost_head: bytes | None
    charges: tuple[LostCharge, ...]

    def __post_init__(self) -> None:
        require_time(self.time)
        if self.lost_head is not None:
            digest(self.lost_head.hex())
        names = [charge.dataset for charge in self.charges]
        if names != sorted(set(names)):
            raise ConfigError("the charges of a restoration are not by names in ascending order")

    @property
    def kind(self) -> Kind:
        """That this restored."""
        return Kind.RESTORED

    def body(self) -> bytes:
        """Return the bytes that the ledger stores and chains."""
        charges: list[JsonValue] = [
            {"dataset": lost.dataset, "events": [to_json(event) for event in lost.events]}
            for lost in self.charges
        ]
        return canonical_json(
            {
                "schema": EntrySchema.V2.value,
                "kind": self.kind.value,
                "sequence": self.sequence,
                "time": self.time,
                "lost_head": None if self.lost_head is None else self.lost_head.hex(),
                "charges": charges,
            }
        )

    @classmethod
    def of_fields(cls, fields: dict[str, object]) -> Restoration:
        """Return the restoration with these fields, as `json.loads` gave them.

        Raises:
            ConfigError: a field is missing, unknown or of another type or range.
        """
        require_fields(fields, Kind.RESTORED.value, _RESTORED_FIELDS)
        lost = fields["lost_head"]
        return cls(
            sequence=whole(fields["sequence"]),
            time=text(fields["time"]),
            lost_head=None if lost is None else digest(lost),
            charges=tuple(_charge(value) for value in many(fields["charges"])),
        )


Line: TypeAlias = Entry | Declaration | Restoration
"""Anything that stands in a ledger's chain."""


def parse_line(body: bytes) -> Line:
    """Return the line of a ledger whose `body` this is.

    Raises:
        IntegrityError: the bytes are not the canonical JSON of a line of a known kind.
    """
    return decoded(body, _line)


def _line(fields: dict[str, object]) -> Line:
    if fields.get("schema") == EntrySchema.V2.value:
        if fields.get("kind") == Kind.DECLARE.value:
            return Declaration.of_fields(fields)
        if fields.get("kind") == Kind.RESTORED.value:
            return Restoration.of_fields(fields)
    return Entry.of_fields(fields)


def _charge(value: object) -> LostCharge:
    fields = an_object(value)
    require_fields(fields, "charge", _CHARGE_FIELDS)
    return LostCharge(
        dataset=text(fields["dataset"]),
        events=tuple(from_json(event) for event in many(fields["events"])),
    )
