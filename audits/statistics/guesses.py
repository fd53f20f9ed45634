"""Lower bounds on epsilon from guesses at secrets that were drawn from a few candidates each.

Each of m secrets was drawn uniformly and independently from R candidates of its own before a run;
whoever has seen what the run gave away names one candidate of each. Two kinds of neighbours:

* `p_value`: any two candidates give neighbouring runs: a secret replaced by another, or, with
  R = 2, a record that is there or not. It carries Steinke, Nasr and Jagielski, "Privacy Auditing
  with One (1) Training Run" (NeurIPS 2023, arXiv:2305.08846), Theorem 5.2, from 2 candidates to R.
* `p_value_of_records`: a run with the record that holds the secret, and one without it, are
  neighbours, as under the add-or-remove guarantee of a sampled training step. A record replaced
  is two steps away, and yet no guess at one is right more often than e^eps/R + delta.

Proofs stand with the two functions. What is asked of the guesses: that each is made of every
secret counted, and that nothing but what the run gave away told them apart.

Formal guarantee: if every secret's neighbours are (epsilon, delta)-indistinguishable, whatever the
other secrets are, the p-value at that epsilon is at most `significance` with at most that
probability. Edge case: none right bounds nothing.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import optimize, special, stats

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    Chance = Callable[[int, int, int, float, float], float]
    """One of this module's p-values: of right, guesses, choices, epsilon and delta."""

_TOLERANCE: Final = 1e-7
_NO_CHANCE: Final = 600.0
"""The logarithm of what is far too large for a chance, and not for a float."""


def p_value(right: int, guesses: int, choices: int, epsilon: float, delta: float) -> float:
    """Return the largest chance that so many guesses are right where candidates are neighbours.

    With p = e^eps / (e^eps + R - 1), W_n ~ Bin(n, p) and v = `right`, it is

        P(W_m >= v) + delta (1 - p) sum over n < m of max over k of P(W_n = k),

    k from max(0, v - m + n) to min(n, v - 1).

    Proof. Let X_i say whether guess i is right, and h in [0, 1] be a function of the output and of
    the other secrets. Given these secrets, write T = sum over a of E_a[h; guess i is a], where E_a
    is over the output of a run whose secret i is a. Each term is at most e^eps times that under
    any b, plus delta; averaged over the R - 1 others, and summed over a,
    T <= e^eps (R E[h] - T) / (R - 1) + R delta. Hence E[X_i h] = T / R <= p E[h] + (1 - p) delta.
    Now let the guesses give way, the last one first, to independent coins of chance p: with
    S = X_1 + ... + X_(i-1) and n = m - i coins behind it, the chance of v or more falls by
    E[(X_i - p) h], h = P(W_n = v - 1 - S | S), which is at most (1 - p) delta max h. What is left
    when all have given way is P(W_m >= v).

    Args:
        right: v, how many guesses are right.
        guesses: m, how many were made.
        choices: R, how many candidates each secret has, 2 or more.
        epsilon: of the claim, 0 or more.
        delta: likewise, in [0, 1].

    Raises:
        ConfigError: the counts are no counts, or the claim is none.
    """
    _check(right, guesses, choices, epsilon, delta)
    hit, miss = _chances(choices, epsilon)
    tail = float(stats.binom.sf(right - 1, guesses, hit))
    if delta == 0 or right == 0:
        return tail
    coins = np.arange(guesses)
    least = np.maximum(0, right - guesses + coins)
    likeliest = np.clip(np.floor((coins + 1) * hit), least, np.minimum(coins, right - 1))
    swings = float(stats.binom.pmf(likeliest, coins, hit).sum())
    return min(1.0, tail + delta * miss * swings)


