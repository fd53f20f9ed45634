"""What guesses at labels and words say of a release: every verdict, and how often one alarms."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats

from audits.findings import Basis, Finding, Verdict, Window
from audits.release import inference_gates as gates
from audits.release.inference_gates import GuessEvidence, inference_finding
from audits.server.distinguish import Claimed
from audits.statistics.guesses import ceiling, largest_refuted
from crypto.errors import ConfigError

DELTA = 1e-5
SMALL = Claimed(1.0, DELTA)
UNLUCKY = 1e-4
CHOICES = 16


@dataclass(frozen=True)
class Counts:
    """How many are guessed right: of members and controls by the release, of members when known."""

    members: int = 200
    controls: int = 200
    right: int = 12
    control_right: int = 12
    known: int = 190
    choices: int = CHOICES

    def evidence(self) -> GuessEvidence:
        total = self.members + self.controls
        rng = np.random.default_rng([3, total, self.right])
        truth = rng.integers(self.choices, size=total)
        members = np.arange(total) < self.members
        place = np.arange(total)
        hits = np.where(members, place < self.right, place < self.members + self.control_right)
        return GuessEvidence(
            released=scores_of(np.where(hits, truth, (truth + 1) % self.choices), self.choices),
            control=scores_of(
                np.where(place < self.known, truth, (truth + 1) % self.choices), self.choices
            ),
            truth=truth,
            members=members,
            repetitions=np.ones(total, np.int64),
        )


def scores_of(guesses: np.ndarray, choices: int) -> np.ndarray:
    """Scores under which these are guessed."""
    return np.asarray(np.eye(choices)[guesses])


def judged(evidence: GuessEvidence, claimed: Claimed | None = SMALL) -> Finding:
    return inference_finding(gates.ATTRIBUTES, evidence, claimed)


def measured(finding: Finding, words: str) -> float:
    (value,) = [each.value for each in finding.details if words in each.name]
    assert value is not None
    return value


def fewest_that_refute(epsilon: float, of: int, choices: int = CHOICES) -> int:
    """Counted up, one by one."""
    return next(
        right
        for right in range(of + 1)
        if largest_refuted(right, of, choices, delta=DELTA, significance=1e-4) > epsilon
    )


# -- the verdicts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", [gates.LABELS, gates.ATTRIBUTES])
def test_what_is_guessed_by_chance_does_not_refute_a_small_epsilon(gate: str) -> None:
    found = inference_finding(gate, Counts().evidence(), SMALL)
    assert found.verdict is Verdict.NOT_REFUTED
    assert (found.gate, found.window, found.basis) == (gate, Window.RELEASE, Basis.RUN)
    assert found.samples == 200
    assert found.statistic is not None
    assert found.statistic.value == pytest.approx(0.06)
    assert found.statistic.limit == pytest.approx(1 / CHOICES)
    hidden = "labels" if gate == gates.LABELS else "words"
    assert f"share of {hidden} guessed right among 16" in found.statistic.name
    assert f"12 of 200 {hidden} of canaries of 1 repetition were guessed right" in found.reason
    assert ("missing word" in found.claim) is (gate == gates.ATTRIBUTES)
    assert measured(found, "among controls") == pytest.approx(0.06)
    assert measured(found, "right under the positive control") == pytest.approx(0.95)
    assert measured(found, "epsilon at least, by the guesses") < 1
    assert measured(found, "epsilon at least, of the positive control") > 1
    assert found.ceiling == ceiling(200, CHOICES, delta=DELTA, significance=1e-4)


def test_what_everybody_guesses_violates_it() -> None:
    found = judged(Counts(right=200).evidence())
    assert found.verdict is Verdict.VIOLATED
    assert "Epsilon is at least 2.6" in found.reason
    assert "1 is claimed; 200 of 200 words" in found.reason


def test_the_verdict_turns_at_the_first_guess_that_refutes_the_claim() -> None:
    right = fewest_that_refute(1.0, 200)
    assert 12 < right < 200
    assert judged(Counts(right=right).evidence()).verdict is Verdict.VIOLATED
    assert judged(Counts(right=right - 1).evidence()).verdict is Verdict.NOT_REFUTED


def test_a_positive_control_has_to_give_away_what_would_refute_the_claim() -> None:
    known = fewest_that_refute(1.0, 200)
    assert judged(Counts(known=known).evidence()).verdict is Verdict.NOT_REFUTED
    found = judged(Counts(known=known - 1).evidence())
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "this attack refutes no epsilon above 0.9" in found.reason


def test_a_dark_positive_control_clears_nobody_and_excuses_nobody() -> None:
    found = judged(Counts(known=12).evidence())
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "Of a model that knows the members 0.06 is guessed right" in found.reason
    assert judged(Counts(right=200, known=12).evidence()).verdict is Verdict.VIOLATED


def test_a_claim_above_the_ceiling_could_not_have_been_refuted() -> None:
    """Not even by guesses that are all right."""
    top = ceiling(200, CHOICES, delta=DELTA, significance=1e-4)
    for right in (12, 200):
        drawn = Counts(right=right, known=200).evidence()
        found = judged(drawn, Claimed(top + 1e-3, DELTA))
        assert found.verdict is Verdict.INCONCLUSIVE
        assert f"So few canaries cannot refute an epsilon above {top:.3g}" in found.reason
        assert found.ceiling == top
    assert judged(Counts(known=200).evidence(), Claimed(top, DELTA)).verdict is Verdict.NOT_REFUTED


def luckiest(of: int) -> int:
    """How many may be right before it is one in a thousand."""
    return int(stats.binom.isf(1e-3, of, 1 / CHOICES))


@pytest.mark.parametrize("claimed", [SMALL, None])
def test_controls_that_are_guessed_leave_nothing_to_say(claimed: Claimed | None) -> None:
    """Not even that a claim is violated: nobody trained on them, and their values are known."""
    most = luckiest(200)
    found = judged(Counts(right=200, control_right=most + 1).evidence(), claimed)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "among controls, which nobody trained on" in found.reason
    fair = judged(Counts(right=200, control_right=most).evidence(), claimed)
    assert "controls" not in fair.reason
    assert (fair.verdict is Verdict.VIOLATED) is (claimed is not None)


def test_without_the_look_at_controls_an_unfair_game_would_be_called_a_violation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = Counts(right=200, control_right=200).evidence()
    assert judged(drawn).verdict is Verdict.INCONCLUSIVE
    monkeypatch.setattr(gates, "_LUCKY", 0.0)
    assert judged(drawn).verdict is Verdict.VIOLATED


def test_a_run_that_claims_nothing_cannot_be_refuted_and_shows_what_leaks() -> None:
    found = judged(Counts(right=150).evidence(), None)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "claims nothing that could be refuted; 150 of 200 words" in found.reason
    assert found.ceiling is None
    assert not [each for each in found.details if "epsilon" in each.name]
    assert "a model that knows" in judged(Counts(known=12).evidence(), None).reason


def test_a_gate_speaks_of_one_repetition_and_others_stand_beside() -> None:
    drawn = Counts(right=100, known=200).evidence()
    counts = np.where(np.arange(400) < 100, 4, 1)  # every one of them guessed right
    found = judged(replace(drawn, repetitions=counts))
    assert found.samples == 100
    assert found.statistic is not None
    assert found.statistic.value == 0
    assert measured(found, "right of those of 4 repetitions, decides nothing") == 1


def test_a_run_whose_canaries_are_all_repeated_is_not_judged() -> None:
    drawn = Counts(right=200).evidence()
    found = judged(replace(drawn, repetitions=np.full(400, 3)))
    assert found.verdict is Verdict.NOT_RUN
    assert "no canaries of one repetition" in found.reason
    assert found.samples == 0
    assert found.claim == gates.ATTRIBUTES_CLAIM


def test_values_that_score_alike_are_not_guessed() -> None:
    drawn = Counts().evidence()
    found = judged(replace(drawn, released=np.zeros((400, CHOICES))))
    assert found.statistic is not None
    assert found.statistic.value == 0


# -- false alarms ----------------------------------------------------------------------------------


def alarms(epsilon: float, choices: int, claimed: float, runs: int) -> int:
    """How many of so many runs are called violated, whose release is exactly epsilon-DP.

    It names the true value with chance e^epsilon / R, any other with the rest's equal share; of a
    record that is not there it names all alike. Those are within a factor e^epsilon.
    """
    right = np.exp(epsilon) / choices
    assert (1 - right) / (choices - 1) >= np.exp(-epsilon) / choices
    rng = np.random.default_rng([11, choices])
    found = 0
    verdicts: dict[Counts, Verdict] = {}
    for _ in range(runs):
        counts = Counts(
            members=60,
            controls=60,
            right=int(rng.binomial(60, right)),
            control_right=60 // choices,
            known=60,
            choices=choices,
        )
        if counts not in verdicts:
            verdicts[counts] = judged(counts.evidence(), Claimed(claimed, DELTA)).verdict
        found += verdicts[counts] is Verdict.VIOLATED
    return found


@pytest.mark.parametrize(("epsilon", "choices"), [(0.05, 3), (0.5, 3), (1.0, 16), (2.5, 16)])
def test_a_true_claim_is_called_violated_no_more_often_than_is_said(
    monkeypatch: pytest.MonkeyPatch, epsilon: float, choices: int
) -> None:
    monkeypatch.setattr(gates, "GATE_SIGNIFICANCE", 0.05)
    count = alarms(epsilon, choices, epsilon, 150)
    assert stats.binomtest(count, 150, 0.05, alternative="greater").pvalue > UNLUCKY


def test_the_same_test_notices_a_false_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "GATE_SIGNIFICANCE", 0.05)
    assert alarms(2.5, 16, 0.5, 20) > 15


# -- evidence --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["released", "control", "truth", "members", "repetitions"])
def test_evidence_that_does_not_fit_together_is_refused(name: str) -> None:
    drawn = Counts().evidence()
    with pytest.raises(ConfigError, match="differ in number"):
        replace(drawn, **{name: getattr(drawn, name)[:-1]})


@pytest.mark.parametrize("side", ["members", "controls"])
def test_seven_of_a_side_show_nothing_and_eight_are_taken(side: str) -> None:
    few = {"right": 0, "control_right": 0, "known": 0}
    Counts(**{side: 8, **few}).evidence()
    with pytest.raises(ConfigError, match="8 of each are needed at least"):
        Counts(**{side: 7, **few}).evidence()


def test_a_score_that_is_no_number_is_refused() -> None:
    drawn = Counts().evidence()
    scores = drawn.released.copy()
    scores[3, 2] = np.nan
    with pytest.raises(ConfigError, match="not a number"):
        judged(replace(drawn, released=scores))


def test_evidence_that_is_printed_shows_nothing() -> None:
    assert repr(Counts().evidence()) == "GuessEvidence()"
