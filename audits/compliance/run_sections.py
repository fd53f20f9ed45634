"""The sections about the run itself: its data, who took part, and how useful its model is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audits import numerals, scrubbing_wording, trust, wording
from audits.compliance.blocks import (
    Bullets,
    Cell,
    Column,
    Heading,
    Paragraph,
    Row,
    Section,
    Table,
    digest,
    pairs,
    table,
    text,
)
from audits.facts import GuaranteedFacts, HomomorphicSumFacts, MaskedSumFacts

if TYPE_CHECKING:
    from audits.compliance.blocks import Block
    from audits.facts import ReportFacts, ScoreFacts, ScrubbingFacts
    from privacy.scrubbing.modes.modes import ScrubMode

_DASH = "\u2013"


def data_section(facts: ReportFacts) -> Section:
    """Return what was trained on, and what was looked for in it before."""
    data = facts.data
    about = pairs(
        "The task's data. How many records a site has, and of which kind, stays at that site.",
        (
            ("Data set", data.name),
            ("Training records", wording.source_phrase(data.source)),
            ("Licence", data.licence),
            ("Labels", ", ".join(data.labels) or "none: every record brings its own options"),
            (
                "Evaluation records",
                f"{numerals.thousands(data.evaluation_records)}, held in common by the consortium",
            ),
        ),
    )
    looked = Paragraph(
        "Each site searches its records for the types of personal data listed here and replaces "
        "what it finds. A search can miss what it looks for. How much was found is written only "
        "in the site's own report."
    )
    modes = dict.fromkeys(entry.mode for entry in facts.scrubbing if entry.looked_for)
    return Section(
        "data",
        "Data and scrubbing",
        (
            about,
            *_noted(data.notes),
            Heading("What was looked for before training", "looked-for"),
            looked,
            *(Paragraph(scrubbing_wording.mode_sentence(mode)) for mode in modes),
            _coverage(facts.scrubbing),
        ),
    )


def _noted(notes: tuple[str, ...]) -> tuple[Block, ...]:
    """Return what was noted of the data as it was loaded; nothing where nothing was."""
    if not notes:
        return ()
    whose = Paragraph(
        "Noted by the coordinator as the data was loaded. No site claims these notes, and nothing "
        "that a site signed shows them."
    )
    return Heading("What was noted of the data", "noted"), whose, Bullets(notes)


def _coverage(scrubbing: tuple[ScrubbingFacts, ...]) -> Table:
    """Return who looked for what: one row for all sites that did the same."""
    groups: dict[tuple[ScrubMode, str, str], list[str]] = {}
    for entry in scrubbing:
        kind = (entry.mode, _entities(entry.looked_for), _entities(entry.not_looked_for))
        groups.setdefault(kind, []).append(entry.site)
    rows = tuple(
        Row((text(", ".join(sites)), text(found), text(missed)))
        for (_, found, missed), sites in groups.items()
    )
    columns = (Column("Site", 0.2), Column("Looked for", 0.4), Column("Not looked for", 0.4))
    return Table("Scrubbing, by site", columns, rows)


def _entities(names: tuple[str, ...]) -> str:
    return "; ".join(scrubbing_wording.entity_phrase(name) for name in names) or "nothing"


def federation_section(facts: ReportFacts) -> Section:
    """Return who took part, how updates travelled, and who has to be trusted with what."""
    federation = facts.federation
    parties = [(federation.coordinator, "coordinator")]
    parties += [(site, "site") for site in federation.sites]
    roster = Table(
        "Parties of the roster that the consortium signed, with the SHA-256 of each party's "
        "public key",
        (Column("Party", 0.19), Column("Role", 0.13), Column("Key fingerprint", 0.68)),
        tuple(
            Row((text(party.name), text(role), digest(party.key_fingerprint)))
            for party, role in parties
        ),
    )
    trusted = table(
        "Trust that the design does not remove",
        (
            Column("Who", 0.22),
            Column("Is trusted", 0.38),
            Column("If that trust is misplaced", 0.4),
        ),
        tuple((row.who, row.what, row.otherwise) for row in trust.trusts(facts)),
    )
    return Section(
        "federation",
        "Who took part, and how updates travelled",
        (
            _travel(facts),
            roster,
            Heading("Who has to be trusted, and for what", "trust"),
            trusted,
        ),
    )


def _travel(facts: ReportFacts) -> Table:
    run, base, method = facts.run, facts.base_model, facts.method
    rows: list[tuple[str, Cell | str]] = [
        ("Run identifier", digest(run.run_id)),
        ("Time", f"{numerals.date(run.started)} to {numerals.date(run.ended)}"),
        ("Base model", f"{base.name}, found in {base.source}"),
        ("Its weights (SHA-256)", digest(base.weights_sha256)),
        (
            "Method",
            (
                f"{method.name} ({method.reference}); its rule reads "
                f"{wording.view_phrase(method.view_needed)}"
            ),
        ),
        ("What was tuned", method.tuned),
        (
            "What a site sends",
            f"{method.sent}: {numerals.thousands(method.shared_parameters)} numbers in each round",
        ),
        ("The coordinator read", wording.view_phrase(facts.protection.view_revealed)),
        *_protection(facts),
        ("Assumed adversary", wording.adversary_phrase(facts.adversary)),
    ]
    return pairs("The run", tuple(rows))


def _protection(facts: ReportFacts) -> list[tuple[str, Cell | str]]:
    protection, sites = facts.protection, len(facts.federation.sites)
    match protection:
        case MaskedSumFacts():
            words = (
                f"{protection.cipher_suite}; at least {protection.threshold} of {sites} sites have "
                "to stay for a sum to be opened"
            )
            return [("Masking", words)]
        case HomomorphicSumFacts():
            words = (
                f"{protection.scheme}, one key for all sites, sent from site to site under "
                f"{protection.cipher_suite}; at least {protection.threshold} of {sites} sites have "
                "to stay for a sum to be opened"
            )
            who = "any one site together with the coordinator"
            return [("Encryption", words), ("Who could read single updates", who)]
        case _:
            return [("Masking", "none: every update was readable")]


def utility_section(facts: ReportFacts) -> Section:
    """Return how useful the model is, beside a baseline that learned nothing."""
    scored = [(row.round, row.scores) for row in facts.rounds if row.scores is not None]
    if not scored:
        words = "No finished round was scored: how useful the model is was not measured."
        return Section("utility", "Utility", (Paragraph(words),))
    last, scores = scored[-1]
    low, high = numerals.wilson_interval(scores.accuracy, facts.data.evaluation_records)
    majority = facts.utility.majority_accuracy
    rows = [("Most frequent label", numerals.percent(majority), _DASH, _DASH)]
    if facts.utility.before is not None:
        rows.append(_score_row("Before the first round", facts.utility.before))
    rows.append(_score_row(f"After round {last} of {facts.run.planned_rounds}", scores))
    columns = (
        Column("", 0.4),
        Column("Accuracy", 0.2, number=True),
        Column("Macro F1", 0.2, number=True),
        Column("Weighted F1", 0.2, number=True),
    )
    blocks: list[Block] = [
        Paragraph(wording.utility_sentence(scores.accuracy, low, majority)),
        table(
            f"Scores on {numerals.thousands(facts.data.evaluation_records)} evaluation records "
            "that the consortium holds in common",
            columns,
            tuple(rows),
        ),
        Paragraph(
            f"95{numerals.GAP}% interval of the last accuracy: {numerals.percent(low)} to "
            f"{numerals.percent(high)}, for an evaluation set of this size. The run's own report "
            "has the scores of every round.",
            note=True,
        ),
    ]
    return Section("utility", "Utility", tuple(blocks))


def _score_row(name: str, scores: ScoreFacts) -> tuple[str, str, str, str]:
    return (
        name,
        numerals.percent(scores.accuracy),
        _fraction(scores.macro_f1),
        _fraction(scores.weighted_f1),
    )


def _fraction(value: float | None) -> str:
    return _DASH if value is None else numerals.percent(value)


def claimed_table(facts: ReportFacts) -> Table | None:
    """Return every epsilon that the run states, and by what; None in mode none."""
    privacy = facts.privacy
    if not isinstance(privacy, GuaranteedFacts):
        return None
    rows = [
        (
            privacy.accountant,
            "claimed, of the whole plan",
            numerals.bound(privacy.epsilon, places=3),
        )
    ]
    rows += [
        (
            check.accountant,
            "approximation, not a bound" if check.approximation else "cross-check, not claimed",
            numerals.bound(check.epsilon, places=3),
        )
        for check in privacy.cross_checks
    ]
    rows.append(
        (
            "The sites' ledgers",
            "the largest charge, repeated draws included: the bound on page one",
            numerals.bound(privacy.highest_charge, places=3),
        )
    )
    return table(
        f"What the run claims, as epsilon at delta {numerals.plain(privacy.delta)}, rounded up",
        (
            Column("Calculated by", 0.42),
            Column("Use", 0.42),
            Column("Epsilon", 0.16, number=True),
        ),
        tuple(rows),
    )