def p_value_of_records(
    right: int, guesses: int, choices: int, epsilon: float, delta: float
) -> float:
    """Return the largest chance that so many are right where a record and its absence are.

    It is the less of two bounds. The first is `p_value` at (2 eps, (1 + e^eps) delta): a secret is
    replaced by taking its record away and adding another. The second, with q = e^eps / R and
    r_t = C(m, t) / C(v, t), is

        min over 1 <= j <= v of q^j r_j + delta sum over t <= j of q^(t-1) r_t,  q < 1.

    Proof. Let W be how many guesses are right, h(w) = 1 / C(w, j) from v on and 0 below, and X_J
    say whether all guesses of a set J are right. W holds C(W, j) right sets of j, so that
    P(W >= v) is the sum of E[X_J h(W)] over all J. Take J's records away one after the other, in
    each order with weight 1 / j!, and call the guesses at what is away right. When record i goes
    as the t-th, f = X_K h(W), K what is left of J, does not depend on secret i. The output's
    measure where the secret is a is at most e^eps times that without the record, plus an excess
    of mass delta or less. Averaged over a, since what is not there is guessed with chance 1 / R,
    E[X_i f] <= q E'[f] + D[f], E' without the record and D the excess where guess i is right, of
    mass delta or less. In the end q^j h(W) is left of each J, which is at most q^j / C(v, j).
    The excesses: let a sequence of t records be away. What is left of J is any of C(W - t, j - t)
    sets of right guesses, in (j - t)! orders, and (j - t)! / j! C(w - t, j - t) h(w) is
    (w - t)! / w!, or 0 below v. There are m! / (m - t)! sequences: q^(t-1) delta r_t together.

    It cannot be much less: who tells v secrets of all, drawn anew, in m delta / v of all runs keeps
    (0, delta). So m delta / v has to be well below the significance if anything is to be refuted.

    Args:
        right: v, how many guesses are right.
        guesses: m, how many were made.
        choices: R, how many candidates each secret has, 2 or more.
        epsilon: of the claim, 0 or more.
        delta: likewise, in [0, 1].

    Raises:
        ConfigError: the counts are no counts, or the claim is none.
    """
    _check(right, guesses, choices, epsilon, delta)
    replaced = p_value(
        right, guesses, choices, 2 * epsilon, min(1.0, delta * (1 + float(np.exp(epsilon))))
    )
    share = float(np.exp(epsilon)) / choices
    if share >= 1:
        return replaced
    if right == 0:
        return replaced
    sets = np.arange(1, right + 1)
    log_ratios = _log_binomials(guesses, sets) - _log_binomials(right, sets)
    log_chosen = np.minimum(log_ratios + (sets - 1) * np.log(share), _NO_CHANCE)
    chosen = np.exp(log_chosen)
    return min(replaced, float(np.min(share * chosen + delta * np.cumsum(chosen))))


def largest_refuted(  # noqa: PLR0913 - what was counted, and at what it is tested
    right: int,
    guesses: int,
    choices: int,
    *,
    delta: float,
    significance: float,
    chance: Chance = p_value_of_records,
) -> float:
    """Return the largest epsilon that is refuted at `significance`; 0 if none is.

    Whatever is refuted, so is everything below it: a run that keeps a smaller epsilon keeps this.
    By `p_value_of_records` unless another `chance` is named, since that is what a run claims: under
    add-or-remove, and zero-out, a record with another secret, label or word is two steps away.

    Raises:
        ConfigError: the counts are no counts, or `delta` or `significance` is out of range.
    """
    if not 0 < significance < 1:
        raise ConfigError(
            f"A significance of {significance} refutes nothing: choose one above 0 and below 1."
        )

    def left(epsilon: float) -> float:
        return significance - chance(right, guesses, choices, epsilon, delta)

    if left(0.0) <= 0:
        return 0.0
    low, high = 0.0, 1.0
    while left(high) > 0:
        low, high = high, 2 * high
    return float(optimize.brentq(left, low, high, xtol=_TOLERANCE))


def ceiling(
    guesses: int,
    choices: int,
    *,
    delta: float,
    significance: float,
    chance: Chance = p_value_of_records,
) -> float:
    """Return the largest epsilon that is refuted where every guess is right.

    Raises:
        ConfigError: as for `largest_refuted`.
    """
    return largest_refuted(
        guesses, guesses, choices, delta=delta, significance=significance, chance=chance
    )


def fewest_right(  # noqa: PLR0913, PLR0917 - as above
    guesses: int,
    choices: int,
    epsilon: float,
    delta: float,
    significance: float,
    chance: Chance = p_value_of_records,
) -> int | None:
    """Return how many right guesses it takes to refute the claim; None if all do not.

    Raises:
        ConfigError: the counts are no counts, or the claim is none.
    """
    found = bisect.bisect_left(
        range(guesses + 1),
        True,  # noqa: FBT003 - what is looked for
        key=lambda right: chance(right, guesses, choices, epsilon, delta) <= significance,
    )
    return found if found <= guesses else None


def _chances(choices: int, epsilon: float) -> tuple[float, float]:
    """Return p and 1 - p, neither by a difference."""
    odds = epsilon - float(np.log(choices - 1))
    return float(special.expit(odds)), float(special.expit(-odds))


def _log_binomials(of: int, sets: np.ndarray) -> np.ndarray:
    found: np.ndarray = (
        special.gammaln(of + 1) - special.gammaln(sets + 1) - special.gammaln(of - sets + 1)
    )
    return found


def _check(right: int, guesses: int, choices: int, epsilon: float, delta: float) -> None:
    if not 0 <= right <= guesses or guesses == 0 or choices < 2:  # noqa: PLR2004 - one is no choice
        raise ConfigError(
            f"{right} right of {guesses} guesses among {choices} candidates is no observation: a "
            "bound would mean nothing. Count again."
        )
    if not epsilon >= 0 or not 0 <= delta <= 1:
        raise ConfigError(
            f"({epsilon}, {delta}) claims nothing that could be tested: epsilon is 0 or more, "
            "delta from 0 to 1."
        )
