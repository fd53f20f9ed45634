"""NIST SP 800-226: how to evaluate a claim of differential privacy."""

from __future__ import annotations

from datetime import date
from typing import Final

from audits.mappings import guarantee_answers as guarantee
from audits.mappings import run_answers as run
from audits.mappings.instrument import (
    Instrument,
    Place,
    Question,
    Wording,
    joined,
    needing,
    nothing,
)

NIST_SP_800_226: Final = Instrument(
    slug="nist-sp-800-226",
    name="NIST SP 800-226, Guidelines for Evaluating Differential Privacy Guarantees",
    version="final, doi 10.6028/NIST.SP.800-226",
    dated=date(2025, 3, 6),
    publisher="National Institute of Standards and Technology (United States)",
    wording=Wording(
        compared=False,
        how="What was read is the publisher's announcement of the pyramid of things to evaluate, "
        "and quotations of the sections on the unit of privacy and on access to the data.",
    ),
    notes=(
        (
            "The guidelines build on each other like a pyramid: epsilon and the unit at the top "
            "count on all that is below them."
        ),
    ),
    questions=(
        Question("Parameters", "How strong is the promise?", guarantee.parameters, Place.EPSILON),
        Question(
            "Unit of privacy (2.4)",
            "What is one unit, and which data sets are neighbours?",
            guarantee.unit,
            Place.PROMISE,
        ),
        Question(
            "Unit of privacy (2.4)",
            "Is the unit at least all that one person contributed?",
            guarantee.person,
            Place.PROMISE,
        ),
        Question(
            "Composition",
            "What do all releases together spend, over time?",
            guarantee.composition,
            Place.PROMISE,
        ),
        Question(
            "Mechanisms",
            "By which mechanism, with which bounds on a contribution?",
            guarantee.mechanism,
            Place.EPSILON,
        ),
        Question(
            "Machine learning",
            "Is the choice of settings in the promise?",
            guarantee.selection,
            Place.LIMITS,
        ),
        Question("Utility", "How useful is the result?", run.utility, Place.UTILITY),
        Question(
            "Bias",
            "Who is served worse by the noise, or by the data?",
            nothing("Compare accuracy and errors between groups of people."),
        ),
        Question(
            "Trust and threats",
            "Who has to be trusted, with what, and against whom does it hold?",
            guarantee.trusted,
            Place.FEDERATION,
        ),
        Question(
            "Implementation",
            "Can rounding, timing or a defect of the code break the promise?",
            joined(guarantee.arithmetic, run.attacks),
            Place.RESULTS,
        ),
        Question(
            "Data security and access (4.4)",
            "Who can reach the records themselves?",
            needing(
                run.minimisation,
                "Say who has access to the records at each site, and how it is guarded.",
            ),
            Place.FEDERATION,
        ),
        Question(
            "Collection of data",
            "What does collecting the records expose by itself?",
            nothing("Assess how the records are collected and how long they are kept."),
        ),
    ),
)
"""The guidelines, as of March 2025."""
