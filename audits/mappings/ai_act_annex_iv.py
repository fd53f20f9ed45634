"""EU AI Act, Annex IV: the technical documentation of a high-risk system."""

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

AI_ACT_ANNEX_IV: Final = Instrument(
    slug="ai-act-annex-iv",
    name="AI Act, Regulation (EU) 2024/1689, Annex IV, technical documentation",
    version="as first published",
    dated=date(2024, 7, 12),
    publisher="European Parliament and Council",
    wording=Wording(
        compared=True,
        how="Two copies of the annex as first published; not the Official Journal, and not the "
        "text as Regulation (EU) 2026/1744 amended the act.",
    ),
    notes=(
        (
            "The annex is for providers of high-risk systems. A model of a run is a part of a "
            "system, and most of the system is not known here."
        ),
    ),
    questions=(
        Question(
            "1(a)",
            "Purpose, provider, and version beside earlier ones",
            needing(run.identity, "Name the purpose, the provider and the earlier versions."),
            Place.FEDERATION,
        ),
        Question(
            "1(b), (d) to (h)",
            "Surroundings, forms of delivery, hardware, interface and instructions",
            nothing("Describe the system that the model goes into."),
        ),
        Question("1(c)", "Versions of the software", run.versions),
        Question(
            "2(a)",
            "Steps of development, and models of others",
            run.model,
            Place.FEDERATION,
        ),
        Question(
            "2(b)",
            "Design, choices and their reasons",
            joined(run.settings, guarantee.mechanism),
            Place.EPSILON,
        ),
        Question(
            "2(c)",
            "Architecture, and the computers used",
            needing(run.parties, "Describe the components and the computing that was used."),
            Place.FEDERATION,
        ),
        Question(
            "2(d)",
            "Training data: origin, selection, labels, cleaning",
            needing(
                joined(run.sources, run.scrubbing),
                "Describe, at each site, selection, labelling and cleaning.",
            ),
            Place.DATA,
        ),
        Question(
            "2(e)", "Human oversight", nothing("Say who oversees the system, and by what means.")
        ),
        Question(
            "2(f)",
            "Changes that are planned in advance",
            nothing("Say which changes are planned, such as further runs."),
        ),
        Question(
            "2(g)",
            "Validation, tests, metrics, signed and dated reports",
            needing(
                joined(run.utility, run.attacks),
                "Describe the evaluation records, and test for discrimination.",
            ),
            Place.RESULTS,
        ),
        Question(
            "2(h)",
            "Cybersecurity",
            needing(
                joined(run.sums, run.signatures),
                "Add the security of the sites and of the system.",
            ),
            Place.FEDERATION,
        ),
        Question(
            "3",
            "Abilities and limits, also for groups of people; risks; inputs",
            needing(
                joined(run.utility, run.limits),
                "Measure groups of people one by one; name the risks of the intended use.",
            ),
            Place.LIMITS,
        ),
        Question(
            "4", "Why these metrics are fitting", nothing("Give the reasons for this purpose.")
        ),
        Question(
            "5",
            "Risk management",
            needing(
                joined(guarantee.parameters, run.attacks),
                "Describe the whole process; this is one input of it.",
            ),
            Place.RESULTS,
        ),
        Question(
            "6", "Changes through the life cycle", nothing("Keep the list of runs and releases.")
        ),
        Question("7", "Standards applied", nothing("List them, or the solutions in their place.")),
        Question("8", "Declaration of conformity", nothing("Attach it, where one is due.")),
        Question(
            "9",
            "Monitoring after release",
            nothing("Attach the plan; this report ends at the release."),
        ),
    ),
)
"""The annex as first published."""
