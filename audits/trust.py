"""Whom the guarantees depend on: who is trusted with what, and what follows if wrongly so.

Where a site adds all of the noise itself, its bound counts on no other party. Where the noise is
shared, the bound counts on honest sites, and in the semi-honest setting on the coordinator.
"""

from __future__ import annotations

from dataclasses import dataclass

from audits.facts import (
    Adversary,
    GuaranteedFacts,
    HomomorphicSumFacts,
    MaskedSumFacts,
    ReportFacts,
    ReportWarning,
    SharedNoiseFacts,
    smallest_openable_sum,
)

_TOO_LITTLE_NOISE = "less noise than the bound counts on: epsilon would be larger than stated"


@dataclass(frozen=True)
class Trust:
    """One thing that somebody is trusted to do, and what follows when they do not."""

    who: str
    what: str
    otherwise: str


def promise(privacy: GuaranteedFacts) -> str:
    """Return what the effect of one unit is bounded on, and under which condition, for page one."""
    if isinstance(privacy, SharedNoiseFacts):
        honest = _sites(privacy.honest)
        return f"on the opened sums is bounded, with at least {honest} in each"
    return "on everything that left its site is bounded"


def holds_against(facts: ReportFacts) -> str:
    """Return against whom the differential privacy bound holds."""
    privacy = facts.privacy
    shared = isinstance(privacy, SharedNoiseFacts)
    if ReportWarning.ONE_PROCESS_HELD_ALL_KEYS in facts.warnings:
        seen = "the opened sums" if shared else "what the sites sent"
        return (
            f"anybody who sees {seen} or the final model; not against whoever "
            "controlled the one computer that ran this simulation"
        )
    if not isinstance(privacy, SharedNoiseFacts):
        return "everybody outside the site: the coordinator, the other sites, users of the model"
    others = (
        "any one of the other sites, alone or with the coordinator"
        if privacy.colluders == 1
        else f"any {privacy.colluders} of the other sites, also when they pool what they know "
        "with each other and the coordinator"
    )
    return f"users of the model; {_the_coordinator(facts)}; {others}"


def _the_coordinator(facts: ReportFacts) -> str:
    if facts.adversary is Adversary.SEMI_HONEST:
        return "the coordinator while it follows the protocol"
    return "the coordinator, even if it departs from the protocol"


def privacy_trust(facts: ReportFacts) -> str:
    """Return, for page one, whom the privacy bound depends on."""
    if ReportWarning.ONE_PROCESS_HELD_ALL_KEYS in facts.warnings:
        return "whoever controlled the one computer that ran this simulation"
    if not isinstance(facts.privacy, SharedNoiseFacts):
        return "for a site's records: that site's own computer and this software; no other party"
    coordinator = (
        "; the coordinator, to follow the protocol"
        if facts.adversary is Adversary.SEMI_HONEST
        else ""
    )
    return (
        f"at least {_sites(facts.privacy.honest)} in every sum{coordinator}; for a site's records "
        "also its own computer and this software"
    )


def trusts(facts: ReportFacts) -> tuple[Trust, ...]:
    """Return who must be trusted and for what, most far-reaching first."""
    rows: list[Trust] = []
    if ReportWarning.ONE_PROCESS_HELD_ALL_KEYS in facts.warnings:
        rows.append(
            Trust(
                "Whoever controlled the computer of this simulation",
                "Not to look at any party's records, keys or updates.",
                "Everything could be read. Nothing below held against them.",
            )
        )
    rows += _noise_trust(facts.privacy)
    rest = _rest(facts.privacy)
    rows += _coordinator_trust(facts, rest)
    rows += [
        Trust(
            "Every site",
            "Not to send harmful updates that stay within the allowed range.",
            "The model may be worse or biased. Nobody else's records are exposed.",
        ),
        Trust(
            "The holder of the consortium's root key",
            "To put only genuine sites on the signed roster.",
            f"{_false_sites(facts)} {rest}",
        ),
    ]
    return tuple(rows)


def _rest(privacy: object) -> str:
    """Return what still protects the records when updates are no secret any more."""
    match privacy:
        case SharedNoiseFacts():
            return (
                "The bound would not hold: an update carries only its site's own share of the "
                "noise."
            )
        case GuaranteedFacts():
            return (
                "The privacy bound still holds: every update already carries its site's own noise."
            )
        case _:
            return "Nothing else protects the records."


