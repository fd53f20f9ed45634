"""What a session can be set to: malicious adversary, hybrid keys, 24 bits, noise, large cohorts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
import reference_masked_sum as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from masked_sum_simulator import Simulation, binding_of, session_of, sum_of, vectors_of

from crypto.agreement import AgreementKey
from crypto.codec import decode, encode
from crypto.errors import ConfigError, PeerError
from crypto.kem import KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES
from crypto.masked_sum import (
    Adversary,
    CipherSuite,
    CohortRisk,
    Confirmation,
    MaskingSite,
    Session,
    ShareKind,
    default_threshold,
)
from crypto.masked_sum_keys import KeyContext, KeyRole, PartyKey
from crypto.masked_sum_messages import announced_digest, commit_to_seed
from crypto.masked_sum_shares import seal_shares
from crypto.masking import MaskTerm, PairEnd, add_masks, pairwise_term, self_mask_key
from crypto.secrets import SecretBytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

A, B, C, D = session_of(4).sites
ALL = (A, B, C, D)
FIVE = session_of(5).sites
E = FIVE[4]
HYBRID = CipherSuite.X25519_MLKEM768_HKDF_AES256CTR_Z32
LARGE = CohortRisk(drop_outs=6, corrupted=12)
LARGE_SITES = 120

# -- a malicious coordinator -----------------------------------------------------------------


def malicious(dropped: tuple[str, ...] = ()) -> tuple[Simulation, dict[str, NDArray[np.uint32]]]:
    run = Simulation(session_of(4, adversary=Adversary.MALICIOUS))
    return run, run.to_masked(dropped=dropped)


@pytest.mark.parametrize("dropped", [(), (D,)])
def test_after_a_quorum_confirmed_the_sum_opens(dropped: tuple[str, ...]) -> None:
    run, vectors = malicious(dropped)
    survivors = run.coordinator.survivors()
    confirmations = run.confirm()
    releases = {name: run.sites[name].release(survivors, confirmations[:3]) for name in survivors}
    assert run.coordinator.unmask(releases).tolist() == sum_of(vectors.values())


def test_nothing_is_released_before_the_survivors_are_confirmed() -> None:
    run, vectors = malicious()
    with pytest.raises(PeerError, match="asked to release shares, but round 0 is masked"):
        run.sites[A].release(ALL)
    assert run.coordinator.unmask(run.release()).tolist() == sum_of(vectors.values())


def test_a_site_confirms_one_list_only() -> None:
    run, _ = malicious()
    run.sites[A].confirm((A, B, C))
    for survivors in (ALL, (A, B, C)):
        with pytest.raises(PeerError, match="asked to confirm survivors"):
            run.sites[A].confirm(survivors)


def test_different_survivors_told_to_different_sites_open_nothing() -> None:
    """The attack that the exchange is for: D survived for B and C, and dropped out for A and B."""
    run, _ = malicious()
    told = {A: (A, B, C), B: (A, B, C), C: ALL, D: ALL}
    words = {name: run.sites[name].confirm(survivors) for name, survivors in told.items()}
    for name, survivors in told.items():
        with pytest.raises(PeerError, match="tells two stories"):
            run.sites[name].release(survivors, words.values())
        same = [word for word in words.values() if word.survivors == survivors]
        with pytest.raises(PeerError, match="2 survivors confirmed each other, and 3 are needed"):
            run.sites[name].release(survivors, same)
        with pytest.raises(PeerError, match="tells two stories"):
            run.sites[name].release((B, C, D) if survivors == ALL else ALL, same)


SPLIT = {A: (A, B, C, E), B: (A, B, C, E), C: FIVE, D: FIVE}
"""Two stories of five sites: A and B hear that D dropped out, C and D that nobody did."""


def told_two_stories(
    threshold: int,
) -> tuple[Simulation, dict[str, NDArray[np.uint32]], dict[ShareKind, bytes]]:
    """What a lying coordinator rebuilds of D's two secrets, with E as its colluder.

    Returns:
        The run, D's vector and its upload, and what comes out of the shares of each kind.
    """
    run = Simulation(session_of(5, threshold=threshold))
    run.announce()
    run.deal()
    run.open(binding_of(FIVE), 64)
    plain = vectors_of(FIVE, 64)
    uploads = {name: run.sites[name].mask(plain[name].copy()) for name in FIVE}
    held = run.sites[E]._rounds[0].held[D]
    point = run.session.point
    shares = {
        ShareKind.MASK_KEY: {point(E): int.from_bytes(held.mask_key.reveal())},
        ShareKind.SELF_MASK: {point(E): int.from_bytes(held.self_mask.reveal())},
    }
    for name, survivors in SPLIT.items():
        released = {share.peer: share for share in run.sites[name].release(survivors).shares}
        shares[released[D].kind][point(name)] = int.from_bytes(released[D].share)
    assert {len(values) for values in shares.values()} == {3}, "two sites each, and E"
    rebuilt = {
        kind: (twin.interpolate_at_zero(values) % 2**256).to_bytes(32)
        for kind, values in shares.items()
    }
    return run, {"vector": plain[D], "upload": uploads[D]}, rebuilt


def test_without_that_exchange_a_low_threshold_lets_the_coordinator_read_one_site() -> None:
    """Three shares rebuild a secret: D's mask secret as a drop-out's, its seed as a survivor's."""
    run, of_d, rebuilt = told_two_stories(threshold=3)
    session, keys = run.session.digest(), run.keys[0]
    secret = AgreementKey(SecretBytes(twin.mask_scalar(rebuilt[ShareKind.MASK_KEY], session, D)))
    assert secret.public == keys[D].mask
    binding = binding_of(FIVE).record(session).digest()
    ends = {name: PairEnd(name, keys[name].mask, keys[name].digest()) for name in FIVE}
    pairs = [pairwise_term(secret, ends[D], ends[peer], binding) for peer in (A, B, C, E)]
    own = self_mask_key(SecretBytes(rebuilt[ShareKind.SELF_MASK]), D, binding)
    read = of_d["upload"].copy()
    add_masks(read, [MaskTerm(own, negative=True)])
    add_masks(read, [MaskTerm(pair.key, negative=not pair.negative) for pair in pairs])
    assert (of_d["upload"] != of_d["vector"]).sum() > 60
    assert read.tolist() == of_d["vector"].tolist(), "one site's vector, alone and in the clear"


