"""SR 26-2 and OCC Bulletin 2026-13: model risk at banks, and SR 11-7 which they replace."""

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

MODEL_RISK_SR_26_2: Final = Instrument(
    slug="sr-26-2",
    name="SR 26-2 and OCC Bulletin 2026-13, revised guidance on model risk management",
    version="in the place of SR 11-7 and OCC Bulletin 2011-12",
    dated=date(2026, 4, 17),
    publisher="Federal Reserve, OCC and FDIC (United States)",
    wording=Wording(
        compared=False,
        how="What was read is the beginning of the bulletin and the agencies' announcements, which "
        "name the parts of the guidance. The rows keep to these parts.",
    ),
    notes=(
        (
            "The agencies expect it to matter most to banks with more than 30 billion dollars in "
            "assets, and call it no enforceable standard."
        ),
        (
            "Readers of the guidance report that generative and agentic AI are outside its scope: "
            "find out whether this model is inside."
        ),
        (
            "Who still works by SR 11-7 (4 April 2011, superseded) finds the same three parts "
            "there: development and use, validation, governance."
        ),
    ),
    questions=(
        Question(
            "Development and use",
            "Purpose, design and data of the model",
            needing(joined(run.model, run.sources), "State the purpose and the permitted use."),
            Place.FEDERATION,
        ),
        Question(
            "Development and use",
            "Assumptions and limits",
            needing(joined(guarantee.trusted, run.limits), "Add those of the business use."),
            Place.LIMITS,
        ),
        Question(
            "Development and use",
            "Tests during development",
            needing(run.utility, "Test on records of each site and under stress."),
            Place.UTILITY,
        ),
        Question(
            "Validation",
            "Is the method sound?",
            needing(
                joined(guarantee.mechanism, guarantee.selection),
                "Have people who did not build it judge the method.",
            ),
            Place.EPSILON,
        ),
        Question(
            "Validation",
            "Do outcomes agree with what was claimed?",
            joined(guarantee.parameters, run.attacks),
            Place.RESULTS,
        ),
        Question(
            "Validation",
            "Were those who challenged it independent and able?",
            nothing("Name them: this audit was made by software of the same project."),
        ),
        Question(
            "Monitoring",
            "Is the model watched in use?",
            nothing("Plan what is measured, how often, and what ends its use."),
        ),
        Question(
            "Governance and controls",
            "Is the model in the inventory, with its versions?",
            needing(joined(run.identity, run.versions), "Enter it, with owner and rating of risk."),
            Place.VERIFY,
        ),
        Question(
            "Governance and controls",
            "Who may change or approve it, and what shows that nobody else did?",
            needing(run.signatures, "Name the roles, and who approves."),
            Place.VERIFY,
        ),
        Question("Products of others", "What is known of parts by others?", run.base_model),
    ),
)
"""The guidance of 2026."""
