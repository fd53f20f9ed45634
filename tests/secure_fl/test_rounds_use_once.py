"""Keys are used once and budget is charged first, whatever crashes, repeats or runs twice."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec.structs import replace
from round_simulator import (
    LIMIT_BYTES,
    RUN_ID,
    SPEC,
    FakeWorkbench,
    StoreCrashError,
    code_of,
    expected_parameters,
    key_of,
    mechanism_of,
    opened_as,
    policy_of,
    private_mechanism,
)

from crypto.codec import decode, encode
from crypto.errors import ConfigError, IntegrityError, PeerError
from crypto.masked_sum import MaskingSite
from crypto.merkle import EMPTY_ROOT
from crypto.secrets import SecretBytes, system_entropy
from privacy.fixed_point import Grid
from privacy.update import TensorSpec, UpdateSpec
from secure_fl.rounds.messages import (
    CloseReply,
    CloseRequest,
    ExtractSent,
    HelloReply,
    Joined,
    OpenReply,
    OpenRequest,
    RefusalCode,
    Uploaded,
)
from secure_fl.rounds.site_state import Stage
from secure_fl.rounds.steps import Phase
from secure_fl.sites.store import FileSiteStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from round_simulator import Consortium, Party, Run

    from privacy.ledger import Ledger
    from privacy.update import Update
    from secure_fl.config import Mechanism
    from secure_fl.policy import SitePolicy
    from secure_fl.rounds.site_parts import Tap

    Make = Callable[..., Consortium]

SITE = "site-1"


def request_for(run: Run, site: str = SITE) -> bytes:
    assert run.step.exchange is not None
    return run.step.exchange.requests[site]


def draws(party: Party) -> list[tuple[int, int]]:
    entries = party.parts.ledger.entries()
    return [(entry.draw.round, entry.draw.attempt) for entry in entries if entry.draw is not None]


def with_ceiling(epsilon: float) -> SitePolicy:
    entry = policy_of().datasets[0].model_copy(update={"epsilon": epsilon})
    return policy_of().model_copy(update={"datasets": (entry,)})


# -- the same request, and any other -----------------------------------------------------------


@pytest.mark.parametrize("protection", ["masked", "plain"])
def test_the_same_request_gets_the_same_bytes_and_costs_nothing(
    make_consortium: Make, protection: str
) -> None:
    consortium = make_consortium(mechanism_of(protection=protection, training__rounds=2))
    run = consortium.run()
    party = consortium.parties[SITE]
    while run.step.exchange is not None:
        request = request_for(run)
        first = party.site.handle(request)
        head, saves = party.parts.ledger.head(), party.store.saves
        party.restart()
        assert party.site.handle(request) == first
        assert (party.parts.ledger.head(), party.store.saves) == (head, saves)
        run.exchange()
    assert party.workbench.trained == [0, 1]
    assert party.notes == []
    assert run.sum.survivors == consortium.names


def test_every_other_request_is_refused_at_every_stage(consortium: Consortium) -> None:
    run = consortium.run()
    seen: dict[tuple[Phase, int], bytes] = {}
    while run.step.exchange is not None:
        key = (run.step.exchange.phase, run.round)
        seen[key] = request_for(run)
        run.exchange()
        party = consortium.parties[SITE]
        before = encode(party.state())
        for other, request in seen.items():
            if other != key:
                assert code_of(party.site.handle(request)) == "protocol"
        assert encode(party.state()) == before
    assert len(seen) == 8


def test_a_site_of_a_plain_run_deals_no_shares(make_consortium: Make) -> None:
    masked = make_consortium().run().until(Phase.SHARE)
    consortium = make_consortium(mechanism_of(protection="plain"))
    consortium.run().until(Phase.OPEN)

    assert code_of(consortium.parties[SITE].site.handle(request_for(masked))) == "protocol"
    assert "A request out of order came" in consortium.parties[SITE].notes[-1]


def test_an_honest_header_with_another_body_is_another_request(consortium: Consortium) -> None:
    """Bytes that differ only in what is not signed do not get a second masked vector."""
    run = consortium.run().until(Phase.OPEN)
    run.exchange()
    whole = opened_as(OpenRequest, run.requests[SITE])
    padded = replace(whole, inbox={**whole.inbox, "site-9": b""})

    party = consortium.parties[SITE]
    assert code_of(party.site.handle(encode(padded))) == "protocol"
    assert "A request out of order came: round 0 is uploaded" in party.notes[-1]
    assert party.workbench.trained == [0]


def test_without_the_stage_the_masked_sum_itself_still_masks_once(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.OPEN)
    run.exchange()
    party = consortium.parties[SITE]
    party.store.save(
        RUN_ID,
        replace(
            party.state(), stage=Stage.READY, request_digest=b"", checkpoint_size=0, pending=()
        ),
    )
    whole = opened_as(OpenRequest, run.requests[SITE])
    proof = replace(whole.proof, inclusion=(), consistency=())
    request = encode(replace(whole, proof=proof))
    party.store.save(RUN_ID, replace(party.state(), checkpoint_root=EMPTY_ROOT))

    assert code_of(party.site.handle(request)) == "protocol"
    assert "is masked here" in party.notes[-1]


def test_what_use_once_prevents(consortium: Consortium) -> None:
    """Two vectors under one key set: their difference is that of the plaintexts."""
    run = consortium.run().until(Phase.OPEN)
    party = consortium.parties[SITE]
    state = party.state()
    run.exchange()
    uploaded = np.frombuffer(opened_as(OpenReply, run.replies[SITE]).vector, "<u4")

    other = np.arange(SPEC.size, dtype=np.uint32)
    machine = MaskingSite.import_state(SecretBytes(state.masking))
    whole = opened_as(OpenRequest, run.requests[SITE])
    binding = run.coordinator._sums._running().binding  # type: ignore[union-attr]
    machine.open_round(binding, whole.inbox)
    again = machine.mask(other.copy())

    plaintext = party.site.plaintexts[0]
    np.testing.assert_array_equal(uploaded - again, plaintext - other)


# -- crashes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", list(Phase))
def test_a_crash_after_the_state_was_stored_loses_nothing(
    make_consortium: Make, phase: Phase
) -> None:
    consortium = make_consortium(mechanism_of(adversary="malicious"))
    run = consortium.run().until(phase)
    party = consortium.parties[SITE]
    party.store.crash = "after"

    with pytest.raises(StoreCrashError):
        party.site.handle(request_for(run))
    party.restart()
    run.finish()

    assert [opened.survivors for opened in run.opened] == [consortium.names] * 3
    assert draws(party) == [(0, 1), (1, 1), (2, 1)]


@pytest.mark.parametrize("phase", [Phase.HELLO, Phase.SHARE, Phase.CONFIRM, Phase.CLOSE])
def test_a_crash_before_the_state_was_stored_is_made_good_by_asking_again(
    make_consortium: Make, phase: Phase
) -> None:
    """Nothing left the site, so fresh randomness does no harm."""
    consortium = make_consortium(mechanism_of(adversary="malicious"))
    run = consortium.run().until(phase)
    party = consortium.parties[SITE]
    party.store.crash = "before"

    with pytest.raises(StoreCrashError):
        party.site.handle(request_for(run))
    party.restart()
    run.finish()

    assert [opened.survivors for opened in run.opened] == [consortium.names] * 3


@pytest.mark.parametrize("private", [True, False])
def test_a_crash_between_charge_and_upload_costs_the_site_its_round(
    make_consortium: Make, *, private: bool
) -> None:
    consortium = make_consortium(private_mechanism() if private else mechanism_of())
    run = consortium.run().until(Phase.OPEN, 1)
    party = consortium.parties[SITE]
    party.store.crash = "before"
    with pytest.raises(StoreCrashError):
        party.site.handle(request_for(run))
    party.restart()

    # The noise of this attempt was drawn and charged: a second draw would need a second charge.
    run.exchange()
    assert run.step.refused == {SITE: RefusalCode("policy")}
    assert "was drawn already" in party.notes[-1]
    run.exchange()
    assert draws(party) == [(0, 1), (1, 1)]

    second = consortium.run(attempt=2, first_round=2, parameters=run.sum.parameters).finish()
    assert second.sum.survivors == consortium.names
    assert draws(party) == [(0, 1), (1, 1), (2, 2)]


def test_a_site_that_lost_its_state_counts_as_dropped_and_comes_back_with_fresh_keys(
    make_consortium: Make,
) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = consortium.run().until(Phase.OPEN, 1)
    party = consortium.parties[SITE]
    before = party.state().masking
    party.store.saved.clear()

    run.exchange()
    assert "whose state it lost" in party.notes[-1]
    run.finish()

    others = ("site-2", "site-3", "site-4")
    assert [o.survivors for o in run.opened] == [consortium.names, others, others, consortium.names]
    assert party.state().masking != before
    assert draws(party) == [(0, 1), (3, 1)]


def test_a_coordinator_that_crashed_after_the_close_gets_the_round_again(
    consortium: Consortium,
) -> None:
    first = consortium.run().until(Phase.CLOSE, 1)
    parameters = first.sum.parameters
    first.ask()

    second = consortium.run(attempt=2, first_round=1, parameters=parameters).finish()

    expected = expected_parameters(consortium, parameters, 1, consortium.names)
    assert second.opened[0].parameters.tobytes() == expected.tobytes()
    assert second.sum.round == 2


# -- the ledger comes first --------------------------------------------------------------------


class _Recorder(FakeWorkbench):
    """Notes what the ledger held at the moment training began."""

    def __init__(self, site: str, ledger: Ledger) -> None:
        super().__init__(site)
        self.ledger = ledger
        self.drawn: list[int] = []

    def train(
        self,
        mechanism: Mechanism,
        shared: NDArray[np.float32],
        round_: int,
        tap: Tap | None = None,
    ) -> Update:
        self.drawn.append(sum(1 for entry in self.ledger.entries() if entry.draw is not None))
        return super().train(mechanism, shared, round_, tap)


def test_the_ledger_is_charged_before_training_starts(consortium: Consortium) -> None:
    party = consortium.parties[SITE]
    recorder = _Recorder(SITE, party.parts.ledger)
    party.restart(workbench=recorder)

    consortium.run().finish()

    assert recorder.drawn == [1, 2, 3]


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigError("Erika Mustermann"), "config"), (IntegrityError("Erika"), "record")],
)
def test_training_that_fails_after_the_charge_stays_charged(
    consortium: Consortium, error: Exception, code: str
) -> None:
    run = consortium.run().until(Phase.OPEN)
    party = consortium.parties[SITE]
    party.workbench.fails_with = error

    run.exchange()

    assert run.step.refused == {SITE: RefusalCode(code)}
    assert draws(party) == [(0, 1)]
    assert party.state().stage is Stage.READY
    assert b"Erika" not in run.replies[SITE]
    run.exchange()
    assert run.sum.survivors == ("site-2", "site-3", "site-4")


def test_a_defect_is_not_hidden_and_stays_charged(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.OPEN)
    party = consortium.parties[SITE]
    party.workbench.fails_with = ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError):
        party.site.handle(request_for(run))

    assert draws(party) == [(0, 1)]
    party.workbench.fails_with = None
    assert code_of(party.site.handle(request_for(run))) == "policy"
    assert party.workbench.trained == [0]


def test_a_spent_budget_refuses_before_anything_is_trained(make_consortium: Make) -> None:
    consortium = make_consortium(private_mechanism())
    party = consortium.parties[SITE]
    party.restart(policy=with_ceiling(0.01))

    run = consortium.run()
    run.exchange()

    assert run.step.refused == {SITE: RefusalCode("policy")}
    assert "its ceiling is 0.01" in party.notes[-1]
    assert party.parts.ledger.entries() == ()
    run.finish()
    assert party.workbench.trained == []


def test_repeated_attempts_end_where_the_budget_ends(make_consortium: Make) -> None:
    consortium = make_consortium(private_mechanism())
    party = consortium.parties[SITE]
    planned = party.parts.ledger
    consortium.run().until(Phase.CLOSE)
    spent = planned.spent("records", 1e-5)
    party.restart(policy=with_ceiling(spent))

    again = consortium.run(attempt=2).until(Phase.OPEN)
    trained = list(party.workbench.trained)
    again.exchange()

    # The plan is reserved and stays affordable; a second draw of one round is on top of it.
    assert again.step.refused == {SITE: RefusalCode("policy")}
    assert party.workbench.trained == trained
    assert planned.spent("records", 1e-5) == spent


def test_mode_none_is_charged_as_no_guarantee_and_ends_private_use(make_consortium: Make) -> None:
    consortium = make_consortium()
    consortium.run().finish()
    consortium.mechanism = private_mechanism()
    consortium.transcript = consortium.new_transcript(b"the-second-run!!")

    run = consortium.run(run_id=b"the-second-run!!")
    with pytest.raises(PeerError, match="Only 0 of 4"):
        run.exchange()

    for party in consortium.parties.values():
        assert "has spent epsilon inf" in party.notes[-1]
        assert party.workbench.trained == [0, 1, 2]


# -- what leaves -------------------------------------------------------------------------------


def test_an_update_of_another_shape_does_not_leave(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.OPEN)
    party = consortium.parties[SITE]
    party.workbench.spec_ = UpdateSpec((TensorSpec("other", (SPEC.size,)),))

    run.exchange()

    assert run.step.refused == {SITE: RefusalCode("record")}
    assert "another shape than the one this run shares" in party.notes[-1]


def test_coordinates_beyond_the_range_are_clamped_and_noted(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(encoding__clip_range=0.5))
    run = consortium.run().until(Phase.CLOSE)

    grid = Grid(0.5, 4)
    for party in consortium.parties.values():
        ring = party.site.plaintexts[0].view(np.int32).astype(np.float64) * grid.step
        assert np.abs(ring).max() <= 0.5
        assert "coordinates lay beyond the grid's range and were clamped" in party.notes[-1]
    run.exchange()
    assert len(run.opened) == 1


def test_every_statement_names_the_ledgers_head(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.HELLO)
    heads = []
    run.exchange()
    joined = decode(
        Joined, opened_as(HelloReply, run.replies[SITE]).joined.body, limit_bytes=LIMIT_BYTES
    )
    heads.append((joined.heads.ledger, consortium.parties[SITE].parts.ledger.head()))
    run.until(Phase.CLOSE)
    uploaded = decode(
        Uploaded, opened_as(OpenReply, run.replies[SITE]).uploaded.body, limit_bytes=LIMIT_BYTES
    )
    heads.append((uploaded.heads.ledger, consortium.parties[SITE].parts.ledger.head()))
    run.finish()
    last = opened_as(CloseReply, run.replies[SITE])
    assert last.extract_sent is not None
    sent = decode(ExtractSent, last.extract_sent.body, limit_bytes=LIMIT_BYTES)
    heads.append((sent.heads.ledger, consortium.parties[SITE].parts.ledger.head()))

    assert all(said == held for said, held in heads)
    assert len({said for said, _ in heads}) == 3


def test_the_extract_names_no_data_set_and_no_digest_of_the_records(
    consortium: Consortium,
) -> None:
    run = consortium.run().finish()

    version = consortium.parties[SITE].parts.ledger.entries()[0].version.hex()
    for extract in run.sum.extracts.values():
        assert b'"records"' not in extract
        assert version.encode() not in extract
    assert len(set(run.sum.extracts.values())) == 4


# -- the site's own disk -----------------------------------------------------------------------


def _on_disk(consortium: Consortium, folder: Path) -> list[FileSiteStore]:
    stores = []
    for name, party in consortium.parties.items():
        stores.append(FileSiteStore(folder / name / "runs", key_of(name), system_entropy))
        party.restart(store=stores[-1])
    return stores


def test_a_run_over_sealed_files_with_a_new_process_per_message(
    consortium: Consortium, tmp_path: Path
) -> None:
    _on_disk(consortium, tmp_path)
    run = consortium.run()

    while run.step.exchange is not None:
        for party in consortium.parties.values():
            party.restart()
        run.exchange()

    shared = consortium.start
    for opened in run.opened:
        expected = expected_parameters(consortium, shared, opened.round, consortium.names)
        assert opened.parameters.tobytes() == expected.tobytes()
        shared = opened.parameters


def test_a_sealed_state_that_was_cut_stops_the_site_and_nobody_else(
    consortium: Consortium, tmp_path: Path
) -> None:
    _on_disk(consortium, tmp_path)
    run = consortium.run().until(Phase.OPEN, 1)
    path = tmp_path / SITE / "runs" / f"{RUN_ID.hex()}.state"
    path.write_bytes(path.read_bytes()[:100])

    run.exchange()

    assert run.step.refused == {SITE: RefusalCode("record")}
    assert "Do not restore a backup" in consortium.parties[SITE].notes[-1]
    assert run.finish().sum.survivors == ("site-2", "site-3", "site-4")
    # The operator moves the file away, as the message says.
    path.unlink()
    again = consortium.run(attempt=2, first_round=2, parameters=run.opened[1].parameters)
    assert SITE in again.exchange().joined


def test_two_processes_with_one_identity(consortium: Consortium, tmp_path: Path) -> None:
    stores = _on_disk(consortium, tmp_path)
    run = consortium.run()
    party = consortium.parties[SITE]

    with stores[0].locked():
        assert code_of(party.site.handle(request_for(run))) == "config"
    assert "Another process answers for the site" in party.notes[-1]
    assert party.parts.ledger.entries() == ()


def test_two_threads_that_answer_one_request_mask_once(
    consortium: Consortium, tmp_path: Path
) -> None:
    _on_disk(consortium, tmp_path)
    run = consortium.run().until(Phase.OPEN)
    party = consortium.parties[SITE]
    request = request_for(run)
    replies: list[bytes] = []
    gate = threading.Barrier(4)

    def ask() -> None:
        gate.wait()
        replies.append(party.site.handle(request))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    uploads = {reply for reply in replies if not reply.startswith(b"\x92\xb4secure-fl.refusal")}
    assert len(uploads) == 1
    assert party.workbench.trained == [0]
    assert draws(party) == [(0, 1)]


def test_a_state_taken_from_another_site_is_not_used(
    consortium: Consortium, tmp_path: Path
) -> None:
    _on_disk(consortium, tmp_path)
    run = consortium.run().until(Phase.OPEN)
    name = f"{RUN_ID.hex()}.state"
    (tmp_path / SITE / "runs" / name).write_bytes(
        (tmp_path / "site-2" / "runs" / name).read_bytes()
    )

    assert code_of(consortium.parties[SITE].site.handle(request_for(run))) == "record"


def test_a_close_that_was_answered_is_answered_the_same_by_a_new_process(
    consortium: Consortium, tmp_path: Path
) -> None:
    _on_disk(consortium, tmp_path)
    run = consortium.run().until(Phase.CLOSE)
    party = consortium.parties[SITE]
    first = party.site.handle(request_for(run))
    party.restart()

    assert party.site.handle(request_for(run)) == first
    close = opened_as(CloseRequest, request_for(run))
    other = replace(close, next_keys=close.next_keys[:3])
    assert code_of(party.site.handle(encode(other))) == "protocol"
