"""Canaries in a run: where a site's come from, what of them is trained on, and who may open them.

A site's seed follows from its identity and the signed configuration, in which the coordinator puts
a fresh number before every run: the same at every restart, another in every run, and known to
nobody else until the site signs it away with its last statement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from audits.canaries import Answers, CanaryPlan, canaries_of, commitment
from crypto.agreement import hkdf
from crypto.errors import ConfigError, PeerError
from crypto.secrets import SecretBytes
from domains.catalogue import kind_of
from domains.records import Record
from domains.task_kinds import TaskKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from audits.canaries import Canary
    from crypto.secrets import Entropy
    from crypto.signatures import SigningKey
    from secure_fl.config import Mechanism

    CanaryKey = Callable[[bytes], SecretBytes]
    """Gives a site's seed for the mechanism of a digest."""

NONE: Final = b""
"""Stands for a commitment, or a seed, in a run without canaries."""
_SEED_BYTES: Final = 32
_NUMBER_BYTES: Final = 16


def with_fresh_number(mechanism: Mechanism, entropy: Entropy) -> Mechanism:
    """Return `mechanism` with a new number for its canaries, where it has any."""
    if mechanism.canaries is None:
        return mechanism
    fresh = mechanism.canaries.model_copy(update={"number": entropy(_NUMBER_BYTES).hex()})
    return mechanism.model_copy(update={"canaries": fresh})


def plan_of(mechanism: Mechanism) -> CanaryPlan | None:
    """Return what canaries a site draws; None where it draws none."""
    section = mechanism.canaries
    if section is None:
        return None
    return CanaryPlan(section.each, section.repetitions, Answers(section.answers))


def key_of(identity: SigningKey) -> CanaryKey:
    """Return where the seeds of the site with this identity come from."""

    def seed(mechanism: bytes) -> SecretBytes:
        return hkdf(identity.seed(), "canaries", mechanism, _SEED_BYTES)

    return seed


def seed_of(mechanism: Mechanism, key: CanaryKey | None) -> SecretBytes | None:
    """Return the seed of a site's canaries in a run; None where it has none.

    Raises:
        ConfigError: the site has nothing to draw them by, or the run has no number of its own.
    """
    if mechanism.canaries is None:
        return None
    if mechanism.canaries.number is None:
        raise ConfigError(
            "The run has canaries and no number of its own: they would be those of an earlier run, "
            "which are known. The coordinator draws one when it starts a run."
        )
    if key is None:
        raise ConfigError(
            "The run has canaries, and this site has nothing to draw them by: nothing was trained. "
            "Open the site from its own folder."
        )
    return key(mechanism.digest())


def committed(mechanism: Mechanism, seed: SecretBytes | None) -> bytes:
    """Return what a site signs before the first round: 32 bytes, or none without canaries."""
    plan = plan_of(mechanism)
    return NONE if plan is None or seed is None else commitment(seed, plan)


def record_of(canary: Canary, id_: str, labels: int, unit_column: str | None = None) -> Record:
    """Return `canary` as a record of its own unit; a secret is the one answer that it has.

    Args:
        canary: which.
        id_: of the record, and of its unit.
        labels: how many choices a record of the run has.
        unit_column: which column says whose a record is, where one does.
    """
    return Record(
        id=id_,
        text=canary.text,
        label=canary.label(labels) if canary.secret is None else 0,
        columns={} if unit_column is None else {unit_column: id_},
        options=() if canary.secret is None else (canary.secret,),
    )


def with_members(
    mechanism: Mechanism,
    records: Sequence[Record],
    seed: SecretBytes | None,
    labels: int,
    unit_column: str | None,
) -> tuple[Record, ...]:
    """Return a site's `records`, scrubbed, and after them its canaries that are members.

    Every repetition is a record and a unit of its own, so that the guarantee of k of them is k
    times the epsilon.

    Args:
        mechanism: of the run.
        records: of the site.
        seed: of its canaries; None where there are none.
        labels: how many choices a record has.
        unit_column: which column says whose a record is, where one does.

    Raises:
        ConfigError: the run's records bring their own options, which canaries with labels do not
            have.
    """
    plan = plan_of(mechanism)
    if plan is None or seed is None:
        return tuple(records)
    labelled = plan.answers is Answers.LABELS
    if labelled and kind_of(mechanism.data.dataset) is not TaskKind.CLASSIFICATION:
        raise ConfigError(
            f"{mechanism.data.dataset} brings options with every record, and a canary has none: "
            "nothing was trained. Leave `mechanism.canaries` out, or have a language model answer "
            'with `answers = "secrets"`.'
        )
    members = [
        record_of(canary, f"canary-{canary.index}-{copy}", labels, unit_column)
        for canary in canaries_of(seed, plan)
        if canary.member
        for copy in range(canary.repetitions)
    ]
    return (*records, *members)


def check_opened(mechanism: Mechanism, site: str, root: bytes, opened: bytes) -> None:
    """Return if the seed that `site` opened is the one that it was committed to by `root`.

    Raises:
        PeerError: it is another, or one of the two is missing where the run has canaries.
    """
    plan = plan_of(mechanism)
    expected = NONE
    if plan is not None and len(opened) == _SEED_BYTES:
        expected = commitment(SecretBytes(opened), plan)
    if root != expected or (plan is None) is not (opened == NONE):
        raise PeerError(
            f"{site} opened other canaries than it was committed to before the first round: who is "
            "a member could have been chosen afterwards, and no attack on them means anything."
        )