def test_at_the_default_threshold_two_stories_rebuild_neither_secret() -> None:
    run, _, rebuilt = told_two_stories(threshold=default_threshold(5))
    session, keys = run.session.digest(), run.keys[0][D]
    scalar = twin.mask_scalar(rebuilt[ShareKind.MASK_KEY], session, D)
    assert AgreementKey(SecretBytes(scalar)).public != keys.mask
    seed = rebuilt[ShareKind.SELF_MASK]
    assert commit_to_seed(session, 0, D, seed) != keys.self_mask_commitment


def test_with_that_exchange_nobody_acts_on_the_first_story() -> None:
    """E signs both lists, and each still lacks one word of the quorum."""
    run = Simulation(session_of(5, adversary=Adversary.MALICIOUS))
    run.to_masked()
    words = {name: run.sites[name].confirm(survivors) for name, survivors in SPLIT.items()}
    for name, survivors in SPLIT.items():
        said = [word for word in words.values() if word.survivors == survivors]
        said.append(changed(said[0], site=E))
        with pytest.raises(PeerError, match="3 survivors confirmed each other, and 4 are needed"):
            run.sites[name].release(survivors, said)


def changed(word: Confirmation, **fields: object) -> Confirmation:
    return msgspec.structs.replace(word, **fields)


