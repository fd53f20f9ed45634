"""Masked sums against hostile parties, from the first upload on: vectors, survivors, releases.

The coordinator may lie, replay, reorder and swap; a site may deal or release wrong shares. A
refused message must change nothing: the honest run goes on after it.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
import reference_masked_sum as twin
from masked_sum_simulator import (
    Simulation,
    binding_of,
    dealt,
    keyed,
    masked,
    opened,
    session_of,
    sum_of,
    vectors_of,
)

from crypto import masked_sum_opening as opening
from crypto.agreement import AgreementKey
from crypto.errors import PeerError
from crypto.masked_sum import CulpritError, MaskingSite, Release, RoundBinding, ShareKind
from crypto.masked_sum_dealing import Dealer
from crypto.masked_sum_opening import RunningSum
from crypto.masked_sum_shares import HeldShares
from crypto.masked_sum_state import Keyed
from crypto.masking import MaskTerm, PairEnd, add_masks, pairwise_term, self_mask_key
from crypto.secrets import SecretBytes
from crypto.shamir import PRIME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

A, B, C, D = session_of(4).sites
ALL = (A, B, C, D)

# -- masking and uploads ---------------------------------------------------------------------


def test_a_second_vector_is_never_masked() -> None:
    run = opened()
    run.sites[A].mask(np.ones(5, dtype=np.uint32))
    with pytest.raises(PeerError, match="asked to mask"):
        run.sites[A].mask(np.ones(5, dtype=np.uint32))


def test_without_use_once_two_uploads_would_open_their_difference() -> None:
    run = opened(64)
    state = run.sites[A].export_state().reveal()  # restored from a backup, a site masks again
    vectors = vectors_of((A, B), 64)
    first = run.sites[A].mask(vectors[A].copy())
    second = MaskingSite.import_state(SecretBytes(state)).mask(vectors[B].copy())
    assert (first - second).tolist() == (vectors[A] - vectors[B]).tolist()


def test_a_vector_of_another_kind_is_refused_and_the_round_stays_open() -> None:
    run = opened()
    read_only = np.ones(5, dtype=np.uint32)
    read_only.flags.writeable = False
    for vector in (np.ones(5), np.ones((1, 5), dtype=np.uint32), read_only):
        with pytest.raises(ValueError, match="vector"):
            run.sites[A].mask(vector)  # type: ignore[arg-type]
    run.sites[A].mask(np.ones(5, dtype=np.uint32))


def differing(**fields: object) -> RoundBinding:
    base = {"round": 0, "header_digest": b"h" * 32, "cohort": ALL, "parameter_digest": b"p" * 32}
    return RoundBinding(**{**base, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "lie",
    [differing(parameter_digest=b"x" * 32), differing(header_digest=b"x" * 32)],
    ids=["parameters", "header"],
)
def test_masks_do_not_cancel_for_sites_that_were_told_different_things(lie: RoundBinding) -> None:
    run = dealt()
    run.coordinator.begin(binding_of(ALL), 64)
    vectors = vectors_of(ALL, 64)
    for name in ALL:
        binding = lie if name == A else binding_of(ALL)
        run.sites[name].open_round(binding, run.inbox(name, binding))
        run.upload(name, vectors[name])
    total = run.coordinator.unmask(run.release())
    wrong = np.array(sum_of(vectors.values()), dtype=np.uint32)
    assert (total != wrong).sum() > 60
    honest, plain = masked()
    assert honest.coordinator.unmask(honest.release()).tolist() == sum_of(plain.values())


def test_a_coordinator_that_shows_different_cohorts_gets_nothing() -> None:
    run = dealt()
    run.coordinator.begin(binding_of(ALL), 64)
    vectors = vectors_of(ALL, 64)
    for name in ALL:
        binding = binding_of((A, B, C)) if name == A else binding_of(ALL)
        run.sites[name].open_round(binding, run.inbox(name, binding))
        run.upload(name, vectors[name])
    with pytest.raises(PeerError, match="not being in the cohort"):
        run.sites[A].release(ALL)
    others = {name: run.sites[name].release(ALL) for name in (B, C, D)}
    total = run.coordinator.unmask(others)
    assert (total != np.array(sum_of(vectors.values()), dtype=np.uint32)).sum() > 60


def test_uploads_that_do_not_belong_are_not_added() -> None:
    run = opened()
    vectors = vectors_of(ALL, 5)
    for name in ALL:
        run.upload(name, vectors[name])
    bad = {
        "is not in this round's cohort": "stranger",
        "uploaded twice": A,
    }
    for words, name in bad.items():
        with pytest.raises(PeerError, match=words):
            run.coordinator.add(name, bytes(20))
    assert run.coordinator.unmask(run.release()).tolist() == sum_of(vectors.values())


@pytest.mark.parametrize("length", [0, 16, 19, 24, 40])
def test_an_upload_of_another_length_is_not_added_and_its_site_may_try_again(length: int) -> None:
    run = opened()
    with pytest.raises(PeerError, match=rf"{A}"):
        run.coordinator.add(A, bytes(length))
    assert run.coordinator.survivors() == ()
    run.upload(A, np.ones(5, dtype=np.uint32))
    assert run.coordinator.survivors() == (A,)


def test_a_drop_outs_late_upload_stays_hidden_once_its_mask_secret_is_known() -> None:
    """The reason for double masking, shown by taking the second mask away."""
    run = opened(64)
    vectors = vectors_of(ALL, 64)
    late = run.sites[D].mask(vectors[D].copy())
    for name in (A, B, C):
        run.upload(name, vectors[name])
    releases = run.release()
    values = {
        run.session.point(name): int.from_bytes(releases[name].shares[3].share)
        for name in (A, B, C)
    }
    assert releases[A].shares[3].kind is ShareKind.MASK_KEY
    secret = twin.interpolate_at_zero(values).to_bytes(32)
    scalar = twin.mask_scalar(secret, run.session.digest(), D)
    rebuilt = AgreementKey(SecretBytes(scalar))
    assert rebuilt.public == run.keys[0][D].mask
    digest = binding_of(ALL).record(run.session.digest()).digest()
    ends = {name: PairEnd(name, run.keys[0][name].mask, run.keys[0][name].digest()) for name in ALL}
    pairs = [pairwise_term(rebuilt, ends[D], ends[x], digest) for x in (A, B, C)]
    add_masks(late, [MaskTerm(pair.key, negative=not pair.negative) for pair in pairs])
    assert (late != vectors[D]).sum() > 60, "the self mask still hides it"
    seed = self_mask_seed(run, D)
    add_masks(late, [MaskTerm(self_mask_key(seed, D, digest), negative=True)])
    assert late.tolist() == vectors[D].tolist(), "without the self mask it would be open"


def self_mask_seed(run: Simulation, name: str) -> SecretBytes:
    """The seed as it was made, from a twin simulation with the same entropy."""
    again = Simulation(run.session, seed=run.seed)
    again.announce()
    return again.sites[name]._rounds[0].seed


# -- survivors and releases ------------------------------------------------------------------


BAD_SURVIVORS = [
    ("fewer than the threshold", (A, B)),
    ("fewer than the threshold", (A,)),
    ("cannot have survived", (A, B, C, "zz")),
    ("leave out", (B, C, D)),
    ("leave out", ()),
    ("sorted and distinct", (B, A, C)),
    ("sorted and distinct", (A, B, B, C)),
]


@pytest.mark.parametrize(("words", "survivors"), BAD_SURVIVORS)
def test_survivors_that_would_open_too_much_are_refused(
    words: str, survivors: tuple[str, ...]
) -> None:
    run, vectors = masked()
    with pytest.raises(PeerError, match=words):
        run.sites[A].release(survivors)
    assert run.coordinator.unmask(run.release()).tolist() == sum_of(vectors.values())


@pytest.mark.parametrize("second", [ALL, (A, B, C), (A, B, D)])
def test_shares_are_released_for_one_survivor_list_only(second: tuple[str, ...]) -> None:
    run, _ = masked()
    run.sites[A].release(ALL)
    with pytest.raises(PeerError, match="asked to release"):
        run.sites[A].release(second)


def test_both_shares_of_one_peer_are_never_released() -> None:
    for survivors in [s for size in (3, 4) for s in combinations(ALL, size) if A in s]:
        run, _ = masked()
        release = run.sites[A].release(survivors)
        assert [share.peer for share in release.shares] == list(ALL)
        with pytest.raises(PeerError, match="asked to release"):
            run.sites[A].release(ALL)


def test_a_site_that_masked_nothing_releases_nothing() -> None:
    run = opened()
    with pytest.raises(PeerError, match="round 0 is opened"):
        run.sites[A].release(ALL)
    fresh = keyed()
    with pytest.raises(PeerError, match="its round is not under way"):
        fresh.sites[A].release(ALL)


def edited(release: Release, **fields: object) -> Release:
    return msgspec.structs.replace(release, **fields)


def test_releases_that_do_not_fit_are_not_used_and_the_round_goes_on() -> None:
    run, vectors = masked(dropped=(D,))
    releases = run.release()
    good = releases[A]
    swapped = tuple(
        msgspec.structs.replace(share, kind=ShareKind.MASK_KEY) for share in good.shares
    )
    outside = msgspec.structs.replace(good.shares[0], share=b"\xff" * 33)
    stranger = msgspec.structs.replace(good.shares[-1], peer="zz")
    bad = {
        "another session": edited(good, session=bytes(32)),
        "session or round": edited(good, round=1),
        "other survivors": edited(good, survivors=ALL),
        "for other survivors than": edited(good, site=D),
        "of those dealt to it": edited(good, shares=(*good.shares[:-1], stranger)),
        "one share of the right kind": edited(good, shares=swapped),
        "right kind per site": edited(good, shares=(*good.shares, good.shares[0])),
        "at most one share": edited(good, shares=good.shares[::-1]),
        "not an element": edited(good, shares=(outside, *good.shares[1:])),
    }
    for words, release in bad.items():
        with pytest.raises(PeerError, match=words):
            run.coordinator.check_release(release)
        with pytest.raises(PeerError, match=words):
            run.coordinator.unmask({**releases, release.site: release})
    with pytest.raises(PeerError, match="came under"):
        run.coordinator.unmask({**releases, B: releases[A]})
    with pytest.raises(PeerError, match="2 sites released shares"):
        run.coordinator.unmask({name: releases[name] for name in (A, B)})
    assert run.coordinator.unmask(releases).tolist() == sum_of(vectors.values())


def with_wrong_share(release: Release, place: int) -> Release:
    shares = list(release.shares)
    value = (int.from_bytes(shares[place].share) + 1) % PRIME
    shares[place] = msgspec.structs.replace(shares[place], share=value.to_bytes(33))
    return edited(release, shares=tuple(shares))


@pytest.mark.parametrize("place", [1, 3], ids=["self-mask seed", "mask secret"])
def test_a_wrong_share_names_its_sender_and_the_sum_opens_without_it(place: int) -> None:
    run = Simulation(session_of(5))
    vectors = run.to_masked(dropped=(D,))
    releases = run.release()
    lie = with_wrong_share(releases[B], place)
    with pytest.raises(
        CulpritError, match=rf"{B} released another share of {ALL[place]}'s"
    ) as found:
        run.coordinator.check_release(lie)
    assert found.value.culprit == B
    with pytest.raises(CulpritError, match=f"{B} released another share"):
        run.coordinator.unmask({**releases, B: lie})
    # Nothing was taken away from the sum, and a threshold of others is left.
    del releases[B]
    with pytest.raises(PeerError, match="3 sites released shares"):
        run.coordinator.unmask(releases)  # the threshold of five is four
    run = Simulation(session_of(5, threshold=3))
    vectors = run.to_masked(dropped=(D,))
    releases = run.release()
    del releases[B]
    assert run.coordinator.unmask(releases).tolist() == sum_of(vectors.values())


def with_crooked_dealing(dropped: tuple[str, ...]) -> Simulation:
    """D deals shares of other secrets than those it announced, and commits to them."""
    run = keyed()
    site = run.sites[D]
    phase = site._rounds[0]
    site._rounds[0] = Keyed(phase.keys, SecretBytes(b"x" * 32), SecretBytes(b"y" * 32))
    run.deal()
    crooked = site._rounds[0]
    site._rounds[0] = msgspec.structs.replace(
        crooked, mask_secret=phase.mask_secret, seed=phase.seed
    )
    run.open(binding_of(ALL), 5)
    for name, vector in vectors_of(set(ALL) - set(dropped), 5).items():
        run.upload(name, vector)
    return run


@pytest.mark.parametrize("dropped", [(), (D,)], ids=["self-mask seed", "mask secret"])
def test_a_dealer_of_wrong_shares_is_named_though_every_holder_is_honest(
    dropped: tuple[str, ...],
) -> None:
    run = with_crooked_dealing(dropped)
    with pytest.raises(CulpritError, match=f"{D} dealt wrong shares") as found:
        run.coordinator.unmask(run.release())
    assert found.value.culprit == D


@pytest.mark.parametrize("dropped", [(), (D,)], ids=["self-mask seed", "mask secret"])
def test_shares_of_what_no_secret_can_be_name_their_dealer(
    dropped: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The field is a little larger than the secrets: D shares an element that none of them is."""
    honest = Dealer._split

    def crooked(dealer: Dealer, *rest: object) -> dict[str, HeldShares]:
        held: dict[str, HeldShares] = honest(dealer, *rest)  # type: ignore[arg-type]
        if dealer.site != D:
            return held
        values = {
            name: twin.evaluate([2**256 + 5, 3, 4], dealer.session.point(name)) for name in held
        }
        shares = {name: SecretBytes(value.to_bytes(33)) for name, value in values.items()}
        return {name: HeldShares(share, share, b"") for name, share in shares.items()}

    monkeypatch.setattr(Dealer, "_split", crooked)
    run, _ = masked(dropped)
    with pytest.raises(CulpritError, match=f"{D} dealt wrong shares") as found:
        run.coordinator.unmask(run.release())
    assert found.value.culprit == D


