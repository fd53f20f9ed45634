"""Reference adapters, and the attack that guesses labels and words: what each model is asked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from audits.canaries import CanaryPlan, canaries_of
from audits.findings import Verdict
from audits.privacy_facts import NoPrivacyFacts, RecordPrivacyFacts, SitePrivacyFacts
from audits.release import inference_gates
from audits.release.inference_gates import ATTRIBUTES, LABELS
from audits.server.distinguish import Claimed
from crypto.errors import ConfigError
from crypto.secrets import SecretBytes
from privacy.events import Unit
from secure_fl.auditing import reference_adapters, release_inference
from secure_fl.auditing.canary_parts import claimed
from secure_fl.auditing.reference_adapters import REFERENCES, Seen, seen_by
from secure_fl.auditing.release_inference import gap_of
from secure_fl.canaries import record_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domains.records import Record
    from secure_fl.auditing.subject import Subject

CANARIES = canaries_of(SecretBytes(bytes(32)), CanaryPlan(40, (1, 4)))
RECORDS = tuple(record_of(canary, f"canary-{i}", 3) for i, canary in enumerate(CANARIES))


@dataclass
class FakeModel:
    """Stands for task and model: what it says of a record follows from what it was taught."""

    state: np.ndarray = field(default_factory=lambda: np.zeros(1, np.float32))
    lessons: list[tuple[float, tuple[str, ...], str]] = field(default_factory=list)
    says: dict[str, np.ndarray] = field(default_factory=dict)
    model: None = None

    def flat(self) -> np.ndarray:
        return self.state.copy()

    def load(self, state: np.ndarray) -> None:
        self.state = state.copy()

    def encode(self, records: Sequence[Record]) -> Sequence[Record]:
        return records

    def scores(
        self, model: None, records: Sequence[Record], micro_batch: int
    ) -> tuple[np.ndarray, ...]:
        del model, micro_batch
        return tuple(self.says[record.text] for record in records)

    def learn(self, *parts: Any, name: str = "", cache_layers: bool) -> None:  # noqa: ANN401 - as learn
        assert cache_layers
        texts = tuple(record.text for record in parts[3])
        self.lessons.append((float(self.state[0]), texts, name))
        self.state = self.state + len(self.lessons)


# -- what a model says -----------------------------------------------------------------------------


def seen(scores: Sequence[np.ndarray]) -> Seen:
    fake = cast("Any", FakeModel(says=dict(zip("abcdefgh", scores, strict=False))))
    records = [replace(RECORDS[0], text=name, label=0) for name in "abcdefgh"[: len(scores)]]
    return seen_by(fake, fake, records, 8)


@given(st.lists(st.lists(st.floats(-9, 9), min_size=2, max_size=5), min_size=1, max_size=8))
def test_confidences_are_those_of_plain_probabilities(scores: list[list[float]]) -> None:
    found = seen([np.array(each) for each in scores])
    for i, each in enumerate(scores):
        p = np.exp(each[0]) / np.exp(each).sum()
        assert found.confidences[i] == pytest.approx(np.log(p), abs=1e-9)
        assert found.scaled[i] == pytest.approx(np.log(p / (1 - p)), rel=1e-6, abs=1e-6)


def test_a_confidence_that_rounds_to_1_still_tells_more_from_less() -> None:
    found = seen([np.array([60.0, 0.0]), np.array([90.0, 0.0])])
    assert found.scaled.tolist() == [60.0, 90.0]
    assert (found.confidences <= 0).all()


@pytest.mark.parametrize("log_p", [-20.0, -0.5, -1e-12, 0.0, 1e-7])
def test_of_one_answer_among_all_texts_the_rest_is_what_it_leaves(log_p: float) -> None:
    found = seen([np.array([log_p])])
    assert found.confidences[0] == min(log_p, 0.0), "a rounding above 0 is no confidence"
    assert np.isfinite(found.scaled[0])
    if log_p < -1e-6:
        assert found.scaled[0] == pytest.approx(log_p - np.log(1 - np.exp(log_p)))


# -- what is claimed -------------------------------------------------------------------------------


def test_what_a_run_claims_of_a_record_that_is_there_or_not() -> None:
    """A site with the record and without it are two steps of zero-out apart, over zero."""

    def of(privacy: object) -> Claimed | None:
        return claimed(cast("Any", SimpleNamespace(facts=SimpleNamespace(privacy=privacy))))

    def site(epsilon: float) -> SitePrivacyFacts:
        return SitePrivacyFacts.model_construct(unit=Unit.SITE, epsilon=epsilon, delta=1e-5)

    assert of(NoPrivacyFacts.model_construct()) is None
    record = RecordPrivacyFacts.model_construct(unit=Unit.RECORD, epsilon=3.0, delta=1e-5)
    assert of(record) == Claimed(3.0, 1e-5)
    twice = of(site(3.0))
    assert twice is not None
    assert twice.epsilon == 6.0
    assert twice.delta == pytest.approx(1e-5 + np.exp(3.0) * 1e-5)
    assert of(site(100.0)) == Claimed(200.0, 1.0)


# -- reference adapters ----------------------------------------------------------------------------


def test_each_reference_learns_a_half_from_the_start_and_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake, noted = FakeModel(), []
    monkeypatch.setattr(reference_adapters, "learn", fake.learn)
    monkeypatch.setattr(
        reference_adapters,
        "seen_by",
        lambda *parts: Seen(-np.full(len(parts[2]), fake.state[0]), np.full(80, fake.state[0])),
    )
    runtime = SimpleNamespace(cache_layers=True, micro_batch=8)
    any_fake = cast("Any", fake)
    found = reference_adapters.reference_adapters(
        cast("Any", None), cast("Any", runtime), any_fake, any_fake, RECORDS, noted.append
    )
    assert noted == [1, 2, 3, 4]
    assert [start for start, _, _ in fake.lessons] == [0.0] * REFERENCES
    assert fake.state.tolist() == [0.0]
    assert len({name for _, _, name in fake.lessons}) == REFERENCES
    for number, (_, texts, _) in enumerate(fake.lessons):
        inside = [r.text for r, own in zip(RECORDS, found.inside[number], strict=True) if own]
        assert list(texts) == inside
        assert len(texts) == len(RECORDS) // 2
        # Each is asked after its own lesson.
        assert set(found.scaled[number]) == {number + 1.0}
        assert set(found.confidences[number]) == {-(number + 1.0)}


def test_who_was_a_member_decides_nothing_in_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that knew the coin would score for the attack what the release did not say."""
    fake = FakeModel()
    monkeypatch.setattr(reference_adapters, "learn", fake.learn)
    monkeypatch.setattr(
        reference_adapters, "seen_by", lambda *_: Seen(np.zeros(80), np.arange(80.0))
    )
    runtime = cast("Any", SimpleNamespace(cache_layers=True, micro_batch=8))
    any_fake = cast("Any", fake)
    reference_adapters.reference_adapters(
        cast("Any", None), runtime, any_fake, any_fake, RECORDS, lambda _: None
    )
    members = {record.text for record, c in zip(RECORDS, CANARIES, strict=True) if c.member}
    for _, texts, _ in fake.lessons:
        share = len(members & set(texts)), len(members)
        assert stats.hypergeom.cdf(share[0], 80, share[1], 40) > 1e-4
        assert stats.hypergeom.sf(share[0] - 1, 80, share[1], 40) > 1e-4


