"""The statistics core: reference values, naive twins, coverage, and what it refuses."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audits.statistics import binomial, bounds, gaussian_dp, one_run, power, rates
from audits.statistics.bounds import Beforehand, OfHull, OfSeveral, Split, lower_bound
from audits.statistics.scores import CanaryScores, Counts
from crypto.errors import ConfigError

HALF = 10_000


def normal(shift: float, count: int = HALF) -> np.ndarray:
    """Return the quantiles of N(shift, 1) at the middles of `count` equal parts."""
    return np.asarray(stats.norm.ppf((np.arange(count) + 0.5) / count) + shift)


@pytest.mark.parametrize(
    ("shift", "one", "f_dp"),
    [(0, 0.0, 0.0), (1, 1.13346, 2.164749), (2, 2.311945, 4.7218075), (4, 4.395568, 9.133752)],
)
def test_the_published_reference_values_come_out(shift: float, one: float, f_dp: float) -> None:
    """Of jax_privacy's tests: delta 1e-6, 95 %, its own choice of the threshold."""
    scores = CanaryScores.of(normal(shift), normal(0))
    for bound, expected in ((bounds.one_run_bound, one), (bounds.f_dp_bound, f_dp)):
        found = lower_bound(scores, bound, OfHull(), delta=1e-6)
        assert found.epsilon == pytest.approx(expected, rel=1e-5)
        assert not found.honest


@given(
    canaries=st.integers(1, 60),
    guesses=st.integers(0, 60),
    correct=st.integers(0, 60),
    epsilon=st.floats(0, 4),
    delta=st.sampled_from([0.0, 1e-6, 1e-3, 0.1]),
)
def test_the_p_value_is_that_of_its_definition(
    canaries: int, guesses: int, correct: int, epsilon: float, delta: float
) -> None:
    if not correct <= guesses <= canaries:
        with pytest.raises(ConfigError):
            one_run.p_value(canaries, guesses, correct, epsilon, delta)
        return
    right = 1 / (1 + math.exp(-epsilon))
    chance = [
        math.comb(guesses, k) * right**k * (1 - right) ** (guesses - k) for k in range(guesses + 1)
    ]
    tail = sum(chance[correct:])
    alpha = max(
        (sum(chance[max(0, correct - i) : correct]) / i for i in range(1, correct + 1)), default=0.0
    )
    expected = min(1.0, tail + 2 * canaries * delta * alpha)
    assert one_run.p_value(canaries, guesses, correct, epsilon, delta) == pytest.approx(
        expected, abs=1e-9
    )


@pytest.mark.parametrize("bound", [one_run.steinke, one_run.gaussian_f_dp])
def test_a_bound_grows_with_right_guesses_and_falls_with_significance(bound: object) -> None:
    run = partial(bound, 1000, 100, delta=1e-5)  # type: ignore[call-overload] # both are alike
    by_correct = [run(correct, significance=0.05) for correct in (50, 60, 80, 95, 100)]
    assert by_correct == sorted(by_correct)
    assert by_correct[0] == 0.0
    assert by_correct[-1] > by_correct[1] > 0
    by_level = [run(90, significance=level) for level in (1e-4, 1e-2, 0.05)]
    assert by_level == sorted(by_level)
    assert by_level[0] < by_level[-1]


def test_steinkes_bound_is_where_the_p_value_crosses_the_significance() -> None:
    found = one_run.steinke(1000, 200, 190, significance=0.05, delta=1e-5)
    assert one_run.p_value(1000, 200, 190, found, 1e-5) == pytest.approx(0.05, rel=1e-4)


