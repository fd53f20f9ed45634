"""45 CFR 164.514(a) to (c): when health information counts as de-identified."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final

from audits.mappings import guarantee_answers as guarantee
from audits.mappings import run_answers as run
from audits.mappings.instrument import (
    Instrument,
    Place,
    Question,
    Wording,
    joined,
    left,
    needing,
    nothing,
    partly,
)
from privacy.scrubbing.modes.modes import SAFE_HARBOR_IDENTIFIERS, Identifier, ScrubMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from audits.compliance.document import ComplianceDocument
    from audits.mappings.instrument import Answer

_NOT_ALL = "Measure on a labelled sample what was missed."


def identifier(entry: Identifier) -> Callable[[ComplianceDocument], Answer]:
    """Return the answer to whether one of the eighteen identifiers was taken out.

    It is never answered: that all of them were found is not known.
    """

    def asked(document: ComplianceDocument) -> Answer:
        entries = document.facts.scrubbing
        if not entry.entities:
            return left("Not looked for: text cannot hold one.", "Keep pictures out.")
        looked_for = [set(site.looked_for) for site in entries]
        everywhere = [name for name in entry.entities if all(name in s for s in looked_for)]
        others = [name for name in entry.entities if name not in everywhere]
        if not any(set(entry.entities) & found for found in looked_for):
            return left(
                f"No site looked for {', '.join(others)}.", "Take them out, or say why none occur."
            )
        if not others:
            return partly(f"Looked for at every site: {', '.join(everywhere)}.", _NOT_ALL)
        return partly(
            f"Looked for at every site: {', '.join(everywhere) or 'none'}; not at every site: "
            f"{', '.join(others)}.",
            f"Take out the others too. {_NOT_ALL}",
        )

    return asked


def _modes(document: ComplianceDocument, mode: ScrubMode) -> list[str]:
    return [
        entry.site for entry in document.facts.scrubbing if entry.mode is mode and entry.looked_for
    ]


def expert(document: ComplianceDocument) -> Answer:
    """Answer whether an expert determined that the risk is very small."""
    sites = _modes(document, ScrubMode.EXPERT_DETERMINATION)
    if not sites:
        return left(
            "No site replaced identifiers in the mode for experts.",
            "If this way is taken: have an expert determine the risk, and keep the reasons.",
        )
    return partly(
        f"{len(sites)} of {len(document.facts.scrubbing)} sites replaced identifiers in the mode "
        "for experts. Whether there is a determination stands in each site's own report.",
        "Have an expert determine the risk, and keep method and result.",
    )


def codes(document: ComplianceDocument) -> Answer:
    """Answer whether a replacement could lead back to a person."""
    keyed = _modes(document, ScrubMode.EXPERT_DETERMINATION)
    drawn = _modes(document, ScrubMode.SAFE_HARBOR)
    if keyed:
        return partly(
            f"{len(keyed)} sites replaced values by surrogates that follow from the value and a "
            "secret of the site.",
            "Have the expert judge these surrogates, and keep the secrets secret.",
        )
    if drawn:
        return partly(
            f"{len(drawn)} sites replaced values by surrogates drawn at random, not derived from "
            "them.",
            "Say whether a code for re-identification is kept anywhere else.",
        )
    return left(
        "No site wrote surrogates: types, such as PERSON, stand in the place of what was found, or "
        "nothing was replaced.",
        "Say whether a code for re-identification is kept anywhere.",
    )


HIPAA_164_514: Final = Instrument(
    slug="hipaa-164-514",
    name="HIPAA Privacy Rule, 45 CFR 164.514(a) to (c), de-identification",
    version="as the department's guidance on de-identification reproduces it",
    dated=date(2012, 11, 26),
    publisher="Department of Health and Human Services (United States)",
    wording=Wording(
        compared=True,
        how="A copy of paragraphs (a) to (c), in a public body's reproduction of that guidance; "
        "not the current Code of Federal Regulations.",
    ),
    notes=(
        (
            "The rule is about information that is disclosed. Records stay at the sites; what is "
            "handed on is a model that was trained on them."
        ),
    ),
    questions=(
        Question(
            "(a)",
            "Could what is handed on identify anybody?",
            needing(joined(guarantee.parameters, run.release_attacks), "Judge it for this model."),
            Place.RESULTS,
        ),
        Question(
            "(b)(1)", "Has an expert determined that the risk is very small?", expert, Place.DATA
        ),
        *(
            Question(
                f"(b)(2)(i)({entry.letter})",
                f"Taken out: {entry.words}",
                identifier(entry),
                Place.DATA,
            )
            for entry in SAFE_HARBOR_IDENTIFIERS
        ),
        Question(
            "(b)(2)(ii)",
            "Does anybody know that what is left could identify somebody?",
            nothing("Attest it at every site."),
        ),
        Question("(c)", "Can a replacement be led back to a person?", codes, Place.DATA),
    ),
)
"""The paragraphs on de-identification."""
