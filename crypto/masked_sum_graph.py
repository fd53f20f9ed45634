"""Who deals shares to whom above 100 sites (MS.12): k and t from hypergeometric tails.

Bell et al., "Secure single-server aggregation with (poly)logarithmic overhead" (CCS 2020), with
neighbours that each site draws itself, as in their section 4: after the round's announcements
are fixed, every site draws k others from a seed of its own, deals its shares to them, and shares
a pairwise mask with each. So the graph comes from one contribution of every site, and nobody can
grind anybody's: whoever holds a site's shares was drawn by that site alone.

With n sites of which c are corrupted and u drop out, k and t are the smallest for which

    secrecy     n P[H(n-1, c, k) >= t]                                          <= 2^-40
    separation  sum over s <= (n-c)/2 of C(n-c, s) P[H(n-1, s-1+c, k) >= t]^s   <= 2^-40
    failure     n P[H(n-1, n-1-u, k) < t]                                       <= 2^-20

H(N, K, k) being the number of marked sites among k that are drawn from N, of which K are marked.
Secrecy: no honest site's secrets can be rebuilt by the corrupted ones. Separation: a site's holders
release its self mask only while at least t of the neighbours it drew survive; a group of s honest
sites can be cut off from the rest, by whatever choice of drop-outs, only if each of them drew at
least t among the group and the corrupted. Failure: some honest site has fewer than t holders left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from crypto.agreement import hkdf
from crypto.errors import ConfigError
from crypto.keystream import KEY_BYTES, KeyStream
from crypto.secrets import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LARGEST_COMPLETE: Final = 100
"""Up to here every site deals to every other."""

LARGEST_COHORT: Final = 4096
"""Sites in one sum; beyond, nobody has measured it."""

SECURITY_BITS: Final = 40
FAILURE_BITS: Final = 20
GRAPH_SEED_BYTES: Final = 32


def default_threshold(sites: int) -> int:
    """Return floor(2n/3) + 1, above which no two survivor lists open both of a site's secrets.

    Bonawitz et al. 2017, section 6.2: needed against a coordinator that lies about survivors.
    """
    return 2 * sites // 3 + 1


@dataclass(frozen=True)
class CohortRisk:
    """How many of a large cohort's sites may fail, and how many may collude with the coordinator.

    Attributes:
        drop_outs: sites that may drop out of a round.
        corrupted: sites that may be the coordinator's.

    Raises:
        ConfigError: a number is negative.
    """

    drop_outs: int
    corrupted: int

    def __post_init__(self) -> None:
        if min(self.drop_outs, self.corrupted) < 0:
            raise ConfigError("Drop-outs and corrupted sites are counted from zero.")

    @classmethod
    def of(cls, sites: int, drop_out_rate: float, corrupted_share: float) -> CohortRisk:
        """Return the risk among `sites` sites of two rates in [0, 1), rounded up.

        Raises:
            ConfigError: a rate is out of range.
        """
        if not (0 <= drop_out_rate < 1 and 0 <= corrupted_share < 1):
            raise ConfigError(
                "The drop-out rate and the corrupted share of a cohort are at least 0 and below 1."
            )
        return cls(math.ceil(sites * drop_out_rate), math.ceil(sites * corrupted_share))


@dataclass(frozen=True)
class Neighbourhood:
    """How many others each site draws, and how many of their shares rebuild a secret."""

    degree: int
    threshold: int


@dataclass(frozen=True)
class Tails:
    """Minus log2 of the three probabilities in this module's head."""

    secrecy_bits: float
    separation_bits: float
    failure_bits: float

    def suffice(self) -> bool:
        """Whether each is at most what it must be."""
        return (
            min(self.secrecy_bits, self.separation_bits) >= SECURITY_BITS
            and self.failure_bits >= FAILURE_BITS
        )


@lru_cache(maxsize=64)
def choose_neighbourhood(sites: int, risk: CohortRisk) -> Neighbourhood:
    """Return the smallest degree that meets the three bounds, and its largest threshold.

    Raises:
        ConfigError: no degree below n - 1 does; the closest tails are in the message.
    """
    if not LARGEST_COMPLETE < sites <= LARGEST_COHORT:
        raise ConfigError(
            f"A drawn neighbourhood among {sites} sites was refused: up to {LARGEST_COMPLETE} "
            f"every site deals to every other, and more than {LARGEST_COHORT} are not on offer."
        )
    least, most = 2, sites - 1  # the bounds are monotone in the degree but for rounding
    while least < most:
        degree = (least + most) // 2
        if _tails_at(sites, degree, risk).suffice():
            most = degree
        else:
            least = degree + 1
    for degree in range(least, min(least + 8, sites)):
        tails = _tails_at(sites, degree, risk)
        if degree < sites - 1 and tails.suffice():
            return Neighbourhood(degree, _largest_threshold(sites, degree, risk))
    tails = _tails_at(sites, sites - 2, risk)
    raise ConfigError(
        f"No neighbourhood among {sites} sites bears {risk.drop_outs} drop-outs and "
        f"{risk.corrupted} corrupted sites: even {sites - 2} neighbours each reach "
        f"2^-{tails.secrecy_bits:.1f} (secrecy) and 2^-{tails.separation_bits:.1f} (separation) "
        f"where 2^-{SECURITY_BITS} is required, and 2^-{tails.failure_bits:.1f} (failure) where "
        f"2^-{FAILURE_BITS} is. Assume fewer of either, or split the cohort."
    )


