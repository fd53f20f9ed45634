"""Names that share people spend together, and records that come back under another name."""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import BudgetError, ConfigError, IntegrityError
from crypto.secrets import SecretBytes
from privacy.accounting import epsilon
from privacy.events import (
    DistributedGaussian,
    NoGuarantee,
    Relation,
    SubsampledGaussian,
    Unit,
)
from privacy.ledger import Adaptive, Budget, Ledger
from privacy.ledger_accounts import Accounts
from privacy.ledger_acts import Declaration
from privacy.ledger_fields import GENESIS, chained
from privacy.ledger_file import LedgerFile
from privacy.ledger_fingerprints import (
    Fingerprints,
    Printed,
    digest_of,
    read_printed,
    record_digest,
)
from privacy.ledger_schema import VERSIONS
from privacy.ledger_terms import Planned, Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DELTA = 1e-5
VERSION = bytes(32)
OPEN = Budget(math.inf, DELTA, Unit.RECORD, Relation.ADD_REMOVE)
SECRET = SecretBytes(bytes(range(32)))


def clock() -> datetime:
    return datetime(2026, 3, 4, tzinfo=UTC)


def steps(count: int) -> SubsampledGaussian:
    return SubsampledGaussian(20.0, 1.0, count)


def sharing(*names: str, limit: float = math.inf) -> Budget:
    return replace(OPEN, epsilon=limit, shares_people_with=names)


def prints(*texts: str, secret: SecretBytes = SECRET) -> Fingerprints:
    return Fingerprints.of(map(record_digest, texts), secret)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(path, clock=clock) as opened:
        yield opened


# -- who spends together --------------------------------------------------------------------------


def test_the_first_use_of_a_name_records_what_the_policy_says_of_it(ledger: Ledger) -> None:
    ledger.reserve("ward", VERSION, "run-1", steps(1), sharing("clinic"))
    declared, _ = ledger.history()
    assert json.loads(declared.body()) == {
        "schema": "secure-fl.ledger-entry.v2",
        "kind": "declare",
        "sequence": 1,
        "time": "2026-03-04T00:00:00Z",
        "dataset": "ward",
        "unit": "record",
        "relation": "add-remove",
        "delta": DELTA,
        "composition": {"kind": "planned"},
        "shares_people_with": ["clinic"],
    }
    ledger.reserve("ward", VERSION, "run-2", steps(1), sharing("clinic"))
    assert len(ledger.history()) == 3
    assert ledger.declare("ward", sharing("clinic")) == ledger.head()
    assert len(ledger.history()) == 3


def test_a_refused_use_declares_nothing(ledger: Ledger) -> None:
    with pytest.raises(BudgetError):
        ledger.reserve("ward", VERSION, "run-1", steps(100), replace(OPEN, epsilon=0.01))
    assert ledger.head() == GENESIS


@pytest.mark.parametrize("first", [True, False])
def test_a_person_under_two_names_spends_at_both(ledger: Ledger, *, first: bool) -> None:
    """Whichever of the two says so, and whether the other was used before or after."""
    limit = (epsilon([steps(30)], DELTA) + epsilon([steps(60)], DELTA)) / 2.0
    one, two = sharing("b", limit=limit), sharing(limit=limit)
    if first:
        one, two = two, sharing("a", limit=limit)
    ledger.reserve("a", VERSION, "run-1", steps(30), one)
    with pytest.raises(BudgetError, match="has spent epsilon"):
        ledger.reserve("b", VERSION, "run-2", steps(30), two)
    ledger.reserve("b", VERSION, "run-2", steps(5), two)
    for name in "ab":
        assert ledger.spent(name, DELTA) == epsilon([steps(35)], DELTA)
        assert ledger.people(name) == {"a", "b"}
    assert ledger.total("a", run="run-2").epsilon == epsilon([steps(5)], DELTA)


def test_without_the_declaration_they_would_each_spend_alone(ledger: Ledger) -> None:
    limit = (epsilon([steps(30)], DELTA) + epsilon([steps(60)], DELTA)) / 2.0
    for name in "ab":
        ledger.reserve(name, VERSION, f"run-{name}", steps(30), replace(OPEN, epsilon=limit))


