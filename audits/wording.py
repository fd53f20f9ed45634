"""The report's sentences that depend on the facts: plain words, one meaning each.

A reader of the report may have to act on it without knowing the field, so every text says what
holds, on what it depends, and what follows when that is not so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from audits.facts import (
    Adversary,
    HomomorphicSumFacts,
    MaskedSumFacts,
    RecordPrivacyFacts,
    ReportFacts,
    ReportWarning,
    Source,
    View,
    smallest_openable_sum,
)
from audits.numerals import GAP, bound, decimal, percent_up, thousands
from privacy.events import Relation, Unit


@dataclass(frozen=True)
class Caution:
    """A warning as the page shows it: a short title, and what it means."""

    title: str
    text: str


@dataclass(frozen=True)
class Trust:
    """One thing that somebody is trusted to do, and what follows when they do not."""

    who: str
    what: str
    otherwise: str


_CAUTIONS = {
    ReportWarning.NO_PRIVACY_GUARANTEE: Caution(
        "No privacy guarantee",
        "No noise was added and no bound holds. What was sent, and the final model, may reveal "
        "single training records. Treat the model as confidential as the records themselves.",
    ),
    ReportWarning.RUN_NOT_FINISHED: Caution(
        "The run did not finish",
        "It stopped before its last planned round. The ledgers keep the charge for the whole "
        "plan: stopping early returns nothing.",
    ),
    ReportWarning.EACH_UPDATE_REVEALED: Caution(
        "The coordinator read every site's update separately",
        "Updates were not masked. Whatever protection the updates themselves carry (see the "
        "privacy label) is the only protection they had.",
    ),
    ReportWarning.ONE_SITE_AND_COORDINATOR_READ_ALL: Caution(
        "One site and the coordinator together could read every update",
        "Updates were encrypted under one key that every site holds. The coordinator, which had "
        "the encrypted updates, had no key. If it pooled them with any single site, or passed one "
        "site's update off as the sum, single updates became known. Masked sums need no such trust "
        "in each single site.",
    ),
    ReportWarning.ONE_PROCESS_HELD_ALL_KEYS: Caution(
        "One process held all keys",
        "The parties were simulated together on one computer, which saw every site's records and "
        "secrets. The cryptography ran as in a deployment, but protected nobody from whoever "
        "controlled that computer. This run shows how the method works, not that parties were "
        "kept apart.",
    ),
    ReportWarning.BUDGET_NOT_CARRIED: Caution(
        "The privacy budget was not carried",
        "The ledgers began empty and are not kept for later runs. What earlier or later runs "
        "spend on the same records is not added to the bound in this report.",
    ),
    ReportWarning.ROUNDS_REPEATED: Caution(
        "Rounds were repeated",
        "At least one round was attempted again after an interruption. Where noise was drawn "
        "twice, the ledger charged it twice, and the bound on page one includes it.",
    ),
    ReportWarning.SITE_LEFT_EARLY: Caution(
        "A site left before the end",
        "At least one site took part and sent no extract of its ledger. What is stated of its "
        "charge follows from the messages that it signed; noise that it drew and never sent is "
        "charged in its own ledger and not seen here.",
    ),
    ReportWarning.SCRUBBING_OFF: Caution(
        "Records were not scrubbed at every site",
        "At least one site trained on records in which no personal data was looked for.",
    ),
    ReportWarning.NAMES_NOT_LOOKED_FOR: Caution(
        "Names of people were not looked for",
        "At least one site did not search its records for names. Names that stand in the records "
        "were trained on.",
    ),
    ReportWarning.UTILITY_MEASURED_ON_COMMON_SET: Caution(
        "Utility was measured on a common evaluation set",
        "The scores come from records that the whole consortium holds, measured by the "
        "coordinator. They say nothing about how the model does on any one site's own records. "
        "The evaluation records themselves are not protected by the privacy bound.",
    ),
    ReportWarning.FLOATING_POINT_NOISE: Caution(
        "Noise was computed with floating-point numbers",
        "The bound is proved for exact arithmetic. Noise made with a computer's rounded numbers "
        "departs from it slightly; a known attack on such noise (Mironov, 2012) is made harder "
        "here, not impossible.",
    ),
}

_NEARLY_CERTAIN = 0.9999
_THREE_DIGITS = 100.0

_UNITS = {
    Unit.RECORD: "one record",
    Unit.PATIENT: "all records of one patient at one site",
    Unit.USER: "all records of one user at one site",
    Unit.ACCOUNT: "all records of one account at one site",
    Unit.SITE: "one whole site",
}

_RELATIONS = {
    Relation.ADD_REMOVE: "the unit is there, or it is not (add or remove one)",
    Relation.REPLACE_ONE: "the unit is exchanged for another one (replace one)",
    Relation.ZERO_OUT: "the unit's contribution is there, or zero stands in its place (zero out)",
}

_VIEWS = {
    View.SUM: "only the sum over the sites",
    View.GROUPS: "sums over groups of sites",
    View.EACH: "every site's update",
}

_ADVERSARIES = {
    Adversary.SEMI_HONEST: "semi-honest: every party follows the protocol, and may study all that "
    "it sees",
    Adversary.MALICIOUS: "malicious: the coordinator and colluding sites below the threshold may "
    "depart from the protocol",
}

_SOURCES = {
    Source.SITES_OWN: "The sites' own records.",
    Source.PUBLISHED: "A published data set, divided among the sites. Its records are public "
    "already: here the protection is shown, not needed.",
    Source.GENERATED: "Made by a program. No real person's data was used.",
}

# Presidio's entity names, in words.
_ENTITIES = {
    "CREDIT_CARD": "Payment card numbers",
    "CRYPTO": "Cryptocurrency addresses",
    "DATE_TIME": "Dates and times",
    "EMAIL_ADDRESS": "E-mail addresses",
    "IBAN_CODE": "International bank account numbers (IBAN)",
    "IP_ADDRESS": "Internet (IP) addresses",
    "LOCATION": "Places",
    "MEDICAL_LICENSE": "Medical licence numbers",
    "NRP": "Nationality, religion or political group",
    "ORGANIZATION": "Names of organisations",
    "PERSON": "Names of people",
    "PHONE_NUMBER": "Telephone numbers",
    "URL": "Web addresses",
    "US_BANK_NUMBER": "US bank account numbers",
    "US_DRIVER_LICENSE": "US driving licence numbers",
    "US_ITIN": "US taxpayer numbers (ITIN)",
    "US_PASSPORT": "US passport numbers",
    "US_SSN": "US social security numbers",
    "UK_NHS": "UK NHS numbers",
}


def caution(warning: ReportWarning) -> Caution:
    """Return the words of a warning."""
    return _CAUTIONS[warning]


def unit_phrase(unit: Unit) -> str:
    """Return what the guarantee hides the presence of."""
    return _UNITS[unit]


def relation_phrase(relation: Relation) -> str:
    """Return which two data sets the guarantee compares."""
    return _RELATIONS[relation]


def view_phrase(view: View) -> str:
    """Return what somebody with this view reads."""
    return _VIEWS[view]


def adversary_phrase(adversary: Adversary) -> str:
    """Return what is assumed of parties that are not honest."""
    return _ADVERSARIES[adversary]


def source_phrase(source: Source) -> str:
    """Return where the training records come from."""
    return _SOURCES[source]


def entity_phrase(entity: str) -> str:
    """Return an entity in words, with the scrubber's own name where there are words for it."""
    words = _ENTITIES.get(entity)
    return entity if words is None else f"{words} [{entity}]"


