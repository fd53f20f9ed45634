"""What a reader must know before relying on a report, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ReportWarning(StrEnum):
    """What a reader must know before relying on the report. `caution` has the words."""

    NO_PRIVACY_GUARANTEE = "no-privacy-guarantee"
    HONEST_SITES_NEEDED = "honest-sites-needed"
    COORDINATOR_TRUSTED = "coordinator-trusted"
    RUN_NOT_FINISHED = "run-not-finished"
    EACH_UPDATE_REVEALED = "each-update-revealed"
    ONE_SITE_AND_COORDINATOR_READ_ALL = "one-site-and-coordinator-read-all"
    ONE_PROCESS_HELD_ALL_KEYS = "one-process-held-all-keys"
    BUDGET_NOT_CARRIED = "budget-not-carried"
    ROUNDS_REPEATED = "rounds-repeated"
    SITE_LEFT_EARLY = "site-left-early"
    SCRUBBING_OFF = "scrubbing-off"
    NAMES_NOT_LOOKED_FOR = "names-not-looked-for"
    SELECTION_UNCHARGED = "selection-uncharged"
    SELECTION_UNSTATED = "selection-unstated"
    UTILITY_MEASURED_ON_COMMON_SET = "utility-measured-on-common-set"
    FLOATING_POINT_NOISE = "floating-point-noise"


@dataclass(frozen=True)
class Caution:
    """A warning as the page shows it: a short title, and what it means."""

    title: str
    text: str


_CAUTIONS = {
    ReportWarning.NO_PRIVACY_GUARANTEE: Caution(
        "No privacy guarantee",
        "No noise was added and no bound holds. What was sent, and the final model, may reveal "
        "single training records. Treat the model as confidential as the records themselves.",
    ),
    ReportWarning.HONEST_SITES_NEEDED: Caution(
        "The bound counts on honest sites",
        "No site's noise is enough by itself: the sites share it. The bound holds while enough of "
        "the sites in every sum add their share of the noise and keep to themselves what they "
        "drew; the section on privacy says how many. If more sites left out their share, or told "
        "it to others, epsilon would be larger than stated, for the records of all sites.",
    ),
    ReportWarning.COORDINATOR_TRUSTED: Caution(
        "The bound counts on the coordinator",
        "The coordinator is assumed to follow the protocol (the semi-honest setting). By showing "
        "the sites different lists of survivors it could open a sum over fewer sites, which may "
        "hold less noise than the bound counts on. A run against a malicious coordinator does not "
        "need this trust.",
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
    ReportWarning.SELECTION_UNCHARGED: Caution(
        "The search for good settings was not charged",
        "The configuration declares that settings such as clip, rates and rounds were chosen by "
        "looking at results on these records. What that choice reveals is in no epsilon: the true "
        "cost is higher than the bound in this report.",
    ),
    ReportWarning.SELECTION_UNSTATED: Caution(
        "How the settings were chosen is not declared",
        "If clip, rates, rounds or other settings were chosen by looking at results on these "
        "records, what that reveals is not in epsilon.",
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


def caution(warning: ReportWarning) -> Caution:
    """Return the words of a warning."""
    return _CAUTIONS[warning]
