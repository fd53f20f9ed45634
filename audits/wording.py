"""The report's sentences that depend on the facts: plain words, one meaning each.

A reader of the report may have to act on it without knowing the field, so every text says what
holds, on what it depends, and what follows when that is not so.
"""

from __future__ import annotations

import math

from audits.facts import (
    Adversary,
    DistributedPrivacyFacts,
    GuaranteedFacts,
    RecordPrivacyFacts,
    ReportFacts,
    Selection,
    SharedNoiseFacts,
    SitePrivacyFacts,
    Source,
    View,
)
from audits.numerals import GAP, bound, decimal, percent_up, plain, significant, thousands
from privacy.events import Relation, Unit

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

_SELECTIONS = {
    Selection.UNSTATED: "It is not declared how clip, rates, rounds and the other settings were "
    "chosen.",
    Selection.OTHER_DATA: "Clip, rates, rounds and the other settings were fixed beforehand, or "
    "tried out on other records. The configuration declares so; nothing here can check it.",
    Selection.CHARGED: "Clip, rates, rounds and the other settings were tried out on these "
    "records, in earlier runs that the sites' ledgers charged on top of this one. The "
    "configuration declares so; nothing here can check it.",
    Selection.UNCHARGED: "Clip, rates, rounds and the other settings were tried out on these "
    "records, as the configuration declares, and no ledger was charged for it.",
}


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


def selection_sentence(selection: Selection) -> str:
    """Return how the settings were chosen, as the configuration declares it."""
    return _SELECTIONS[selection]


def epsilon_sentences(privacy: GuaranteedFacts) -> tuple[str, str]:
    """Return what epsilon means: the bound on probabilities, and the same for an even guess.

    The first is the definition of (epsilon, delta)-differential privacy, P(S) <= e^epsilon P'(S) +
    delta (Dwork and Roth 2014, definition 2.4). A guess between two equally likely worlds is then
    right with probability at most (e^epsilon + delta) / (1 + e^epsilon) (Kairouz, Oh and
    Viswanath 2015, theorem 2.1).
    """
    epsilon = privacy.highest_charge
    seen = "the opened sums" if isinstance(privacy, SharedNoiseFacts) else "what left the sites"
    definition = (
        f"Take any conclusion that an observer could draw from {seen}. With {_present(privacy)} "
        f"it is at most {_factor(epsilon)} times as likely as "
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


def _present(privacy: GuaranteedFacts) -> str:
    unit = unit_phrase(privacy.unit)
    if privacy.relation is Relation.ZERO_OUT:
        return f"the contribution of {unit} in them"
    return f"{unit} in the data"


def how_noised(privacy: GuaranteedFacts) -> tuple[str, ...]:
    """Return what was sampled, clipped and noised, a paragraph each."""
    match privacy:
        case RecordPrivacyFacts():
            return (_of_own_noise(privacy),)
        case DistributedPrivacyFacts():
            return (_of_shared_steps(privacy), _of_shared_noise(privacy))
        case SitePrivacyFacts():
            return (_of_whole_sites(privacy), _of_shared_noise(privacy))
        case _:
            raise ValueError(f"there are no words for mode {privacy.mode}")


def _of_own_noise(privacy: RecordPrivacyFacts) -> str:
    return (
        f"Every site trained on its own records in {thousands(privacy.steps)} steps. In each step "
        f"{_by_chance(privacy.unit, privacy.sampling_rate)}; the gradient of "
        f"{unit_phrase(privacy.unit)} was cut to a length of at most {plain(privacy.clip)}; and "
        "normally distributed noise was added to their sum, with a standard deviation of "
        f"{significant(privacy.noise_multiplier)} times that length. The noise came from the "
        "random generator of the site's operating system and was added before anything left the "
        "site."
    )


def _of_shared_steps(privacy: DistributedPrivacyFacts) -> str:
    return (
        "Every round was one step over the records of all sites together, "
        f"{thousands(privacy.steps)} in all. In each step "
        f"{_by_chance(privacy.unit, privacy.sampling_rate)}; the gradient of "
        f"{unit_phrase(privacy.unit)} was cut to a length of at most {plain(privacy.clip)}; and "
        "each site sent the sum of its own, with its share of the noise, under a mask."
    )


def _of_whole_sites(privacy: SitePrivacyFacts) -> str:
    return (
        f"In each of {thousands(privacy.steps)} rounds every site trained on its own records, cut "
        "the whole change of the model to a length of at most "
        f"{plain(privacy.clip)}, and sent it, with its share of the noise, under a mask. Nothing "
        "was left to chance but the noise: every site counted in every round that it took part "
        "in, and that it took part is no secret."
    )


def _by_chance(unit: Unit, rate: float) -> str:
    whole = "" if unit is Unit.RECORD else ", with all records at a site together,"
    return f"every {unit.value}{whole} took part by chance, with probability {plain(rate)}"


def _of_shared_noise(privacy: SharedNoiseFacts) -> str:
    sigma = significant(privacy.noise_multiplier)
    return (
        "The noise is discrete Gaussian, drawn and added as whole numbers, without any rounding. "
        "What the honest sites in a sum add has together a standard deviation of at least "
        f"{sigma} times the most by which one {privacy.unit.value} can move the sum: that length, "
        "with an allowance for the grid of the sums and for the rounded numbers of clipping and "
        "summing. Every participant knows its own noise, so against it only the noise of the "
        "others counts. Who may be missing, or may tell what it drew, is paid for in advance: each "
        "site adds more."
    )


def _worst_guess(epsilon: float, delta: float) -> str:
    shrunk = math.exp(-epsilon)  # e^-epsilon, since e^epsilon may not fit a float
    right = (1.0 + delta * shrunk) / (1.0 + shrunk)
    if right > _NEARLY_CERTAIN:
        return f"nearly 100{GAP}%"
    return percent_up(right, places=2)


def _question(privacy: GuaranteedFacts) -> str:
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


def not_shown(facts: ReportFacts) -> tuple[str, ...]:
    """Return, for page one, what a reader must not conclude from the report."""
    if isinstance(facts.privacy, GuaranteedFacts):
        first = (
            "How much leaks in fact. The bound is calculated from the settings; no attack on the "
            "model was tried for this report."
        )
    else:
        first = (
            "That anything is protected against the final model. No bound holds, and no attack "
            "was tried for this report."
        )
    return (first, *not_shown_by_an_audit(facts))


def not_shown_by_an_audit(facts: ReportFacts) -> tuple[str, ...]:
    """Return what a reader must not conclude either when attacks on the model were tried."""
    points: list[str] = []
    privacy = facts.privacy
    if isinstance(privacy, GuaranteedFacts):
        points.append(
            "What other runs spent. The bound stands for this run alone; runs on the same records "
            "add up, and each site's own ledger keeps the total."
        )
        points.append(_repeated_unit(privacy.unit))
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
        case Unit.PATIENT | Unit.USER | Unit.ACCOUNT:
            return (
                "A bound over several sites. Whoever has records at k sites spends at each of "
                "them, and is protected by k times the epsilon, with a larger delta."
            )
        case Unit.SITE:
            return (
                "The same bound for a record: a site's contribution is compared with zero. A "
                "record is protected by up to twice the epsilon, a person at k sites by up to 2k "
                "times, with a larger delta."
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