# -- the gap ---------------------------------------------------------------------------------------


@given(st.integers(0, 2**53 - 1), st.integers(0, 79))
def test_a_gap_is_the_canary_with_sixteen_words_in_one_place(salt: int, which: int) -> None:
    canary, record = replace(CANARIES[which], salt=salt), RECORDS[which]
    gap = gap_of(canary, record)
    assert len(gap.filled) == 16
    assert gap.filled[gap.place].text == record.text
    own = record.text.split(" ")
    for filled in gap.filled:
        words = filled.text.split(" ")
        assert [a == b for a, b in zip(words, own, strict=True) if a != b] in ([], [False])
        assert (words[:3], words[4:]) == (own[:3], own[4:])
        assert filled.label == record.label
    assert len({filled.id for filled in gap.filled}) == 16
    assert gap_of(canary, record) == gap, "whoever repeats the audit asks the same"


@given(salt=st.integers(0, 2**53 - 1), coin=st.booleans(), label=st.integers(0, 2**31 - 1))
def test_the_words_beside_it_know_neither_coin_nor_label_nor_text(
    salt: int, *, coin: bool, label: int
) -> None:
    one = replace(CANARIES[0], salt=salt)
    other = replace(CANARIES[1], salt=salt, member=coin, drawn_label=label)
    gaps = gap_of(one, RECORDS[0]), gap_of(other, record_of(other, "x", 3))
    assert gaps[0].place == gaps[1].place
    words = [[filled.text.split(" ")[3] for filled in gap.filled] for gap in gaps]
    beside = [[w for i, w in enumerate(each) if i != gaps[0].place] for each in words]
    assert beside[0] == beside[1]