def test_sharing_goes_through_others(ledger: Ledger) -> None:
    ledger.reserve("a", VERSION, "run-1", steps(1), sharing("b"))
    ledger.reserve("c", VERSION, "run-2", steps(2), sharing("b"))
    ledger.reserve("d", VERSION, "run-3", steps(4), sharing())
    assert ledger.people("a") == ledger.people("c") == {"a", "b", "c"}
    assert ledger.people("d") == {"d"}
    assert ledger.spent("b", DELTA) == ledger.spent("a", DELTA) == epsilon([steps(3)], DELTA)
    assert ledger.names() == ("a", "c", "d")


def test_people_that_were_shared_stay_shared(ledger: Ledger) -> None:
    ledger.reserve("a", VERSION, "run-1", steps(1), sharing("b"))
    for refused in (
        lambda: ledger.reserve("a", VERSION, "run-2", steps(1), sharing()),
        lambda: ledger.draw("a", "run-1", 0, 0, steps(1), sharing("c")),
        lambda: ledger.afford("a", steps(1), sharing()),
        lambda: ledger.declare("a", sharing()),
    ):
        with pytest.raises(ConfigError, match="share people with `b`"):
            refused()
    ledger.draw("a", "run-1", 0, 0, steps(1), sharing("b", "c"))
    assert [line.kind.value for line in ledger.history()] == [
        "declare",
        "reserve",
        "declare",
        "draw",
    ]
    assert ledger.people("c") == {"a", "b", "c"}


def test_a_use_without_guarantee_under_one_name_uses_up_the_other(ledger: Ledger) -> None:
    ledger.reserve("a", VERSION, "run-1", NoGuarantee(), sharing("b"))
    with pytest.raises(BudgetError, match="infinity"):
        ledger.reserve("b", VERSION, "run-2", steps(1), sharing("a", limit=1e9))


@pytest.mark.parametrize(
    "other",
    [
        replace(OPEN, delta=1e-6),
        replace(OPEN, unit=Unit.PATIENT),
        replace(OPEN, relation=Relation.REPLACE_ONE),
    ],
)
def test_what_cannot_be_composed_cannot_share_people(ledger: Ledger, other: Budget) -> None:
    ledger.reserve("a", VERSION, "run-1", steps(1), OPEN)
    ledger.reserve("c", VERSION, "run-1", steps(1), sharing("b"))
    head = ledger.head()
    for joined in (
        lambda: ledger.reserve("b", VERSION, "run-2", steps(1), other),
        lambda: ledger.declare("d", replace(other, shares_people_with=("a",))),
    ):
        with pytest.raises(ConfigError, match="cannot be composed"):
            joined()
    assert ledger.head() == head


def test_two_components_are_joined_only_where_all_of_them_compare(ledger: Ledger) -> None:
    ledger.declare("a", sharing("b"))
    ledger.declare("c", replace(sharing("d"), delta=1e-6))
    with pytest.raises(ConfigError, match="cannot be composed"):
        ledger.declare("b", sharing("d"))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=8))
def test_who_shares_people_is_what_a_naive_search_finds(pairs: list[tuple[str, str]]) -> None:
    accounts, known = Accounts(), dict[str, set[str]]()
    for one, other in pairs:
        if one == other:
            continue
        known.setdefault(one, set()).add(other)
        line = Declaration(
            sequence=accounts.sequence + 1,
            time="2026-03-01T00:00:00Z",
            dataset=one,
            terms=Terms(Unit.RECORD, Relation.ADD_REMOVE, DELTA),
            composition=Planned(),
            shares_people_with=tuple(sorted(known[one])),
        )
        accounts.replay(line.sequence, line.body(), chained(accounts.head, line.body()))
    for name in "abcdef":
        reached = {name}
        for _ in range(6):
            for one, others in known.items():
                for other in others:
                    if one in reached or other in reached:
                        reached |= {one, other}
        assert accounts.people(name) == reached


# -- how runs compose -----------------------------------------------------------------------------


