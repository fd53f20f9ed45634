"""What a site checks of a round's lists before it deals, masks or releases anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from crypto.errors import PeerError
from crypto.masked_sum_messages import check_distinct, check_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from crypto.masked_sum_messages import Confirmation, RoundBinding, SiteKeys
    from crypto.masked_sum_session import Session


def check_announced(
    session: Session, round_number: int, own: SiteKeys, keys: Mapping[str, SiteKeys]
) -> None:
    """Raise PeerError unless `keys` is a list of sound announcements with `own` in it."""
    for name, entry in keys.items():
        check_keys(session, entry, round_number)
        if entry.site != name:
            raise PeerError(f"{entry.site}'s keys came under {name}'s name: no shares dealt.")
    if keys.get(own.site) != own:
        raise PeerError(
            f"The list of round {round_number} does not hold the keys that {own.site} "
            "announced: no shares were dealt, since the coordinator altered or dropped them."
        )
    check_distinct(keys.values())
    if len(keys) < session.quorum:
        raise PeerError(
            f"{len(keys)} sites announced keys for round {round_number}, and a sum needs "
            f"{session.quorum}: no shares were dealt. Wait for more sites."
        )


def check_cohort(
    session: Session,
    site: str,
    binding: RoundBinding,
    others: Collection[str],
    senders: Collection[str],
) -> None:
    """Raise PeerError unless the cohort can be masked for, and shares came from whom they must."""
    cohort = set(binding.cohort)
    if site not in cohort:
        raise PeerError(f"{site} is not in the cohort: it masks nothing this round.")
    if len(cohort) < session.quorum:
        raise PeerError(
            f"A cohort of {len(cohort)} below the threshold of {session.quorum} was refused: its "
            "sum could never be opened."
        )
    strangers = sorted(cohort - set(others) - {site})
    if strangers:
        raise PeerError(
            f"The cohort names {', '.join(strangers)}, to whom no shares were dealt: nothing "
            "was masked."
        )
    expected = cohort - {site}
    odd = set(senders) ^ expected if session.is_complete else set(senders) - expected
    if odd:
        raise PeerError(
            f"The shares that came are not the cohort's: {', '.join(sorted(odd))} differ. A cohort "
            "is exactly the sites whose shares arrived; nothing was masked."
        )


def check_survivors(
    session: Session, site: str, survivors: tuple[str, ...], cohort: Collection[str]
) -> None:
    """Raise PeerError unless shares may be released for these survivors of the cohort."""
    if list(survivors) != sorted(set(survivors)):
        raise PeerError("Survivors that are not sorted and distinct: nothing was released.")
    strangers = sorted(set(survivors) - set(cohort))
    if strangers:
        raise PeerError(
            f"{', '.join(strangers)} cannot have survived, not being in the cohort: nothing "
            "was released."
        )
    if site not in survivors:
        raise PeerError(
            f"The survivors leave out {site}, which sent its vector: nothing was released, since "
            "its own masks would fall."
        )
    if len(survivors) < session.quorum:
        raise PeerError(
            f"{len(survivors)} survivors are fewer than the threshold of {session.quorum}: "
            "nothing was released. The round is lost."
        )


def check_neighbourhoods(
    threshold: int, survivors: Collection[str], drawn: Mapping[str, Collection[str]]
) -> None:
    """Raise PeerError unless `threshold` of what each survivor drew survived with it.

    A coordinator that names as drop-outs just the neighbours of one site would be left with that
    site alone: this is what `crypto.masked_sum_graph` calls separation.

    Args:
        threshold: t.
        survivors: the survivors.
        drawn: the neighbours that survivors drew, by survivor; this site holds shares of each.
    """
    alive = set(survivors)
    for site in sorted(drawn):
        left = len(alive.intersection(drawn[site]))
        if left < threshold:
            raise PeerError(
                f"Only {left} of the neighbours that {site} drew are among the survivors, and "
                f"{threshold} are needed: nothing was released, since it could be alone in the sum."
            )


def check_confirmations(
    session: Session,
    survivors: tuple[str, ...],
    confirmations: Iterable[Confirmation],
    expected: Confirmation,
) -> None:
    """Raise PeerError unless a quorum of distinct survivors confirmed what this site did.

    Two lists cannot both be confirmed while fewer than 2 quorum - n sites are corrupted, since an
    honest site confirms one (Bonawitz et al. 2017, section 6.2).
    """
    if survivors != expected.survivors:
        raise PeerError(
            f"{expected.site} confirmed other survivors than those it is asked to release shares "
            "for: nothing was released, since the coordinator tells two stories."
        )
    confirmed = set()
    for confirmation in confirmations:
        site = confirmation.site
        if site not in survivors or confirmation != replace(expected, site=site):
            raise PeerError(
                f"{site} confirmed another round, cohort, parameters or survivors than "
                f"{expected.site} did: nothing was released, since the coordinator tells two "
                "stories."
            )
        confirmed.add(site)
    if len(confirmed) < session.quorum:
        raise PeerError(
            f"{len(confirmed)} survivors confirmed each other, and {session.quorum} are needed "
            "before a share is released: nothing was."
        )
