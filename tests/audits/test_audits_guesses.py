"""Guessing games: exact worst cases by linear programming, a naive twin, and what they refuse."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, sparse

from audits.statistics import guesses, one_run
from crypto.errors import ConfigError

ALPHA = 1e-4
COUNTS = st.tuples(st.integers(1, 40), st.integers(0, 40), st.integers(2, 300)).filter(
    lambda c: c[1] <= c[0]
)
DELTAS = st.sampled_from([0.0, 1e-6, 1e-3])


def worst_case(  # noqa: PLR0913 - what a mechanism is asked
    right: int, secrets: int, choices: int, epsilon: float, delta: float, *, records: bool
) -> float:
    """Return the largest chance of `right` or more over ALL mechanisms, by linear programming.

    A mechanism may as well publish the guesses alone. Inputs: each secret, or with `records` its
    absence too; inputs that differ in one place (with `records`: by its absence) are neighbours.
    """
    outputs = list(itertools.product(range(choices), repeat=secrets))
    absent = [None] if records else []
    inputs = list(itertools.product([*range(choices), *absent], repeat=secrets))
    columns = {(s, g): i for i, (s, g) in enumerate(itertools.product(inputs, outputs))}
    pairs = [
        (s, t)
        for s, t in itertools.permutations(inputs, 2)
        if sum(a != b for a, b in zip(s, t, strict=True)) == 1
        and (not records or any(None in {a, b} for a, b in zip(s, t, strict=True) if a != b))
    ]
    above = {key: len(columns) + i for i, key in enumerate(itertools.product(pairs, outputs))}
    size = len(columns) + len(above)
    entries: list[tuple[int, int, float]] = []
    limits: list[float] = []
    for s, t in pairs:
        for g in outputs:
            entries += [
                (len(limits), columns[s, g], 1.0),
                (len(limits), columns[t, g], -math.exp(epsilon)),
                (len(limits), above[(s, t), g], -1.0),
            ]
            limits.append(0.0)
        entries += [(len(limits), above[(s, t), g], 1.0) for g in outputs]
        limits.append(delta)
    goal = np.zeros(size)
    for (s, g), column in columns.items():
        if None not in s and sum(a == b for a, b in zip(s, g, strict=True)) >= right:
            goal[column] -= choices**-secrets
    ones = [(i, columns[s, g], 1.0) for i, s in enumerate(inputs) for g in outputs]
    found = optimize.linprog(
        goal,
        _matrix(entries, len(limits), size),
        limits,
        _matrix(ones, len(inputs), size),
        np.ones(len(inputs)),
    )
    return -float(found.fun)


def _matrix(entries: list[tuple[int, int, float]], rows: int, columns: int) -> sparse.csr_array:
    at, of, value = zip(*entries, strict=True)
    return sparse.csr_array((value, (at, of)), shape=(rows, columns))


@pytest.mark.parametrize(
    ("secrets", "choices", "delta"), [(3, 2, 0.01), (2, 3, 0.01), (2, 3, 0.0), (1, 5, 0.05)]
)
def test_no_mechanism_at_all_beats_the_p_value_and_one_comes_near(
    secrets: int, choices: int, delta: float
) -> None:
    for right in range(1, secrets + 1):
        worst = worst_case(right, secrets, choices, 0.7, delta, records=False)
        said = guesses.p_value(right, secrets, choices, 0.7, delta)
        assert worst <= said + 1e-9
        assert said <= worst + 2 * delta, "a bound that far off would refute nothing"


@pytest.mark.parametrize(
    ("secrets", "choices", "delta"),
    [(2, 2, 0.01), (2, 3, 0.0), (2, 3, 0.05), (3, 2, 0.02), (1, 6, 0.05)],
)
def test_no_mechanism_at_all_beats_the_p_value_of_records(
    secrets: int, choices: int, delta: float
) -> None:
    for right in range(1, secrets + 1):
        worst = worst_case(right, secrets, choices, 0.5, delta, records=True)
        said = guesses.p_value_of_records(right, secrets, choices, 0.5, delta)
        assert worst <= said + 1e-9
        if right == secrets:
            assert said <= worst + 3 * delta + 1e-9, "all right is bounded as well as can be"


def naive_records(right: int, of: int, choices: int, epsilon: float, delta: float) -> float:
    """Return the second bound of `p_value_of_records`, term by term."""
    share = math.exp(epsilon) / choices
    found = []
    for chosen in range(1, right + 1):
        ratios = [math.comb(of, t) / math.comb(right, t) for t in range(chosen + 1)]
        spent = sum(share ** (t - 1) * ratios[t] for t in range(1, chosen + 1))
        found.append(share**chosen * ratios[chosen] + delta * spent)
    return min(found)


@given(counts=COUNTS, epsilon=st.floats(0, 6), delta=DELTAS)
def test_the_p_value_of_records_is_the_less_of_two_bounds(
    counts: tuple[int, int, int], epsilon: float, delta: float
) -> None:
    of, right, choices = counts
    two_steps = (2 * epsilon, delta * (1 + math.exp(epsilon)))
    expected = guesses.p_value(right, of, choices, *two_steps)
    if right and math.exp(epsilon) < choices:
        expected = min(expected, naive_records(right, of, choices, epsilon, delta))
    said = guesses.p_value_of_records(right, of, choices, epsilon, delta)
    assert said == pytest.approx(expected, rel=1e-8, abs=1e-15)


def test_who_tells_all_secrets_of_a_few_runs_comes_near_the_p_value_and_never_above() -> None:
    """Such a run names v secrets, drawn anew, with chance m delta / v: it keeps (0, delta)."""
    secrets, choices, delta = 100, 64, 1e-5
    for right in range(1, secrets + 1):
        told = secrets * delta / right
        said = guesses.p_value_of_records(right, secrets, choices, 0.0, delta)
        assert said >= told
        if right >= 20:
            assert said <= 1.1 * told
    assert guesses.fewest_right(secrets, choices, 0.0, delta, ALPHA) == 12
    # So that where m delta is that far up, nothing is refuted.
    assert guesses.fewest_right(secrets, choices, 0.0, 1.1 * ALPHA, ALPHA) is None


@given(counts=COUNTS, epsilon=st.floats(0, 3), delta=DELTAS)
def test_the_fewest_that_refute_do_and_one_less_does_not(
    counts: tuple[int, int, int], epsilon: float, delta: float
) -> None:
    of, _, choices = counts
    fewest = guesses.fewest_right(of, choices, epsilon, delta, ALPHA)
    chances = [guesses.p_value_of_records(v, of, choices, epsilon, delta) for v in range(of + 1)]
    assert [chance <= ALPHA for chance in chances] == [
        fewest is not None and v >= fewest for v in range(of + 1)
    ]


def test_a_record_replaced_is_two_steps_away() -> None:
    """A mechanism that keeps epsilon for records beats the bound that takes secrets for neighbours.

    By exactly so much: a guess is wrong with chance e^-eps (R - 1) / R at least.
    """
    worst = worst_case(1, 1, 2, 0.5, 0.0, records=True)
    assert worst == pytest.approx(1 - math.exp(-0.5) / 2)
    assert worst > guesses.p_value(1, 1, 2, 0.5, 0.0) + 0.05


@pytest.mark.parametrize("choices", [2, 5, 64])
def test_randomised_response_raises_no_false_alarm(choices: int) -> None:
    """R-ary randomised response at exactly epsilon: the binomial is reached and never passed."""
    epsilon, secrets, runs, significance = 2.0, 50, 4000, 0.05
    rng = np.random.default_rng(7)
    truth = rng.integers(choices, size=(runs, secrets))
    other = (truth + rng.integers(1, choices, size=truth.shape)) % choices
    honest = math.exp(epsilon) / (math.exp(epsilon) + choices - 1)
    said = np.where(rng.random(truth.shape) < honest, truth, other)
    counts = (said == truth).sum(1)
    chance = np.array(
        [guesses.p_value(v, secrets, choices, epsilon, 0.0) for v in range(secrets + 1)]
    )
    alarms = (chance[counts] <= significance).mean()
    assert alarms <= significance + 3 * math.sqrt(significance / runs)
    assert alarms > significance / 4, "the bound is tight: it is this mechanism's own tail"
    tail = (counts[:, None] >= np.arange(secrets + 1)).mean(0)
    assert np.abs(tail - chance).max() < 0.03


@given(counts=COUNTS, epsilon=st.floats(0, 6), more=st.floats(0, 4), delta=DELTAS)
def test_p_values_grow_with_the_claim_and_fall_with_what_was_right(
    counts: tuple[int, int, int], epsilon: float, more: float, delta: float
) -> None:
    of, right, choices = counts
    for chance in (guesses.p_value, guesses.p_value_of_records):
        here = chance(right, of, choices, epsilon, delta)
        assert 0 <= here <= 1 + 1e-12
        assert here <= chance(right, of, choices, epsilon, 2 * delta) + 1e-12
        pure = chance(right, of, choices, epsilon, 0.0)
        assert pure <= here + 1e-12
        assert pure <= chance(right, of, choices, epsilon + more, 0.0) + 1e-9
        if right:
            assert pure <= chance(right - 1, of, choices, epsilon, 0.0) + 1e-9
    assert (
        guesses.p_value(right, of, choices, epsilon, delta)
        <= pure_tail(counts, epsilon) + of * delta + 1e-12
    )


def pure_tail(counts: tuple[int, int, int], epsilon: float) -> float:
    """Return the binomial tail, added up."""
    of, right, choices = counts
    hit = math.exp(epsilon) / (math.exp(epsilon) + choices - 1)
    return sum(math.comb(of, k) * hit**k * (1 - hit) ** (of - k) for k in range(right, of + 1))


@given(counts=COUNTS, epsilon=st.floats(0, 6), delta=DELTAS)
def test_two_candidates_are_a_fair_coin(
    counts: tuple[int, int, int], epsilon: float, delta: float
) -> None:
    of, right, _ = counts
    mine = guesses.p_value(right, of, 2, epsilon, delta)
    pure = one_run.p_value(of, of, right, epsilon, 0.0)
    assert guesses.p_value(right, of, 2, epsilon, 0.0) == pytest.approx(pure, abs=1e-12)
    assert mine >= pure - 1e-12
    published = one_run.p_value(of, of, right, epsilon, delta)
    assert mine <= published + of * delta, "the term of delta is of the published one's size"


@given(counts=COUNTS, delta=st.sampled_from([0.0, 1e-6]))
def test_what_is_refuted_is_where_the_p_value_crosses(
    counts: tuple[int, int, int], delta: float
) -> None:
    of, right, choices = counts
    for chance in (guesses.p_value, guesses.p_value_of_records):
        found = guesses.largest_refuted(
            right, of, choices, delta=delta, significance=ALPHA, chance=chance
        )
        if found == 0:
            assert chance(right, of, choices, 0.0, delta) >= ALPHA
        else:
            at = chance(right, of, choices, found, delta)
            assert at == pytest.approx(ALPHA, rel=1e-3)
        most = guesses.ceiling(of, choices, delta=delta, significance=ALPHA, chance=chance)
        assert found <= most + 1e-6


def test_many_candidates_refute_what_two_cannot() -> None:
    settings = {"delta": 1e-5, "significance": ALPHA}
    two = guesses.ceiling(64, 2, **settings, chance=guesses.p_value)
    many = guesses.ceiling(64, 1024, **settings, chance=guesses.p_value)
    records = guesses.ceiling(64, 1024, **settings)
    assert two < 2
    assert many > 8
    assert many / 2 < records < many, "no factor two is lost where the record may be absent"


@pytest.mark.parametrize("chance", [guesses.p_value, guesses.p_value_of_records])
@pytest.mark.parametrize(
    ("right", "of", "choices", "epsilon", "delta"),
    [
        (3, 2, 2, 1.0, 0.0), (-1, 2, 2, 1.0, 0.0), (0, 0, 2, 1.0, 0.0), (1, 2, 1, 1.0, 0.0),
        (1, 2, 2, -1.0, 0.0), (1, 2, 2, math.nan, 0.0), (1, 2, 2, 1.0, 1.5), (1, 2, 2, 1.0, -0.1),
    ],
)  # fmt: skip
def test_what_is_no_observation_is_refused(  # noqa: PLR0913, PLR0917 - one parameter each
    chance: guesses.Chance, right: int, of: int, choices: int, epsilon: float, delta: float
) -> None:
    with pytest.raises(ConfigError):
        chance(right, of, choices, epsilon, delta)


@pytest.mark.parametrize("significance", [0.0, 1.0, math.nan])
def test_a_significance_that_refutes_nothing_is_refused(significance: float) -> None:
    with pytest.raises(ConfigError, match="significance"):
        guesses.largest_refuted(1, 2, 2, delta=0.0, significance=significance)