def test_a_filter_is_never_left_and_its_order_never_moved(ledger: Ledger) -> None:
    filtered = replace(OPEN, composition=Adaptive(8))
    ledger.reserve("a", VERSION, "run-1", steps(1), OPEN)
    ledger.reserve("a", VERSION, "run-2", steps(1), filtered)
    for other in (OPEN, replace(OPEN, composition=Adaptive(9))):
        with pytest.raises(ConfigError, match="Renyi filter at order 8"):
            ledger.reserve("a", VERSION, "run-3", steps(1), other)


def test_people_under_two_names_have_one_filter(ledger: Ledger) -> None:
    filtered = replace(sharing("b"), composition=Adaptive(8))
    ledger.reserve("a", VERSION, "run-1", steps(10), filtered)
    with pytest.raises(ConfigError, match="Renyi filter at order 8"):
        ledger.reserve("b", VERSION, "run-2", steps(1), replace(OPEN, composition=Adaptive(9)))
    ledger.reserve("b", VERSION, "run-2", steps(10), OPEN)
    assert ledger.total("b").composition == ledger.total("a").composition == Adaptive(8)
    assert ledger.total("b").epsilon == ledger.total("a").epsilon


@pytest.mark.parametrize("order", [1.0, 0.0, -2.0, 65.0, math.inf, math.nan])
def test_an_order_that_cannot_be_accounted_is_refused(order: float) -> None:
    with pytest.raises(ConfigError, match="Renyi order"):
        Adaptive(order)


def test_adaptive_totals_are_the_divergences_at_the_order_and_not_epsilons_added(
    ledger: Ledger,
) -> None:
    order, sigma = 8, 20.0
    filtered = replace(OPEN, composition=Adaptive(order))
    for run in ("run-1", "run-2"):
        ledger.reserve("a", VERSION, run, steps(50), filtered)
    # Of unsampled Gaussian steps the divergence is order / (2 sigma^2) each (Mironov 2017), and
    # the conversion is that of Canonne, Kamath and Steinke 2020, Proposition 12.
    spent = 100 * order / (2.0 * sigma**2)
    expected = spent + math.log1p(-1.0 / order) - math.log(DELTA * order) / (order - 1.0)
    total = ledger.total("a")
    assert total.epsilon == pytest.approx(expected, rel=1e-12)
    assert total.is_declared
    assert ledger.spent("a", DELTA) == total.epsilon
    alone = ledger.total("a", run="run-1").epsilon
    assert total.epsilon < 2.0 * alone
    planned = ledger.total("a", Planned())
    assert planned.epsilon == epsilon([steps(100)], DELTA)
    assert not planned.is_declared


def test_the_filter_bounds_what_is_charged(ledger: Ledger) -> None:
    filtered = replace(OPEN, composition=Adaptive(8))
    ledger.reserve("other", VERSION, "run-1", steps(60), filtered)
    limit = replace(filtered, epsilon=ledger.total("other").epsilon * (1.0 + 1e-9))
    ledger.reserve("a", VERSION, "run-1", steps(30), limit)
    ledger.reserve("a", VERSION, "run-2", steps(30), limit)
    with pytest.raises(BudgetError, match=r"chosen one after the other, Renyi order 8"):
        ledger.reserve("a", VERSION, "run-3", steps(1), limit)
    assert ledger.total("a").epsilon <= limit.epsilon


def test_of_a_name_that_is_unknown_there_is_no_total(ledger: Ledger) -> None:
    with pytest.raises(ConfigError, match="holds nothing of a data set `a`"):
        ledger.total("a")
    ledger.declare("a", replace(OPEN, composition=Adaptive(8)))
    assert ledger.total("a").epsilon == 0.0


def test_a_year_has_a_ceiling_of_its_own(path: Path) -> None:
    now = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    budget = replace(OPEN, yearly_epsilon=epsilon([steps(30)], DELTA))
    with Ledger.open(path, clock=lambda: now) as ledger:
        ledger.reserve("a", VERSION, "run-1", steps(30), budget)
        with pytest.raises(BudgetError, match=r"ceiling in 2026 is"):
            ledger.reserve("a", VERSION, "run-2", steps(1), budget)
        ledger.draw("a", "run-1", 0, 0, steps(1), budget)
        with pytest.raises(BudgetError, match=r"ceiling in 2026 is"):
            ledger.draw("a", "run-1", 0, 1, steps(1), budget)
        now = datetime(2027, 1, 1, tzinfo=UTC)
        ledger.reserve("a", VERSION, "run-2", steps(30), budget)
        assert ledger.total("a", year=2026).epsilon == epsilon([steps(30)], DELTA)
        assert ledger.total("a").epsilon == epsilon([steps(60)], DELTA)
        assert [charge.year for charge in ledger.charges("a")] == [2026, 2027]