def _noise_trust(privacy: object) -> list[Trust]:
    """Return who is trusted to add noise, and to clip before it."""
    match privacy:
        case SharedNoiseFacts():
            return [
                Trust(
                    f"At least {_sites(privacy.honest)} in every sum",
                    "To add their share of the noise as this software does, and to tell nobody "
                    "what they drew.",
                    f"The sums would hold {_TOO_LITTLE_NOISE}, for the records of all sites.",
                ),
                Trust(
                    "Each site, for its own records",
                    "To run this software unaltered, so that what it sends is clipped.",
                    "Its own records lose the bound; the other sites' records keep theirs.",
                ),
            ]
        case GuaranteedFacts():
            return [
                Trust(
                    "Each site, for its own records",
                    "To run this software unaltered, so that noise is added before anything "
                    "leaves.",
                    "Its own records lose the bound; the other sites' records keep theirs.",
                )
            ]
        case _:
            return []


def _false_sites(facts: ReportFacts) -> str:
    if isinstance(facts.protection, HomomorphicSumFacts):
        return "A single false site, with the coordinator, could read every update."
    joined = "False sites could join and, in sufficient number, unmask honest ones."
    if isinstance(facts.privacy, SharedNoiseFacts):
        count = facts.privacy.colluders + 1
        return f"{joined} {count} or more of them would leave too little noise in a sum."
    return joined


def _other_lists(facts: ReportFacts, threshold: int, rest: str) -> str:
    """Return what a coordinator could open that shows sites different lists of survivors."""
    sites = len(facts.federation.sites)
    fewest = smallest_openable_sum(sites, threshold)
    opened = (
        f"By showing different lists it could open a sum over {fewest} of the {sites} sites, "
        "never fewer on its own."
    )
    if not isinstance(facts.privacy, SharedNoiseFacts):
        return f"{opened} {rest}"
    if any(
        smallest_openable_sum(entry.cohort, threshold) < entry.survivors
        for entry in facts.privacy.shares
    ):
        return f"{opened} Such a sum would hold {_TOO_LITTLE_NOISE}."
    return f"{opened} Such a sum would still hold as much noise as the bound counts on."


def _sites(count: int) -> str:
    return "one honest site" if count == 1 else f"{count} honest sites"


def _coordinator_trust(facts: ReportFacts, rest: str) -> list[Trust]:
    sites = len(facts.federation.sites)
    rows = []
    if isinstance(facts.protection, MaskedSumFacts):
        threshold = facts.protection.threshold
        if facts.adversary is Adversary.SEMI_HONEST:
            rows.append(
                Trust(
                    "The coordinator",
                    "To follow the protocol and show all sites the same list of survivors "
                    "(the semi-honest setting).",
                    _other_lists(facts, threshold, rest),
                )
            )
        rows.append(
            Trust(
                _accomplices(min(threshold, sites - 1)),
                "Not to pool their secrets with the coordinator's records.",
                f"Together they could unmask another site's update. {rest}",
            )
        )
    elif isinstance(facts.protection, HomomorphicSumFacts):
        rows += [
            Trust(
                "Every single site",
                "Not to share the key of the sums with the coordinator, nor to lose it to anybody "
                "who has the encrypted updates.",
                f"One such site is enough: every site's update becomes known. {rest}",
            ),
            Trust(
                "The coordinator",
                "To follow the protocol and hand the sites the sum of all survivors (the "
                "semi-honest setting).",
                "It could hand them one site's encrypted update as the sum, and nothing would "
                f"show it: all sites would read that update. {rest}",
            ),
        ]
    else:
        rows.append(
            Trust(
                "The coordinator",
                "To keep every site's update confidential: it read each one.",
                f"Single sites' updates become known. {rest}",
            )
        )
    rows.append(
        Trust(
            "The coordinator",
            "To report the scores as measured.",
            "The utility in this report may be wrong. Records are not affected.",
        )
    )
    return rows


def _accomplices(count: int) -> str:
    """Return how many sites could unmask another: t hold its mask secret, all others subtract."""
    return "Every other site" if count <= 1 else f"Any {count} sites"
