"""What canaries say of a release: every verdict of both gates, and how often a claim alarms."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats

from audits.canaries import CanaryPlan, canaries_of
from audits.findings import Basis, Finding, Point, Series, SeriesKind, Verdict, Window
from audits.release import canary_bounds
from audits.release import canary_gates as gates
from audits.release.blind import BlindTest, blind_test
from audits.release.canary_gates import CanaryEvidence, canary_findings
from audits.server.distinguish import Claimed
from audits.statistics import bounds
from audits.statistics.gaussian_dp import mu_of_epsilon
from audits.statistics.scores import CanaryScores
from crypto.errors import ConfigError
from crypto.secrets import SecretBytes

DELTA = 1e-5
SMALL = Claimed(1.0, DELTA)
UNLUCKY = 1e-4
ATTACK = "the loss of the released model"


@dataclass(frozen=True)
class Synthetic:
    """Scores of canaries: N(0, 1), and of members `mu` times their repetitions more."""

    each: int = 400
    repetitions: tuple[int, ...] = (1,)
    mu: float = 0.0
    control: float = 3.0
    number: int = 0

    def draw(self) -> CanaryEvidence:
        rng = np.random.default_rng([7, self.number])
        seed = SecretBytes(hashlib.sha256(bytes([self.number & 255, self.number >> 8])).digest())
        canaries = canaries_of(seed, CanaryPlan(self.each, self.repetitions))
        members = np.array([canary.member for canary in canaries])
        counts = np.array([canary.repetitions for canary in canaries], np.int64)
        return CanaryEvidence(
            scores=rng.normal(size=members.size) + self.mu * counts * members,
            control=rng.normal(size=members.size) + self.control * members,
            members=members,
            repetitions=counts,
            texts=tuple(canary.text for canary in canaries),
            attack=ATTACK,
        )


@pytest.fixture(autouse=True)
def _texts_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blind baseline has tests of its own, and takes most of the time."""
    monkeypatch.setattr(gates, "blind_test", lambda *_, **__: BlindTest(0.5, 0.5, 1))