SHARED = DistributedGaussian(4.0, 0.1, 8, size=100, local_sigma=64.0, contributors=4)


@pytest.mark.parametrize("composition", [Planned(), Adaptive(8)])
def test_noise_that_sites_share_is_reserved_drawn_and_composed(
    ledger: Ledger, composition: Adaptive | Planned
) -> None:
    budget = replace(OPEN, composition=composition)
    ledger.reserve("a", VERSION, "run-1", SHARED, budget)
    one = replace(SHARED, steps=1)
    for round_ in range(8):
        ledger.draw("a", "run-1", round_, 0, one, budget)
    with pytest.raises(BudgetError, match="reserved 8"):
        ledger.draw("a", "run-1", 8, 0, one, budget)
    for other in (replace(one, contributors=5), replace(one, noise_multiplier=3.0), steps(1)):
        with pytest.raises(ConfigError, match="another noise multiplier"):
            ledger.draw("a", "run-1", 0, 1, other, budget)
    alone = ledger.total("a").epsilon
    ledger.draw("a", "run-1", 0, 1, one, budget)
    assert alone < ledger.total("a").epsilon < math.inf
    if composition == Planned():
        assert alone == epsilon([SHARED], DELTA)


def test_a_site_has_its_own_unit_and_relation(ledger: Ledger) -> None:
    of_sites = replace(OPEN, unit=Unit.SITE, relation=Relation.ZERO_OUT)
    whole = replace(SHARED, sampling_rate=1.0)
    ledger.reserve("a", VERSION, "run-1", whole, of_sites)
    assert ledger.spent("a", DELTA) == epsilon([whole], DELTA, relation=Relation.ZERO_OUT)
    with pytest.raises(ConfigError, match="first charged per site under zero-out"):
        ledger.reserve("a", VERSION, "run-2", SHARED, OPEN)


# -- records that come back -----------------------------------------------------------------------


def test_a_record_that_comes_back_under_another_name_is_found(ledger: Ledger) -> None:
    ledger.reserve("a", VERSION, "run-1", steps(1), OPEN, records=prints("one", "two"))
    head = ledger.head()
    with pytest.raises(BudgetError) as refusal:
        ledger.reserve("b", VERSION, "run-2", steps(1), OPEN, records=prints("two", "three"))
    for said in ("1 of the 2 records of `b`", "as `a`", "shares_people_with", "taken out"):
        assert said in str(refusal.value)
    assert ledger.head() == head
    ledger.reserve("b", VERSION, "run-2", steps(1), OPEN, records=prints("three"))
    ledger.reserve("a", VERSION, "run-3", steps(1), OPEN, records=prints("one", "four"))
    ledger.verify()


def test_without_fingerprints_it_would_not_be(ledger: Ledger) -> None:
    ledger.reserve("a", VERSION, "run-1", steps(1), OPEN)
    ledger.reserve("b", VERSION, "run-2", steps(1), OPEN, records=prints("two"))


def test_records_may_come_back_among_names_that_share_people(ledger: Ledger) -> None:
    ledger.reserve("a", VERSION, "run-1", steps(1), OPEN, records=prints("one"))
    ledger.reserve("b", VERSION, "run-2", steps(1), sharing("a"), records=prints("one"))
    with pytest.raises(BudgetError, match="as `a`"):
        ledger.reserve("c", VERSION, "run-3", steps(1), OPEN, records=prints("one"))