def tails_of(sites: int, neighbourhood: Neighbourhood, risk: CohortRisk) -> Tails:
    """Return the three tails of a neighbourhood; infinite where an event cannot happen."""
    k, t, others = neighbourhood.degree, neighbourhood.threshold, sites - 1
    c = min(risk.corrupted, others)  # of a site to protect, all others can be corrupted at most
    alive = max(others - risk.drop_outs, 0)
    return Tails(
        secrecy_bits=_bits(math.log2(sites) + _log2_at_least(others, c, k, t)),
        separation_bits=_bits(_log2_separation(sites, k, t, c)),
        failure_bits=_bits(math.log2(sites) + _log2_at_least(others, others - alive, k, k - t + 1)),
    )


def draw_neighbours(seed: bytes, site: str, names: Sequence[str], degree: int) -> tuple[str, ...]:
    """Return the `degree` others among `names` that `site` draws from its 32-byte seed, sorted.

    A partial Fisher-Yates shuffle over the names in order, with words rejected above the largest
    multiple of what is left, so that every set of others is equally likely.

    Raises:
        ValueError: the seed has another length, or there are not enough others.
    """
    others = sorted(name for name in names if name != site)
    if len(seed) != GRAPH_SEED_BYTES or not 0 < degree <= len(others):
        raise ValueError(f"{degree} of {len(others)} others cannot be drawn from this seed.")
    if degree == len(others):
        return tuple(others)
    stream = KeyStream(hkdf(SecretBytes(seed), "neighbours", site.encode(), KEY_BYTES))
    for place in range(degree):
        left = len(others) - place
        limit = 2**32 - 2**32 % left
        word = limit
        while word >= limit:
            word = int.from_bytes(stream.read(4), "little")
        pick = place + word % left
        others[place], others[pick] = others[pick], others[place]
    return tuple(sorted(others[:degree]))


def _tails_at(sites: int, degree: int, risk: CohortRisk) -> Tails:
    threshold = max(_largest_threshold(sites, degree, risk), degree // 2 + 1)
    return tails_of(sites, Neighbourhood(degree, threshold), risk)


def _largest_threshold(sites: int, degree: int, risk: CohortRisk) -> int:
    """The largest threshold at which a round fails rarely enough; 0 if none does."""
    others = sites - 1
    lost = min(risk.drop_outs, others)
    spare = math.log2(sites) + FAILURE_BITS
    for threshold in range(degree, 0, -1):
        if _log2_at_least(others, lost, degree, degree - threshold + 1) <= -spare:
            return threshold
    return 0


@lru_cache(maxsize=1 << 15)
def _log2_at_least(population: int, marked: int, drawn: int, least: int) -> float:
    """Return log2 P[H(population, marked, drawn) >= least]; rounding moves it by below 1e-6."""
    low = max(least, drawn - (population - marked), 0)
    ways = _log2_sum(
        _log2_choose(marked, x) + _log2_choose(population - marked, drawn - x)
        for x in range(low, min(marked, drawn) + 1)
    )
    return ways - _log2_choose(population, drawn)


def _log2_separation(sites: int, k: int, t: int, corrupted: int) -> float:
    """Return log2 of the separation bound: the sum over the sizes of an honest group."""
    honest = sites - corrupted
    return _log2_sum(
        _log2_choose(honest, size)
        + size * _log2_at_least(sites - 1, min(size - 1 + corrupted, sites - 1), k, t)
        for size in range(1, honest // 2 + 1)
    )


def _log2_choose(n: int, k: int) -> float:
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


def _log2_sum(terms: Iterable[float]) -> float:
    """Return log2 of the sum of 2^term, without leaving the range of a float."""
    finite = [term for term in terms if term > -math.inf]
    if not finite:
        return -math.inf
    largest = max(finite)
    return largest + math.log2(sum(2.0 ** (term - largest) for term in finite))


def _bits(log2_probability: float) -> float:
    return max(0.0, -log2_probability)
