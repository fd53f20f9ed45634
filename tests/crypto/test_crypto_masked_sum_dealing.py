"""Masked sums against hostile parties, before anything is masked: keys, bundles, cohorts.

The coordinator may lie, replay, reorder and swap; a site may deal or release wrong shares. A
refused message must change nothing: the honest run goes on after it.
"""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from masked_sum_simulator import (
    Simulation,
    binding_of,
    dealt,
    keyed,
    opened,
    session_of,
    sum_of,
    vectors_of,
)

from crypto.agreement import AgreementKey
from crypto.codec import decode, encode
from crypto.errors import ConfigError, PeerError
from crypto.masked_sum import MaskingSite, RoundBinding, SiteKeys
from crypto.masked_sum_messages import announced_digest
from crypto.masked_sum_shares import (
    LARGEST_DEALT_BYTES,
    DealtShares,
    HeldShares,
    ShareBundle,
    _cipher,
    open_shares,
    seal_shares,
)
from crypto.secrets import SecretBytes
from crypto.shamir import PRIME

A, B, C, D = session_of(4).sites
ALL = (A, B, C, D)


def replaced(message: SiteKeys, **fields: object) -> SiteKeys:
    return msgspec.structs.replace(message, **fields)


# -- announced keys --------------------------------------------------------------------------


def test_keys_of_another_session_round_or_site_are_refused_at_both_ends() -> None:
    run = keyed()
    keys = run.keys[0]
    other = Simulation(session_of(4, attempt=1))
    other.announce()
    bad = {
        "another session": other.keys[0][B],
        "round 1": replaced(keys[B], round=1),
        "not a site of this session": replaced(keys[B], site="stranger"),
    }
    for words, entry in bad.items():
        with pytest.raises(PeerError, match=words):
            run.sites[A].shares_for(0, {**keys, entry.site: entry}, run.entropy)
    fresh = Simulation(session_of(4))
    for words, entry in {**bad, "round 1": replaced(keys[B], round=9)}.items():
        with pytest.raises(PeerError, match=words.replace("round 1", "round 9")):
            fresh.coordinator.accept_keys(entry)
    assert run.sites[A].shares_for(0, keys, run.entropy).keys() == {A, B, C, D}


def test_keys_under_anothers_name_are_refused() -> None:
    run = keyed()
    keys = run.keys[0]
    with pytest.raises(PeerError, match="came under"):
        run.sites[A].shares_for(0, {**keys, B: keys[C], C: keys[B]}, run.entropy)


@pytest.mark.parametrize("field", ["channel", "mask", "self_mask_commitment"])
def test_a_coordinator_that_alters_our_own_keys_is_found(field: str) -> None:
    run = keyed()
    own = replaced(run.keys[0][A], **{field: b"\x09" * 32})
    with pytest.raises(PeerError, match="altered or dropped"):
        run.sites[A].shares_for(0, {**run.keys[0], A: own}, run.entropy)
    with pytest.raises(PeerError, match="altered or dropped"):
        run.sites[A].shares_for(0, {B: run.keys[0][B]}, run.entropy)


def test_a_copied_key_is_refused_at_both_ends() -> None:
    run = keyed()
    copied = replaced(run.keys[0][B], mask=run.keys[0][C].mask)
    with pytest.raises(PeerError, match="announced too"):
        run.sites[A].shares_for(0, {**run.keys[0], B: copied}, run.entropy)
    fresh = Simulation(session_of(4))
    fresh.coordinator.accept_keys(run.keys[0][C])
    with pytest.raises(PeerError, match="announced too"):
        fresh.coordinator.accept_keys(copied)


def test_two_different_key_sets_of_one_site_are_refused() -> None:
    run = keyed()
    with pytest.raises(PeerError, match="two different key sets"):
        run.coordinator.accept_keys(replaced(run.keys[0][A], mask=b"\x09" * 32))
    assert run.coordinator.keys(0)[A] == run.keys[0][A]


@pytest.mark.parametrize("field", ["channel", "mask"])
def test_a_key_of_low_order_names_its_owner_before_anything_is_dealt(field: str) -> None:
    run = keyed()
    bad = replaced(run.keys[0][C], **{field: bytes(32)})
    with pytest.raises(PeerError, match=rf"{C} announced keys.*low order"):
        run.sites[A].shares_for(0, {**run.keys[0], C: bad}, run.entropy)
    with pytest.raises(PeerError, match=rf"{C} announced keys.*low order"):
        Simulation(session_of(4)).coordinator.accept_keys(bad)