def test_whoever_sees_all_words_cannot_tell_which_stood_there() -> None:
    """Its place is uniform, and so is where it stands among them in the order of the alphabet."""
    places, orders = [], []
    for salt in range(640):
        canary = canaries_of(SecretBytes(salt.to_bytes(32, "big")), CanaryPlan(1, (1,)))[0]
        gap = gap_of(canary, record_of(canary, "x", 3))
        words = [filled.text.split(" ")[3] for filled in gap.filled]
        places.append(gap.place)
        orders.append(sorted(words).index(words[gap.place]))
    for found in (places, orders):
        assert stats.chisquare(np.bincount(found, minlength=16)).pvalue > 1e-3


# -- both gates ------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    """A release that is sure of every member's label, and of no other text's."""
    fake = FakeModel()

    def release(adapted: FakeModel, _: object) -> None:
        adapted.load(np.array([100.0], np.float32))

    def scores(model: None, records: Sequence[Record], _: int) -> tuple[np.ndarray, ...]:
        del model
        known = fake.state[0] * np.isin([r.text for r in records], inside)
        return tuple(k * np.eye(3)[r.label] for k, r in zip(known, records, strict=True))

    inside = [r.text for r, canary in zip(RECORDS, CANARIES, strict=True) if canary.member]
    monkeypatch.setattr(fake, "scores", scores)
    monkeypatch.setattr(release_inference, "learn", fake.learn)
    monkeypatch.setattr(release_inference, "load_adapter", release)
    monkeypatch.setattr(release_inference, "build_task", lambda *_: (fake, fake))
    monkeypatch.setattr(release_inference, "opened", lambda _: list(CANARIES))
    monkeypatch.setattr(release_inference, "claimed", lambda _: None)
    return fake


def subject(**canaries: object) -> Subject:
    section = SimpleNamespace(**{"answers": "labels", "repetitions": (1, 4), **canaries})
    return cast(
        "Any",
        SimpleNamespace(
            config=SimpleNamespace(
                mechanism=SimpleNamespace(canaries=section),
                runtime=SimpleNamespace(cache_layers=True, micro_batch=8),
            ),
            facts=SimpleNamespace(data=SimpleNamespace(labels=("a", "b", "c"))),
            folder=SimpleNamespace(path="run"),
        ),
    )


def test_one_positive_control_from_the_start_serves_both_gates(asked: FakeModel) -> None:
    labels, words = release_inference.run(subject(), lambda *_: None)
    assert [each.gate for each in (labels, words)] == [LABELS, ATTRIBUTES]
    ((start, taught, _),) = asked.lessons
    assert start == 0.0, "the positive control knows nothing of the release"
    assert list(taught) == [r.text for r, c in zip(RECORDS, CANARIES, strict=True) if c.member]
    for finding in (labels, words):
        assert finding.statistic is not None
        assert finding.statistic.value == 1.0
        shares = {each.name: each.value for each in finding.details}
        assert shares["share guessed right among controls"] == 0
        assert shares["share guessed right under the positive control"] == 1
    assert "share guessed right of those of 4 repetitions, decides nothing" in str(labels.details)


def test_a_gate_that_fails_does_not_lose_the_other(
    asked: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one repetition there are few, and of all enough."""
    few = [c for c in CANARIES if c.repetitions == 4 or c.index < 10]
    monkeypatch.setattr(release_inference, "opened", lambda _: few)
    labels, words = release_inference.run(subject(), lambda *_: None)
    assert labels.verdict is Verdict.INCONCLUSIVE
    assert words.verdict is Verdict.NOT_RUN
    assert "8 of each are needed at least" in words.reason
    assert len(asked.lessons) == 1


def test_without_canaries_of_one_repetition_no_model_is_asked(
    asked: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    often = [canary for canary in CANARIES if canary.repetitions == 4]
    monkeypatch.setattr(release_inference, "opened", lambda _: often)
    found = release_inference.run(subject(), lambda *_: pytest.fail("asked"))
    assert [(each.gate, each.verdict) for each in found] == [
        (LABELS, Verdict.NOT_RUN),
        (ATTRIBUTES, Verdict.NOT_RUN),
    ]
    assert {each.reason for each in found} == {inference_gates.NONE_ONCE}
    assert not asked.lessons


def test_canaries_without_labels_have_none_to_guess() -> None:
    with pytest.raises(ConfigError, match="no canaries with labels"):
        release_inference.run(subject(answers="secrets"), lambda *_: None)
