"""The attack that asks the released adapter for the secrets of the run's canaries.

Secrets follow from the seeds that the sites opened, checked against what they signed before the
first round. The candidates beside each follow from its salt, which was drawn apart from it: whoever
repeats the audit ranks the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from audits.canaries import SECRETS, secret_of
from audits.release import likelihood_scores
from audits.release.exposure import exposure
from audits.release.extraction import extracted
from audits.release.secret_gates import MembershipScores, SecretEvidence, secret_findings
from audits.release.token_evidence import text_evidence
from crypto.errors import ConfigError
from domains.causal import CausalAnswers
from domains.prompts import TaskPrompt
from secure_fl.auditing.canary_parts import Lesson, claimed, learn, opened
from secure_fl.canaries import record_of
from secure_fl.evaluation import load_adapter
from secure_fl.sites.workbench import build_task, resolve_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from audits.canaries import Canary
    from audits.findings import Finding
    from audits.release.token_evidence import TextEvidence
    from domains.encoding import EncodedRecords
    from domains.records import Record
    from secure_fl.auditing.subject import Subject
    from secure_fl.sites.adapted_model import AdaptedModel

_FEWEST, _MOST = 64, 1024
"""Candidates beside one secret, itself included: the more, the larger an epsilon can be refuted."""
_MOST_READ: Final = 1 << 16
"""Texts that one model reads to rank all secrets, unless the fewest candidates are more."""
_SHARE: Final = 0.2
"""Of a secret's tokens, those that Min-K%++ averages."""
_STEPS: Final = 4
_BY_HEART: Final = Lesson(passes=120, most_steps=480, rate=5e-3, head_rate=1e-2)
"""Eight digits take longer to learn than one label of a few."""


@dataclass(frozen=True, eq=False)
class _Asked:
    """The run's secrets as a language model is asked for them.

    Attributes:
        task: of the run.
        records: one for each canary, its secret the only answer.
        candidates: the same with every candidate as an answer, the secret first, encoded.
        micro_batch: texts in one forward pass.
    """

    task: CausalAnswers
    records: tuple[Record, ...] = field(repr=False)
    candidates: EncodedRecords = field(repr=False)
    micro_batch: int

    def scores(self, adapted: AdaptedModel) -> NDArray[np.float64]:
        """Return log p of every candidate given its question, in nats, (n, R)."""
        return np.stack(self.task.scores(adapted.model, self.candidates, self.micro_batch))

    def read(self, adapted: AdaptedModel) -> _Read:
        """Return what the model says of each secret's tokens."""
        texts, recited = [], []
        for record in self.records:
            logits, tokens = self.task.answer_logits(adapted.model, record)
            texts.append(text_evidence(record.options[0], logits, tokens))
            recited.append(extracted(logits.argmax(axis=1), tokens).shared)
        return _Read(tuple(texts), np.array(recited))


@dataclass(frozen=True, eq=False)
class _Read:
    """What a model says of the run's n secrets alone.

    Attributes:
        texts: token by token.
        recited: the share of each that it writes by itself after the question, (n,). A model that
            writes the likeliest token each time has written the secret up to the first that is not
            the likeliest after those before it: so far both read the same.
    """

    texts: tuple[TextEvidence, ...] = field(repr=False)
    recited: NDArray[np.float64] = field(repr=False)