CHANGES: dict[str, dict[str, object]] = {
    "session": {"session": bytes(32)},
    "round": {"round": 1},
    "cohort or parameters": {"binding": bytes(32)},
    "survivors": {"survivors": (A, B, C)},
    "threshold": {"threshold": 2},
    "a stranger": {"site": "zz"},
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_confirmation_of_anything_else_is_refused_at_both_ends(what: str) -> None:
    run, vectors = malicious()
    words = run.confirm()
    lie = changed(words[1], **CHANGES[what])
    with pytest.raises(PeerError, match="tells two stories"):
        run.sites[A].release(ALL, [words[0], lie, *words[2:]])
    with pytest.raises(PeerError, match="confirmed other survivors, or another round"):
        run.coordinator.check_confirmation(lie)
    releases = {name: run.sites[name].release(ALL, words) for name in ALL}
    assert run.coordinator.unmask(releases).tolist() == sum_of(vectors.values())


def test_one_survivors_word_counts_once() -> None:
    run, _ = malicious()
    words = run.confirm()
    with pytest.raises(PeerError, match="1 survivors confirmed"):
        run.sites[A].release(ALL, [words[0]] * 4)


def test_a_drop_outs_word_does_not_count() -> None:
    run, _ = malicious(dropped=(D,))
    words = run.confirm()
    with pytest.raises(PeerError, match="tells two stories"):
        run.sites[A].release((A, B, C), [*words[:2], changed(words[2], site=D)])


def test_a_session_without_that_exchange_confirms_nothing() -> None:
    run = Simulation(session_of(4))
    run.to_masked()
    with pytest.raises(PeerError, match="has no such exchange"):
        run.sites[A].confirm(ALL)


def test_a_confirmed_site_goes_on_after_a_restart_and_keeps_its_word() -> None:
    run, vectors = malicious()
    words = run.confirm()
    for name, site in run.sites.items():
        run.sites[name] = MaskingSite.import_state(SecretBytes(site.export_state().reveal()))
    with pytest.raises(PeerError, match="asked to confirm"):
        run.sites[A].confirm((A, B, C))
    releases = {name: run.sites[name].release(ALL, words) for name in ALL}
    assert run.coordinator.unmask(releases).tolist() == sum_of(vectors.values())


def test_a_confirmation_survives_the_codec() -> None:
    run, _ = malicious()
    word = run.sites[A].confirm(ALL)
    assert decode(Confirmation, encode(word), limit_bytes=1 << 16) == word


# -- keys that stay secret when X25519 does not ----------------------------------------------


@settings(max_examples=8, deadline=None)
@given(dropped=st.sets(st.sampled_from(ALL), max_size=1))
def test_the_hybrid_sum_is_exact_and_drop_outs_are_recovered(dropped: set[str]) -> None:
    run = Simulation(session_of(4, suite=HYBRID))
    vectors = run.to_masked(dropped=dropped)
    assert run.coordinator.unmask(run.release()).tolist() == sum_of(vectors.values())


def test_hybrid_messages_carry_post_quantum_keys_and_ciphertexts() -> None:
    run = Simulation(session_of(4, suite=HYBRID))
    run.announce()
    run.deal()
    keys, dealt = run.keys[0][A], run.message(A, B)
    assert len(keys.channel_kem) == len(keys.mask_kem) == KEM_PUBLIC_BYTES
    assert len(dealt.channel_ciphertext) == KEM_CIPHERTEXT_BYTES
    assert len(dealt.pair_half) > KEM_CIPHERTEXT_BYTES
    plain = Simulation(session_of(4))
    plain.announce()
    plain.deal()
    assert plain.keys[0][A].mask_kem == plain.message(A, B).pair_half == b""


def test_who_breaks_x25519_alone_learns_no_hybrid_mask() -> None:
    """The masks of a pair change when what travelled under ML-KEM does, X25519 being the same."""
    run = Simulation(session_of(4, suite=HYBRID))
    run.announce()
    run.deal()
    binding = binding_of(ALL)
    run.open(binding, 8)
    phase = run.sites[A]._rounds[0]
    terms = {term.key.reveal() for term in run.sites[A]._terms(phase)}
    other = msgspec.structs.replace(phase.peers[0], half=SecretBytes(b"x" * 32))
    lied = msgspec.structs.replace(phase, peers=(other, *phase.peers[1:]))
    assert len(terms ^ {term.key.reveal() for term in run.sites[A]._terms(lied)}) == 2
    unsent = msgspec.structs.replace(phase.peers[0], is_sent=False)
    lied = msgspec.structs.replace(phase, peers=(unsent, *phase.peers[1:]))
    assert len(terms ^ {term.key.reveal() for term in run.sites[A]._terms(lied)}) == 2


def test_a_half_that_does_not_open_stops_the_round_at_its_receiver() -> None:
    run = Simulation(session_of(4, suite=HYBRID))
    run.announce()
    run.deal()
    binding = binding_of(ALL)
    inbox = run.inbox(A, binding)
    message = run.message(B, A)
    half = message.pair_half
    for broken in (
        b"garbage",
        encode(msgspec.structs.replace(message, pair_half=half[:-1] + bytes([half[-1] ^ 1]))),
        encode(msgspec.structs.replace(message, pair_half=b"")),
        encode(msgspec.structs.replace(message, pair_half=run.message(B, C).pair_half)),
    ):
        with pytest.raises(PeerError):
            run.sites[A].open_round(binding, {**inbox, B: broken})
    assert run.sites[A].open_round(binding, inbox) == ()


def test_a_bundle_sealed_for_another_post_quantum_key_is_unusable() -> None:
    run = Simulation(session_of(4, suite=HYBRID))
    run.announce()
    run.deal()
    message = run.message(B, A)
    other = run.message(C, A).channel_ciphertext
    crossed = encode(msgspec.structs.replace(message, channel_ciphertext=other))
    assert run.sites[A].open_round(
        binding_of(ALL), {**run.inbox(A, binding_of(ALL)), B: crossed}
    ) == (B,)


@pytest.mark.parametrize("field", ["channel_kem", "mask_kem"])
def test_post_quantum_keys_that_do_not_belong_are_refused(field: str) -> None:
    hybrid, plain = Simulation(session_of(4, suite=HYBRID)), Simulation(session_of(4))
    hybrid.announce()
    plain.announce()
    fresh = Simulation(session_of(4, suite=HYBRID))
    for public in (b"", bytes(10), b"\xff" * KEM_PUBLIC_BYTES):
        bad = msgspec.structs.replace(hybrid.keys[0][A], **{field: public})
        with pytest.raises(PeerError, match=f"{A} announced keys that cannot be used"):
            fresh.coordinator.accept_keys(bad)
    extra = msgspec.structs.replace(plain.keys[0][A], **{field: bytes(KEM_PUBLIC_BYTES)})
    with pytest.raises(PeerError, match="whose cipher suite has none"):
        Simulation(session_of(4)).coordinator.accept_keys(extra)


def test_a_copied_post_quantum_key_is_refused() -> None:
    run = Simulation(session_of(4, suite=HYBRID))
    run.announce()
    copied = msgspec.structs.replace(run.keys[0][B], mask_kem=run.keys[0][C].mask_kem)
    with pytest.raises(PeerError, match="announced too"):
        run.sites[A].shares_for(0, {**run.keys[0], B: copied}, run.entropy)


def test_keys_of_two_roles_sites_and_sessions_never_meet() -> None:
    secret = SecretBytes(b"s" * 32)
    contexts = [
        KeyContext(bytes(32), A, KeyRole.MASK),
        KeyContext(bytes(32), A, KeyRole.CHANNEL),
        KeyContext(bytes(32), B, KeyRole.MASK),
        KeyContext(b"x" * 32, A, KeyRole.MASK),
    ]
    keys = [PartyKey(secret, context, HYBRID) for context in contexts]
    assert len({key.agreement.public for key in keys}) == 4
    assert len({key.kem_public for key in keys}) == 4
    assert secret.reveal().hex() not in repr(keys)
    with pytest.raises(TypeError, match="not pickled"):
        keys[0].__reduce_ex__(4)


# -- width and noise -------------------------------------------------------------------------


@pytest.mark.parametrize("dropped", [(), (C,)])
def test_a_sum_of_24_bits_is_exact_modulo_2_to_the_24(dropped: tuple[str, ...]) -> None:
    run = Simulation(session_of(4, width_bits=24))
    vectors = run.to_masked(d=7, dropped=dropped)
    total = run.coordinator.unmask(run.release())
    assert total.tolist() == sum_of(vectors.values(), 24)


def test_an_upload_of_another_width_is_refused() -> None:
    run = Simulation(session_of(4, width_bits=24))
    run.announce()
    run.deal()
    run.open(binding_of(ALL), 8)
    with pytest.raises(PeerError, match=A):
        run.coordinator.add(A, bytes(4 * 8))
    run.coordinator.add(A, bytes(3 * 8))


class Counting:
    """Noise that a test can add up: -1, 0, 1, 2, ... in the order it is drawn."""

    def __init__(self) -> None:
        self.next = -1

    def draw(self, count: int) -> NDArray[np.int64]:
        first, self.next = self.next, self.next + count
        return np.arange(first, first + count, dtype=np.int64)


def test_each_sites_noise_is_in_the_sum_and_nowhere_truncated() -> None:
    run = Simulation(session_of(4))
    run.announce()
    run.deal()
    d = 40_000  # more than one block
    run.open(binding_of(ALL), d)
    for name in ALL:
        run.coordinator.add(
            name, run.sites[name].mask(np.zeros(d, np.uint32), Counting()).tobytes()
        )
    total = run.coordinator.unmask(run.release()).view(np.int32)
    assert total.tolist() == [4 * value for value in range(-1, d - 1)]


# -- more than a hundred sites ---------------------------------------------------------------


def large(**changes: object) -> Simulation:
    return Simulation(session_of(LARGE_SITES, risk=LARGE, **changes))


@pytest.mark.parametrize("suite", list(CipherSuite))
def test_a_large_cohort_sums_exactly_with_drop_outs(suite: CipherSuite) -> None:
    run = large(suite=suite, adversary=Adversary.MALICIOUS)
    dropped = run.session.sites[5::25]
    vectors = run.to_masked(dropped=dropped)
    total = run.coordinator.unmask(run.release())
    assert total.tolist() == sum_of(vectors.values())
    assert run.session.degree is not None
    assert len(run.dealt[0][A]) == run.session.degree + 1 < LARGE_SITES // 2


def test_a_site_masks_for_its_neighbours_alone() -> None:
    run = large()
    run.announce()
    run.deal()
    binding = binding_of(run.session.sites)
    run.open(binding, 3)
    phase = run.sites[A]._rounds[0]
    drawn = set(run.dealt[0][A]) - {A}
    drew_it = {name for name in run.session.sites if name != A and A in run.dealt[0][name]}
    assert {peer.keys.site for peer in phase.peers} == drawn | drew_it
    assert phase.held.keys() == drew_it | {A}
    assert run.coordinator.inbox(A).keys() == drew_it


def test_neighbours_come_from_each_sites_own_seed_after_the_list_is_fixed() -> None:
    first, second = large(), large()
    for run in (first, second):
        run.announce()
    first.deal()
    second.sites[A].shares_for(0, second.keys[0], lambda count: b"\x07" * count)
    second.deal(who=[name for name in second.sites if name != A])
    changed_draw = set(second.sites[A]._rounds[0].drawn) ^ set(first.sites[A]._rounds[0].drawn)
    assert changed_draw, "another seed draws others"


def test_shares_from_a_site_that_did_not_draw_this_one_are_unusable() -> None:
    run = large()
    run.announce()
    run.deal()
    keys = run.keys[0]
    stranger = next(name for name in run.sites if name != A and A not in run.dealt[0][name])
    dealer, own = run.sites[stranger]._dealer, run.sites[stranger]._rounds[0].own
    context = dealer._context(keys[stranger], keys[A], announced_digest(keys))
    forged = encode(seal_shares(own, dealer.channel, keys[A], context, run.entropy))
    binding = binding_of(run.session.sites)
    inbox = {**run.inbox(A, binding), stranger: forged}
    assert run.sites[A].open_round(binding, inbox) == (stranger,)


def test_a_coordinator_that_drops_the_neighbours_of_one_site_opens_nothing() -> None:
    """With A's neighbours called drop-outs, A would be alone among the survivors."""
    run = large()
    run.to_masked()
    phase = run.sites[A]._rounds[0]
    drawn = set(run.dealt[0][A]) - {A}
    survivors = tuple(name for name in run.session.sites if name not in drawn)
    assert len(survivors) >= run.session.quorum, "for the quorum alone this is a good list"
    assert phase.held
    holders = [name for name in survivors if A in run.sites[name]._rounds[0].held]
    assert A in holders
    for name in holders:
        with pytest.raises(PeerError, match=r"neighbours that .* drew are among the survivors"):
            run.sites[name].release(survivors)


BAD_GRAPHS: dict[str, dict[str, object]] = {
    "degree needs the risk": {"risk": None},
    "complete graph carries at most": {"risk": None, "degree": None},
    "more than half of the holders": {"threshold": 3},
    "at most all of them": {"threshold": 119},
    "do not bear": {"degree": 4, "threshold": 3},
    "do not bear 60 drop-outs": {"risk": CohortRisk(60, 12)},
    "and 60 corrupted": {"risk": CohortRisk(6, 60)},
}


@pytest.mark.parametrize("words", BAD_GRAPHS)
def test_a_graph_that_does_not_bear_its_risk_is_refused_with_the_tails(words: str) -> None:
    good = session_of(LARGE_SITES, risk=LARGE)
    fields = {name: getattr(good, name) for name in good.__dataclass_fields__}
    with pytest.raises(ConfigError, match=words):
        Session(**{**fields, **BAD_GRAPHS[words]})
