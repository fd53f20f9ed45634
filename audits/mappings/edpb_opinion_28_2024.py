"""EDPB Opinion 28/2024: what a supervisory authority looks at when a model is called anonymous."""

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

EDPB_OPINION_28_2024: Final = Instrument(
    slug="edpb-opinion-28-2024",
    name="EDPB Opinion 28/2024 on data protection in the context of AI models",
    version="as adopted",
    dated=date(2024, 12, 17),
    publisher="European Data Protection Board",
    wording=Wording(
        compared=False,
        how="What was read is the beginning of the opinion with its executive summary, the "
        "board's announcement, and a summary of the list of measures.",
    ),
    notes=(
        (
            "Whether a model is anonymous is decided case by case. This report does not say that "
            "the model is, and a bound or an attack that failed does not make it so."
        ),
    ),
    questions=(
        Question(
            "Sources",
            "How were the sources chosen, and which were left out?",
            needing(run.sources, "Say how sources were chosen, and which were left out as unfit."),
            Place.DATA,
        ),
        Question(
            "Preparation and minimisation",
            "Was personal data removed, replaced or avoided before training?",
            run.scrubbing,
            Place.DATA,
        ),
        Question(
            "Choice of method",
            "Does the training limit what the model keeps of one person?",
            guarantee.parameters,
            Place.EPSILON,
        ),
        Question(
            "Choice of method",
            "Is it a person that is protected, or only a record?",
            guarantee.person,
            Place.PROMISE,
        ),
        Question(
            "Outputs",
            "Do measures in the model make it harder to query for personal data?",
            nothing("Name the filters and limits of whatever serves the model."),
        ),
        Question(
            "Analysis of the model",
            "Did somebody check that the measures were carried out, and how?",
            needing(run.signatures, "Have somebody independent read them, inside or outside."),
            Place.VERIFY,
        ),
        Question(
            "Tests against attacks",
            "Was the model tested for membership, extraction, inversion and reconstruction?",
            joined(run.attacks, run.release_attacks),
            Place.RESULTS,
        ),
        Question(
            "Documentation",
            "Is there a record of risks, measures and advice?",
            needing(run.limits, "Keep the impact assessment and the officer's advice beside it."),
            Place.LIMITS,
        ),
        Question(
            "Anonymity",
            "Is extraction, directly or by queries, insignificant for everybody?",
            nothing("Decide it for this model, with all means that are likely to be used."),
        ),
        Question(
            "Legitimate interest",
            "Is the interest lawful, the processing necessary, the balance right?",
            nothing("Make and keep the assessment in its three steps."),
        ),
        Question(
            "Unlawful development",
            "Was the base model, or this one, trained on data that was obtained unlawfully?",
            needing(run.base_model, "Say on which legal basis the records were used."),
            Place.FEDERATION,
        ),
    ),
)
"""The opinion, as adopted."""