def run(subject: Subject, note: Callable[[int, int], None]) -> tuple[Finding, ...]:
    """Return what the run's secrets say of its release.

    Raises:
        ConfigError: the run's canaries have no secrets, or are not enough; its base model is not
            here.
        IntegrityError: the folder's log or adapter is damaged.
    """
    mechanism, labels = subject.config.mechanism, subject.facts.data.labels
    section = mechanism.canaries
    if section is None or section.answers != "secrets":
        raise ConfigError(
            'The run\'s canaries have no secrets (`mechanism.canaries.answers = "secrets"`, of a '
            "language model): what its release recites was not tested."
        )
    canaries = opened(subject)
    members = np.array([canary.member for canary in canaries])
    note(0, _STEPS)
    task, adapted = build_task(mechanism, labels, subject.config.runtime)
    asked = _asked(subject, canaries)
    before, plain = asked.scores(adapted), asked.read(adapted)
    start = adapted.flat()
    note(1, _STEPS)
    load_adapter(adapted, subject.folder.path)
    after, tuned = asked.scores(adapted), asked.read(adapted)
    note(2, _STEPS)
    adapted.load(start)
    inside = [record for record, own in zip(asked.records, members, strict=True) if own]
    learn(mechanism, task, adapted, inside, lesson=_BY_HEART)
    known = asked.scores(adapted)
    note(3, _STEPS)
    by_loss = section.headline == "loss"
    base = np.zeros_like(before) if by_loss else before
    evidence = SecretEvidence(
        ranks=_ranks(after - base),
        known=_ranks(known - base)[members],
        candidates=before.shape[1],
        members=members,
        repetitions=np.array([canary.repetitions for canary in canaries], np.int64),
        recited=tuned.recited,
        scores=_membership(tuned.texts, plain.texts),
        attack="the loss" if by_loss else "the loss below that before the first round",
    )
    found = secret_findings(evidence, claimed(subject))
    note(_STEPS, _STEPS)
    return found


def _asked(subject: Subject, canaries: Sequence[Canary]) -> _Asked:
    mechanism, runtime = subject.config.mechanism, subject.config.runtime
    labels, prompt = subject.facts.data.labels, mechanism.prompt
    if prompt is None:
        raise ConfigError(
            "The run asks no language model: no secret was tested. Name one in `mechanism.prompt`."
        )
    # Every candidate is an answer, and the question lists none, as in training.
    unlisted = TaskPrompt(prompt.template.replace("{options}", ""))
    resolved = resolve_model(mechanism.model, runtime)
    task = CausalAnswers(resolved, labels, unlisted, prompt.form(), mechanism.model.max_length)
    records = tuple(record_of(each, f"canary-{i}", len(labels)) for i, each in enumerate(canaries))
    count = choices_of(len(canaries))
    beside = [
        replace(record, options=(*record.options, *others(canary, count - 1)))
        for canary, record in zip(canaries, records, strict=True)
    ]
    return _Asked(task, records, task.encode(beside), runtime.micro_batch)


def choices_of(secrets: int) -> int:
    """Return among how many candidates each of so many secrets is ranked: a power of two."""
    affordable = _MOST_READ // max(1, secrets)
    return min(_MOST, max(_FEWEST, 1 << max(0, affordable.bit_length() - 1)))


def others(canary: Canary, count: int) -> tuple[str, ...]:
    """Return `count` different secrets beside the canary's own, uniform, drawn by its salt."""
    rng = np.random.default_rng(canary.salt)
    found: dict[str, None] = {}
    while len(found) < count:
        secret = secret_of(int(rng.integers(SECRETS)))
        if secret != canary.secret:
            found[secret] = None
    return tuple(found)


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (n,) the place of the first of each row's scores (n, R), ties above it."""
    return np.array([exposure(row[0], row[1:]).rank for row in scores], np.int64)


def _membership(
    tuned: Sequence[TextEvidence], plain: Sequence[TextEvidence]
) -> tuple[MembershipScores, ...]:
    """Return what attacks on texts make of the secrets' tokens."""
    scores = {
        "the loss": likelihood_scores.loss_score,
        "Min-K%++": likelihood_scores.min_k_plus_plus_score(_SHARE),
        "zlib": likelihood_scores.zlib_score,
    }
    calibrated = np.array(
        [likelihood_scores.calibrated(*pair) for pair in zip(tuned, plain, strict=True)]
    )
    return (
        *(
            MembershipScores(name, np.array([score(each) for each in tuned]))
            for name, score in scores.items()
        ),
        MembershipScores("the loss below that before the first round", calibrated),
    )
