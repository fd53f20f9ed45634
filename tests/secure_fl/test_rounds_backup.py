"""A site restored from an old backup finds itself behind what it signed, and stops."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from msgspec.structs import replace
from round_lies import request_for
from round_simulator import (
    LIMIT_BYTES,
    NOW,
    SPEC,
    FakeWorkbench,
    code_of,
    key_of,
    mechanism_of,
    opened_as,
    private_mechanism,
)

from crypto.codec import decode, encode
from crypto.signatures import Signed, sign_message
from privacy.ledger import Ledger
from privacy.update import Update
from secure_fl.rounds.messages import (
    Heads,
    HelloReply,
    HelloRequest,
    Joined,
    OpenReply,
    RefusalCode,
    Uploaded,
)
from secure_fl.rounds.steps import Phase

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from round_simulator import Consortium, Party, Run

    from crypto.codec import Message
    from secure_fl.config import Mechanism
    from secure_fl.rounds.site_parts import Tap

    Make = Callable[..., Consortium]

SITE = "site-1"
OTHERS = ("site-2", "site-3", "site-4")
BEHIND = "it was restored from an older copy, whose mask keys may have been used since"
LEDGER_BEHIND = "This site's ledger does not hold the head that the site has signed or stored"


class Backup:
    """A copy of what a site keeps on its disk; each part comes back on its own."""

    def __init__(self, party: Party, folder: Path) -> None:
        self._party = party
        self._states = dict(party.store.saved)
        self._ledger = folder / "backup.sqlite"
        party.parts.ledger.close()
        shutil.copy(_file(party), self._ledger)
        party.restart(ledger=Ledger.open(_file(party), clock=lambda: NOW))

    def restore(self, what: str) -> Party:
        """Bring back "state", "ledger" or "both", in a new process of the site."""
        party = self._party
        if what in {"state", "both"}:
            party.store.saved = dict(self._states)
        if what in {"ledger", "both"}:
            party.parts.ledger.close()
            file = _file(party)
            for path in file.parent.glob("ledger.sqlite*"):
                path.unlink()
            shutil.copy(self._ledger, file)
            party.restart(ledger=Ledger.open(file, clock=lambda: NOW))
        party.restart()
        return party


def _file(party: Party) -> Path:
    return party.parts.ledger._file.path


def assert_stops(party: Party, request: bytes, words: str) -> None:
    """The site says `record`, its log says why, and it trains, charges and stores nothing."""
    before = (
        party.parts.ledger.head(),
        party.store.saves,
        list(party.workbench.trained),
        dict(party.site.plaintexts),
    )

    assert code_of(party.site.handle(request)) == "record"
    assert words in party.notes[-1]
    assert "Nothing was answered" in party.notes[-1]
    after = (
        party.parts.ledger.head(),
        party.store.saves,
        list(party.workbench.trained),
        dict(party.site.plaintexts),
    )
    assert after == before


def is_behind(what: str) -> str:
    return BEHIND if what == "state" else LEDGER_BEHIND


# -- every kind of backup, found at the next invitation -----------------------------------------


@pytest.mark.parametrize("what", ["state", "ledger", "both"])
@pytest.mark.parametrize("phase", [Phase.SHARE, Phase.OPEN, Phase.CONFIRM, Phase.CLOSE])
def test_a_restored_site_stops_when_the_run_is_resumed(
    make_consortium: Make, tmp_path: Path, what: str, phase: Phase
) -> None:
    """The copy is from some moment of round 0, and the run was stopped in round 1."""
    consortium = make_consortium(private_mechanism(adversary="malicious"))
    run = consortium.run().until(phase)
    backup = Backup(consortium.parties[SITE], tmp_path)
    run.until(Phase.CLOSE, 1)
    party = backup.restore(what)
    second = consortium.run(attempt=2, first_round=1, parameters=run.sum.parameters)

    if what == "ledger" and phase in {Phase.CONFIRM, Phase.CLOSE}:
        # It holds the draw of round 0 already, and lacks that of round 1.
        assert party.parts.ledger.entries() != ()
    assert_stops(party, request_for(second), is_behind(what))

    second.finish()
    assert second.sum.survivors == OTHERS


@pytest.mark.parametrize("what", ["state", "ledger", "both"])
def test_a_restored_site_stops_when_it_is_asked_back(
    make_consortium: Make, tmp_path: Path, what: str
) -> None:
    consortium = make_consortium(private_mechanism(training__rounds=5))
    run = consortium.run().until(Phase.OPEN)
    backup = Backup(consortium.parties[SITE], tmp_path)
    run.until(Phase.OPEN, 1)
    run.exchange(absent=[SITE])
    run.until(Phase.OPEN, 2)
    party = backup.restore(what)

    assert_stops(party, request_for(run), is_behind(what))
    run.exchange()

    assert run.step.refused == {SITE: RefusalCode.RECORD}
    run.finish()
    # It is not asked again within the session: somebody has to look at it first.
    assert run.sum.survivors == OTHERS
    assert len(party.notes) == 2


@pytest.mark.parametrize("what", ["state", "both"])
@pytest.mark.parametrize("third", [True, False])
def test_the_state_of_an_earlier_attempt(
    make_consortium: Make, tmp_path: Path, what: str, *, third: bool
) -> None:
    consortium = make_consortium(private_mechanism(training__rounds=5))
    first = consortium.run().until(Phase.OPEN, 1)
    backup = Backup(consortium.parties[SITE], tmp_path)
    parameters = first.sum.parameters
    run = consortium.run(attempt=2, first_round=1, parameters=parameters).until(Phase.OPEN, 2)
    party = backup.restore(what)
    if third:
        run = consortium.run(attempt=3, first_round=2, parameters=run.sum.parameters)
    else:
        run.exchange(absent=[SITE])
        run.until(Phase.OPEN, 3)

    assert_stops(party, request_for(run), is_behind(what))


@pytest.mark.parametrize("what", ["state", "both"])
def test_a_copy_that_lacks_nothing_goes_on(
    make_consortium: Make, tmp_path: Path, what: str
) -> None:
    consortium = make_consortium(private_mechanism(training__rounds=4))
    run = consortium.run().until(Phase.OPEN, 1)
    backup = Backup(consortium.parties[SITE], tmp_path)
    run.exchange(absent=[SITE])
    run.until(Phase.OPEN, 2)

    party = backup.restore(what)
    run.finish()

    assert party.notes == []
    assert run.sum.survivors == consortium.names


# -- before the next invitation ----------------------------------------------------------------


@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.CONFIRM, Phase.CLOSE])
def test_a_restored_ledger_is_found_at_the_next_request(
    make_consortium: Make, tmp_path: Path, phase: Phase
) -> None:
    """The site's own state says what its ledger held: no word of the coordinator is needed."""
    consortium = make_consortium(private_mechanism(adversary="malicious"))
    run = consortium.run().until(Phase.OPEN)
    backup = Backup(consortium.parties[SITE], tmp_path)
    run.until(phase, 1)
    party = backup.restore("ledger")

    assert_stops(party, request_for(run), LEDGER_BEHIND)


