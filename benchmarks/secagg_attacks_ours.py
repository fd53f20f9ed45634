"""The same attacks on this platform's masked sums: real machines, in memory.

The attacker has what it has in `benchmarks.secagg_attacks_flower`. What is refused is refused by
the code that a deployed party runs; what is not refused has to come to nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec.structs import replace

from benchmarks.secagg_flower_view import vector_of
from benchmarks.secagg_ours import MaskedRound, binding_of, session_of
from benchmarks.secagg_outcome import Outcome, recovered
from benchmarks.secagg_site import (
    VICTIM,
    LyingCoordinator,
    changed_hello,
    keys_in,
    other_keys,
    other_parameters,
)
from crypto.agreement import AgreementKey
from crypto.codec import decode
from crypto.errors import PeerError
from crypto.keystream import KEY_BYTES, KeyStream
from crypto.masked_sum import SiteKeys
from crypto.masked_sum_messages import commit_to_seed
from crypto.masking import expand_mask, self_mask_key
from crypto.ring import unpack
from crypto.secrets import SecretBytes, system_entropy
from crypto.shamir import combine_weighted, weights_at_zero
from crypto.signatures import sign_message
from privacy.fixed_point import NEAREST
from secure_fl.methods import find_method
from secure_fl.rounds.steps import Phase
from secure_fl.views import Protection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from crypto.masked_sum import Release, Session

_KNOWN_WORDS: Final = 4
"""Of the plaintext, which the attacker is given: enough to confirm a key."""
_KEY_BITS: Final = 8 * KEY_BYTES


def _round(n: int, d: int, threshold: int | None = None) -> MaskedRound:
    session = session_of(n, threshold=threshold)
    # To nearest, so that whoever knows a plaintext knows its ring elements.
    return MaskedRound(session, lambda at: vector_of(at + 1, d), d, stochastic=False)


def _victim(session: Session) -> str:
    return session.sites[0]


# -- attacks on the masks --------------------------------------------------------------------------


def search_one_seed(d: int, search_bits: int) -> Outcome:
    """Search the one pairwise mask of two sites after an honest round, some plaintext known."""
    left = _hidden_words(2, d)
    count = 1 << search_bits
    began = time.perf_counter()
    found = [number for number in range(count) if np.array_equal(words_of(number), left)]
    seconds = time.perf_counter() - began
    return Outcome(bool(found), f"nothing among {count} of 2^{_KEY_BITS} keys in {seconds:.2f} s")


def search_two_seeds(d: int, search_bits: int) -> Outcome:
    """Search the two masks that hide one of three sites, from both ends, some plaintext known."""
    left = _hidden_words(3, d)
    count = 1 << search_bits
    began = time.perf_counter()
    table = {words_of(number).tobytes() for number in range(count)}
    found = [number for number in range(count) if (left - words_of(number)).tobytes() in table]
    seconds = time.perf_counter() - began
    tried = f"nothing among twice {count} of 2^{_KEY_BITS} keys in {seconds:.2f} s"
    return Outcome(bool(found), tried)


def words_of(number: int) -> NDArray[np.uint32]:
    """Return the first words of the mask whose key is `number`, big-endian."""
    return KeyStream(SecretBytes(number.to_bytes(KEY_BYTES, "big"))).uint32(_KNOWN_WORDS)


def _hidden_words(n: int, d: int) -> NDArray[np.uint32]:
    """Return what the pairwise masks add to the victim's first words, as the server can find it.

    The victim is the least name, so that it adds every mask of a pair. Its plaintext is given.
    """
    running = _round(n, d)
    running.prepare()
    name = _victim(running.session)
    data = running.packed(name, running.vector(0))
    running.coordinator.add(name, data)
    for place, other in enumerate(running.session.sites[1:], start=1):
        running.coordinator.add(other, running.packed(other, running.vector(place)))
    releases = running.release()
    seed = rebuilt(running.session, releases.values(), name)
    binding = binding_of(running.session).record(running.session.digest()).digest()
    own = expand_mask(self_mask_key(seed, name, binding), d)
    plain = running.grid.encode(running.vector(0), NEAREST)
    return (unpack(data, running.session.width_bits) - own - plain)[:_KNOWN_WORDS]


def rebuilt(session: Session, releases: Iterable[Release], owner: str) -> SecretBytes:
    """Return the secret that released shares of `owner` give, right or wrong.

    Raises:
        PeerError: they give none.
    """
    chosen = list(releases)
    weights = weights_at_zero([session.point(release.site) for release in chosen])
    values = [
        SecretBytes(share.share)
        for release in chosen
        for share in release.shares
        if share.peer == owner
    ]
    return combine_weighted(values, weights)


def modulus_of_two(d: int) -> Outcome:
    """Propose a ring of one bit."""
    return _told(d, Phase.HELLO, lambda lying, it: changed_hello(lying, it, width_bits=1))


# -- attacks on the shares -------------------------------------------------------------------------


def both_lists(d: int) -> Outcome:
    """Ask every site for its share of the victim's seed, and then for that of its mask secret."""
    running = _round(4, d)
    running.prepare()
    running.upload()
    names = running.session.sites
    alive = [running.machines[name].release(names) for name in names]
    dead = [running.machines[name].release(names[1:]) for name in names[1:]]
    return Outcome(succeeded=True, found=f"{len(alive)} and {len(dead)} shares")


