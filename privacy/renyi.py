"""Renyi divergences of noised steps, for what no privacy loss distribution can claim.

The steps are vector sums with Gaussian noise: continuous (`SubsampledGaussian`), or a sum of the
discrete Gaussians of several sites (`DistributedGaussian`). With z the noise multiplier, q the
Poisson sampling rate and alpha > 1 the order, this module bounds D_alpha of one step between
neighbouring data sets, in both directions. Divergences at one order add up over steps, also where
each step's parameters depend on what earlier ones released.

**One unsampled step.** Q is N_Z(0, sigma^2) in every coordinate, P the same moved by an integer
vector v with |v| <= sigma / z. Completing the square, sum_x P^alpha Q^(1 - alpha) is
exp(alpha (alpha - 1) |v|^2 / (2 sigma^2)) times sum_x exp(-|x - alpha v|^2 / (2 sigma^2)) over
the same sum at v = 0. The quotient is 1 where alpha v is an integer vector, and at most 1
elsewhere (Canonne, Kamath and Steinke 2020, Proposition 5). So (alpha - 1) D_alpha is
alpha (alpha - 1) / (2 z^2) at whole orders, and no more at others, as of continuous noise.

**Poisson sampling.** With M = (1 - q) Q + q P, the expansion of Mironov, Talwar and Zhang (2019)
holds at whole orders, since E_Q[(P/Q)^k] = exp(k (k - 1) / (2 z^2)) is the moment above:

    exp((alpha - 1) D_alpha(M || Q)) = sum_k C(alpha, k) (1 - q)^(alpha - k) q^k E_Q[(P/Q)^k].

Conditioning on the other units' samples and on the rounding, and on v, costs nothing: the
exponential is jointly convex in the two distributions. The other direction is smaller (their
Theorem 5, here for a lattice): x -> v - x maps the lattice onto itself and exchanges P and Q. For
a pair of points let w = P/Q >= 1 at one, then 1/w at the other; let a = 1 - q + q w,
b = q + (1 - q) w and u = w/b, so that a >= u >= 1 and a - 1 = b (u - 1). Within the pair, the sum
of D_alpha(M || Q) exceeds that of D_alpha(Q || M) by Q(x) (f(a) - b f(u)) with
f(t) = t^alpha - t^(1 - alpha), and f(a) / (a - 1) >= f(u) / (u - 1), as f(1) = 0 and f is convex.

**Sums of discrete Gaussians** are not discrete Gaussians, but their probabilities differ from
those of one with the summed variance by a factor within exp(+-t), see `closeness`. Replacing both
distributions adds (2 alpha - 1) / (alpha - 1) t to D_alpha: t alpha from the power of P, and
t (alpha - 1) from that of Q.

**Orders between two whole ones.** (alpha - 1) D_alpha = log E_Q[(M/Q)^alpha] is convex in alpha
and 0 at alpha = 1, so the straight line between two orders lies above it. That serves a filter of
a given order, and sums with unsampled events; of one sampled event the best order stays whole.

**Replace-one** moves an unsampled step by at most 2 / z. Sampled, both data sets are mixtures over
the same Q. Two bounds hold, and the smaller is taken: the weak triangle inequality over Q (Mironov
2017, Proposition 11: D_alpha <= (alpha - 1/2) / (alpha - 1) D_(2 alpha) + D_(2 alpha - 1) of
add/remove), and joint convexity, log(1 + q (exp(2 alpha (alpha - 1) / z^2) - 1)) / (alpha - 1).
**Zero-out** is add/remove: a clipped contribution that becomes zero moves the sum by at most C.
"""

from __future__ import annotations

import bisect
import math
from functools import lru_cache
from typing import TYPE_CHECKING

from privacy.events import DistributedGaussian, NoGuarantee, Relation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from privacy.events import Event, SubsampledGaussian

_WHOLE_ORDERS: tuple[int, ...] = (
    *range(2, 65),
    80,
    96,
    128,
    192,
    256,
    384,
    512,
    768,
    1024,
    2048,
    4096,
)

ORDERS: tuple[float, ...] = tuple(
    sorted(
        {1.0 + k / 16.0 for k in range(1, 49)}
        | {4.0 + k / 4.0 for k in range(1, 49)}
        | {float(order) for order in _WHOLE_ORDERS}
    )
)
"""The orders at which divergences are computed, ascending, all above 1."""

SMALLEST_MULTIPLIER = 1e-3
"""With a smaller noise multiplier, a step is counted as if it had no noise at all."""

_NODES: tuple[int, ...] = (1, *_WHOLE_ORDERS)
_CLOSE_TERMS = 64
_EXP_OF_MORE = 40.0


def closeness(local_sigma: float, contributors: int) -> float:
    """Return t with |log P(Z = x) - log P(W = x)| <= t for every integer x.

    Z is a sum of `contributors` independent discrete Gaussians, each with a sigma of at least
    `local_sigma` >= 1/2, and W the discrete Gaussian whose sigma^2 is the sum of theirs (Kairouz,
    Liu and Steinke 2021, section 4):

        t = 5 sum over k = 1 .. contributors - 1 of exp(-2 pi^2 local_sigma^2 k / (k + 1)).

    Of two, the quotient of the probabilities is proportional to sum_j exp(-(j - m)^2 / (2 s^2))
    with 1/s^2 = 1/sigma_1^2 + 1/sigma_2^2, which by Poisson's summation formula varies with m by
    a factor of exp(5 exp(-2 pi^2 s^2)) at most. A k-th summand meets a sum with a variance of at
    least k times its own bound, so s^2 >= local_sigma^2 k / (k + 1).

    From a sigma of 16 on t is below 10^-1000, and 0 as a float.
    """
    scale = 2.0 * math.pi**2 * local_sigma**2

    def term(k: int) -> float:
        return math.exp(-scale * k / (k + 1.0))

    first = min(contributors - 1, _CLOSE_TERMS)
    total = math.fsum(term(k) for k in range(1, first + 1))
    # The terms fall: what is left out is at most as many times the last that is in.
    return 5.0 * (total + (contributors - 1 - first) * term(max(first, 1)))


