"""What a run's mode of scrubbing asks of configuration, policy and site, and what a site keeps."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError
from round_simulator import (
    Consortium,
    key_of,
    mechanism_of,
    policy_of,
    private_mechanism,
)

from crypto.codec import decode
from crypto.errors import ConfigError, IntegrityError
from crypto.secrets import system_entropy
from domains.records import Record
from privacy.scrubbing import (
    SAFE_HARBOR_ENTITIES,
    DateOrder,
    Recognizer,
    ScrubMode,
    engine,
)
from secure_fl import run_checks
from secure_fl.config import parse_mechanism
from secure_fl.findings import Health
from secure_fl.rounds.messages import Refusal, RefusalCode
from secure_fl.sites.scrub_secrets import ScrubBeginning, ScrubSecrets
from secure_fl.sites.scrubbing import RecordFacts, scrub_records

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 25, tzinfo=UTC)
DIGEST = b"d" * 32
SENTENCE = "Ask anna@example.org before 12 March 2019."
HARBOR = {"data__scrub_mode": "safe-harbor"}
EXPERT = {
    "data__scrub_mode": "expert-determination",
    "data__scrub": ["DATE_TIME", "EMAIL_ADDRESS"],
}


def secrets_of(folder: Path, site: str = "site-1", year: int = 2026) -> ScrubSecrets:
    return ScrubSecrets(folder, key_of(site), system_entropy, lambda: NOW.replace(year=year))


def find_nothing(_: str) -> tuple[()]:
    return ()


@pytest.fixture
def all_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if something were loaded for every entity of Safe Harbor."""
    there = {entity for recognizer in engine.BUILT_IN for entity in recognizer.entities}
    absent = [entity for entity in SAFE_HARBOR_ENTITIES if entity not in there]
    fakes = tuple(Recognizer(f"fake {entity}", (entity,), find_nothing) for entity in absent)
    monkeypatch.setattr(engine, "BUILT_IN", engine.BUILT_IN + fakes)


# -- configuration --------------------------------------------------------------------------------


def test_safe_harbors_entities_are_in_the_resolved_configuration() -> None:
    mechanism = mechanism_of(data__scrub=["NRP"], **HARBOR)
    assert mechanism.data.scrub == ("NRP", *SAFE_HARBOR_ENTITIES)
    assert parse_mechanism(mechanism.to_json()) == mechanism


def test_a_proposal_that_leaves_them_out_is_not_the_signed_one() -> None:
    whole = mechanism_of(**HARBOR).to_json()
    with pytest.raises(ConfigError, match="not in canonical form"):
        parse_mechanism(whole.replace(b'"PERSON",', b""))


def test_an_experts_mode_says_what_it_looks_for() -> None:
    with pytest.raises(ValidationError, match="`scrub` names nothing"):
        mechanism_of(data__scrub_mode="expert-determination")


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValidationError, match="scrub_mode"):
        mechanism_of(data__scrub_mode="anonymous")


def test_a_data_set_says_how_its_dates_are_meant() -> None:
    policy = policy_of(
        datasets=[
            {
                "name": "records",
                "dataset": "finance.generated",
                "epsilon": 10.0,
                "delta": 1e-5,
                "unit": "record",
                "date_order": "day-first",
            }
        ]
    )
    assert policy.date_order("finance.generated") is DateOrder.DAY_FIRST
    assert policy.date_order("finance.phrasebank") is None


# -- what surrogates are drawn by -----------------------------------------------------------------


def test_what_was_drawn_is_drawn_again_after_a_crash(tmp_path: Path) -> None:
    draw, year = secrets_of(tmp_path).beginning(DIGEST)
    again, year_again = secrets_of(tmp_path, year=2027).beginning(DIGEST)
    assert year == year_again == 2026, "or ages over 89 would change when a run goes on"
    places = [(document, count) for document in range(30) for count in range(30)]
    assert [draw(*at) for at in places] == [again(*at) for at in places]
    assert len({draw(*at) for at in places}) == len(places)
    assert all(0 <= draw(*at) < 2**64 for at in places)


def test_other_configurations_and_sites_draw_otherwise(tmp_path: Path) -> None:
    first, _ = secrets_of(tmp_path).beginning(DIGEST)
    second, _ = secrets_of(tmp_path).beginning(b"e" * 32)
    other, _ = secrets_of(tmp_path / "other", "site-2").beginning(DIGEST)
    assert len({first(0, 0), second(0, 0), other(0, 0)}) == 3


