"""A number of guesses that scores do not decide: ties, the split choice; and mu out of range."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audits.statistics import bounds, gaussian_dp, power
from audits.statistics.bounds import Split, lower_bound
from audits.statistics.scores import CanaryScores
from crypto.errors import ConfigError

few_scores = st.lists(st.integers(-1, 1).map(float), min_size=1, max_size=4)


@given(members=few_scores, controls=few_scores, data=st.data())
def test_guesses_are_as_many_as_were_said_and_ties_are_broken_as_badly_as_can_be(
    members: list[float], controls: list[float], data: st.DataObject
) -> None:
    """A naive twin: every order of all canaries that goes down by scores."""
    scores = CanaryScores.of(members, controls)
    guesses = data.draw(st.integers(0, scores.total))
    counts = scores.with_guesses(guesses)
    assert counts.guesses == guesses
    labelled = [(score, 1) for score in members] + [(score, 0) for score in controls]
    right = set()
    for chosen in itertools.combinations(range(len(labelled)), guesses):
        called = [labelled[i] for i in chosen]
        left = [labelled[i] for i in range(len(labelled)) if i not in chosen]
        if not called or not left or min(called)[0] >= max(left)[0]:
            right.add(sum(member for _, member in called))
    assert counts.true_positives == min(right)


def test_all_canaries_alike_bound_nothing_at_any_number_of_guesses() -> None:
    scores = CanaryScores.of(np.zeros(100), np.zeros(100))
    for guesses in (1, 50, 150, 200):
        found = lower_bound(scores, bounds.one_run_bound, bounds.Beforehand(guesses), delta=1e-5)
        assert found.epsilon == 0.0
        assert found.counts.guesses == guesses


def test_the_tested_half_does_not_decide_how_many_are_guessed() -> None:
    """Where the other half's scores are all shifted, its threshold would call none or all."""
    rng = np.random.default_rng(3)
    scores = CanaryScores.of(rng.normal(2, 1, 200), rng.normal(0, 1, 200))
    made = []
    for shift in (0.0, 50.0, -50.0):
        chosen_on, tested_on = scores.split(np.random.default_rng(1))
        moved = CanaryScores.of(tested_on.members + shift, tested_on.controls + shift)

        class Halves(CanaryScores):
            def split(
                self,
                rng: np.random.Generator,
                share: float = 0.5,
                parts: tuple[CanaryScores, CanaryScores] = (chosen_on, moved),
            ) -> tuple[CanaryScores, CanaryScores]:
                del rng, share
                return parts

        halves = Halves(scores.members, scores.controls)
        choice = Split(np.random.default_rng(1))
        made.append(lower_bound(halves, bounds.f_dp_bound, choice, delta=1e-5))
    assert {each.counts.guesses for each in made} == {made[0].counts.guesses}
    assert {each.epsilon for each in made} == {made[0].epsilon}
    assert made[0].epsilon > 1


def test_a_mu_that_is_not_computed_is_refused_by_name() -> None:
    assert gaussian_dp.mu_of_epsilon(1350.0, 1e-5) == pytest.approx(47.89, abs=0.01)
    for epsilon, delta in ((1500.0, 1e-5), (1e9, 1e-5), (0.0, 1e-10)):
        with pytest.raises(ConfigError, match="hides everything or nothing"):
            gaussian_dp.mu_of_epsilon(epsilon, delta)


def test_what_one_run_of_a_thousand_canaries_shows_at_most() -> None:
    """The figures that stand in the documents, of an attack that is always right."""
    tops = [
        power.ceiling(bound, members=500, controls=500, guesses=100, significance=0.05, delta=1e-5)
        for bound in (bounds.one_run_bound, bounds.f_dp_bound, bounds.clopper_pearson_bound)
    ]
    assert tops == pytest.approx([3.47, 5.55, 3.12], abs=0.01)
