"""What colluding sites are left with: opened sums without all that they put into them.

As many sites collude as the run's configuration says it bears (`colluders`, c), and as many drop
out of every round as it pays for (T): what is left is then of the fewest honest sites, whose noise
has to be the promised one. The colluders subtract the ring elements of their own records and every
integer of their own noise, which they know exactly. The coordinator as their partner adds nothing:
it knows the opened sum and masked vectors, and a mask between two honest sites is known to neither;
those masks cancel in the sum alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from audits.server.evidence import NoisedSums
from audits.site.collusion import Collusion, colluding_noise, colluding_sites
from crypto.errors import ConfigError
from crypto.secrets import system_entropy
from privacy.update import Update
from secure_fl.config import RecordPrivacy, SharedNoisePrivacy, SitePrivacy
from secure_fl.guarantee import sampling_rate_of
from secure_fl.rehearsal.accounted import accounted_of
from secure_fl.rehearsal.canary_layers import expected_of
from secure_fl.rehearsal.canary_model import spec_of
from secure_fl.rehearsal.masked_round import masked_sum
from secure_fl.rehearsal.noised_sums import Plan, layers_of, plan_of, trainer_of
from secure_fl.rounds.encoding import encoded_update
from secure_fl.rounds.grids import noise_shares_of, noised_grid_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from audits.findings import Finding
    from crypto.ring import IntegerNoise
    from secure_fl.config import Mechanism
    from secure_fl.rounds.encoding import Encoded

_OWN_RECORDS: Final = 8
"""That a colluding site holds. They lie where no canary is, and have to be gone there."""
_WHOLE_SITES: Final = 200
"""Canaries at least where each is an honest site: they cannot refute a round's small epsilon."""


@dataclass
class _KnownNoise:
    """A share of noise that its owner remembers; not shown."""

    drawn_by: IntegerNoise = field(repr=False)
    drawn: list[NDArray[np.int64]] = field(default_factory=list, repr=False)

    def draw(self, count: int) -> NDArray[np.int64]:
        """Return the next `count` integers, int64 of shape (count,)."""
        self.drawn.append(self.drawn_by.draw(count))
        return self.drawn[-1].copy()


class _Own:
    """What a colluding site puts into a sum."""

    def __init__(self, encoded: Encoded) -> None:
        if encoded.noise is None:
            raise ConfigError("The mode shares no noise: colluding sites subtract nothing.")
        # Masks are added in place: what is sent is no longer what was encoded.
        self._vector = encoded.vector.copy()
        self._noise = _KnownNoise(encoded.noise)
        self.sent = replace(encoded, noise=self._noise)

    def total(self) -> NDArray[np.uint32]:
        """Return the ring elements that it added, uint32 (d,), once they are masked."""
        noise = np.concatenate(self._noise.drawn).astype(np.uint32)
        return self._vector + noise