@pytest.mark.parametrize(("share", "allowed"), [(0.0, False), (0.49, False), (0.5, True)])
def test_the_policy_says_how_many_may_come_back(
    ledger: Ledger, share: float, *, allowed: bool
) -> None:
    ledger.reserve("a", VERSION, "run-1", steps(1), OPEN, records=prints("one", "two"))
    budget = replace(OPEN, returning_share=share)
    if not allowed:
        with pytest.raises(BudgetError, match="1 of the 2"):
            ledger.reserve("b", VERSION, "r", steps(1), budget, records=prints("two", "3"))
        return
    ledger.reserve("b", VERSION, "r", steps(1), budget, records=prints("two", "3"))


def test_many_records_are_all_looked_for(ledger: Ledger) -> None:
    texts = [f"text {number}" for number in range(1201)]
    ledger.reserve("a", VERSION, "run-1", steps(1), OPEN, records=prints(*texts))
    with pytest.raises(BudgetError, match="1201 of the 1202"):
        ledger.reserve("b", VERSION, "run-2", steps(1), OPEN, records=prints(*texts, "new"))
    ledger.verify()


def test_a_reservation_says_how_many_records_it_is_for(ledger: Ledger) -> None:
    ledger.reserve("a", VERSION, "run-1", steps(1), OPEN, records=prints("one", "two", "two"))
    ledger.reserve("a", VERSION, "run-2", steps(1), OPEN, records=prints("two", "three"))
    ledger.reserve("a", VERSION, "run-3", steps(1), OPEN)
    key = prints().key
    first, new = prints("one", "two").values, prints("three").values
    assert [entry.printed for entry in ledger.entries()] == [
        Printed(2, 2, digest_of(first), key),
        Printed(2, 1, digest_of(new), key),
        None,
    ]
    assert json.loads(ledger.entries()[1].body())["records"] == {
        "count": 2,
        "added": 1,
        "digest": digest_of(new).hex(),
        "key": key.hex(),
    }
    assert json.loads(ledger.entries()[2].body())["records"] is None


def test_under_another_identity_nothing_can_be_compared_and_that_is_said(ledger: Ledger) -> None:
    other = SecretBytes(bytes(32))
    ledger.reserve("a", VERSION, "run-1", steps(1), OPEN, records=prints("one"))
    with pytest.raises(BudgetError, match="another identity"):
        ledger.reserve("b", VERSION, "r", steps(1), OPEN, records=prints("one", secret=other))
    ledger.reserve("a", VERSION, "run-2", steps(1), OPEN, records=prints("one", secret=other))
    ledger.reserve("b", VERSION, "r", steps(1), sharing("a"), records=prints("1", secret=other))
    ledger.verify()


def tampered(path: Path, *statements: str) -> None:
    """Change fingerprints as the file's owner can: the triggers stand again afterwards."""
    triggers = ("print_with_entry", "no_reprint", "no_unprint")
    connection = sqlite3.connect(path)
    for trigger in triggers:
        connection.execute(f"DROP TRIGGER {trigger}")
    for statement in statements:
        connection.execute(statement)
    for trigger in triggers:
        connection.execute(VERSIONS[2][trigger])
    connection.commit()
    connection.close()


TAMPERING: dict[str, str] = {
    "removed": "DELETE FROM fingerprints WHERE sequence = 2",
    "all removed": "DELETE FROM fingerprints",
    "changed": "UPDATE fingerprints SET fingerprint = x'00' WHERE sequence = 2",
    "no bytes": "UPDATE fingerprints SET fingerprint = 'x' WHERE sequence = 2",
    "of nowhere": "UPDATE fingerprints SET sequence = 'x' WHERE sequence = 2",
    "renamed": "UPDATE fingerprints SET dataset = 'b' WHERE sequence = 2",
    "moved": "UPDATE fingerprints SET sequence = 3 WHERE sequence = 2",
    "added": "INSERT INTO fingerprints VALUES (x'00', 'a', 2)",
    "added to an act": "INSERT INTO fingerprints VALUES (x'00', 'a', 1)",
    "added to nothing": "INSERT INTO fingerprints VALUES (x'00', 'a', 99)",
}