def test_a_restored_ledger_is_found_when_the_coordinator_hides_what_was_signed(
    make_consortium: Make, tmp_path: Path
) -> None:
    consortium = make_consortium(private_mechanism())
    run = consortium.run().until(Phase.OPEN)
    backup = Backup(consortium.parties[SITE], tmp_path)
    run.until(Phase.OPEN, 1)
    party = backup.restore("ledger")
    second = consortium.run(attempt=2, first_round=1, parameters=run.sum.parameters)
    hidden = encode(replace(opened_as(HelloRequest, request_for(second)), heads=()))

    assert_stops(party, hidden, LEDGER_BEHIND)


@pytest.mark.parametrize("what", ["state", "both"])
@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.CONFIRM, Phase.CLOSE])
def test_a_restored_state_masks_nothing_at_the_next_request(
    make_consortium: Make, tmp_path: Path, what: str, phase: Phase
) -> None:
    consortium = make_consortium(private_mechanism(adversary="malicious"))
    run = consortium.run().until(Phase.OPEN)
    backup = Backup(consortium.parties[SITE], tmp_path)
    run.until(phase, 1)
    party = backup.restore(what)
    trained = list(party.workbench.trained)
    head = party.parts.ledger.head()

    assert code_of(party.site.handle(request_for(run))) == "protocol"
    assert (party.workbench.trained, party.parts.ledger.head()) == (trained, head)
    run.exchange()
    assert run.step.refused == {SITE: RefusalCode.PROTOCOL}