def colluding_plan(mechanism: Mechanism) -> tuple[Plan, Collusion]:
    """Return how the run of `mechanism` is rehearsed with colluding sites, and how many collude.

    Raises:
        ConfigError: nothing is claimed, no noise is shared, or so many collude that nobody is left
            in as many sites as a rehearsal has.
    """
    if not isinstance(mechanism.privacy, SharedNoisePrivacy):
        raise ConfigError(_nothing_shared(mechanism))
    plan = plan_of(mechanism)
    try:
        shares = noise_shares_of(mechanism, plan.cohort)
    except ConfigError as error:
        raise ConfigError(
            f"A rehearsal has {plan.cohort} of the run's {mechanism.sites} sites, and the "
            f"{mechanism.privacy.colluders} that may collude leave none of them: nothing was tried."
        ) from error
    collusion = Collusion(shares.cohort, shares.drop_outs, shares.colluders)
    if isinstance(mechanism.privacy, SitePrivacy):
        rounds = -(-_WHOLE_SITES // collusion.honest)
        plan = plan_of(mechanism, canaries=rounds * plan.cohort)
    return plan, collusion


def _nothing_shared(mechanism: Mechanism) -> str:
    if isinstance(mechanism.privacy, RecordPrivacy):
        return (
            "Mode record shares no noise: if all sites but one collude, what is left is that "
            "site's own noised steps, and those are what gradient-canaries and noise-scale look at."
        )
    return "The run has no privacy guarantee, so that colluding sites have no claim to refute."


def rehearse_colluding(
    plan: Plan, collusion: Collusion, note: Callable[[int, int], None]
) -> NoisedSums:
    """Return what the colluding sites are left with of the sums of `plan`, in units as `rehearse`.

    Members and controls are honest sites' alone.

    Args:
        plan: of `colluding_plan`.
        collusion: likewise.
        note: is told how many of how many sums are done.

    Raises:
        ConfigError: the mechanism cannot be run on this machine.
    """
    privacy = _shared(plan)
    whole = isinstance(privacy, SitePrivacy)
    canaries = plan.rounds * collusion.honest if whole else plan.canaries
    plan = replace(plan, canaries=canaries)
    rng = np.random.default_rng(int.from_bytes(system_entropy(16), "big"))
    members = rng.random(canaries) < 0.5  # noqa: PLR2004 - a fair coin
    observed = np.ones((plan.rounds, canaries), bool)
    if whole:
        of_round = np.arange(canaries) // collusion.honest
        observed = of_round == np.arange(plan.rounds)[:, None]
    sent = _whole_sites if whole else _records
    layers, expected = layers_of(plan), expected_of(privacy)
    rows: list[NDArray[np.float64]] = []
    for updates in sent(plan, collusion, members):
        left = _left(plan, collusion, len(rows), updates)
        # A site sends how it moved, which is against its gradient.
        rows.append(layers.read(-left if whole else left, expected))
        note(len(rows), plan.rounds)
    grid = noised_grid_of(plan.mechanism, plan.cohort, layers.size)
    return NoisedSums(
        sums=np.stack(rows),
        observed=observed,
        members=members,
        coordinates=np.arange(canaries),
        rate=sampling_rate_of(privacy),
        # What is claimed, and not what the shares were made of.
        deviation=grid.noise_multiplier * grid.sensitivity * grid.step / expected.length,
    )


def judge_colluding(plan: Plan, collusion: Collusion, left: NoisedSums) -> tuple[Finding, ...]:
    """Return what both gates say of what the colluding sites are `left` with.

    Raises:
        ConfigError: there are too few canaries to tell anything apart.
    """
    return (
        colluding_noise(left, collusion),
        colluding_sites(left, accounted_of(plan), collusion),
    )


def _shared(plan: Plan) -> SharedNoisePrivacy:
    privacy = plan.mechanism.privacy
    if not isinstance(privacy, SharedNoisePrivacy):
        raise ConfigError("The mode shares no noise: colluding sites have nothing to subtract.")
    return privacy


def _left(
    plan: Plan, collusion: Collusion, round_: int, updates: Sequence[Update]
) -> NDArray[np.float64]:
    """Return the opened sum of `updates` without the colluders', who come last, shape (size,)."""
    encoded = [
        encoded_update(plan.mechanism, update.flat(), plan.cohort, system_entropy)
        for update in updates
    ]
    own = [_Own(each) for each in encoded[collusion.honest :]]
    uploads = [*encoded[: collusion.honest], *(each.sent for each in own)]
    total = masked_sum(plan.mechanism, round_, uploads, missing=collusion.drop_outs)
    for each in own:
        total = total - each.total()
    grid = noised_grid_of(plan.mechanism, plan.cohort, total.size)
    # Other bits than the ring's are not sent.
    ring = total & np.uint32(2**plan.mechanism.encoding.bits - 1)
    return grid.decode_sum(ring, len(updates))


def _own_records(plan: Plan, colluder: int) -> list[int]:
    """Return the rows of a colluding site's own records, all without a canary."""
    alone = layers_of(plan).everywhere - plan.canaries
    first = colluder * _OWN_RECORDS
    return [plan.canaries + (first + each) % alone for each in range(_OWN_RECORDS)]


def _records(
    plan: Plan, collusion: Collusion, members: NDArray[np.bool_]
) -> Iterator[list[Update]]:
    """Yield each round's updates of the sites that are in the sum, the colluders last."""
    clip = _shared(plan).clip
    held = [
        [c for c in range(plan.canaries) if c % collusion.honest == site and members[c]]
        for site in range(collusion.honest)
    ]
    held += [_own_records(plan, colluder) for colluder in range(collusion.colluders)]
    trainers = [trainer_of(plan, coordinates, clip) for coordinates in held]
    start = np.zeros(layers_of(plan).size, np.float32)
    for round_ in range(plan.rounds):
        yield [trainer.train(start, round_) for trainer in trainers]


def _whole_sites(
    plan: Plan, collusion: Collusion, members: NDArray[np.bool_]
) -> Iterator[list[Update]]:
    """Yield the same where an honest site is a canary: present, or replaced by zero."""
    clip = _shared(plan).clip
    layers = layers_of(plan)
    start = np.zeros(layers.size, np.float32)
    absent = Update.from_flat(spec_of(layers), start)
    own = [
        trainer_of(plan, _own_records(plan, colluder), clip)
        for colluder in range(collusion.colluders)
    ]
    for round_ in range(plan.rounds):
        first = round_ * collusion.honest
        honest = [
            trainer_of(plan, [canary], clip).train(start, round_) if members[canary] else absent
            for canary in range(first, first + collusion.honest)
        ]
        yield [*honest, *(trainer.train(start, round_) for trainer in own)]