@pytest.fixture
def _texts_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer dealings, and a p-value that is too good in proportion."""
    monkeypatch.setattr(gates, "blind_test", blind_test)
    monkeypatch.setattr(gates, "_DEALINGS", 199)
    monkeypatch.setattr(gates, "_BLIND", 1e-2)


def found(evidence: CanaryEvidence, claimed: Claimed | None = SMALL) -> tuple[Finding, Finding]:
    return canary_findings(evidence, claimed, np.random.default_rng(0))


def measured(finding: Finding, words: str) -> float:
    (value,) = [each.value for each in finding.details if words in each.name]
    assert value is not None
    return value


# -- the verdicts ----------------------------------------------------------------------------------


def test_members_that_nobody_finds_do_not_refute_a_small_epsilon() -> None:
    once, repeated = found(Synthetic().draw())
    assert once.verdict is Verdict.NOT_REFUTED
    assert (once.gate, once.window, once.basis) == (gates.ONCE, Window.RELEASE, Basis.RUN)
    assert once.samples == 400
    assert once.ceiling is not None
    assert once.ceiling > 1.0
    assert measured(once, "epsilon at least") < 1.0
    assert abs(measured(once, "area under the ROC curve") - 0.5) < 0.1
    assert measured(once, "area of the positive control") > 0.9
    assert "1 is claimed; of " in once.reason
    assert "canaries of 1 repetition," in once.reason
    assert once.statistic is not None
    assert once.statistic.name.endswith(ATTACK)
    assert repeated.verdict is Verdict.NOT_RUN
    assert "repeats none of its canaries" in repeated.reason


def test_members_that_everybody_finds_violate_it() -> None:
    once, _ = found(Synthetic(mu=4.0).draw())
    assert once.verdict is Verdict.VIOLATED
    assert measured(once, "epsilon at least") > 1.0
    assert once.statistic is not None
    assert once.statistic.value is not None
    assert once.statistic.value > 0.8
    assert measured(once, "false-positive rate that was realised") <= 0.01


def test_each_gate_speaks_of_its_own_repetitions() -> None:
    """One repetition hides, eight shout: the claim for eight is eight times as large."""
    drawn = Synthetic(each=400, repetitions=(1, 2, 8), mu=0.6).draw()
    once, repeated = found(drawn, Claimed(0.2, DELTA))
    assert once.verdict is not Verdict.VIOLATED
    assert "canaries of 1 repetition," in once.reason
    assert repeated.gate == gates.REPEATED
    assert repeated.verdict is Verdict.VIOLATED
    assert "canaries of 8 repetitions," in repeated.reason
    assert "and 1.6 is claimed" in repeated.reason
    # Their controls are all that there are: a control is in no record, however often.
    controls = int((~drawn.members).sum())
    for finding, count in ((once, 1), (repeated, 8)):
        mine = int((drawn.members & (drawn.repetitions == count)).sum())
        assert finding.samples == mine + controls


def test_a_run_whose_canaries_are_all_repeated_says_nothing_of_one_repetition() -> None:
    once, repeated = found(Synthetic(repetitions=(4,)).draw())
    assert once.verdict is Verdict.NOT_RUN
    assert "has no canaries of one repetition" in once.reason
    assert once.claim == gates.CLAIM_ONCE
    assert repeated.verdict is not Verdict.NOT_RUN
    assert "canaries of 4 repetitions," in repeated.reason


def test_repetitions_are_compared_by_group_privacy() -> None:
    drawn = Synthetic(each=300, repetitions=(1, 3), mu=1.0).draw()
    claimed = Claimed(0.5, DELTA)
    _, repeated = found(drawn, claimed)
    mine = drawn.repetitions == 3
    members, controls = mine & drawn.members, mine & ~drawn.members
    scores = CanaryScores.of(drawn.scores[members], drawn.scores[controls])
    expected = bounds.lower_bound(
        scores,
        bounds.f_dp_bound,
        bounds.Beforehand(75),
        delta=3 * math.exp(2 * 0.5) * DELTA,
        significance=1e-4,
    )
    assert expected.epsilon > 0
    assert measured(repeated, "epsilon at least") == pytest.approx(expected.epsilon, rel=1e-6)
    (limit,) = [each.limit for each in repeated.details if "epsilon at least" in each.name]
    assert limit == 1.5


def test_where_group_privacy_says_nothing_there_is_nothing_to_refute() -> None:
    """k e^((k-1) epsilon) delta is above 1: every mechanism keeps that."""
    drawn = Synthetic(repetitions=(1, 8), mu=4.0).draw()
    _, repeated = found(drawn, Claimed(8.0, DELTA))
    assert repeated.verdict is Verdict.INCONCLUSIVE
    assert "At 8 repetitions epsilon 8 claims nothing any more" in repeated.reason
    assert repeated.ceiling is None


def test_a_run_that_claims_nothing_cannot_be_refuted_and_shows_what_leaks() -> None:
    for finding in found(Synthetic(repetitions=(1, 4), mu=4.0).draw(), None):
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert "The run claims nothing that could be refuted" in finding.reason
        assert finding.statistic is not None
        assert finding.statistic.value is not None
        assert finding.statistic.value > 0.8
        assert finding.ceiling is None


def test_a_claim_above_the_ceiling_could_not_have_been_refuted() -> None:
    once, _ = found(Synthetic(each=60, mu=9.0).draw(), Claimed(8.0, DELTA))
    assert once.verdict is Verdict.INCONCLUSIVE
    assert "So few canaries cannot refute" in once.reason
    assert once.ceiling is not None
    assert measured(once, "epsilon at least") <= once.ceiling < 8


@pytest.mark.usefixtures("_texts_are_read")
@pytest.mark.parametrize(("mu", "claimed"), [(9.0, Claimed(0.01, DELTA)), (9.0, None)])
def test_texts_that_give_members_away_leave_nothing_to_say(
    mu: float, claimed: Claimed | None
) -> None:
    """Not even that a claim is violated: a coin that shows in the texts was no coin."""
    drawn = Synthetic(each=72, repetitions=(1, 2), mu=mu).draw()
    marked = tuple(
        f"{text} quux" if member else text
        for text, member in zip(drawn.texts, drawn.members, strict=True)
    )
    for finding in found(replace(drawn, texts=marked), claimed):
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert "The texts alone give members away" in finding.reason
        assert measured(finding, "blind baseline") > 0.9
        assert claimed is None or measured(finding, "epsilon at least") > 2 * claimed.epsilon


@pytest.mark.usefixtures("_texts_are_read")
def test_the_texts_of_a_fair_coin_give_nobody_away() -> None:
    once, _ = found(Synthetic(each=72, mu=9.0).draw(), Claimed(0.01, DELTA))
    assert once.verdict is Verdict.VIOLATED
    assert abs(measured(once, "blind baseline") - 0.5) < 0.2


def test_an_attack_that_does_not_see_what_is_there_clears_nobody() -> None:
    once, _ = found(Synthetic(control=0.0).draw())
    assert once.verdict is Verdict.INCONCLUSIVE
    assert "A model that knows the members shows them with an area of 0." in once.reason


def test_what_a_dark_control_does_not_see_may_be_there_all_the_same() -> None:
    once, _ = found(Synthetic(mu=4.0, control=0.0).draw())
    assert once.verdict is Verdict.VIOLATED


@pytest.mark.parametrize("number", range(4))
def test_a_run_is_not_cleared_by_an_attack_that_would_clear_one_without_privacy(
    number: int,
) -> None:
    """The release scores exactly as the model that was taught the members."""
    drawn = Synthetic(each=200, mu=1.66, control=1.66, number=number).draw()
    bare = replace(drawn, control=drawn.scores)
    once, _ = found(bare, Claimed(2.0, DELTA))
    assert once.ceiling is not None
    assert once.ceiling > 2
    assert measured(once, "area of the positive control") > 0.8
    seen = measured(once, "the same bound of the positive control")
    assert seen == measured(once, "epsilon at least")
    assert once.verdict is Verdict.INCONCLUSIVE
    assert f"this attack refutes no epsilon above {seen:.3g}, and 2 is claimed" in once.reason
    # Beside a control that shows all, the same scores are what clears the run.
    bright, _ = found(replace(bare, control=bare.scores + 9.0 * drawn.members), Claimed(2.0, DELTA))
    assert bright.verdict is Verdict.NOT_REFUTED


def test_what_would_have_been_noticed_stands_beside() -> None:
    (once, _), (far, _) = (found(Synthetic().draw(), Claimed(e, DELTA)) for e in (1.0, 8.0))
    named = "least leakage that the best attack would show"
    assert measured(once, named) > 1
    assert not [each for each in far.details if named in each.name], "nothing would have been"
    assert {each.ceiling for each in once.details if "epsilon" in each.name} == {once.ceiling}


def test_scores_that_are_all_alike_find_nobody() -> None:
    drawn = Synthetic().draw()
    once, _ = found(replace(drawn, scores=np.zeros_like(drawn.scores)))
    assert once.verdict is Verdict.NOT_REFUTED
    assert measured(once, "epsilon at least") == 0
    assert measured(once, "area under the ROC curve") == 0.5


def test_no_fewer_dealings_than_the_p_value_needs() -> None:
    assert 1 / (gates._DEALINGS + 1) <= gates._BLIND


# -- false alarms ----------------------------------------------------------------------------------


@pytest.fixture
def only_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a significance that few draws can test; plots and texts decide nothing here."""
    series = Series(kind=SeriesKind.ROC, name="none", points=(Point(x=1.0, y=1.0),))
    fair = gates._checks(Synthetic(each=60).draw(), np.random.default_rng(0))
    assert fair.broken is None
    monkeypatch.setattr(canary_bounds, "GATE_SIGNIFICANCE", 0.05)
    monkeypatch.setattr(canary_bounds.power, "detectable", lambda *_, **__: math.inf)
    monkeypatch.setattr(gates, "_checks", lambda *_: fair)
    monkeypatch.setattr(gates, "roc_of", lambda *_: series)