@pytest.mark.parametrize("dropped", [(), (D,)], ids=["self-mask seed", "mask secret"])
def test_without_the_announcement_a_wrong_share_would_give_a_wrong_sum(
    dropped: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = with_crooked_dealing(dropped)
    releases = run.release()
    vectors = vectors_of(set(ALL) - set(dropped), 5)

    def gullible(_sum: object, _site: str, values: Mapping[str, SecretBytes]) -> SecretBytes:
        chosen = sorted(values)[:3]
        points = {run.session.point(h): int.from_bytes(values[h].reveal()) for h in chosen}
        return SecretBytes((twin.interpolate_at_zero(points) % 2**256).to_bytes(32))

    with pytest.raises(PeerError, match=D):
        run.coordinator.unmask(releases)
    monkeypatch.setattr(RunningSum, "_rebuild", gullible)
    monkeypatch.setattr(opening, "PairEnd", crooked_end(run))
    assert run.coordinator.unmask(releases).tolist() != sum_of(vectors.values())


def crooked_end(run: Simulation) -> Callable[..., PairEnd]:
    """Lets a wrong secret pass for the announced one, as nobody compares them here."""
    wrong = twin.mask_scalar(b"x" * 32, run.session.digest(), D)
    public = AgreementKey(SecretBytes(wrong)).public

    def end(site: str, announced: bytes, digest: bytes, half: SecretBytes | None) -> PairEnd:
        return PairEnd(site, public if site == D else announced, digest, half)

    return end


def test_a_replayed_release_of_an_earlier_round_is_refused() -> None:
    run, vectors = masked()
    old = run.release()
    assert run.coordinator.unmask(old).tolist() == sum_of(vectors.values())
    run.announce(1)
    run.deal(1)
    run.open(binding_of(ALL, 1), 5)
    for name, vector in vectors.items():
        run.upload(name, vector)
    with pytest.raises(PeerError, match="another session or round"):
        run.coordinator.unmask(old)
    assert run.coordinator.unmask(run.release()).tolist() == sum_of(vectors.values())


def test_an_upload_after_the_survivors_were_named_loses_the_round_but_opens_nothing() -> None:
    run = opened()
    vectors = vectors_of(ALL, 5)
    for name in (A, B, C):
        run.upload(name, vectors[name])
    releases = run.release()
    run.upload(D, vectors[D])
    with pytest.raises(PeerError, match="other survivors"):
        run.coordinator.unmask(releases)


def test_a_sum_is_opened_once() -> None:
    run, _ = masked()
    releases = run.release()
    run.coordinator.unmask(releases)
    with pytest.raises(PeerError, match="No round is under way"):
        run.coordinator.unmask(releases)


def test_fewer_colluders_than_the_threshold_learn_no_seed() -> None:
    run, _ = masked()
    held = {
        name: run.sites[name]._rounds[0].held[D].self_mask.reveal() for name in (A, B)
    }  # two of a threshold of three
    values = {run.session.point(name): int.from_bytes(raw) for name, raw in held.items()}
    guess = twin.interpolate_at_zero(values) % 2**256
    assert guess.to_bytes(32) != self_mask_seed(run, D).reveal()


def test_a_cohort_of_sites_without_keys_cannot_begin() -> None:
    run = Simulation(session_of(4))
    run.announce(who=(A, B, C))
    run.deal()
    with pytest.raises(PeerError, match=rf"cannot begin with {D}"):
        run.coordinator.begin(binding_of(ALL), 5)
