"""The noised sums of a rehearsed plan, as evidence for the gates of the server's window.

Members and controls are drawn by a fair coin from the operating system's generator. Under `record`
each site's noised steps are tapped at the site, since a server cannot see one site's sum without
the others' noise; where noise is shared, what is looked at is the sum that the coordinator opens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from audits.server.clip_probe import parts_for
from audits.server.distinguish import canaries_for
from audits.server.evidence import NoisedSums
from crypto.errors import ConfigError
from crypto.masked_sum import LARGEST_COMPLETE
from crypto.secrets import system_entropy
from privacy.events import Unit
from privacy.noise import SystemNoise
from privacy.streams import fresh_stream
from privacy.update import Update
from secure_fl.config import (
    DistributedPrivacy,
    Guaranteed,
    RecordPrivacy,
    SampledPrivacy,
    SitePrivacy,
)
from secure_fl.guarantee import claimed_epsilon, sampling_rate_of, steps_of
from secure_fl.rehearsal.canary_layers import CanaryLayers, expected_of, gradient_of
from secure_fl.rehearsal.canary_model import (
    CanaryModel,
    CanaryTask,
    canary_record,
    flat_of,
    spec_of,
)
from secure_fl.rehearsal.masked_round import masked_sum
from secure_fl.rounds.encoding import encoded_update
from secure_fl.rounds.grids import noised_grid_of
from secure_fl.sites.losses import RecordLosses
from secure_fl.sites.trainer import LocalTrainer, TrainingParts
from secure_fl.sites.units import UnitRows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from secure_fl.config import Mechanism

CANARIES: Final = 1000
"""At least; a small epsilon takes more of them to tell it from one that is a little larger."""
MOST_CANARIES: Final = 8000
MOST_SUMS: Final = 1600
_MICRO_BATCH: Final = 64
_PROBE_SIGMA: Final = 0.1
_PROBE_ROUNDS: Final = 20
_PROBE_ROUNDS_SHARED: Final = 30
_PROBE_CANARIES: Final = 400
_MOST_PROBED: Final = 1000
"""Canaries of a probe in which few are sampled at a time."""
_MOST_SITE_SUMS: Final = 4000
"""Of single sites in a probe, which are some seconds; beyond that it is inconclusive."""
_SPARE: Final = 1.2
"""A coin that falls unevenly leaves fewer members."""


@dataclass(frozen=True)
class Plan:
    """What is rehearsed.

    Attributes:
        mechanism: the run's, with the optimiser and the rounds of the rehearsal.
        cohort: how many sites.
        rounds: how many sums each site, or the cohort, makes.
        canaries: how many.
        epsilon: what is claimed of one canary over these rounds.
        delta: likewise.
        whole: whether that is all that the run makes of a record.
        until: after how many rounds of the run as much is claimed.
    """

    mechanism: Mechanism
    cohort: int
    rounds: int
    canaries: int
    epsilon: float
    delta: float
    whole: bool
    until: float


def plan_of(mechanism: Mechanism, canaries: int | None = None) -> Plan:
    """Return how the run of `mechanism` is rehearsed.

    Args:
        mechanism: with its sigma resolved.
        canaries: how many; as many as `gradient-canaries` needs when absent, up to 8000.

    Raises:
        ConfigError: nothing is claimed of it.
    """
    privacy = mechanism.privacy
    if not isinstance(privacy, Guaranteed):
        raise ConfigError(
            "The run has no privacy guarantee: there is no claim that a rehearsal could refute."
        )
    if privacy.sigma is None:
        raise ConfigError("The mechanism has no sigma yet: nothing was rehearsed.")
    cohort = min(mechanism.sites, LARGEST_COMPLETE)
    wanted = steps_of(mechanism, mechanism.training.rounds)
    most = MOST_SUMS // (cohort if isinstance(privacy, RecordPrivacy) else 1)
    rounds = min(wanted, max(2, most))
    if isinstance(privacy, SitePrivacy):
        # A site is one unit and one canary in each round: more rounds make more of them.
        rounds = math.ceil((canaries or CANARIES) / cohort)
        canaries = rounds * cohort
    rehearsed = _rehearsed(mechanism, rounds)
    claimed_rounds = rounds_of_a_canary(privacy, rounds)
    epsilon = claimed_epsilon(rehearsed, claimed_rounds)
    wanted_canaries = canaries_for(
        sampling_rate_of(privacy), steps_of(rehearsed, claimed_rounds), privacy.sigma
    )
    return Plan(
        mechanism=rehearsed,
        cohort=cohort,
        rounds=rounds,
        canaries=canaries or min(max(CANARIES, wanted_canaries), MOST_CANARIES),
        epsilon=epsilon,
        delta=privacy.delta,
        whole=not isinstance(privacy, SitePrivacy) and rounds == wanted,
        until=1.0 if isinstance(privacy, SitePrivacy) else rounds / steps_of(mechanism, 1),
    )


def rounds_of_a_canary(privacy: Guaranteed, rounds: int) -> int:
    """Return over how many of the rehearsed `rounds` one canary's epsilon is claimed.

    One in mode `site`, where a canary is in one round alone, and in mode `record`, whose sums are
    the steps of a single round.
    """
    return 1 if isinstance(privacy, RecordPrivacy | SitePrivacy) else rounds


def probe_of(plan: Plan) -> Plan:
    """Return the plan of a few sums with little noise, in which single contributions stand out.

    The clip, and what comes before it, do not know how much noise follows: with a tenth of the clip
    a contribution is measured that the run's own noise would hide from any number of canaries. Of
    the few that a low rate samples it takes more sums, as long as they are quickly made.
    """
    privacy = plan.mechanism.privacy
    update = {"sigma": _PROBE_SIGMA, "epsilon": None}
    quiet = plan.mechanism.model_copy(update={"privacy": privacy.model_copy(update=update)})
    rounds, canaries = plan.rounds, plan.canaries
    if isinstance(privacy, SampledPrivacy):
        rounds, canaries = _probed(replace(plan, mechanism=quiet), privacy)
    return replace(plan, mechanism=_rehearsed(quiet, rounds), rounds=rounds, canaries=canaries)


def _probed(quiet: Plan, privacy: SampledPrivacy) -> tuple[int, int]:
    """Return how many rounds, and canaries, a probe with the noise of `quiet` has."""
    # How many members a sum has is counted sum by sum, and sites that share one make fewer sums.
    least = _PROBE_ROUNDS if isinstance(privacy, RecordPrivacy) else _PROBE_ROUNDS_SHARED
    parts = parts_for(sampling_rate_of(privacy), _deviation(quiet))
    wanted = math.ceil(_SPARE * 2 * parts)
    canaries = min(max(_PROBE_CANARIES, -(-wanted // least)), _MOST_PROBED)
    most = max(least, _MOST_SITE_SUMS // quiet.cohort)
    return min(max(least, -(-wanted // canaries)), most), canaries


def _rehearsed(mechanism: Mechanism, rounds: int) -> Mechanism:
    """Return `mechanism` with plain steps of gradient descent, which keep a canary's gradient."""
    privacy = mechanism.privacy
    local = rounds if isinstance(privacy, RecordPrivacy) else 1
    training = mechanism.training.model_copy(
        update={
            "rounds": 1 if isinstance(privacy, RecordPrivacy) else rounds,
            "local_steps": local,
            "optimizer": "sgd",
            "learning_rate": 1.0,
            "head_learning_rate": None,
            "schedule": "constant",
            "momentum": 0.0,
            "head_rounds": 0,
            "averaged_rounds": None,
            "weighting": None,
        }
    )
    return mechanism.model_copy(update={"training": training})


