"""What a site checks of a proposal, a header and a close before it acts on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto.digests import sha256
from secure_fl.config import NoPrivacy, SharedNoisePrivacy, parse_mechanism
from secure_fl.guarantee import planned_event, resolve_sigma
from secure_fl.methods import method_of
from secure_fl.rounds.reading import expect, session_of
from secure_fl.views import Protection, View

if TYPE_CHECKING:
    from crypto.masked_sum import Session
    from crypto.roster import Roster
    from secure_fl.config import Mechanism
    from secure_fl.policy import SitePolicy
    from secure_fl.rounds.messages import Hello, RoundClose, RoundHeader
    from secure_fl.rounds.site_state import OpenedSum, SiteState


@dataclass(frozen=True)
class Party:
    """Who checks, and what it goes by."""

    name: str
    roster: Roster
    policy: SitePolicy


def check_proposal(proposed: bytes, hello: Hello, party: Party) -> Mechanism:
    """Return the proposed mechanism if roster, policy and accounting allow it.

    Raises:
        PeerError: roster, digest, cohort or threshold are not what they must be.
        ConfigError: this version does not know the mechanism, or it contradicts itself.
        BudgetError: the site's policy refuses it.
    """
    expect(
        hello.roster_digest == party.roster.digest(),
        "The coordinator runs under another roster than the one pinned here: the session was "
        "refused. Distribute the consortium's current roster to every party.",
    )
    expect(
        sha256(proposed) == hello.config_digest,
        "The proposed configuration does not have the digest that the coordinator signed.",
    )
    mechanism = parse_mechanism(proposed)
    pinned = {member.name for member in party.roster.sites()}
    expect(
        hello.sites == tuple(sorted(set(hello.sites))) and set(hello.sites) <= pinned,
        "The proposed cohort is not a sorted set of the roster's sites: a site the "
        "consortium does not know may be one that the coordinator plays itself.",
    )
    expect(party.name in hello.sites, "This site is not in the proposed cohort.")
    check_session(session_of(hello), mechanism)
    method_of(mechanism)
    party.policy.check(mechanism)
    planned_event(mechanism)  # without a sigma nothing can be reserved: no search for one here
    resolve_sigma(mechanism)
    return mechanism


def check_session(session: Session, mechanism: Mechanism) -> None:
    """Return if the session is the one that the signed configuration asks for.

    Raises:
        PeerError: it differs in cohort, threshold, risk, cipher suite, adversary or width.
    """
    expect(
        len(session.sites) == mechanism.sites
        and session.quorum == mechanism.needed_survivors()
        and session.risk == mechanism.risk(),
        "Cohort or threshold differ from the signed configuration.",
    )
    expect(
        session.suite is mechanism.cipher_suite
        and session.adversary is mechanism.adversary
        and session.width_bits == mechanism.encoding.bits,
        "Cipher suite, adversary or width differ from the signed configuration.",
    )


def check_header(header: RoundHeader, state: SiteState, mechanism: Mechanism, party: Party) -> None:
    """Return if this site may train and mask under `header`.

    Raises:
        PeerError: it was replayed, is out of order, or its cohort would say too much.
        BudgetError: the policy changed since the site joined, and refuses the run now.
    """
    _check_pinned(state, mechanism, party)
    expect(
        header.session == session_of(state.hello).digest(),
        "The round's header belongs to another session: it was replayed.",
    )
    expect(
        header.round == state.round,
        f"The header opens round {header.round}, and round {state.round} is next.",
    )
    expect(
        header.round < mechanism.training.rounds,
        f"The header opens round {header.round} of a run of {mechanism.training.rounds}: the "
        "plan that was reserved is over.",
    )
    expect(
        header.config_digest == state.hello.config_digest,
        "The round's header names another configuration than the session's.",
    )
    expect(
        (header.sum_key is not None) is (mechanism.protection is Protection.HOMOMORPHIC),
        "The round's header names a homomorphic key where there is none, or none where one is due.",
    )
    expect(
        header.cohort == tuple(sorted(set(header.cohort)))
        and set(header.cohort) <= set(state.hello.sites)
        and party.name in header.cohort,
        "The round's cohort is not a sorted set of the session's sites with this one in it.",
    )
    expect(
        len(header.cohort) >= max(party.policy.smallest_cohort, mechanism.needed_survivors()),
        f"A cohort of {len(header.cohort)} sites is below this site's smallest cohort or the "
        "threshold: its sum would say too much about each of them.",
    )
    if _hides_single_updates(mechanism):
        for earlier in _sums_like(state, header.round, header.parameter_digest):
            expect(
                earlier.parameter_digest == header.parameter_digest
                and set(earlier.survivors) <= set(header.cohort),
                _DIFFERENCE.format(round=header.round),
            )


def check_target(round_: int, hello: Hello, before: SiteState | None, mechanism: Mechanism) -> None:
    """Return if a site may announce keys for `round_`, the first it would take part in.

    Raises:
        PeerError: it lies outside the session's rounds, or not behind what this site has done.
    """
    expect(
        hello.first_round <= round_ < mechanism.training.rounds,
        f"The session begins at round {hello.first_round} and ends after "
        f"{mechanism.training.rounds}: there is no round {round_} in it.",
    )
    if before is None or before.hello != hello:
        return
    expect(
        round_ > before.round,
        f"This site was asked back for round {round_}, and is in round {before.round} already: an "
        "old request was replayed.",
    )


def check_attempt(hello: Hello, before: SiteState) -> None:
    """Return if `hello` may follow what this site has done in the run so far.

    The same hello again is the way back of a site that missed a round.

    Raises:
        PeerError: it is an old session, another configuration, or goes back behind a sum that
            was opened.
    """
    if hello == before.hello:
        return
    expect(
        hello.attempt > before.hello.attempt,
        f"Attempt {hello.attempt} of a run that is at attempt {before.hello.attempt}: an "
        "old session was replayed, or the coordinator was restored from a backup.",
    )
    expect(
        hello.config_digest == before.hello.config_digest,
        "A later attempt of a run came with another configuration: it was refused. "
        "A changed configuration is a new run.",
    )
    last = max((opened.round for opened in before.released), default=0)
    expect(
        hello.first_round >= last,
        f"The new attempt begins at round {hello.first_round}, and this site has released shares "
        f"for round {last}: the coordinator was restored from an old backup, or asks twice for "
        "what it has.",
    )


def check_close(close: RoundClose, state: SiteState, mechanism: Mechanism, party: Party) -> None:
    """Return if this site may release shares for the survivors that `close` names.

    Raises:
        PeerError: it belongs to another round, or the sum would be over too few, or its
            difference to an earlier one would be.
        BudgetError: the policy changed since the site joined, and refuses the run now.
    """
    _check_pinned(state, mechanism, party)
    expect(
        close.session == session_of(state.hello).digest()
        and close.round == state.round
        and close.header_digest == state.header_digest,
        "The survivors named belong to another round than the open one: replayed.",
    )
    expect(
        (close.sum_digest is not None) is (mechanism.protection is Protection.HOMOMORPHIC),
        "The close names a homomorphic sum where there is none, or none where one is due.",
    )
    expect(
        close.threshold == state.hello.threshold,
        "The coordinator asks for shares at another threshold than the configured one.",
    )
    expect(
        close.survivors == tuple(sorted(set(close.survivors)))
        and set(close.survivors) <= set(state.hello.sites)
        and party.name in close.survivors,
        "The survivors are not a sorted set of the session's sites with this one in it.",
    )
    expect(
        len(close.survivors) >= max(party.policy.smallest_cohort, mechanism.needed_survivors()),
        f"A sum over {len(close.survivors)} survivors is below the threshold or this site's "
        "smallest cohort: no share was released.",
    )
    if isinstance(mechanism.privacy, SharedNoisePrivacy):
        paid = mechanism.paid_drop_outs(state.cohort)
        expect(
            len(close.survivors) >= state.cohort - paid,
            f"A sum over {len(close.survivors)} of a cohort of {state.cohort} holds less noise "
            f"than was promised: {paid} may drop out. No share was released.",
        )
    if _hides_single_updates(mechanism):
        for earlier in _sums_like(state, close.round, state.parameter_digest):
            expect(earlier.survivors == close.survivors, _DIFFERENCE.format(round=close.round))


_DIFFERENCE = (
    "Round {round} was asked for again over other parameters or survivors than those this site "
    "released shares for: without noise, the two sums differ by single updates. It was refused. "
    "Go on when the sites of the first sum are all there, or start a new run."
)


def _check_pinned(state: SiteState, mechanism: Mechanism, party: Party) -> None:
    """Return if roster and policy, which may have changed since, still allow the session."""
    expect(
        state.hello.roster_digest == party.roster.digest(),
        "The session was opened under another roster than the one pinned here now: it is over. "
        "The coordinator starts a new attempt under the current roster.",
    )
    party.policy.check(mechanism)


def _hides_single_updates(mechanism: Mechanism) -> bool:
    """Return whether only masks or ciphertexts hide an update: noise is charged per attempt."""
    return mechanism.protection.reveals is View.SUM and isinstance(mechanism.privacy, NoPrivacy)


def _sums_like(state: SiteState, round_: int, parameter_digest: bytes) -> tuple[OpenedSum, ...]:
    """Return the opened sums to which one of this round and these parameters can be compared."""
    return tuple(
        opened
        for opened in state.released
        if opened.round == round_ or opened.parameter_digest == parameter_digest
    )