def test_what_is_kept_is_sealed_and_its_owners_alone(tmp_path: Path) -> None:
    secrets_of(tmp_path / "runs").beginning(DIGEST)
    (kept,) = (tmp_path / "runs").iterdir()
    assert kept.name == f"{DIGEST.hex()}.scrub"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert b"2026" not in kept.read_bytes()
    assert b"scrub-beginning" not in kept.read_bytes()


@pytest.mark.parametrize("damage", ["cut", "flipped", "identity", "configuration"])
def test_what_does_not_unseal_is_not_replaced_silently(tmp_path: Path, damage: str) -> None:
    secrets_of(tmp_path).beginning(DIGEST)
    path = tmp_path / f"{DIGEST.hex()}.scrub"
    sealed, site, configuration = path.read_bytes(), "site-1", DIGEST
    match damage:
        case "cut":
            path.write_bytes(sealed[:-1])
        case "flipped":
            path.write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
        case "identity":
            site = "site-2"
        case _:
            configuration = b"e" * 32
            path.rename(tmp_path / f"{configuration.hex()}.scrub")
    with pytest.raises(IntegrityError, match="Move it away"):
        secrets_of(tmp_path, site).beginning(configuration)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / f"{DIGEST.hex()}.scrub").mkdir()
    with pytest.raises(ConfigError, match="could not be read"):
        secrets_of(tmp_path).beginning(DIGEST)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError):
        secrets_of(tmp_path / "file" / "runs").beginning(DIGEST)


def test_an_experts_key_is_the_sites_and_the_same_in_all_runs(tmp_path: Path) -> None:
    one = secrets_of(tmp_path).keyed()
    assert one(b"Anna") == secrets_of(tmp_path / "elsewhere").keyed()(b"Anna")
    assert one(b"Anna") != one(b"Anne")
    assert one(b"Anna") != secrets_of(tmp_path, "site-2").keyed()(b"Anna")
    assert len(one(b"")) == 32
    assert not list(tmp_path.iterdir()), "nothing has to be kept"


def test_neither_shows_a_secret(tmp_path: Path) -> None:
    assert repr(secrets_of(tmp_path)) == "<the source of a site's surrogates>"
    assert "x" * 8 not in repr(ScrubBeginning(secret=b"x" * 32, year=2026))


# -- records --------------------------------------------------------------------------------------


def records_of(*texts: str, owner: str = "") -> tuple[Record, ...]:
    return tuple(
        Record(f"r{number}", text, 0, {"patient": owner} if owner else {})
        for number, text in enumerate(texts)
    )


@pytest.mark.usefixtures("all_providers")
def test_records_are_written_by_the_mode_and_again_the_same(tmp_path: Path) -> None:
    records = records_of(SENTENCE, SENTENCE)
    for mechanism, expected in (
        (mechanism_of(data__scrub=["EMAIL_ADDRESS"]), "Ask <EMAIL_ADDRESS> before 12 March 2019."),
        (mechanism_of(**HARBOR), "Ask <EMAIL_ADDRESS> before 2019."),
    ):
        clean, preparation = scrub_records(records, mechanism, RecordFacts(), secrets_of(tmp_path))
        assert [record.text for record in clean] == [expected] * 2
        assert preparation.mode is mechanism.data.scrub_mode
        assert preparation.tally.documents_changed == 2
        assert preparation.coverage.looked_for == tuple(sorted(mechanism.data.scrub))
        assert {p.entity for p in preparation.providers} == set(mechanism.data.scrub)
        again = scrub_records(records, mechanism, RecordFacts(), secrets_of(tmp_path))
        assert again == (clean, preparation)


def test_dates_move_by_the_officers_column(tmp_path: Path) -> None:
    mechanism = mechanism_of(**EXPERT)
    facts = RecordFacts(unit_column="patient", date_order=DateOrder.MONTH_FIRST)
    texts = ("on 2019-03-12", "on 2019-03-12", "on 03/12/2019")
    clean, _ = scrub_records(records_of(*texts, owner="p1"), mechanism, facts, secrets_of(tmp_path))
    assert clean[0].text == clean[1].text != "on 2019-03-12"
    year, month, day = clean[0].text.removeprefix("on ").split("-")
    assert clean[2].text == f"on {month}/{day}/{year}"
    alone, _ = scrub_records(records_of(*texts), mechanism, RecordFacts(), secrets_of(tmp_path))
    assert alone[0].text != alone[1].text, "without a column each record is its own"
    assert alone[2].text == "on <DATE_TIME>"