def rehearse(plan: Plan, note: Callable[[int, int], None]) -> NoisedSums:
    """Return the sums of the rehearsed plan, in units of what clipping leaves of a canary.

    Args:
        plan: of `plan_of`.
        note: is told how many of how many sums are done.

    Raises:
        ConfigError: the mechanism cannot be run on this machine.
    """
    rng = np.random.default_rng(int.from_bytes(system_entropy(16), "big"))
    members = rng.random(plan.canaries) < 0.5  # noqa: PLR2004 - a fair coin
    match plan.mechanism.privacy:
        case RecordPrivacy() as privacy:
            return _steps_of_sites(plan, privacy, members, note)
        case DistributedPrivacy() as privacy:
            return _opened_sums(plan, privacy, members, note)
        case SitePrivacy() as privacy:
            return _sums_of_whole_sites(plan, privacy, members, note)
    raise ConfigError("The run has no privacy guarantee: there is nothing to rehearse.")


def layers_of(plan: Plan) -> CanaryLayers:
    """Return the layers of the model that stands in for the run's."""
    return CanaryLayers(plan.canaries)


def trainer_of(
    plan: Plan,
    rows: Sequence[int],
    clip: float,
    tap: Callable[[Mapping[str, Tensor]], None] | None = None,
) -> LocalTrainer:
    """Return a site's trainer of the canaries on `rows`."""
    layers = layers_of(plan)
    task, model = CanaryTask(layers.everywhere, gradient_of(clip)), CanaryModel(layers)
    records = [canary_record(row) for row in rows]
    parts = TrainingParts(
        site="rehearsal",
        task=task,
        adapted=model,
        records=RecordLosses(task, model, task.encode(records), _MICRO_BATCH),
        units=UnitRows.of(records, Unit.RECORD, None),
        noise=SystemNoise(),
        streams=fresh_stream,
        tap=tap,
    )
    return LocalTrainer(parts, plan.mechanism)


