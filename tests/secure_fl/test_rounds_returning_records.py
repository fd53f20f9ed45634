"""A site's records that come back under another of its policy's names: refused before the round."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from round_simulator import RUN_ID, Consortium, policy_of, private_mechanism

from crypto.errors import BudgetError
from domains.records import Record
from privacy.ledger_fingerprints import Fingerprints, record_digest
from privacy.noise import SystemNoise
from secure_fl.config import Runtime
from secure_fl.rounds.charging import fingerprint_key, reserve
from secure_fl.rounds.messages import Hello
from secure_fl.sites.workbench import SiteRecords, SiteWorkbench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from secure_fl.rounds.site_parts import SiteParts

ONE: dict[str, Any] = {
    "name": "records",
    "dataset": "finance.generated",
    "epsilon": 10.0,
    "delta": 1e-5,
    "unit": "record",
}
OTHER = ONE | {"name": "others", "dataset": "finance.phrasebank"}


def hello(run_id: bytes) -> Hello:
    return Hello(
        run_id=run_id,
        attempt=0,
        first_round=0,
        config_digest=bytes(32),
        roster_digest=bytes(32),
        suite="",
        adversary="",
        width_bits=32,
        sites=("site-1", "site-2", "site-3"),
        threshold=3,
        degree=None,
        risk=None,
    )


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[SiteParts]:
    consortium = Consortium(tmp_path, private_mechanism(), policy=policy_of(datasets=[ONE, OTHER]))
    yield consortium.parties["site-1"].parts
    consortium.close()


def test_the_same_records_under_another_name_are_refused(parts: SiteParts) -> None:
    first = private_mechanism()
    second = private_mechanism(data__dataset="finance.phrasebank")
    reserve(parts, first, hello(RUN_ID))
    head = parts.ledger.head()
    with pytest.raises(BudgetError, match="1 of the 1 records of `others` were used before as"):
        reserve(parts, second, hello(b"another-run-of-1"))
    assert parts.ledger.head() == head
    shared = policy_of(datasets=[ONE, OTHER | {"shares_people_with": ["records"]}])
    reserve(replace(parts, policy=shared), second, hello(b"another-run-of-1"))
    assert parts.ledger.people("records") == {"records", "others"}


def test_a_reservation_holds_the_fingerprints_of_the_sites_records(parts: SiteParts) -> None:
    reserve(parts, private_mechanism(), hello(RUN_ID))
    (entry,) = parts.ledger.entries()
    expected = Fingerprints.of(parts.workbench.record_digests(), fingerprint_key(parts.key))
    assert entry.printed is not None
    assert (entry.printed.count, entry.printed.key) == (1, expected.key)


def test_a_record_is_known_by_its_text_as_it_came() -> None:
    texts = ["Anna Berg owes 3 EUR.", "anna  berg owes 3 eur.", "Nothing is owed."]
    records = tuple(Record(str(number), text, number % 2) for number, text in enumerate(texts))
    held = SiteRecords("finance.generated", ("no", "yes"), records)
    bench = SiteWorkbench("site-1", held, Runtime(), SystemNoise())
    assert bench.record_digests() == {record_digest(texts[0]), record_digest(texts[2])}
