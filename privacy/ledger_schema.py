"""The tables and triggers of a ledger's file, version by version, and the way from one to the next.

What an earlier version made is written here as it was made: `VERSIONS[n]` never changes once a
program with it was released, since a file that differs from it by one letter is taken for altered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

APPLICATION_ID: Final = 0x5F4C4447

_APPEND_ONLY: Final = "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"

_ENTRIES: Final = {
    "entries": (
        "CREATE TABLE entries"
        " (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL, head BLOB NOT NULL)"
    ),
    "no_gap": (
        "CREATE TRIGGER no_gap BEFORE INSERT ON entries"
        " WHEN NEW.sequence IS NOT (SELECT COALESCE(MAX(sequence), 0) + 1 FROM entries)"
        " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    ),
    "no_update": f"CREATE TRIGGER no_update BEFORE UPDATE ON entries {_APPEND_ONLY}",
    "no_delete": f"CREATE TRIGGER no_delete BEFORE DELETE ON entries {_APPEND_ONLY}",
}

_FINGERPRINTS: Final = {
    "fingerprints": (
        "CREATE TABLE fingerprints"
        " (fingerprint BLOB NOT NULL, dataset TEXT NOT NULL, sequence INTEGER NOT NULL,"
        " PRIMARY KEY (fingerprint, dataset)) WITHOUT ROWID"
    ),
    "fingerprints_of": "CREATE INDEX fingerprints_of ON fingerprints (sequence, fingerprint)",
    "print_with_entry": (
        "CREATE TRIGGER print_with_entry BEFORE INSERT ON fingerprints"
        " WHEN NEW.sequence IS NOT (SELECT MAX(sequence) FROM entries)"
        " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    ),
    "no_reprint": f"CREATE TRIGGER no_reprint BEFORE UPDATE ON fingerprints {_APPEND_ONLY}",
    "no_unprint": f"CREATE TRIGGER no_unprint BEFORE DELETE ON fingerprints {_APPEND_ONLY}",
}

VERSIONS: Final[Mapping[int, Mapping[str, str]]] = {
    1: _ENTRIES,
    2: {**_ENTRIES, **_FINGERPRINTS},
}
"""Name and SQL of everything in the file, by `PRAGMA user_version`."""

NEWEST: Final = max(VERSIONS)


def statements_to(version: int, since: int = 0) -> tuple[str, ...]:
    """Return what makes a file of `version` out of one of version `since`, 0 being an empty one.

    A version only adds: no stored entry changes by a byte.
    """
    there = VERSIONS.get(since, {})
    added = (sql for name, sql in VERSIONS[version].items() if name not in there)
    return (*added, f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {version}")