def alarms(mu: float, claimed: Claimed, runs: int) -> int:
    drawn = (Synthetic(each=100, mu=mu, number=number).draw() for number in range(runs))
    return sum(found(each, claimed)[0].verdict is Verdict.VIOLATED for each in drawn)


@pytest.mark.usefixtures("only_the_bound")
@pytest.mark.parametrize("epsilon", [0.01, 1.0])
def test_a_true_claim_is_called_violated_no_more_often_than_is_said(epsilon: float) -> None:
    """Scores of exactly the Gaussian mechanism that is claimed: nothing leaks more."""
    mu = mu_of_epsilon(epsilon, DELTA)
    count = alarms(mu, Claimed(epsilon, DELTA), 150)
    assert stats.binomtest(count, 150, 0.05, alternative="greater").pvalue > UNLUCKY


@pytest.mark.usefixtures("only_the_bound")
def test_the_same_test_notices_a_false_claim() -> None:
    assert alarms(mu_of_epsilon(4.0, DELTA) * 2, Claimed(1.0, DELTA), 20) > 15


# -- evidence --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["scores", "control", "members", "repetitions", "texts"])
def test_evidence_that_does_not_fit_together_is_refused(name: str) -> None:
    drawn = Synthetic(each=40).draw()
    with pytest.raises(ConfigError, match="differ in number"):
        replace(drawn, **{name: getattr(drawn, name)[:-1]})


@pytest.mark.parametrize("side", [True, False])
def test_seven_of_a_side_show_nothing_and_eight_are_taken(*, side: bool) -> None:
    def few(count: int) -> CanaryEvidence:
        drawn = Synthetic(each=80).draw()
        coins = np.array([side] * count + [not side] * (80 - count))
        return replace(drawn, members=coins)

    few(8)
    with pytest.raises(ConfigError, match="8 of each are needed at least"):
        few(7)


def test_evidence_that_is_printed_shows_neither_texts_nor_scores() -> None:
    drawn = Synthetic(each=40).draw()
    assert repr(drawn) == f"CanaryEvidence(attack={ATTACK!r})"


def test_a_score_that_is_no_number_is_refused() -> None:
    drawn = Synthetic(each=40).draw()
    scores = drawn.scores.copy()
    scores[3] = np.nan
    with pytest.raises(ConfigError, match="not a number"):
        found(replace(drawn, scores=scores))