def divergence(event: Event, order: float, relation: Relation = Relation.ADD_REMOVE) -> float:
    """Return a bound on the Renyi divergence of order `order` > 1 of all steps of `event`.

    It holds in both directions, whatever the rest of the data. Infinite without a guarantee, and
    for noise below `SMALLEST_MULTIPLIER`.
    """
    if isinstance(event, NoGuarantee) or event.noise_multiplier < SMALLEST_MULTIPLIER:
        return math.inf
    one = _log_moment(event, order, relation) / (order - 1.0)
    if isinstance(event, DistributedGaussian):
        apart = event.size * closeness(event.local_sigma, event.contributors)
        one += (2.0 * order - 1.0) / (order - 1.0) * apart
    return event.steps * one


def divergences(
    events: Iterable[Event], relation: Relation = Relation.ADD_REMOVE
) -> tuple[float, ...]:
    """Return bounds on the divergence of all of `events` together, one for each of `ORDERS`."""
    listed = tuple(events)
    return tuple(
        math.fsum(divergence(event, order, relation) for event in listed) for order in ORDERS
    )


def converted(bounds: Iterable[float], orders: Iterable[float], delta: float) -> float:
    """Return the least epsilon at `delta` that follows from divergences at `orders`.

    Canonne, Kamath and Steinke 2020, Proposition 12, as dp-accounting computes it.
    """
    # Heavy: dp-accounting takes over a second to import.
    from dp_accounting.rdp import compute_epsilon  # noqa: PLC0415 - heavy

    pairs = [
        (order, bound) for order, bound in zip(orders, bounds, strict=True) if bound < math.inf
    ]
    if not pairs:
        return math.inf
    epsilon, _ = compute_epsilon([pair[0] for pair in pairs], [pair[1] for pair in pairs], delta)
    return float(epsilon)


def renyi_epsilon(
    events: Iterable[Event], delta: float, relation: Relation = Relation.ADD_REMOVE
) -> float:
    """Return the epsilon at `delta` of all of `events` together, from the best of `ORDERS`."""
    return converted(divergences(events, relation), ORDERS, delta)


def _log_moment(
    event: SubsampledGaussian | DistributedGaussian, order: float, relation: Relation
) -> float:
    """Return a bound on (order - 1) D_order of one step, without the closeness of a sum."""
    z, q = event.noise_multiplier, event.sampling_rate
    if q == 1.0:
        sensitivity = 2.0 if relation is Relation.REPLACE_ONE else 1.0
        return order * (order - 1.0) * (sensitivity / z) ** 2 / 2.0
    moment: Callable[[int, float, float], float]
    moment = _replaced if relation is Relation.REPLACE_ONE else _sampled
    upper = _NODES[min(bisect.bisect_left(_NODES, order), len(_NODES) - 1)]
    if order >= upper:
        return moment(math.ceil(order), z, q)
    lower = _NODES[bisect.bisect_left(_NODES, order) - 1]
    share = (order - lower) / (upper - lower)
    below = moment(lower, z, q) if lower > 1 else 0.0
    return (1.0 - share) * below + share * moment(upper, z, q)


@lru_cache(maxsize=1 << 14)
def _sampled(order: int, z: float, q: float) -> float:
    """Return log E_Q[(M/Q)^order], q < 1.

    The binomial weights sum to 1 and the moments of k = 0 and 1 are 1, so that the expectation is
    1 + sum over k >= 2 of weight_k (exp(k (k - 1) / (2 z^2)) - 1): positive terms, which lose
    nothing to cancellation however small they are.
    """
    log_q, log_rest = math.log(q), math.log1p(-q)
    log_all = math.lgamma(order + 1.0)

    def term(k: int) -> float:
        weight = log_all - math.lgamma(k + 1.0) - math.lgamma(order - k + 1.0)
        weight += k * log_q + (order - k) * log_rest
        return weight + _log_expm1(k * (k - 1.0) / (2.0 * z * z))

    terms = [term(k) for k in range(2, order + 1)]
    largest = max(terms)
    return _log1p_exp(largest + math.log(math.fsum(math.exp(x - largest) for x in terms)))


def _replaced(order: int, z: float, q: float) -> float:
    """Return a bound on (order - 1) D_order of one sampled step under replace-one."""
    over_q = (order - 0.5) / (2.0 * order - 1.0) * _sampled(2 * order, z, q)
    over_q += (order - 1.0) / (2.0 * order - 2.0) * _sampled(2 * order - 1, z, q)
    convex = _log1p_exp(math.log(q) + _log_expm1(2.0 * order * (order - 1.0) / (z * z)))
    return min(over_q, convex)


def _log_expm1(x: float) -> float:
    """Return log(exp(x) - 1), x > 0, also where exp(x) is no float any more."""
    return x + math.log(-math.expm1(-x))


def _log1p_exp(x: float) -> float:
    """Return log(1 + exp(x)), also where exp(x) is no float any more."""
    return x + math.log1p(math.exp(-x)) if x > _EXP_OF_MORE else math.log1p(math.exp(x))
