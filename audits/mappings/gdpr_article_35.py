"""GDPR, Article 35: what a data protection impact assessment contains."""

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

GDPR_ARTICLE_35: Final = Instrument(
    slug="gdpr-article-35",
    name="General Data Protection Regulation (EU) 2016/679, Article 35(7), impact assessment",
    version="as adopted",
    dated=date(2016, 4, 27),
    publisher="European Parliament and Council",
    wording=Wording(
        compared=True,
        how="Copies of paragraphs 2, 7, 9 and 11; not the Official Journal.",
    ),
    notes=("Each site answers for its own assessment. This report can be an annex to it.",),
    questions=(
        Question(
            "35(7)(a)",
            "What is processed, how, and for which purposes?",
            needing(
                joined(run.sources, run.model, run.minimisation),
                "State the purposes, the interest pursued, and the people concerned.",
            ),
            Place.FEDERATION,
        ),
        Question(
            "35(7)(b)",
            "Is the processing necessary, and in proportion to its purposes?",
            needing(
                joined(run.scrubbing, run.utility),
                "Weigh the use against the intrusion, and against milder means.",
            ),
            Place.UTILITY,
        ),
        Question(
            "35(7)(c)",
            "Which risks are there to the people concerned?",
            needing(
                joined(guarantee.parameters, run.attacks),
                "Assess how likely and how severe each risk is for them.",
            ),
            Place.RESULTS,
        ),
        Question(
            "35(7)(d)",
            "Which measures, safeguards and security address the risks?",
            needing(
                joined(guarantee.trusted, run.sums, run.scrubbing, run.signatures),
                "Add the measures at the sites and wherever the model is used.",
            ),
            Place.FEDERATION,
        ),
        Question(
            "35(2)",
            "Was the data protection officer asked?",
            nothing("Ask, and keep the advice."),
        ),
        Question(
            "35(9)",
            "Were the people concerned heard, where that is fitting?",
            nothing("Hear them, or say why not."),
        ),
        Question(
            "35(11)",
            "Is the assessment reviewed when the risk changes?",
            nothing("Review it after every run: budgets add up, and a new audit may find more."),
        ),
    ),
)
"""The contents of an impact assessment."""