def test_a_record_that_is_nobodys_is_named_and_nothing_is_scrubbed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'r0' says nothing in the column `patient`") as refused:
        scrub_records(
            records_of(SENTENCE),
            mechanism_of(**EXPERT),
            RecordFacts(unit_column="patient"),
            secrets_of(tmp_path),
        )
    assert "anna" not in str(refused.value)


@pytest.mark.usefixtures("all_providers")
@pytest.mark.parametrize("change", [HARBOR, EXPERT], ids=["safe-harbor", "expert"])
def test_without_anything_to_draw_by_nothing_is_scrubbed(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="nothing to draw surrogates by"):
        scrub_records(records_of(SENTENCE), mechanism_of(**change), RecordFacts(), None)


# -- no provider: the site refuses, and what it tells the coordinator is one code of a list -------


MODES: list[dict[str, object]] = [
    {"data__scrub": ["NAMES_OF_PETS"]},
    {"data__scrub": ["NAMES_OF_PETS"], **HARBOR},
    {"data__scrub": ["NAMES_OF_PETS"], "data__scrub_mode": "expert-determination"},
]


@pytest.mark.usefixtures("all_providers")
@pytest.mark.parametrize("change", MODES, ids=[mode.value for mode in ScrubMode])
def test_without_a_provider_a_site_refuses_in_each_mode_and_says_no_more_than_that(
    tmp_path: Path, change: dict[str, object]
) -> None:
    mechanism = private_mechanism(**change)
    consortium = Consortium(tmp_path, mechanism)
    try:
        party = consortium.parties["site-2"]

        class Real(type(party.workbench)):  # type: ignore[misc] # a fake but for this
            def prepare(self, asked: object) -> bytes:
                del asked
                facts, secrets = RecordFacts(), secrets_of(tmp_path / "runs")
                scrub_records(records_of(SENTENCE), mechanism, facts, secrets)
                return b"v" * 32

        party.restart(workbench=Real("site-2"))
        replies = consortium.run().ask()
        assert decode(Refusal, replies["site-2"], limit_bytes=1000) == Refusal(RefusalCode.CONFIG)
        (noted,) = party.notes
        assert "requires NAMES_OF_PETS, and no provider" in noted
        assert party.parts.ledger.entries() == ()
        assert "anna" not in noted
    finally:
        consortium.close()


def test_a_site_that_looked_for_less_than_the_run_asks_is_dropped(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, mechanism_of(data__scrub=["IBAN_CODE", "US_SSN"]))
    try:
        for name in ("site-1", "site-2", "site-3"):
            consortium.parties[name].workbench.looked_for = ("IBAN_CODE", "US_SSN")
        run = consortium.run()
        run.exchange()
        assert set(run.step.exchange.requests if run.step.exchange else ()) == {
            "site-1",
            "site-2",
            "site-3",
        }
    finally:
        consortium.close()


# -- the doctor -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("all_providers")
def test_the_doctor_says_what_each_mode_still_needs() -> None:
    def notes(mode: ScrubMode) -> str:
        found = run_checks.scrubbing(SAFE_HARBOR_ENTITIES, mode)
        return " ".join(finding.said for finding in found if finding.health is Health.NOTE)

    assert "only the site can state" in notes(ScrubMode.SAFE_HARBOR)
    assert "`expert_statement`" in notes(ScrubMode.EXPERT_DETERMINATION)
    assert "Safe Harbor" not in notes(ScrubMode.EXPERT_DETERMINATION)
    assert "Safe Harbor" not in notes(ScrubMode.PLACEHOLDERS)


def test_the_doctor_finds_what_safe_harbor_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = tuple(r for r in engine.BUILT_IN if "US_SSN" not in r.entities)
    monkeypatch.setattr(engine, "BUILT_IN", fewer)
    with pytest.raises(ConfigError, match=r"requires .*US_SSN.*, and no provider"):
        list(run_checks.scrubbing(("US_SSN",), ScrubMode.SAFE_HARBOR))
