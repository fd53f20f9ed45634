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
)

from crypto.agreement import AgreementKey
from crypto.errors import ConfigError, PeerError
from crypto.masked_sum import MaskingSite, RoundBinding, SiteKeys
from crypto.masked_sum_shares import HeldShares, open_shares, seal_shares
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
    assert run.sites[A].shares_for(0, keys, run.entropy).keys() == {B, C, D}


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
    with pytest.raises(PeerError, match="the threshold is 3"):
        run.sites[A].shares_for(0, few, run.entropy)
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


@pytest.mark.parametrize("at", [0, 11, 12, 40, -1], ids=["nonce", "nonce end", "c0", "c28", "tag"])
def test_an_altered_share_names_its_sender_and_nothing_is_masked(at: int) -> None:
    run = dealt()
    binding = binding_of(ALL)
    inbox = run.inbox(A, binding)
    inbox[C] = tampered(inbox[C], at % len(inbox[C]))
    with pytest.raises(PeerError, match=rf"The shares of {C} for {A}"):
        run.sites[A].open_round(binding, inbox)
    with pytest.raises(PeerError, match="asked to mask"):
        run.sites[A].mask(np.ones(5, dtype=np.uint32))
    # The round can still be opened, without the damage or without that sender.
    run.sites[A].open_round(binding_of((A, B, D)), run.inbox(A, binding_of((A, B, D))))


@pytest.mark.parametrize("data", [b"", bytes(12), bytes(513)], ids=["empty", "nonce", "long"])
def test_a_bundle_of_impossible_length_is_refused(data: bytes) -> None:
    run = dealt()
    binding = binding_of(ALL)
    with pytest.raises(PeerError, match=rf"The shares of {B}"):
        run.sites[A].open_round(binding, {**run.inbox(A, binding), B: data})


def test_swapped_addressees_and_senders_are_refused() -> None:
    run = dealt()
    binding = binding_of(ALL)
    inbox = run.inbox(A, binding)
    swaps = {
        B: run.dealt[0][B][C],  # dealt by B, but for C
        C: run.dealt[0][A][C],  # our own bundle for C, reflected
        D: inbox[B],  # B's bundle under D's name
    }
    for sender, data in swaps.items():
        with pytest.raises(PeerError, match=rf"The shares of {sender} for {A}"):
            run.sites[A].open_round(binding, {**inbox, sender: data})


def test_bundles_of_another_round_or_session_are_refused() -> None:
    run = dealt()
    run.announce(1)
    run.deal(1)
    binding = binding_of(ALL, 1)
    stale = {**run.inbox(A, binding), B: run.dealt[0][B][A]}
    with pytest.raises(PeerError, match=rf"The shares of {B} for {A} in round 1"):
        run.sites[A].open_round(binding, stale)
    other = Simulation(session_of(4, attempt=1))  # from the same entropy: the very same keys
    other.announce()
    other.deal()
    assert other.keys[0][B].channel == run.keys[0][B].channel
    mixed = {**run.inbox(A, binding_of(ALL)), B: other.dealt[0][B][A]}
    with pytest.raises(PeerError, match=rf"The shares of {B} for {A} in round 0"):
        run.sites[A].open_round(binding_of(ALL), mixed)


def test_a_site_that_saw_other_announcements_cannot_open_the_shares() -> None:
    run = keyed()
    lie = AgreementKey.generate(run.entropy).public
    told_to_a = {**run.keys[0], C: replaced(run.keys[0][C], mask=lie)}
    run.dealt[0] = {A: run.sites[A].shares_for(0, told_to_a, run.entropy)}
    for name in (B, C, D):
        run.dealt[0][name] = run.sites[name].shares_for(0, run.keys[0], run.entropy)
    binding = binding_of(ALL)
    with pytest.raises(PeerError, match=rf"The shares of {C} for {A}"):
        run.sites[A].open_round(binding, run.inbox(A, binding))
    with pytest.raises(PeerError, match=rf"The shares of {A} for {C}"):
        run.sites[C].open_round(binding, run.inbox(C, binding))


def test_foreign_keys_do_not_open_a_bundle() -> None:
    run = dealt()
    context = run.sites[B]._context(run.keys[0][B], run.keys[0][A])
    foreign = AgreementKey.generate(run.entropy)
    with pytest.raises(PeerError, match="do not open"):
        open_shares(run.dealt[0][B][A], foreign, run.keys[0][B].channel, context)


OUTSIDE, INSIDE = SecretBytes(PRIME.to_bytes(33)), SecretBytes(bytes(33))


@pytest.mark.parametrize(
    ("shares", "accepted"),
    [
        (HeldShares(OUTSIDE, INSIDE), False),
        (HeldShares(INSIDE, OUTSIDE), False),
        (HeldShares(INSIDE, SecretBytes(bytes(32))), False),
        (HeldShares(INSIDE, INSIDE), True),
    ],
    ids=["mask key", "self mask", "short", "good"],
)
def test_a_bundle_that_holds_no_field_element_is_refused(
    shares: HeldShares,
    accepted: bool,  # noqa: FBT001 - a table's column
) -> None:
    run = dealt()
    site = run.sites[B]
    context = site._context(run.keys[0][B], run.keys[0][A])
    data = seal_shares(shares, site._channel, run.keys[0][A].channel, context, run.entropy)
    binding = binding_of(ALL)
    inbox = {**run.inbox(A, binding), B: data}
    if accepted:
        run.sites[A].open_round(binding, inbox)
        return
    with pytest.raises(PeerError, match=rf"The shares of {B} for {A}"):
        run.sites[A].open_round(binding, inbox)


def test_sealing_twice_never_repeats_a_nonce() -> None:
    run = keyed()
    state = run.sites[A].export_state().reveal()  # the site crashes here and deals again
    first = run.sites[A].shares_for(0, run.keys[0], run.entropy)
    again = MaskingSite.import_state(SecretBytes(state)).shares_for(0, run.keys[0], run.entropy)
    nonces = [bundle[:12] for bundles in (first, again) for bundle in bundles.values()]
    assert len(set(nonces)) == len(nonces)


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
