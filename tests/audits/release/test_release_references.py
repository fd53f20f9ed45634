"""LiRA and RMIA: twins in plain loops, few references, and members that they find."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from audits.release.reference_scores import (
    Confidences,
    References,
    balanced_halves,
    lira_offline,
    lira_online,
    rmia,
)
from audits.statistics.rates import area_under_curve
from audits.statistics.scores import CanaryScores
from crypto.errors import ConfigError

SEEDS = st.integers(0, 2**32 - 1)


def ragged(rng: np.random.Generator, examples: int, most: int, shift: float) -> list[np.ndarray]:
    """Return lists of 1 to `most` references, the first of two or more."""
    counts = [2, *rng.integers(1, most + 1, examples - 1)]
    return [rng.normal(shift, 1 + shift / 2, count) for count in counts]


def naive_gaussians(references: list[np.ndarray], own_from: int) -> list[tuple[float, float]]:
    squares = degrees = 0.0
    for part in references:
        mean = sum(part.tolist()) / len(part)
        squares += sum((value - mean) ** 2 for value in part.tolist())
        degrees += len(part) - 1
    fitted = []
    for part in references:
        values = part.tolist()
        own = len(values) >= own_from and len(values) > 1
        variance = statistics.variance(values) if own else squares / degrees
        fitted.append((statistics.fmean(values), math.sqrt(variance)))
    return fitted


@given(SEEDS, st.integers(1, 8), st.sampled_from([3, 64]))
def test_lira_is_that_of_plain_loops(seed: int, examples: int, own_from: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=examples)
    inside, outside = ragged(rng, examples, 6, 1.0), ragged(rng, examples, 8, 0.0)
    ins, outs = naive_gaussians(inside, own_from), naive_gaussians(outside, own_from)
    online = [
        math.log(statistics.NormalDist(*one).pdf(at))
        - math.log(statistics.NormalDist(*other).pdf(at))
        for at, one, other in zip(target.tolist(), ins, outs, strict=True)
        if statistics.NormalDist(*one).pdf(at) > 0 < statistics.NormalDist(*other).pdf(at)
    ]
    found = lira_online(target, inside, outside, own_variance_from=own_from)
    if len(online) == examples:
        assert found == pytest.approx(online, rel=1e-6, abs=1e-9)
    offline = [(at - mean) / width for at, (mean, width) in zip(target, outs, strict=True)]
    assert lira_offline(target, outside, own_variance_from=own_from) == pytest.approx(offline)


@given(SEEDS, st.floats(-50, 50), st.floats(0.1, 10))
def test_lira_does_not_depend_on_unit_and_origin(seed: int, shift: float, unit: float) -> None:
    rng = np.random.default_rng(seed)
    target, inside, outside = rng.normal(size=5), ragged(rng, 5, 4, 1.0), ragged(rng, 5, 4, 0.0)

    def moved(part: np.ndarray) -> np.ndarray:
        return np.asarray(part * unit + shift)

    plain = lira_online(target, inside, outside)
    other = lira_online(moved(target), [moved(p) for p in inside], [moved(p) for p in outside])
    assert other == pytest.approx(plain, rel=1e-5, abs=1e-5)


def test_a_single_reference_has_a_mean_and_takes_its_spread_from_the_others() -> None:
    target = np.array([1.0, 1.0])
    found = lira_offline(target, [np.array([0.0]), np.array([-2.0, 2.0])])
    assert found == pytest.approx([1 / math.sqrt(8)] * 2)


def test_references_that_are_all_alike_do_not_make_an_example_certain() -> None:
    """With a variance of its own, 0, any target but theirs would be infinitely far away."""
    alike, spread = np.full(3, 0.1), np.array([-1.0, 0.0, 0.0, 1.0])
    found = lira_offline(np.array([0.2, 0.1]), [alike, spread], own_variance_from=2)
    pooled = math.sqrt((0 + 2) / (2 + 3))
    assert found == pytest.approx([0.1 / pooled, 0.1 / math.sqrt(2 / 3)])


@pytest.mark.parametrize(
    ("outside", "message"),
    [
        ([np.array([0.0]), np.array([1.0])], "do not vary"),
        ([np.zeros(4), np.ones(4)], "do not vary"),
        ([np.full(3, 0.1), np.full(3, 0.7)], "do not vary"),  # whose means round
        ([np.zeros(2)], "2 examples and 1 lists"),
        ([np.zeros(2), np.zeros(0)], "without any"),
        ([np.array([0.0, np.inf]), np.zeros(2)], "clip confidences"),
    ],
)
def test_references_without_a_spread_are_refused(outside: list[np.ndarray], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        lira_offline(np.zeros(2), outside)


def test_a_target_that_is_no_number_is_refused() -> None:
    for target in (np.array([np.nan]), np.zeros(0), np.zeros((1, 1))):
        with pytest.raises(ConfigError, match="finite number per example"):
            lira_offline(target, [np.array([0.0, 1.0])] * target.size)


def confidences(seed: int, records: int, most: int = 3) -> Confidences:
    rng = np.random.default_rng(seed)
    outside = [-rng.exponential(2, rng.integers(1, most + 1)) for _ in range(records)]
    return Confidences(-rng.exponential(2, records), outside)


@given(
    SEEDS,
    st.integers(1, 6),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([0.5, 1.0, 2.0, 7.3]),
)
def test_rmia_is_that_of_plain_loops(
    seed: int, examples: int, population: int, a: float, gamma: float
) -> None:
    x, z = confidences(seed, examples), confidences(seed + 1, population)

    def ratio(record: int, of: Confidences) -> float:
        without = statistics.fmean(math.exp(value) for value in of.outside[record])
        return math.exp(of.target[record]) / (((1 + a) * without + 1 - a) / 2)

    expected = [
        sum(ratio(i, x) / ratio(j, z) >= gamma for j in range(population)) / population
        for i in range(examples)
    ]
    assert rmia(x, z, a=a, gamma=gamma) == pytest.approx(expected)


def test_rmia_counts_ties_for_the_attack_and_a_twin_of_the_population_dominates_all() -> None:
    one = Confidences(np.array([-1.0]), [np.array([-1.0])])
    assert rmia(one, one, gamma=1.0).tolist() == [1.0]
    assert rmia(one, one, gamma=1.0001).tolist() == [0.0]


def test_rmia_survives_confidences_that_no_float_holds() -> None:
    tiny = Confidences(np.array([-2000.0, -1990.0]), [np.array([-2000.0])] * 2)
    assert rmia(tiny, tiny, a=1.0, gamma=2.0).tolist() == [0.0, 0.5]


@pytest.mark.parametrize(("a", "gamma"), [(-0.1, 2.0), (1.1, 2.0), (0.3, 0.0), (0.3, math.inf)])
def test_rmia_refuses_what_is_no_ratio(a: float, gamma: float) -> None:
    one = confidences(1, 2)
    with pytest.raises(ConfigError, match="no likelihood ratio"):
        rmia(one, one, a=a, gamma=gamma)


def test_scaled_confidences_are_no_log_confidences() -> None:
    for target, outside in ((0.5, -1.0), (-1.0, 0.5)):
        with pytest.raises(ConfigError, match="above 0"):
            Confidences(np.array([target]), [np.array([outside])])


def test_both_find_members_that_their_difficulty_hides() -> None:
    """Each example has a difficulty of its own, that only references know."""
    rng = np.random.default_rng(17)
    examples, members = 200, 100
    ease = rng.normal(-6, 1.5, examples)
    learned = np.where(np.arange(examples) < members, 0.8, 0.0)

    def run(shift: np.ndarray | float, count: int) -> list[np.ndarray]:
        each = ease + shift + rng.normal(scale=0.3, size=(count, examples))
        return list(np.minimum(each, -1e-3).T)

    target = np.concatenate(run(learned, 1))
    inside, outside = run(0.8, 2), run(0.0, 4)
    ease = rng.normal(-6, 1.5, examples)
    population = Confidences(np.concatenate(run(0.0, 1)), run(0.0, 4))
    areas = {
        name: area_under_curve(CanaryScores.of(scores[:members], scores[members:])).area
        for name, scores in {
            "loss": target,
            "online": lira_online(target, inside, outside),
            "offline": lira_offline(target, outside),
            "rmia": rmia(Confidences(target, outside), population, a=1.0, gamma=1.0),
        }.items()
    }
    assert areas["loss"] < 0.75
    assert min(areas["online"], areas["offline"], areas["rmia"]) > 0.9


# -- references that were trained on halves --------------------------------------------------------


@given(SEEDS, st.integers(1, 6))
def test_with_one_variance_lira_is_that_of_plain_loops(seed: int, examples: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=examples)
    inside, outside = ragged(rng, examples, 6, 1.0), ragged(rng, examples, 70, 0.0)
    parts = [*inside, *outside]
    squares = sum((value - statistics.fmean(part)) ** 2 for part in parts for value in part)
    variance = squares / sum(len(part) - 1 for part in parts)
    expected = [
        ((at - statistics.fmean(out)) ** 2 - (at - statistics.fmean(own)) ** 2) / (2 * variance)
        for at, own, out in zip(target.tolist(), inside, outside, strict=True)
    ]
    found = lira_online(target, inside, outside, shared_variance=True)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_with_one_variance_a_target_below_all_references_is_no_member() -> None:
    """With two it is one: far below both, the wider Gaussian is the likelier."""
    inside, outside = [np.array([-1.0, 3.0])], [np.array([-0.1, 0.1])]
    targets = [np.array([at]) for at in (-9.0, -3.0, 0.0, 1.0, 9.0)]
    two = [float(lira_online(at, inside, outside)[0]) for at in targets]
    one = [float(lira_online(at, inside, outside, shared_variance=True)[0]) for at in targets]
    assert two[0] > two[2]
    assert one == sorted(one)


def references(seed: int, examples: int = 6, count: int = 4) -> References:
    rng = np.random.default_rng(seed)
    scaled = rng.normal(size=(count, examples))
    return References(balanced_halves(count, examples, rng), scaled, -np.logaddexp(0, -scaled))


@given(SEEDS, st.integers(2, 7), st.sampled_from([2, 4, 6]))
def test_references_score_by_those_with_an_example_and_those_without(
    seed: int, examples: int, count: int
) -> None:
    made, target = references(seed, examples, count), np.random.default_rng(seed).normal(size=9)
    target = target[:examples]
    ins, outs = [], []
    for i in range(examples):
        rows = range(count)
        ins.append(np.array([made.scaled[k, i] for k in rows if made.inside[k, i]]))
        outs.append(np.array([made.scaled[k, i] for k in rows if not made.inside[k, i]]))
    if count > 2:
        expected = lira_online(target, ins, outs, shared_variance=True)
        assert made.lira(target) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    else:
        with pytest.raises(ConfigError, match="do not vary"):
            made.lira(target)
    confident = -np.abs(target)
    for a in (0.3, 1.0):
        ratios = []
        for i in range(examples):
            without = [
                math.exp(c)
                for k, c in enumerate(made.confidences[:, i].tolist())
                if not made.inside[k, i]
            ]
            likely = ((1 + a) * statistics.fmean(without) + 1 - a) / 2
            ratios.append(confident[i] - math.log(likely))
        assert made.rmia(confident, a=a) == pytest.approx(ratios)


@given(SEEDS)
def test_a_ratio_has_the_order_of_the_share_of_any_population(seed: int) -> None:
    made, target = references(seed, 8), -np.random.default_rng(seed).exponential(size=8)
    outside = [made.confidences[~made.inside[:, i], i] for i in range(8)]
    shares = rmia(Confidences(target, outside), confidences(seed + 1, 30))
    ordered = shares[np.argsort(made.rmia(target), kind="stable")]
    assert (np.diff(ordered) >= 0).all()


@given(SEEDS, st.sampled_from([2, 4, 8]), st.integers(2, 40))
def test_each_example_is_in_half_of_the_references(seed: int, count: int, examples: int) -> None:
    halves = balanced_halves(count, examples, np.random.default_rng(seed))
    assert halves.shape == (count, examples)
    assert (halves.sum(axis=0) == count // 2).all()
    for row in range(0, count, 2):
        assert (halves[row] != halves[row + 1]).all()
        assert halves[row].sum() == examples // 2
    assert np.array_equal(halves, balanced_halves(count, examples, np.random.default_rng(seed)))


def test_every_half_is_as_likely_as_any_other() -> None:
    rng = np.random.default_rng(5)
    drawn = [tuple(np.flatnonzero(balanced_halves(2, 4, rng)[0])) for _ in range(600)]
    counts = [drawn.count(pair) for pair in itertools.combinations(range(4), 2)]
    assert sum(counts) == 600
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(("count", "examples"), [(0, 4), (1, 4), (3, 4), (2, 1)])
def test_halves_that_leave_an_example_in_all_or_in_none_are_refused(
    count: int, examples: int
) -> None:
    with pytest.raises(ConfigError, match="an even number of references"):
        balanced_halves(count, examples, np.random.default_rng(0))


def test_references_that_do_not_part_an_example_are_refused() -> None:
    made = references(1)
    for row in (np.ones(6, np.bool_), np.zeros(6, np.bool_)):
        inside = made.inside.copy()
        inside[:, 2] = row[:4]
        with pytest.raises(ConfigError, match="in all references or in none"):
            References(inside, made.scaled, made.confidences)
    for bad in (made.scaled[:, :-1], made.scaled[:-1]):
        with pytest.raises(ConfigError, match="differ in number"):
            References(made.inside, bad, made.confidences)
    with pytest.raises(ConfigError, match="differ in number"):
        References(made.inside[0], made.scaled[0], made.confidences[0])


def test_references_that_are_printed_show_nothing() -> None:
    assert repr(references(1)) == "References()"


def test_four_references_find_members_that_their_difficulty_hides() -> None:
    """And find none where the examples' difficulties are taken from others."""
    rng = np.random.default_rng(23)
    examples, members = 200, 100
    ease = rng.normal(0, 2, examples)

    def says(inside: np.ndarray) -> np.ndarray:
        return np.asarray(ease + 1.2 * inside + rng.normal(scale=0.3, size=inside.shape))

    halves = balanced_halves(4, examples, rng)
    scaled = says(halves)
    target = says(np.arange(examples) < members)

    def area(scores: np.ndarray) -> float:
        return area_under_curve(CanaryScores.of(scores[:members], scores[members:])).area

    made = References(halves, scaled, -np.logaddexp(0, -scaled))
    assert area(target) < 0.75
    assert area(made.lira(target)) > 0.95
    assert area(made.rmia(-np.logaddexp(0, -target), a=1.0)) > 0.9
    mixed = rng.permutation(examples)
    other = References(halves, scaled[:, mixed], made.confidences[:, mixed])
    assert area(other.lira(target)) < 0.75