@pytest.mark.parametrize("what", TAMPERING)
def test_fingerprints_that_were_tampered_with_are_found(path: Path, what: str) -> None:
    with Ledger.open(path, clock=clock) as ledger:
        ledger.reserve("a", VERSION, "run-1", steps(1), OPEN, records=prints("one"))
        ledger.draw("a", "run-1", 0, 0, steps(1), OPEN)
        tampered(path, TAMPERING[what])
        with pytest.raises(IntegrityError, match=r"fingerprints of entry \w+ of the ledger"):
            ledger.verify()
    with pytest.raises(IntegrityError, match="come back unseen"):
        Ledger.open(path, clock=clock)


def test_what_others_write_while_it_is_verified_is_no_damage(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries and fingerprints are read of one instant, or the newest ones would seem added."""
    ledger.reserve("a", VERSION, "run-1", steps(1), OPEN, records=prints("one"))
    read = LedgerFile.prints
    with Ledger.open(path, clock=clock) as other:

        def meanwhile(file: LedgerFile) -> object:
            monkeypatch.undo()
            other.reserve("a", VERSION, "run-2", steps(1), OPEN, records=prints("two"))
            return read(file)

        monkeypatch.setattr(LedgerFile, "prints", meanwhile)
        ledger.verify()
        assert ledger.head() == other.head()
    ledger.verify()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM fingerprints",
        "UPDATE fingerprints SET dataset = 'b'",
        "INSERT INTO fingerprints VALUES (x'00', 'a', 1)",
        "INSERT INTO fingerprints VALUES (x'00', 'a', 4)",
    ],
)
def test_triggers_keep_fingerprints_as_they_are(path: Path, statement: str) -> None:
    with Ledger.open(path, clock=clock) as ledger:
        ledger.reserve("a", VERSION, "run-1", steps(1), OPEN, records=prints("one"))
        ledger.draw("a", "run-1", 0, 0, steps(1), OPEN)
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()


# -- what a fingerprint is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    ["Mr Smith\u00a0 coughs.", " mr smith coughs.\n", "MR SMITH\tCOUGHS.", "\uff2dr Smith coughs."],
)
def test_case_and_white_space_hide_no_record(other: str) -> None:
    assert record_digest(other) == record_digest("Mr Smith coughs.")


def test_another_text_is_another_record() -> None:
    texts = ["", "a", "b", "a b", "ab", "stra\u00dfe", "strase", "a."]
    assert len({record_digest(text) for text in texts}) == len(texts)
    assert record_digest("stra\u00dfe") == record_digest("STRASSE")
    assert record_digest("\ud800")  # half a character is no error


@settings(deadline=None)
@given(st.text(max_size=20))
def test_normalising_twice_changes_nothing(text: str) -> None:
    for same in (text.upper().lower(), f" {text} ", "\n".join(text.split())):
        if same.casefold() == text.casefold() or same.split() == text.split():
            assert record_digest(same) == record_digest(text)


def test_a_fingerprint_needs_the_secret(ledger: Ledger) -> None:
    mine, others = prints("one"), prints("one", secret=SecretBytes(bytes(32)))
    assert mine.values.isdisjoint(others.values)
    assert mine.key != others.key
    assert mine == prints("ONE ")
    for short in (b"", bytes(15)):
        with pytest.raises(ConfigError, match="can be guessed"):
            prints("one", secret=SecretBytes(short))
    assert prints("one", secret=SecretBytes(bytes(16))).values
    ledger.reserve("a", VERSION, "run-1", steps(1), OPEN, records=mine)
    stored: list[object] = list(ledger._file.prints())
    assert record_digest("one") not in {value for row in stored for value in row}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(count=0),
        lambda value: value.update(added=-1),
        lambda value: value.update(count=True),
        lambda value: value.update(digest="00"),
        lambda value: value.update(key="AB" * 32),
        lambda value: value.update(more=1),
        lambda value: value.pop("key"),
    ],
)
def test_a_reservation_that_says_nonsense_of_its_records_is_refused(
    change: Callable[[dict[str, object]], object],
) -> None:
    good: dict[str, object] = {"count": 1, "added": 1, "digest": "00" * 32, "key": "01" * 32}
    assert read_printed(good) == Printed(1, 1, bytes(32), b"\1" * 32)
    change(good)
    with pytest.raises(ConfigError):
        read_printed(good)
    with pytest.raises(ConfigError):
        read_printed([])