def test_nothing_is_refuted_by_no_guess() -> None:
    assert one_run.steinke(10, 0, 0, significance=0.05, delta=1e-5) == 0.0
    assert one_run.gaussian_f_dp(10, 0, 0, significance=0.05, delta=1e-5) == 0.0


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Exactly, by summing over every outcome; and a narrower interval would not."""
    for trials, truth in itertools.product((7, 40), (0.03, 0.5, 0.9)):
        chances = stats.binom.pmf(np.arange(trials + 1), trials, truth)
        ends = [binomial.interval(k, trials) for k in range(trials + 1)]
        held = sum(p for p, (low, high) in zip(chances, ends, strict=True) if low <= truth <= high)
        assert held >= 0.95
    assert binomial.interval(0, 20)[0] == 0.0
    assert binomial.interval(20, 20)[1] == 1.0
    assert binomial.upper(0, 100, 0.05) == pytest.approx(1 - 0.05**0.01)
    assert binomial.lower(100, 100, 0.05) == pytest.approx(0.05**0.01)


@pytest.mark.parametrize("counts", [(3, 2, 0.05), (-1, 2, 0.05), (1, 2, 0.0), (1, 2, 1.0)])
def test_what_is_no_observation_has_no_interval(counts: tuple[int, int, float]) -> None:
    with pytest.raises(ConfigError):
        binomial.upper(*counts)
    with pytest.raises(ConfigError):
        binomial.lower(*counts)


scores_of = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)


@given(members=scores_of, controls=scores_of, target=st.floats(0, 1))
def test_a_rate_is_the_best_that_keeps_to_its_target(
    members: list[float], controls: list[float], target: float
) -> None:
    scores = CanaryScores.of(members, controls)
    found = rates.rate_at(scores, target)
    assert found.false_positive_rate <= target + 1e-9
    tried = [*members, *controls, math.inf]
    best = max(
        sum(m >= threshold for m in members) / len(members)
        for threshold in tried
        if sum(c >= threshold for c in controls) <= target * len(controls) + 1e-9
    )
    assert found.true_positive_rate == pytest.approx(best)
    assert found.true_positive_rate == sum(m >= found.threshold for m in members) / len(members)
    low, high = found.true_positive_interval
    assert low <= found.true_positive_rate <= high


@given(members=scores_of, controls=scores_of)
def test_the_area_is_the_share_of_pairs_in_order(
    members: list[float], controls: list[float]
) -> None:
    pairs = [(m > c) + (m == c) / 2 for m in members for c in controls]
    found = rates.area_under_curve(CanaryScores.of(members, controls))
    assert found.area == pytest.approx(sum(pairs) / len(pairs))
    assert 0 <= found.interval[0] <= found.area <= found.interval[1] <= 1
    assert found.interval[0] < found.interval[1]


def test_the_areas_interval_covers() -> None:
    rng = np.random.default_rng(5)
    truth = stats.norm.cdf(1 / math.sqrt(2))
    held = 0
    for _ in range(400):
        scores = CanaryScores.of(rng.normal(1, 1, 40), rng.normal(0, 1, 60))
        low, high = rates.area_under_curve(scores).interval
        held += low <= truth <= high
    assert held >= 368  # 95 % of 400 less three standard deviations


@given(members=scores_of, controls=scores_of, most=st.integers(0, 24))
def test_guesses_are_at_most_as_many_as_were_said(
    members: list[float], controls: list[float], most: int
) -> None:
    scores = CanaryScores.of(members, controls)
    if most > scores.total:
        with pytest.raises(ConfigError):
            scores.with_guesses(most)
        return
    counts = scores.with_guesses(most)
    assert counts.guesses <= most
    lower = [t for t in (*members, *controls) if t < counts.threshold]
    if lower:
        assert scores.at(max(lower)).guesses > most


@pytest.mark.parametrize("bound", [bounds.one_run_bound, bounds.f_dp_bound])
def test_an_honest_bound_is_below_the_truth_as_often_as_it_says(bound: bounds.Bound) -> None:
    """Gaussian scores of a known epsilon: of 200 bounds at 95 %, few lie above it."""
    rng = np.random.default_rng(7)
    mu, delta = 1.0, 1e-5
    truth = gaussian_dp.epsilon_of_mu(mu, delta)
    above = 0
    for _ in range(200):
        coin = rng.random(400) < 0.5
        values = rng.normal(0, 1, 400) + mu * coin
        scores = CanaryScores.of(values[coin], values[~coin])
        above += lower_bound(scores, bound, Beforehand(60), delta=delta).epsilon > truth
    assert above <= 20  # 10 expected at most


def test_choosing_after_looking_is_not_honest_and_shows() -> None:
    """The defence removed: without any leakage, the best of all thresholds refutes too often."""
    rng = np.random.default_rng(11)
    honest = looked = 0
    for _ in range(120):
        coin = rng.random(200) < 0.5
        values = rng.normal(0, 1, 200)
        scores = CanaryScores.of(values[coin], values[~coin])
        every = [scores.at(float(t)) for t in scores.thresholds()[:-1]]
        looked += any(bounds.one_run_bound(scores, c, 0.05, 1e-5) > 0 for c in every)
        several = OfSeveral((10, 20, 40, 80))
        honest += lower_bound(scores, bounds.one_run_bound, several, delta=1e-5).epsilon > 0
    assert honest <= 120 * 0.05 + 3 * math.sqrt(120 * 0.05 * 0.95)
    assert looked > 24


def test_every_choice_finds_a_real_leak() -> None:
    scores = CanaryScores.of(normal(3, 500), normal(0, 500))
    for choice in (
        Beforehand(400),
        OfSeveral((100, 400)),
        Split(np.random.default_rng(1)),
        OfHull(),
    ):
        for bound in (
            bounds.one_run_bound,
            bounds.f_dp_bound,
            bounds.clopper_pearson_bound,
            bounds.gaussian_bound,
        ):
            found = lower_bound(scores, bound, choice, delta=1e-5)
            assert found.epsilon > 1
            assert found.honest is not isinstance(choice, OfHull)


def test_clopper_pearson_is_the_logarithm_of_two_interval_ends() -> None:
    scores = CanaryScores.of(normal(2, 300), normal(0, 200))
    counts = scores.with_guesses(100)
    low = binomial.lower(counts.true_positives, 300, 0.025)
    high = binomial.upper(counts.false_positives, 200, 0.025)
    found = bounds.clopper_pearson_bound(scores, counts, 0.05, 1e-3)
    assert found == pytest.approx(math.log((low - 1e-3) / high))
    assert bounds.clopper_pearson_bound(scores, Counts(9.0, 0, 0), 0.05, 1e-3) == 0.0


@pytest.mark.parametrize("mu", [0.1, 0.5, 1.0, 3.0, 8.0])
def test_mu_gives_the_epsilon_at_which_delta_is_met(mu: float) -> None:
    epsilon = gaussian_dp.epsilon_of_mu(mu, 1e-5)
    met = stats.norm.cdf(-epsilon / mu + mu / 2) - math.exp(epsilon) * stats.norm.cdf(
        -epsilon / mu - mu / 2
    )
    assert met == pytest.approx(1e-5, rel=1e-3)
    assert gaussian_dp.mu_of_epsilon(epsilon, 1e-5) == pytest.approx(mu, rel=1e-6)
    assert gaussian_dp.epsilon_of_mu(-1.0, 1e-5) == gaussian_dp.epsilon_of_mu(0.0, 1e-5) == 0.0


def test_mu_is_measured_in_deviations_of_the_controls() -> None:
    scores = CanaryScores.of(normal(1.5) * 2, normal(0) * 2)
    assert bounds.estimated_mu(scores) == pytest.approx(1.5, abs=1e-3)
    with pytest.raises(ConfigError, match="do not vary"):
        bounds.estimated_mu(CanaryScores.of([1.0, 2.0], [0.0, 0.0]))


def test_a_thousand_canaries_cannot_refute_epsilon_8() -> None:
    """A run at epsilon 8 with its noise off would pass these bounds: the ceiling says so."""
    wanted = {"members": 500, "controls": 500, "guesses": 500}
    for bound in (bounds.one_run_bound, bounds.clopper_pearson_bound):
        found = power.ceiling(bound, **wanted, significance=0.05, delta=1e-5)
        assert 4 < found < 5.5
    with pytest.raises(ConfigError, match="cannot all be right"):
        power.ceiling(
            bounds.one_run_bound,
            members=5,
            controls=5,
            guesses=6,
            significance=0.05,
            delta=1e-5,
        )


def test_more_canaries_notice_less_leakage() -> None:
    found = [
        power.detectable(
            bounds.one_run_bound,
            members=half,
            controls=half,
            guesses=half // 2,
            significance=0.05,
            delta=1e-5,
        )
        for half in (20, 100, 500, 5000)
    ]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 1 < found[0]
    nothing = power.detectable(
        bounds.one_run_bound, members=2, controls=2, guesses=1, significance=1e-4, delta=1e-5
    )
    assert nothing == math.inf


@pytest.mark.parametrize("above", [0.0, 1.0])
def test_what_is_detectable_is_detected_as_often_as_said(above: float) -> None:
    half, guesses = 200, 100
    least = power.detectable(
        bounds.one_run_bound,
        members=half,
        controls=half,
        guesses=guesses,
        significance=0.05,
        delta=1e-5,
        above=above,
    )
    mu = next(m for m in np.arange(0.01, 5, 0.01) if gaussian_dp.epsilon_of_mu(m, 1e-5) >= least)
    rng = np.random.default_rng(3)
    shown = sum(
        lower_bound(
            CanaryScores.of(rng.normal(mu, 1, half), rng.normal(0, 1, half)),
            bounds.one_run_bound,
            Beforehand(guesses),
            delta=1e-5,
        ).epsilon
        > above
        for _ in range(200)
    )
    assert 140 <= shown <= 190


@settings(max_examples=60)
@given(members=scores_of, controls=scores_of)
def test_the_hull_holds_the_best_threshold_for_every_cost(
    members: list[float], controls: list[float]
) -> None:
    scores = CanaryScores.of(members, controls)
    vertices = bounds.hull(scores)
    every = [scores.at(float(t)) for t in scores.thresholds()]
    for cost in (0.1, 0.5, 1.0, 2.0, 10.0):
        worth = partial(_worth, cost)
        assert max(map(worth, vertices)) == pytest.approx(max(map(worth, every)))


def _worth(cost: float, counts: Counts) -> float:
    return counts.true_positives - cost * counts.false_positives


def test_what_cannot_be_compared_is_refused() -> None:
    for members, controls in (([], [1.0]), ([1.0], []), ([math.nan], [1.0])):
        with pytest.raises(ConfigError):
            CanaryScores.of(members, controls)
    scores = CanaryScores.of([1.0, 2.0], [0.0, 1.0])
    assert "1.0" not in repr(scores)
    with pytest.raises(ConfigError):
        rates.rate_at(scores, 1.5)
    for arguments in ({"delta": 1.0}, {"delta": 1e-5, "significance": 0.0}):
        with pytest.raises(ConfigError, match="bound nothing"):
            lower_bound(scores, bounds.one_run_bound, Beforehand(1), **arguments)
    with pytest.raises(ConfigError, match="No number"):
        lower_bound(scores, bounds.one_run_bound, OfSeveral(()), delta=1e-5)
    with pytest.raises(ConfigError):
        one_run.gaussian_f_dp(10, 5, 5, significance=0.05, delta=0.0)
    with pytest.raises(ConfigError):
        gaussian_dp.epsilon_of_mu(1.0, 0.0)
    with pytest.raises(ConfigError):
        power.detectable(
            bounds.one_run_bound,
            members=2,
            controls=2,
            guesses=4,
            significance=0.05,
            delta=1e-5,
        )