def split_survivors(d: int) -> Outcome:
    """Tell one half that the victim survived and the other that it dropped out."""
    running = _round(4, d)
    running.prepare()
    running.upload()
    session, names = running.session, running.session.sites
    alive = [running.machines[name].release(names) for name in names[:2]]
    dead = [running.machines[name].release(names[1:]) for name in names[2:]]
    keys = running.announced[_victim(session)]
    opened = _rebuilds_seed(session, alive, keys)
    return Outcome(
        opened and len(dead) >= session.threshold,
        f"{len(alive)} and {len(dead)} shares, each secret needs {session.threshold}; the seed "
        f"from {len(alive)}: {'right' if opened else 'wrong'}",
    )


def _rebuilds_seed(session: Session, releases: list[Release], keys: SiteKeys) -> bool:
    try:
        seed = rebuilt(session, releases, keys.site).reveal()
    except PeerError:
        return False  # the shares give a number that is no secret
    return commit_to_seed(keys.session, keys.round, keys.site, seed) == keys.self_mask_commitment


def threshold_of_one(d: int) -> Outcome:
    """Propose a threshold of 1."""
    return _told(d, Phase.HELLO, lambda lying, it: changed_hello(lying, it, threshold=1))


def wrong_share(d: int) -> Outcome:
    """Let one site release one altered share."""
    running = _round(4, d)
    running.prepare()
    running.upload()
    releases = dict(running.release())
    liar = running.session.sites[1]
    first, *others = releases[liar].shares
    spoiled = replace(first, share=first.share[:-1] + bytes([first.share[-1] ^ 1]))
    releases[liar] = replace(releases[liar], shares=(spoiled, *others))
    total = running.grid.decode_sum(running.coordinator.unmask(releases), len(releases))
    return Outcome(succeeded=True, found=f"a sum of {total.size} elements came out")


def earlier_shares(d: int) -> Outcome:
    """Hand a site the shares of the round before again."""
    running = _round(4, d)
    running.prepare()
    name = _victim(running.session)
    before = running.coordinator.inbox(name)
    keys = {site: machine.keys_for(1, system_entropy) for site, machine in running.machines.items()}
    for machine in running.machines.values():
        machine.shares_for(1, keys, system_entropy)
    refused = running.machines[name].open_round(binding_of(running.session, 1), before)
    return Outcome(not refused, f"shares of {len(refused)} sites did not open")


# -- attacks on who takes part ---------------------------------------------------------------------


def substituted_keys(d: int) -> Outcome:
    """Give a site keys of the coordinator's own for each of its peers, signed by its only key."""
    return _told(d, Phase.SHARE, _with_own_keys)


def _with_own_keys(lying: LyingCoordinator, request: bytes) -> bytes:
    forged = {}
    for name, signed in keys_in(request).items():
        if name != VICTIM:
            keys = decode(SiteKeys, signed.body, limit_bytes=1 << 16)
            own = AgreementKey.generate(system_entropy).public
            forged[name] = sign_message(lying.key, name, replace(keys, mask=own))
    return other_keys(request, forged)


def alone(d: int) -> Outcome:
    """Show a site a list of keys that holds its own alone."""
    return _told(d, Phase.SHARE, lambda _, it: other_keys(it, {}, alone=True))


def sybils(d: int) -> Outcome:
    """Propose a cohort of the victim and three sites that the coordinator made up."""
    cohort = (VICTIM, "sybil-1", "sybil-2", "sybil-3")
    return _told(d, Phase.HELLO, lambda lying, it: changed_hello(lying, it, sites=cohort))


def _told(d: int, phase: Phase, lie: Callable[[LyingCoordinator, bytes], bytes]) -> Outcome:
    """Let a coordinator send one site a changed request, and count what it answered."""
    with LyingCoordinator(d) as lying:
        reply = lying.tell(lie(lying, lying.until(phase)))
    return Outcome(succeeded=True, found=f"the site answered with {len(reply)} bytes")


# -- attacks on the rounds -------------------------------------------------------------------------


def asked_again(d: int) -> Outcome:
    """Open the same round once more, with other parameters, after the site masked for it."""
    with LyingCoordinator(d) as lying:
        request = lying.until(Phase.OPEN)
        lying.tell(request)
        reply = lying.tell(other_parameters(lying, request))
    return Outcome(succeeded=True, found=f"the site answered with {len(reply)} bytes")


def different_models(d: int) -> Outcome:
    """Open the victim's round over other parameters than everybody else's."""
    running = _round(4, d)
    session = running.session
    other = binding_of(session, parameters=system_entropy(32))
    running.prepare({_victim(session): other})
    running.upload()
    releases = running.release()
    total = running.grid.decode_sum(running.coordinator.unmask(releases), len(releases))
    truth = np.zeros(d)
    for place in range(4):
        truth += running.vector(place)
    return recovered(total, truth, 4 * running.grid.step)


def rule_replaced(d: int) -> Outcome:
    """Ask for a rule that reads every site's update, under masked sums."""
    del d
    method = find_method("fedit-median", Protection.MASKED)
    return Outcome(succeeded=True, found=f"{method.name} over a sum")
