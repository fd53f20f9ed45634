"""A run that one site spoils stops with its name, goes on without it, and can take it back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

import pytest
from cli_workplace import Workplace, few_records
from msgspec.structs import replace

from audits.facts import ReportFacts
from crypto.codec import decode, encode
from crypto.keyfiles import read_secret
from crypto.masked_sum_shares import DealtShares
from crypto.signatures import Signed, SigningKey, sign_message
from secure_fl.rounds.messages import (
    CloseReply,
    Released,
    SharesSent,
)
from secure_fl.rounds.reading import shares_digest
from secure_fl.runfolder import Progress, RunFolder
from secure_fl.transport.in_process import InProcessTransport

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tiny_model import TinyModel

CULPRIT = "site-2"
LIMIT = 1 << 24


class Spoiling(InProcessTransport):
    """In the first CLOSE that it carries, one site deals shares that open nowhere."""

    key: ClassVar[Path]
    spoilt: ClassVar[int]
    times: ClassVar[int]

    def exchange(self, requests: Mapping[str, bytes]) -> Mapping[str, bytes]:
        replies = dict(super().exchange(requests))
        reply = replies.get(CULPRIT)
        if reply is None or b"secure-fl.close-reply" not in reply[:40]:
            return replies
        whole = decode(CloseReply, reply, limit_bytes=LIMIT)
        if whole.next_sent is None or Spoiling.spoilt >= Spoiling.times:
            return replies
        Spoiling.spoilt += 1
        return {**replies, CULPRIT: encode(_spoilt(whole, whole.next_sent))}


def _spoilt(whole: CloseReply, sent: Signed) -> CloseReply:
    shares = {
        name: data if name == CULPRIT else _altered(data)
        for name, data in whole.next_shares.items()
    }
    statement = decode(SharesSent, sent.body, limit_bytes=LIMIT)
    changed = replace(statement, shares_digest=shares_digest(shares))
    key = SigningKey.from_seed(read_secret(Spoiling.key))
    return replace(whole, next_sent=sign_message(key, CULPRIT, changed), next_shares=shares)


def _altered(dealt: bytes) -> bytes:
    message = decode(DealtShares, dealt, limit_bytes=LIMIT)
    return encode(replace(message, sealed=bytes(len(message.sealed))))


@pytest.fixture
def work(
    tmp_path: Path,
    tiny: TinyModel,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Workplace:
    """Four sites, three rounds, and one of the sites spoils the second."""
    monkeypatch.setattr("secure_fl.embedded.load_dataset", few_records)
    monkeypatch.setattr("secure_fl.embedded.InProcessTransport", Spoiling)
    made = Workplace(tmp_path, tiny, capsys)
    made.edit(r"^sites = 3", "sites = 4")
    made.edit(r"^rounds = 2", "rounds = 3")
    made.edit(r"^epsilon = 8.01", "epsilon = 100.0", "policy.toml")  # repeated rounds are charged
    Spoiling.key = tmp_path / "state" / "sites" / CULPRIT / "identity.key"
    Spoiling.spoilt, Spoiling.times = 0, 1
    return made


def progress(work: Workplace) -> Progress:
    return RunFolder(work.root / "out").progress()


def survivors(work: Workplace) -> list[int]:
    return [len(row.survivors) for row in RunFolder(work.root / "out").metrics() if row.round]


def test_the_run_stops_with_the_culprits_name_and_goes_on_without_it(work: Workplace) -> None:
    said = work.run().refused(5)

    assert "The shares that site-2 dealt did not open at more sites than may be corrupted" in said
    assert "--readmit site-2 takes it back" in said
    assert "The run is kept. Go on with: secure-fl run --resume" in said
    assert (progress(work).left_out, progress(work).rounds_done) == ((CULPRIT,), 1)

    assert work.resume().code == 0
    assert survivors(work) == [4, 3, 3]
    verified = work.call("verify", work.root / "out", "--trust", work.trust)
    assert (verified.code, verified.err) == (0, "")


def test_what_was_signed_in_the_spoilt_attempt_is_kept(work: Workplace) -> None:
    """It is the evidence, and what tells each site how far it has come."""
    work.run().refused(5)

    leaves = [
        decode(Signed, leaf, limit_bytes=LIMIT) for leaf in RunFolder(work.root / "out").leaves()
    ]
    released = [
        (decode(Released, leaf.body, limit_bytes=LIMIT).round, leaf.signer)
        for leaf in leaves
        if leaf.label == "secure-fl.released.v2"
    ]
    assert {site for round_, site in released if round_ == 1} == {"site-1", "site-3", "site-4"}


def test_a_site_is_taken_back_when_somebody_says_so(work: Workplace) -> None:
    work.run().refused(5)

    done = work.resume("--readmit", CULPRIT)

    assert done.code == 0, done.err
    assert survivors(work) == [4, 4, 4]
    facts = ReportFacts.from_json((work.root / "out" / "facts.json").read_bytes())
    assert facts.run.resumes == 1


def test_a_site_that_is_taken_back_and_spoils_again_is_left_out_again(work: Workplace) -> None:
    Spoiling.times = 2
    work.run().refused(5)

    said = work.resume("--readmit", CULPRIT).refused(5)

    assert "site-2 dealt did not open" in said
    assert progress(work).left_out == (CULPRIT,)
    assert work.resume().code == 0
    assert survivors(work) == [4, 4, 3]


@pytest.mark.parametrize("site", ["site-1", "site-9", ""])
def test_only_who_was_left_out_is_taken_back(work: Workplace, site: str) -> None:
    work.run().refused(5)
    before = (work.root / "out" / "progress" / "progress.json").read_bytes()

    said = work.resume("--readmit", site).refused(2)

    assert f"{site} was not left out of this run" in said
    assert "left out is site-2" in said
    assert (work.root / "out" / "progress" / "progress.json").read_bytes() == before


def test_a_new_run_has_nobody_to_take_back(work: Workplace) -> None:
    said = work.run("--readmit", CULPRIT).refused(2)

    assert "--resume goes on with" in said
    assert not (work.root / "out").exists()


def test_too_few_without_it_says_who_is_left_out(work: Workplace) -> None:
    """Four sites bear one that is away, and not a second one."""
    work.run().refused(5)
    path = work.root / "out" / "progress" / "progress.json"
    table = json.loads(path.read_bytes())
    table["left_out"] = [CULPRIT, "site-4"]
    path.write_text(json.dumps(table))

    said = work.resume().refused(5)

    assert "Only 2 of 4 sites joined" in said
    assert "broke the protocol: site-2, site-4. --readmit takes a site back" in said
    assert work.resume("--readmit", "site-4").code == 0


def test_without_noise_the_same_sum_is_opened_without_it(work: Workplace) -> None:
    """It refused to upload after its shares were altered, and so was in no list of survivors."""
    work.without_privacy()
    work.run().refused(5)

    assert work.resume().code == 0
    assert survivors(work) == [4, 3, 3]


def test_progress_of_an_earlier_version_left_nobody_out(work: Workplace) -> None:
    work.run().refused(5)
    path = work.root / "out" / "progress" / "progress.json"
    table = json.loads(path.read_bytes())
    del table["left_out"]

    assert Progress.model_validate(table).left_out == ()