def epsilon_sentences(privacy: RecordPrivacyFacts) -> tuple[str, str]:
    """Return what epsilon means: the bound on probabilities, and the same for an even guess.

    The first is the definition of (epsilon, delta)-differential privacy, P(S) <= e^epsilon P'(S) +
    delta (Dwork and Roth 2014, definition 2.4). A guess between two equally likely worlds is then
    right with probability at most (e^epsilon + delta) / (1 + e^epsilon) (Kairouz, Oh and
    Viswanath 2015, theorem 2.1).
    """
    epsilon = privacy.highest_charge
    unit = unit_phrase(privacy.unit)
    definition = (
        f"Take any conclusion that an observer could draw from what left the sites. With {unit} "
        f"in the data it is at most {_factor(epsilon)} times as likely as "
        f"{_other_run(privacy.relation)} (e to the power of epsilon), plus a probability of at "
        f"most {one_in(privacy.delta)} (delta); and the same the other way round."
    )
    worst = _worst_guess(epsilon, privacy.delta)
    example = (
        f"Somebody who guesses {_question(privacy)}, at even chances beforehand, would be right "
        f"with a probability of at most {worst} in the very worst case. This is a ceiling, not a "
        "measurement. A smaller epsilon is a stronger promise."
    )
    return definition, example


def _worst_guess(epsilon: float, delta: float) -> str:
    shrunk = math.exp(-epsilon)  # e^-epsilon, since e^epsilon may not fit a float
    right = (1.0 + delta * shrunk) / (1.0 + shrunk)
    if right > _NEARLY_CERTAIN:
        return f"nearly 100{GAP}%"
    return percent_up(right, places=2)


def _question(privacy: RecordPrivacyFacts) -> str:
    unit = unit_phrase(privacy.unit)
    match privacy.relation:
        case Relation.ADD_REMOVE:
            return f"whether {unit} took part"
        case Relation.REPLACE_ONE:
            return f"whether {unit} or another took part"
        case Relation.ZERO_OUT:
            return f"whether {unit} contributed anything"


def _factor(epsilon: float) -> str:
    """Return e^epsilon, rounded up; from three digits on without decimals."""
    if epsilon > math.log(1e6):
        return "more than a million"
    factor = math.exp(epsilon)
    return thousands(math.ceil(factor)) if factor >= _THREE_DIGITS else bound(factor)