# -- what would happen without -----------------------------------------------------------------


class _Noisy(FakeWorkbench):
    """Draws other noise each time it trains, as a private site does."""

    def train(
        self,
        mechanism: Mechanism,
        shared: NDArray[np.float32],
        round_: int,
        tap: Tap | None = None,
    ) -> Update:
        update = super().train(mechanism, shared, round_, tap)
        return Update.from_flat(SPEC, update.flat() + np.float32(len(self.trained)))


def _uploads_of_one_request(run: Run, backup: Backup, what: str) -> tuple[Party, bytes, bytes]:
    """The reply to one OPEN, and the reply of a restored copy to the same one."""
    party = run.consortium.parties[SITE]
    request = request_for(run)
    first = party.site.handle(request)
    party = backup.restore(what)
    return party, first, party.site.handle(request)


def test_a_restored_state_alone_is_stopped_by_the_ledger(
    make_consortium: Make, tmp_path: Path
) -> None:
    run = make_consortium(private_mechanism()).run().until(Phase.OPEN)
    backup = Backup(run.consortium.parties[SITE], tmp_path)

    party, _, again = _uploads_of_one_request(run, backup, "state")

    assert code_of(again) == "policy"
    assert "was drawn already" in party.notes[-1]
    assert party.workbench.trained == [0]


def _vector(reply: bytes) -> np.ndarray[Any, np.dtype[np.uint32]]:
    return np.frombuffer(opened_as(OpenReply, reply).vector, "<u4")


def test_without_a_record_of_its_own_a_copy_masks_twice_under_one_key(
    make_consortium: Make, tmp_path: Path
) -> None:
    """State and ledger both gone back, and nobody who says so: a two-time pad.

    A coordinator that replays a request has two vectors under the same masks. What it learns is
    their difference, in which no mask is left: of a private run, noise alone hides the update.
    """
    consortium = make_consortium(private_mechanism())
    consortium.parties[SITE].restart(workbench=_Noisy(SITE))
    run = consortium.run().until(Phase.OPEN)
    backup = Backup(consortium.parties[SITE], tmp_path)
    plain = consortium.parties[SITE].site.plaintexts

    party, first, again = _uploads_of_one_request(run, backup, "both")

    assert first != again
    difference = _vector(first) - _vector(again)
    np.testing.assert_array_equal(difference, plain[0] - party.site.plaintexts[0])
    assert difference.all()


def test_told_what_it_signed_the_same_copy_stops(make_consortium: Make, tmp_path: Path) -> None:
    """The same backup as above, where the coordinator asks the silent site back as it should."""
    consortium = make_consortium(private_mechanism(training__rounds=4))
    run = consortium.run().until(Phase.OPEN)
    backup = Backup(consortium.parties[SITE], tmp_path)
    run.exchange()
    run.exchange(absent=[SITE])
    party = backup.restore("both")

    assert_stops(party, request_for(run), LEDGER_BEHIND)