def test_fewer_announced_sites_than_the_threshold_get_no_shares() -> None:
    run = keyed()
    few = {name: run.keys[0][name] for name in (A, B)}
    with pytest.raises(PeerError, match="a sum needs 3"):
        run.sites[A].shares_for(0, few, run.entropy)
    run.deal()
    with pytest.raises(PeerError, match="fewer than the threshold"):
        run.coordinator.begin(binding_of((A, B)), 5)


def test_a_threshold_of_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="threshold of 1"):
        session_of(2, threshold=1)


def test_shares_are_dealt_once_and_keys_made_once() -> None:
    run = dealt()
    with pytest.raises(PeerError, match="asked to deal shares"):
        run.sites[A].shares_for(0, run.keys[0], run.entropy)
    with pytest.raises(PeerError, match="used once"):
        run.sites[A].keys_for(0, run.entropy)
    with pytest.raises(PeerError, match="asked to deal shares"):
        run.sites[A].shares_for(3, run.keys[0], run.entropy)


# -- bundles of shares -----------------------------------------------------------------------


def tampered(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def unusable(run: Simulation, changes: dict[str, bytes], site: str = A) -> tuple[str, ...]:
    """Whose shares `site` cannot use when `changes` came in place of what was dealt."""
    binding = binding_of(ALL, max(run.dealt))
    return run.sites[site].open_round(binding, {**run.inbox(site, binding), **changes})


def edited(run: Simulation, dealer: str, **fields: object) -> bytes:
    return encode(msgspec.structs.replace(run.message(dealer, A), **fields))


def test_a_bit_flipped_anywhere_in_a_bundle_makes_it_unusable() -> None:
    seen = set()
    whole = dealt()
    for at in range(0, len(whole.dealt[0][C][A]), 7):
        run = dealt()
        seen.add(unusable(run, {C: tampered(run.dealt[0][C][A], at)}))
    assert seen == {(C,)}


def test_the_sum_is_opened_by_the_holders_whose_shares_came_whole() -> None:
    run = dealt()
    run.coordinator.begin(binding_of(ALL), 5)
    for name in ALL:
        damaged = {C: b"garbage"} if name == A else {}
        assert unusable(run, damaged, name) == tuple(damaged)
    vectors = vectors_of((A, B, C), 5)
    for name, vector in vectors.items():
        run.upload(name, vector)
    releases = run.release()
    assert [share.peer for share in releases[A].shares] == [A, B, D]
    # Three holders have a share of everybody's secrets but C's, and for C two of the other three
    # survived: with its own share that is the threshold.
    with pytest.raises(PeerError, match=f"2 shares of {C}'s self-mask seed"):
        run.coordinator.unmask(releases)


def test_with_one_more_survivor_that_sum_opens() -> None:
    run = dealt()
    run.coordinator.begin(binding_of(ALL), 5)
    for name in ALL:
        unusable(run, {C: b"garbage"} if name == A else {}, name)
    vectors = vectors_of(ALL, 5)
    for name, vector in vectors.items():
        run.upload(name, vector)
    assert run.coordinator.unmask(run.release()).tolist() == sum_of(vectors.values())


def test_when_too_few_bundles_open_nothing_is_masked() -> None:
    run = dealt()
    binding = binding_of(ALL)
    garbage = dict.fromkeys((B, C), b"garbage")
    with pytest.raises(PeerError, match=rf"The shares of {B}, {C} for {A} do not open"):
        run.sites[A].open_round(binding, {**run.inbox(A, binding), **garbage})
    with pytest.raises(PeerError, match="asked to mask"):
        run.sites[A].mask(np.ones(5, dtype=np.uint32))
    # The round can still be opened, without the damage.
    assert run.sites[A].open_round(binding, run.inbox(A, binding)) == ()


@pytest.mark.parametrize("data", [b"", bytes(12), bytes(5000)], ids=["empty", "nonce", "long"])
def test_a_bundle_of_impossible_length_is_unusable(data: bytes) -> None:
    assert unusable(dealt(), {B: data}) == (B,)


def test_a_sealed_part_of_impossible_length_is_unusable() -> None:
    for sealed in (b"", bytes(5), bytes(12), bytes(512)):
        run = dealt()
        assert unusable(run, {B: edited(run, B, sealed=sealed)}) == (B,)


def test_a_commitment_that_was_altered_on_the_way_makes_its_bundle_unusable() -> None:
    for field in ("mask_key", "self_mask"):
        run = dealt()
        assert unusable(run, {B: edited(run, B, **{field: bytes(32)})}) == (B,)


def test_swapped_addressees_and_senders_are_refused() -> None:
    swaps = {
        B: (B, C),  # dealt by B, but for C
        C: (A, C),  # our own bundle for C, reflected
        D: (B, A),  # B's bundle under D's name
    }
    for sender, (dealer, holder) in swaps.items():
        run = dealt()
        assert unusable(run, {sender: run.dealt[0][dealer][holder]}) == (sender,)


def test_bundles_of_another_round_or_session_are_unusable() -> None:
    run = dealt()
    run.announce(1)
    run.deal(1)
    assert unusable(run, {B: run.dealt[0][B][A]}) == (B,)
    run = dealt()
    other = Simulation(session_of(4, attempt=1))  # from the same entropy: the very same secrets
    other.announce()
    other.deal()
    assert unusable(run, {B: other.dealt[0][B][A]}) == (B,)


def test_a_site_that_saw_other_announcements_cannot_open_the_shares() -> None:
    run = keyed()
    lie = AgreementKey.generate(run.entropy).public
    told_to_a = {**run.keys[0], C: replaced(run.keys[0][C], mask=lie)}
    run.dealt[0] = {A: run.sites[A].shares_for(0, told_to_a, run.entropy)}
    for name in (B, C, D):
        run.dealt[0][name] = run.sites[name].shares_for(0, run.keys[0], run.entropy)
    # All announcements are bound: A can open nothing of the others, nor they of it.
    with pytest.raises(PeerError, match=rf"The shares of {B}, {C}, {D} for {A}"):
        unusable(run, {})
    for name in (B, C, D):
        assert unusable(run, {}, name) == (A,)


def sealed_by(run: Simulation, shares: HeldShares, dealer: str = B, holder: str = A) -> DealtShares:
    """What a dealer that lies about its shares makes."""
    site, keys = run.sites[dealer], run.keys[0]
    context = site._dealer._context(keys[dealer], keys[holder], announced_digest(keys))
    return seal_shares(shares, site._dealer.channel, keys[holder], context, run.entropy)


def test_foreign_keys_do_not_open_a_bundle() -> None:
    run = dealt()
    keys = run.keys[0]
    context = run.sites[B]._dealer._context(keys[B], keys[A], announced_digest(keys))
    foreign = run.sites[C]._dealer.channel
    with pytest.raises(PeerError, match="do not open"):
        open_shares(run.message(B, A), foreign, keys[B], context)
    assert open_shares(run.message(B, A), run.sites[A]._dealer.channel, keys[B], context)


OUTSIDE, INSIDE = SecretBytes(PRIME.to_bytes(33)), SecretBytes(bytes(33))


@pytest.mark.parametrize(
    ("shares", "accepted"),
    [
        (HeldShares(OUTSIDE, INSIDE, b""), False),
        (HeldShares(INSIDE, OUTSIDE, b""), False),
        (HeldShares(INSIDE, SecretBytes(bytes(32)), b""), False),
        (HeldShares(INSIDE, INSIDE, bytes(32)), False),
        (HeldShares(INSIDE, INSIDE, b""), True),
    ],
    ids=["mask key", "self mask", "short", "a seed in a complete graph", "good"],
)
def test_a_bundle_that_holds_no_field_element_is_unusable(
    shares: HeldShares,
    accepted: bool,  # noqa: FBT001 - a table's column
) -> None:
    run = dealt()
    assert unusable(run, {B: encode(sealed_by(run, shares))}) == (() if accepted else (B,))


def test_shares_that_are_not_the_ones_committed_to_are_unusable() -> None:
    run = dealt()
    lie = sealed_by(run, HeldShares(INSIDE, INSIDE, b""))
    honest = run.message(B, A)
    # The ciphertext holds other shares than the commitments, and both are the dealer's own.
    keys = run.keys[0]
    context = run.sites[B]._dealer._context(keys[B], keys[A], announced_digest(keys))
    nonce = bytes(12)
    cipher = _cipher(run.sites[B]._dealer.channel, keys[A].channel, SecretBytes(b""), b"", context)
    bundle = encode(ShareBundle(bytes(33), bytes(33), b""))
    associated = encode(context) + honest.mask_key + honest.self_mask
    sealed = nonce + cipher.encrypt(nonce, bundle, associated)
    crafted = msgspec.structs.replace(honest, sealed=sealed)
    assert unusable(run, {B: encode(crafted)}) == (B,)
    again = dealt()
    associated = encode(context) + lie.mask_key + lie.self_mask
    sealed = nonce + cipher.encrypt(nonce, bundle, associated)
    consistent = msgspec.structs.replace(lie, sealed=sealed)
    assert unusable(again, {B: encode(consistent)}) == (), "the check was of the commitments"


def test_sealing_twice_never_repeats_a_nonce() -> None:
    run = keyed()
    state = run.sites[A].export_state().reveal()  # the site crashes here and deals again
    first = run.sites[A].shares_for(0, run.keys[0], run.entropy)
    again = MaskingSite.import_state(SecretBytes(state)).shares_for(0, run.keys[0], run.entropy)
    sealed = [
        decode(DealtShares, data, limit_bytes=LARGEST_DEALT_BYTES).sealed[:12]
        for messages in (first, again)
        for holder, data in messages.items()
        if holder != A
    ]
    assert len(set(sealed)) == len(sealed) == 6


# -- what the coordinator takes of it --------------------------------------------------------


def test_the_coordinator_takes_shares_once_and_for_every_holder() -> None:
    run = keyed()
    shares = run.sites[A].shares_for(0, run.keys[0], run.entropy)
    bad = {
        "left out": {holder: shares[holder] for holder in (A, B, C)},
        "not its own": {holder: shares[holder] for holder in (B, C, D)},
        "a stranger": {**shares, "zz": shares[B]},
        "in place": {A: shares[A], B: shares[B], C: shares[C], "zz": shares[D]},
    }
    for dealt_to in bad.values():
        with pytest.raises(PeerError, match=f"{A} dealt shares to other holders"):
            run.coordinator.accept_shares(A, 0, dealt_to)
    with pytest.raises(PeerError, match="not a DealtShares"):
        run.coordinator.accept_shares(A, 0, {**shares, B: b"garbage"})
    run.coordinator.accept_shares(A, 0, shares)
    assert run.coordinator.dealers(0) == (A,)
    for site, round_number in [(A, 0), (A, 1), ("zz", 0)]:
        with pytest.raises(PeerError, match="twice, or without"):
            run.coordinator.accept_shares(site, round_number, shares)


def test_a_site_whose_shares_did_not_come_is_in_no_cohort() -> None:
    run = keyed()
    run.deal(who=(A, B, C))
    assert run.coordinator.dealers(0) == (A, B, C)
    with pytest.raises(PeerError, match=f"cannot begin with {D}"):
        run.coordinator.begin(binding_of(ALL), 5)
    run.coordinator.begin(binding_of((A, B, C)), 5)
    assert run.coordinator.inbox(A) == {B: run.dealt[0][B][A], C: run.dealt[0][C][A]}


# -- opening a round -------------------------------------------------------------------------


BAD_COHORTS = {
    "is not in the cohort": (B, C, D),
    "below the threshold": (A, B),
    "to whom no shares were dealt": (A, B, C, "zz"),
}


@pytest.mark.parametrize("words", BAD_COHORTS)
def test_a_cohort_that_does_not_fit_is_refused(words: str) -> None:
    run = dealt()
    binding = binding_of(BAD_COHORTS[words])
    with pytest.raises(PeerError, match=words):
        run.sites[A].open_round(binding, {})


def test_the_cohort_is_exactly_the_sites_whose_shares_came() -> None:
    run = dealt()
    binding = binding_of((A, B, C))
    inbox = run.inbox(A, binding_of(ALL))
    with pytest.raises(PeerError, match=rf"not the cohort's: {D} differ"):
        run.sites[A].open_round(binding, inbox)
    with pytest.raises(PeerError, match=rf"not the cohort's: {C} differ"):
        run.sites[A].open_round(binding, {B: inbox[B]})


def test_a_cohort_out_of_order_or_with_a_repeat_is_refused() -> None:
    for cohort in [(B, A), (A, A, B)]:
        with pytest.raises(PeerError, match="sorted and distinct"):
            RoundBinding(0, b"h" * 32, cohort, b"p" * 32)
    with pytest.raises(PeerError, match="32 bytes"):
        RoundBinding(0, b"h", (A, B), b"p" * 32)


def test_a_round_opens_once() -> None:
    run = opened()
    binding = binding_of(ALL)
    with pytest.raises(PeerError, match="asked to open"):
        run.sites[A].open_round(binding, run.inbox(A, binding))
    other = binding_of(ALL, parameters=b"x" * 32)
    with pytest.raises(PeerError, match="asked to open"):
        run.sites[A].open_round(other, run.inbox(A, other))


def test_a_round_whose_shares_were_not_dealt_does_not_open() -> None:
    run = keyed()
    with pytest.raises(PeerError, match="round 0 is keyed"):
        run.sites[A].open_round(binding_of(ALL), {})
    with pytest.raises(PeerError, match="round 5 is not under way"):
        run.sites[A].open_round(binding_of(ALL, 5), {})