def _held(plan: Plan, members: NDArray[np.bool_], site: int) -> list[int]:
    """Return the rows of the members that `site` holds; canaries go round the sites."""
    return [c for c in range(plan.canaries) if c % plan.cohort == site and members[c]]


def _steps_of_sites(
    plan: Plan,
    privacy: RecordPrivacy,
    members: NDArray[np.bool_],
    note: Callable[[int, int], None],
) -> NoisedSums:
    deviation = _deviation(plan)
    rows: list[NDArray[np.float64]] = []
    observed: list[NDArray[np.bool_]] = []
    total = plan.cohort * plan.rounds
    canaries = np.arange(plan.canaries)
    layers, expected = layers_of(plan), expected_of(privacy)
    spec = spec_of(layers)

    for site in range(plan.cohort):
        own = canaries % plan.cohort == site

        def tap(mean: Mapping[str, Tensor], own: NDArray[np.bool_] = own) -> None:
            rows.append(layers.read(flat_of(spec, mean) * privacy.divisor, expected))
            observed.append(own)
            note(len(rows), total)

        trainer = trainer_of(plan, _held(plan, members, site), privacy.clip, tap)
        trainer.train(np.zeros(layers.size, np.float32), 0)
    return NoisedSums(
        sums=np.stack(rows),
        observed=np.stack(observed),
        members=members,
        coordinates=canaries,
        rate=privacy.sampling_rate,
        deviation=deviation,
    )


def _opened(plan: Plan, round_: int, updates: Sequence[Update]) -> NDArray[np.float64]:
    """Return the sum that the coordinator opens of the sites' `updates`, shape (size,)."""
    encoded = [
        encoded_update(plan.mechanism, update.flat(), plan.cohort, system_entropy)
        for update in updates
    ]
    total = masked_sum(plan.mechanism, round_, encoded)
    grid = noised_grid_of(plan.mechanism, plan.cohort, total.size)
    return grid.decode_sum(total, plan.cohort)


def _deviation(plan: Plan) -> float:
    """Return the deviation of a sum's noise over the length of what clipping leaves of a canary."""
    privacy = plan.mechanism.privacy
    if not isinstance(privacy, Guaranteed) or privacy.sigma is None:
        raise ConfigError("The mechanism has no sigma yet: nothing was rehearsed.")
    noise = privacy.sigma * privacy.clip
    if not isinstance(privacy, RecordPrivacy):
        grid = noised_grid_of(plan.mechanism, plan.cohort, layers_of(plan).size)
        noise = grid.sum_deviation * grid.step
    return noise / expected_of(privacy).length


def _opened_sums(
    plan: Plan,
    privacy: DistributedPrivacy,
    members: NDArray[np.bool_],
    note: Callable[[int, int], None],
) -> NoisedSums:
    trainers = [
        trainer_of(plan, _held(plan, members, site), privacy.clip) for site in range(plan.cohort)
    ]
    layers, expected = layers_of(plan), expected_of(privacy)
    start = np.zeros(layers.size, np.float32)
    rows = []
    for round_ in range(plan.rounds):
        updates = [trainer.train(start, round_) for trainer in trainers]
        rows.append(layers.read(_opened(plan, round_, updates), expected))
        note(round_ + 1, plan.rounds)
    return NoisedSums(
        sums=np.stack(rows),
        observed=np.ones((plan.rounds, plan.canaries), bool),
        members=members,
        coordinates=np.arange(plan.canaries),
        rate=sampling_rate_of(privacy),
        deviation=_deviation(plan),
    )


def _sums_of_whole_sites(
    plan: Plan,
    privacy: SitePrivacy,
    members: NDArray[np.bool_],
    note: Callable[[int, int], None],
) -> NoisedSums:
    """Return sums in which a site is a canary: present, or replaced by zero."""
    layers, expected = layers_of(plan), expected_of(privacy)
    start = np.zeros(layers.size, np.float32)
    observed = np.zeros((plan.rounds, plan.canaries), bool)
    spec = spec_of(layers)
    rows = []
    for round_ in range(plan.rounds):
        updates = []
        for site in range(plan.cohort):
            canary = round_ * plan.cohort + site
            observed[round_, canary] = True
            if members[canary]:
                updates.append(trainer_of(plan, [canary], privacy.clip).train(start, round_))
            else:
                updates.append(Update.from_flat(spec, start))
        # A site sends how it moved, which is against its gradient.
        rows.append(layers.read(-_opened(plan, round_, updates), expected))
        note(round_ + 1, plan.rounds)
    return NoisedSums(
        sums=np.stack(rows),
        observed=observed,
        members=members,
        coordinates=np.arange(plan.canaries),
        rate=1.0,
        deviation=_deviation(plan),
    )