def test_without_that_check_the_copy_would_announce_other_keys_for_a_round(
    make_consortium: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its ledger would lack what the first life of the site has spent."""
    consortium = make_consortium(private_mechanism(training__rounds=4))
    run = consortium.run().until(Phase.OPEN)
    backup = Backup(consortium.parties[SITE], tmp_path)
    before = run.ask()[SITE]
    run.advance(run.replies)
    run.exchange(absent=[SITE])
    spent = consortium.parties[SITE].parts.ledger.entries()
    party = backup.restore("both")
    monkeypatch.setattr("secure_fl.rounds.journal.check_heads", lambda *_: None)
    request = run.coordinator._gathering.invitation(1)

    again = party.site.handle(request)

    earlier, later = opened_as(OpenReply, before).next_keys, opened_as(HelloReply, again).keys
    assert earlier is not None
    assert later is not None
    assert earlier.body != later.body
    assert len(party.parts.ledger.entries()) < len(spent)


# -- the mend that the message names -----------------------------------------------------------


def test_with_its_state_moved_away_the_site_comes_back_with_fresh_keys(
    make_consortium: Make, tmp_path: Path
) -> None:
    consortium = make_consortium(private_mechanism(training__rounds=4))
    run = consortium.run().until(Phase.OPEN)
    backup = Backup(consortium.parties[SITE], tmp_path)
    run.until(Phase.OPEN, 2)
    party = backup.restore("state")
    second = consortium.run(attempt=2, first_round=2, parameters=run.sum.parameters)
    assert_stops(party, request_for(second), "Move the run's state file away")

    party.store.saved.clear()
    second.finish()

    assert second.sum.survivors == consortium.names
    draws = [entry.draw for entry in party.parts.ledger.entries() if entry.draw is not None]
    assert [(draw.round, draw.attempt) for draw in draws] == [(0, 1), (1, 1), (2, 2), (3, 2)]


@pytest.mark.parametrize("what", ["ledger", "both"])
def test_without_its_state_a_site_with_an_old_ledger_stops_too(
    make_consortium: Make, tmp_path: Path, what: str
) -> None:
    consortium = make_consortium(private_mechanism(training__rounds=4))
    run = consortium.run().until(Phase.OPEN)
    backup = Backup(consortium.parties[SITE], tmp_path)
    run.until(Phase.OPEN, 2)
    party = backup.restore(what)
    party.store.saved.clear()
    second = consortium.run(attempt=2, first_round=2, parameters=run.sum.parameters)

    assert_stops(party, request_for(second), LEDGER_BEHIND)


# -- heads that are not what the site signed ---------------------------------------------------


def _with_heads(request: bytes, *heads: Signed) -> bytes:
    return encode(replace(opened_as(HelloRequest, request), heads=heads))


def _own_head(request: bytes) -> Uploaded:
    heads = {signed.signer: signed for signed in opened_as(HelloRequest, request).heads}
    return decode(Uploaded, heads[SITE].body, limit_bytes=LIMIT_BYTES)


def _resumed(make_consortium: Make) -> Run:
    """A run to be resumed in which the site's last logged statement is its upload."""
    consortium = make_consortium(private_mechanism())
    first = consortium.run().until(Phase.OPEN)
    first.exchange()
    return consortium.run(attempt=2)


def test_the_heads_are_each_sites_last_words(make_consortium: Make) -> None:
    run = _resumed(make_consortium)
    heads = opened_as(HelloRequest, request_for(run)).heads

    assert [signed.signer for signed in heads] == list(run.consortium.names)
    assert {signed.label for signed in heads} == {"secure-fl.uploaded.v2"}
    state = run.consortium.parties[SITE].state()
    said = _own_head(request_for(run)).heads
    assert (said.entries, said.ledger) == (state.heads.entries - 1, state.heads.ledger)
    assert said.journal != state.heads.journal


@pytest.mark.parametrize("key", ["coordinator", "site-2"])
def test_a_head_that_somebody_else_signed_stops_nobody(make_consortium: Make, key: str) -> None:
    """A coordinator could otherwise make any site believe that it was restored."""
    run = _resumed(make_consortium)
    own = _own_head(request_for(run))
    ahead = replace(own, heads=replace(own.heads, entries=own.heads.entries + 1))
    party = run.consortium.parties[SITE]

    reply = party.site.handle(_with_heads(request_for(run), sign_message(key_of(key), SITE, ahead)))

    assert code_of(reply) == "protocol"
    assert "does not verify" in party.notes[-1]
    run.finish()
    assert run.sum.survivors == run.consortium.names


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("by", ["entries", "ledger"])
def test_one_answer_more_than_the_state_knows_of_is_enough(
    make_consortium: Make, by: str, ahead: int
) -> None:
    run = _resumed(make_consortium)
    own = _own_head(request_for(run))
    heads = own.heads
    if by == "entries":
        changed: Heads = replace(heads, entries=heads.entries + ahead)
        said = BEHIND
    else:
        changed = replace(heads, ledger=bytes([ahead]) * 32 if ahead else heads.ledger)
        said = LEDGER_BEHIND
    signed = sign_message(key_of(SITE), SITE, replace(own, heads=changed))
    request = _with_heads(request_for(run), signed)
    party = run.consortium.parties[SITE]

    if ahead:
        assert_stops(party, request, said)
    else:
        opened_as(HelloReply, party.site.handle(request))


def test_a_statement_without_heads_is_no_head(make_consortium: Make) -> None:
    run = _resumed(make_consortium)
    leaves = (opened_as(Signed, leaf) for leaf in run.consortium.transcript.leaves)
    keys = next(leaf for leaf in leaves if leaf.label == "secure-fl.site-keys.v2")
    party = run.consortium.parties[keys.signer]

    assert code_of(party.site.handle(_with_heads(request_for(run), keys))) == "protocol"
    assert "holds no heads" in party.notes[-1]


def test_heads_of_other_sites_are_not_this_ones(make_consortium: Make) -> None:
    run = _resumed(make_consortium)
    heads = opened_as(HelloRequest, request_for(run)).heads
    party = run.consortium.parties[SITE]
    own = _own_head(request_for(run))
    far: Message = replace(own, site="site-2", heads=replace(own.heads, entries=10**6))
    others = [signed for signed in heads if signed.signer not in {SITE, "site-2"}]
    others.append(sign_message(key_of("site-2"), "site-2", far))

    opened_as(HelloReply, party.site.handle(_with_heads(request_for(run), *others)))
    assert party.notes == []


def test_a_plain_run_is_watched_as_well(make_consortium: Make, tmp_path: Path) -> None:
    """Nothing is masked there, and what was spent counts all the same."""
    consortium = make_consortium(private_mechanism(protection="plain"))
    run = consortium.run().until(Phase.OPEN)
    backup = Backup(consortium.parties[SITE], tmp_path)
    run.until(Phase.OPEN, 1)
    party = backup.restore("both")
    second = consortium.run(attempt=2, first_round=1, parameters=run.sum.parameters)

    assert_stops(party, request_for(second), LEDGER_BEHIND)


def test_entries_count_the_requests_that_were_answered(make_consortium: Make) -> None:
    """Refusals and repeated requests change nothing that a site signs."""
    consortium = make_consortium(mechanism_of(training__rounds=1))
    run = consortium.run()
    party = consortium.parties[SITE]
    for answered in range(1, 5):
        request = request_for(run)
        party.site.handle(request)
        party.site.handle(request)
        party.site.handle(b"nonsense")
        run.exchange()
        assert party.state().heads.entries == answered
    leaves = [opened_as(Signed, leaf) for leaf in consortium.transcript.leaves]
    joined = next(leaf for leaf in leaves if leaf.signer == SITE)
    first = decode(Joined, joined.body, limit_bytes=LIMIT_BYTES).heads
    assert (first.entries, first.journal) == (0, bytes(32))