def _other_run(relation: Relation) -> str:
    match relation:
        case Relation.ADD_REMOVE:
            return "without it"
        case Relation.REPLACE_ONE:
            return "with another in its place"
        case Relation.ZERO_OUT:
            return "with zero in its place"


def one_in(delta: float) -> str:
    """Return a small probability as "1 in N", N rounded down so that it is never understated."""
    return f"1 in {thousands(math.floor(1.0 / delta + 1e-6))}"


def holds_against(facts: ReportFacts) -> str:
    """Return against whom the differential privacy bound holds."""
    if ReportWarning.ONE_PROCESS_HELD_ALL_KEYS in facts.warnings:
        return (
            "anybody who sees what the sites sent or the final model; not against whoever "
            "controlled the one computer that ran this simulation"
        )
    return "everybody outside the site: the coordinator, the other sites, users of the model"


def privacy_trust(facts: ReportFacts) -> str:
    """Return, for page one, whom the privacy bound depends on."""
    if ReportWarning.ONE_PROCESS_HELD_ALL_KEYS in facts.warnings:
        return "whoever controlled the one computer that ran this simulation"
    return "for a site's records: that site's own computer and this software; no other party"


def trusts(facts: ReportFacts) -> tuple[Trust, ...]:
    """Return who must be trusted and for what, most far-reaching first."""
    private = isinstance(facts.privacy, RecordPrivacyFacts)
    rest = (
        "The privacy bound still holds: every update already carries its site's own noise."
        if private
        else "Nothing else protects the records."
    )
    rows: list[Trust] = []
    if ReportWarning.ONE_PROCESS_HELD_ALL_KEYS in facts.warnings:
        rows.append(
            Trust(
                "Whoever controlled the computer of this simulation",
                "Not to look at any party's records, keys or updates.",
                "Everything could be read. Nothing below held against them.",
            )
        )
    if private:
        rows.append(
            Trust(
                "Each site, for its own records",
                "To run this software unaltered, so that noise is added before anything leaves.",
                "Its own records lose the bound; the other sites' records keep theirs.",
            )
        )
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


def _false_sites(facts: ReportFacts) -> str:
    if isinstance(facts.protection, HomomorphicSumFacts):
        return "A single false site, with the coordinator, could read every update."
    return "False sites could join and, in sufficient number, unmask honest ones."


def _coordinator_trust(facts: ReportFacts, rest: str) -> list[Trust]:
    sites = len(facts.federation.sites)
    rows = []
    if isinstance(facts.protection, MaskedSumFacts):
        threshold = facts.protection.threshold
        if facts.adversary is Adversary.SEMI_HONEST:
            fewest = smallest_openable_sum(sites, threshold)
            rows.append(
                Trust(
                    "The coordinator",
                    "To follow the protocol and show all sites the same list of survivors "
                    "(the semi-honest setting).",
                    f"By showing different lists it could open a sum over {fewest} of the {sites} "
                    f"sites, never fewer on its own. {rest}",
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


def not_shown(facts: ReportFacts) -> tuple[str, ...]:
    """Return, for page one, what a reader must not conclude from the report."""
    points: list[str] = []
    privacy = facts.privacy
    if isinstance(privacy, RecordPrivacyFacts):
        points.append(
            "How much leaks in fact. The bound is calculated from the settings; no attack on the "
            "model was tried for this report."
        )
        points.append(
            "What other runs spent. The bound stands for this run alone; runs on the same records "
            "add up, and each site's own ledger keeps the total."
        )
        points.append(_repeated_unit(privacy.unit))
    else:
        points.append(
            "That anything is protected against the final model. No bound holds, and no attack "
            "was tried for this report."
        )
    points += [
        "That all personal data was found. Scrubbing finds what it looks for, and not all of it.",
        "Anything about the base model, which may have learned from other people's data before.",
        "That the model is fit for a use. One score on one evaluation set is not a validation.",
    ]
    return tuple(points)


def _repeated_unit(unit: Unit) -> str:
    match unit:
        case Unit.RECORD:
            return (
                "A bound for a person. It is for one record: a person with k records, at one site "
                "or several, is protected by k times the epsilon, with a larger delta."
            )
        case Unit.PATIENT | Unit.USER | Unit.ACCOUNT | Unit.SITE:
            return (
                "A bound over several sites. Whoever has records at k sites is protected by k "
                "times the epsilon, with a larger delta."
            )


def utility_sentence(accuracy: float, low: float, majority: float) -> str:
    """Return whether the run shows more than the most frequent label, and no more than that.

    Args:
        accuracy: the final model's, a fraction.
        low: the lower end of its 95 % interval.
        majority: the accuracy of always answering the most frequent label.
    """
    if accuracy <= majority:
        return (
            "The model does not do better on this evaluation set than always answering the most "
            "frequent label."
        )
    if low <= majority:
        return (
            "The model scores higher than always answering the most frequent label, but the "
            "difference is within what chance explains: this run does not show that it learned."
        )
    points = decimal(100.0 * (accuracy - majority), places=1)
    return (
        f"The model is {points} percentage points better on this evaluation set than always "
        "answering the most frequent label, more than chance explains."
    )
