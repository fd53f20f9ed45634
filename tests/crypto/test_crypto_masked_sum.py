"""Masked sums among honest sites: exact for every pattern of drop-outs, order and duplicates."""

from __future__ import annotations

import copy
import hashlib
import pickle
import sys
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pytest
import reference_masked_sum as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from masked_sum_simulator import (
    Simulation,
    binding_of,
    entropy_of,
    session_of,
    sum_of,
    vectors_of,
)

from crypto.codec import decode, encode
from crypto.errors import ConfigError, PeerError
from crypto.masked_sum import (
    Adversary,
    CipherSuite,
    CohortRisk,
    Confirmation,
    MaskingCoordinator,
    MaskingSite,
    Release,
    RoundBinding,
    Session,
    ShareKind,
    SiteKeys,
    default_threshold,
)
from crypto.masked_sum_messages import commit_to_seed
from crypto.masking import BLOCK_WORDS
from crypto.ring import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
A, B, C, D = session_of(4).sites


@pytest.mark.parametrize(("n", "threshold"), [(2, 2), (3, 3), (4, 3), (10, 7), (100, 67)])
def test_the_default_threshold_is_two_thirds_and_one(n: int, threshold: int) -> None:
    assert default_threshold(n) == threshold


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_sum_is_exact_whatever_drops_out_and_in_whatever_order(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 7))
    threshold = data.draw(st.integers(n // 2 + 1, n))
    d = data.draw(st.sampled_from([1, 3, BLOCK_WORDS + 1]))
    run = Simulation(session_of(n, threshold=threshold), seed=data.draw(st.text(max_size=4)))

    def some(names: list[str]) -> list[str]:  # who is still there, in the order they answer
        count = data.draw(st.integers(threshold, len(names)))
        return data.draw(st.permutations(names))[:count]

    keyed = some(list(run.sites))
    run.announce(who=keyed)
    for name in data.draw(st.lists(st.sampled_from(keyed), max_size=2)):
        run.coordinator.accept_keys(run.keys[0][name])  # delivered twice: changes nothing
    cohort = some(sorted(keyed))
    run.deal(who=cohort)
    run.open(binding_of(cohort), d)
    uploading = some(sorted(cohort))
    vectors = vectors_of(cohort, d)
    for name in uploading:
        run.upload(name, vectors[name])
        if data.draw(st.booleans()):
            with pytest.raises(PeerError, match="twice"):
                run.coordinator.add(name, vectors[name].tobytes())
    releases = run.release(some(sorted(uploading)))
    total = run.coordinator.unmask(releases)
    assert total.tolist() == sum_of(vectors[name] for name in uploading)
    assert run.coordinator.keys(0) == {}


def test_several_rounds_ride_on_each_other() -> None:
    run = Simulation(session_of(4), first_round=7)
    run.announce(7)
    run.deal(7)
    cohort = list(run.sites)
    for number in range(7, 11):
        run.open(binding_of(cohort, number), 6)
        dropped = {cohort[number % len(cohort)]} if number % 2 else set()
        vectors = vectors_of(set(cohort) - dropped, 6, seed=number)
        for name, vector in vectors.items():
            run.upload(name, vector)
        run.announce(number + 1)  # everybody, the late one too, is keyed for the next round
        releases = run.release()
        run.deal(number + 1)
        assert run.coordinator.unmask(releases).tolist() == sum_of(vectors.values())


class Exchanges:
    """Exchanges between a coordinator and its sites: one request to each, and one reply."""

    def __init__(self, run: Simulation) -> None:
        self.run = run
        self.count = 0

    def ask(self, who: Iterable[str], what: Callable[[MaskingSite], T]) -> dict[str, T]:
        """Every site answers from what the request holds, before any reply is looked at."""
        self.count += 1
        return {name: what(self.run.sites[name]) for name in who}


def summed_in_exchanges(asked: Exchanges, rounds: int) -> None:
    """Run `rounds` rounds; keys and shares of the next ride on the messages of each."""
    run, names = asked.run, asked.run.session.sites
    coordinator, entropy = run.coordinator, run.entropy
    malicious = run.session.adversary is Adversary.MALICIOUS
    for keys in asked.ask(names, lambda site: site.keys_for(0, entropy)).values():
        coordinator.accept_keys(keys)
    listed = coordinator.keys(0)
    dealt = asked.ask(names, lambda site: site.shares_for(0, listed, entropy))
    for number in range(rounds):
        for name, shares in dealt.items():
            coordinator.accept_shares(name, number, shares)
        binding = binding_of(names, number)
        coordinator.begin(binding, 5)
        inboxes = {name: coordinator.inbox(name) for name in names}
        vectors = vectors_of(names, 5, seed=number)

        def upload(site: MaskingSite) -> tuple[bytes, SiteKeys]:
            site.open_round(binding, inboxes[site.site])  # noqa: B023 - called in this round
            masked = site.mask(vectors[site.site].copy())  # noqa: B023
            return pack(masked, 32), site.keys_for(number + 1, entropy)  # noqa: B023

        for name, (data, keys) in asked.ask(names, upload).items():
            coordinator.add(name, data)
            coordinator.accept_keys(keys)
        survivors, listed = coordinator.survivors(), coordinator.keys(number + 1)
        words: dict[str, Confirmation] = {}
        if malicious:
            words = asked.ask(names, lambda site: site.confirm(survivors))  # noqa: B023

        def close(site: MaskingSite) -> tuple[Release, dict[str, bytes]]:
            release = site.release(survivors, words.values())  # noqa: B023
            return release, site.shares_for(number + 1, listed, entropy)  # noqa: B023

        closed = asked.ask(names, close)
        dealt = {name: shares for name, (_, shares) in closed.items()}
        total = coordinator.unmask({name: release for name, (release, _) in closed.items()})
        assert total.tolist() == sum_of(vectors.values())


@pytest.mark.parametrize(("adversary", "each"), [("semi-honest", 2), ("malicious", 3)])
def test_a_run_takes_two_exchanges_and_then_two_or_three_per_round(
    adversary: str, each: int
) -> None:
    for rounds in (1, 4):
        asked = Exchanges(Simulation(session_of(4, adversary=Adversary(adversary))))
        summed_in_exchanges(asked, rounds)
        assert asked.count == 2 + each * rounds


def test_the_sum_of_100_sites_with_33_drop_outs_is_exact() -> None:
    run = Simulation(session_of(100))
    vectors = run.to_masked(8, dropped=run.session.sites[1::3])
    assert len(vectors) == 67
    assert run.coordinator.unmask(run.release()).tolist() == sum_of(vectors.values())


def test_uploads_are_those_of_the_naive_twin() -> None:
    run = Simulation(session_of(3))
    run.announce()
    run.deal()
    binding = binding_of(run.sites)
    run.open(binding, 5)
    phases = {name: site._rounds[0] for name, site in run.sites.items()}
    session = run.session.digest()
    scalars = {
        name: twin.mask_scalar(phase.mask_secret.reveal(), session, name)
        for name, phase in phases.items()
    }
    announced = {
        name: twin.keys_digest(
            [session, name, 0, k.channel, b"", k.mask, b"", k.self_mask_commitment]
        )
        for name, k in run.keys[0].items()
    }
    digest = twin.binding_digest(session, 0, b"h" * 32, binding.cohort, b"p" * 32)
    cohort = twin.Cohort(scalars, announced, digest)
    uploads = {}
    for name, vector in vectors_of(run.sites, 5).items():
        seed = phases[name].seed.reveal()
        expected = twin.upload(name, vector.tolist(), cohort, seed)
        uploads[name] = run.sites[name].mask(vector.copy())
        assert uploads[name].tolist() == expected
        run.coordinator.add(name, pack(uploads[name], 32))
    unmasked = [
        [x - m for x, m in zip(upload, own, strict=True)]
        for upload, own in (
            (
                uploads[name].tolist(),
                twin.self_mask(phases[name].seed.reveal(), name, digest, 5),
            )
            for name in uploads
        )
    ]
    assert run.coordinator.unmask(run.release()).tolist() == twin.plain_sum(unmasked)


def test_each_survivor_uploads_something_that_looks_like_noise() -> None:
    run = Simulation(session_of(2))
    run.announce()
    run.deal()
    run.open(binding_of(run.sites), 4096)
    zeros = np.zeros(4096, dtype=np.uint32)
    first, second = (run.sites[name].mask(zeros.copy()) for name in run.sites)
    both = first + second  # the pairwise masks cancel: the self masks must still hide the sum
    for masked in (first, second, both):
        assert len(np.unique(masked)) > 4000
        assert abs(np.unpackbits(masked.view(np.uint8)).mean() - 0.5) < 0.01


def test_mask_works_in_place_and_add_keeps_nothing() -> None:
    run = Simulation(session_of(2))
    run.announce()
    run.deal()
    run.open(binding_of(run.sites), 8)
    vector = np.zeros(8, dtype=np.uint32)
    name = run.session.sites[0]
    masked = run.sites[name].mask(vector)
    assert masked is vector
    assert vector.any()
    upload = bytearray(pack(masked, 32))  # a memory that can be watched, unlike bytes
    before = sys.getrefcount(upload)
    run.coordinator.add(name, upload)
    assert sys.getrefcount(upload) == before


def test_messages_survive_the_codec() -> None:
    run = Simulation(session_of(4))
    run.to_masked(dropped=[C])
    for release in run.release().values():
        assert decode(Release, encode(release), limit_bytes=1 << 16) == release
    keys = run.keys[0][A]
    assert decode(SiteKeys, encode(keys), limit_bytes=1 << 10) == keys


def test_per_peer_exactly_one_kind_of_share_is_released() -> None:
    run = Simulation(session_of(4))
    run.to_masked(dropped=[C])
    release = run.sites[A].release((A, B, D))
    assert [(share.peer, share.kind) for share in release.shares] == [
        (A, ShareKind.SELF_MASK),
        (B, ShareKind.SELF_MASK),
        (C, ShareKind.MASK_KEY),
        (D, ShareKind.SELF_MASK),
    ]


def test_secrets_are_forgotten_when_no_later_step_needs_them() -> None:
    run = Simulation(session_of(2))
    run.announce()
    run.deal()
    run.open(binding_of(run.sites), 3)
    site = run.sites[A]
    phase = site._rounds[0]
    mask_secret, seed = phase.mask_secret.reveal(), phase.seed.reveal()
    held = phase.held[B].self_mask.reveal()
    for secret in (mask_secret, seed, held):
        assert secret in site.export_state().reveal()
    site.mask(np.ones(3, dtype=np.uint32))
    masked = site.export_state().reveal()
    assert mask_secret not in masked
    assert seed not in masked
    assert held in masked
    site.release((A, B))
    assert held not in site.export_state().reveal()
    assert site._rounds == {}


def test_unused_secrets_are_forgotten_when_a_later_round_comes_or_the_session_ends() -> None:
    run = Simulation(session_of(2))
    for number in (0, 1):
        for site in run.sites.values():
            site.keys_for(number, run.entropy)
    site = run.sites[A]
    assert list(site._rounds) == [0, 1], "a site holds two rounds at once"
    site.keys_for(2, run.entropy)
    assert list(site._rounds) == [1, 2]
    site.end()
    assert site._rounds == {}
    with pytest.raises(PeerError, match="used once"):
        site.keys_for(3, run.entropy)


def test_opening_a_round_forgets_the_one_before() -> None:
    run = Simulation(session_of(2))
    run.to_masked()
    run.announce(1)
    run.deal(1)
    run.open(binding_of(run.sites, 1), 5)
    assert list(run.sites[A]._rounds) == [1]


def test_machines_neither_print_secrets_nor_copy() -> None:
    run = Simulation(session_of(2))
    run.to_masked()
    site = run.sites[A]
    held = site._rounds[0].held[B]
    text = f"{site!r} {site._rounds[0]!r} {run.coordinator!r} {run.release()!r}"
    for secret in (held.mask_key, held.self_mask):
        assert repr(secret.reveal())[2:-1] not in text
        assert secret.reveal().hex() not in text
    assert "secret bytes" in text
    for machine in (site, run.coordinator):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(machine)
        with pytest.raises(TypeError, match="not pickled"):
            copy.copy(machine)


def test_a_session_and_a_binding_change_their_digest_with_every_field() -> None:
    base = session_of(4)
    changes: list[dict[str, object]] = [
        {"run_id": b"x" * 16},
        {"attempt": 1},
        {"roster_digest": b"x" * 32},
        {"config_digest": b"x" * 32},
        {"suite": CipherSuite.X25519_MLKEM768_HKDF_AES256CTR_Z32},
        {"adversary": Adversary.MALICIOUS},
        {"width_bits": 24},
        {"threshold": 4},
        {"sites": base.sites[:3]},
    ]
    others = [session_of(4, **change) for change in changes]
    assert len({session.digest() for session in [base, *others]}) == 10
    large = [session_of(120, risk=CohortRisk(*risk)) for risk in [(6, 12), (6, 11)]]
    assert len({session.digest() for session in large}) == 2
    bindings = [
        RoundBinding(0, b"h" * 32, (A, B), b"p" * 32),
        RoundBinding(1, b"h" * 32, (A, B), b"p" * 32),
        RoundBinding(0, b"x" * 32, (A, B), b"p" * 32),
        RoundBinding(0, b"h" * 32, (A, C), b"p" * 32),
        RoundBinding(0, b"h" * 32, (A, B), b"x" * 32),
    ]
    digests = {binding.record(base.digest()).digest() for binding in bindings}
    digests.add(bindings[0].record(others[0].digest()).digest())
    assert len(digests) == 6


def test_a_commitment_is_bound_to_the_site_its_round_and_its_session() -> None:
    base = (b"s" * 32, 3, A, b"k" * 32)
    others = [
        (b"x" * 32, 3, A, b"k" * 32),
        (b"s" * 32, 4, A, b"k" * 32),
        (b"s" * 32, 3, B, b"k" * 32),
        (b"s" * 32, 3, A, b"x" * 32),
    ]
    assert len({commit_to_seed(*parts) for parts in [base, *others]}) == 5
    context = twin.encoded("secure-fl.self-mask-commitment.v1", *base[:3])
    assert commit_to_seed(*base) == hashlib.sha256(context + b"\x00" + base[3]).digest()


BAD_SESSIONS = {
    "run id": {"run_id": b"short"},
    "attempt": {"attempt": -1},
    "digests": {"roster_digest": b"short"},
    "ipher suite": {"suite": "none"},
    "adversary": {"adversary": "nobody"},
    "24 or 32": {"width_bits": 16},
    "at least 2": {"sites": ("only",)},
    "at most 100": {"sites": tuple(f"s{index:03d}" for index in range(101))},
    "cannot name a party": {"sites": ("A", "b")},
    "sorted": {"sites": ("b", "a")},
    "distinct": {"sites": ("a", "a")},
    "threshold of 1": {"threshold": 1},
    "threshold of 2": {"threshold": 2},
    "threshold of 5": {"threshold": 5},
    "no risk is assumed": {"risk": CohortRisk(1, 1), "degree": None, "threshold": 3},
    "a degree was given": {"degree": 2},
}


@pytest.mark.parametrize("words", BAD_SESSIONS)
def test_a_session_that_protects_nobody_is_refused(words: str) -> None:
    good = session_of(4)
    fields = {name: getattr(good, name) for name in good.__dataclass_fields__}
    with pytest.raises(ConfigError, match=words):
        Session(**{**fields, **BAD_SESSIONS[words]})


def test_a_site_outside_the_session_cannot_start() -> None:
    with pytest.raises(ConfigError, match="not in the session"):
        MaskingSite.start(session_of(2), "stranger", entropy_of("s"))


def test_a_sum_of_nothing_is_refused() -> None:
    run = Simulation(session_of(2))
    run.announce()
    with pytest.raises(ValueError, match="0 elements"):
        run.coordinator.begin(binding_of(run.sites), 0)


def test_a_coordinator_without_a_round_has_no_sum() -> None:
    coordinator = MaskingCoordinator(session_of(2), first_round=0)
    with pytest.raises(PeerError, match="No round is under way"):
        coordinator.survivors()
    with pytest.raises(PeerError, match="No round is under way"):
        coordinator.unmask({})
