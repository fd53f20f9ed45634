"""What is read of two texts out of sums that hold one of them.

A fair coin says which of two texts is summed. Where the sum tells nothing, neither is read more
than the other but by chance, and the pairs in which the summed one is ahead, of all that are not
level, are Binomial(n, 1/2), whatever the words, the reader and the vocabulary are. Words of one
text are found together or not at all: pairs are what is counted, never words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from scipy import stats

from audits.inversion.row_space import visible_subspace
from audits.inversion.token_inversion import exact_threshold, invert_positions
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from audits.inversion.row_space import Subspace

    Places = tuple[frozenset[int], ...]

_CHANCE: Final = 1e-3
"""How rarely a random direction may pass. One of the usual millionth asks for two directions that
no text fills, or for more digits than float32 has; the twin bears what passes by chance."""


@dataclass(frozen=True, eq=False)
class TextPair:
    """The tokens of two texts, as rows of the candidates; not shown.

    Attributes:
        inside: for each place the tokens that the text in the sum has there.
        outside: likewise of the one that is not.
    """

    inside: Places = field(repr=False)
    outside: Places = field(repr=False)

    @property
    def summed(self) -> Places:
        """What only the text in the sum has: the words that tell it."""
        return _less(self.inside, self.outside)

    @property
    def twin(self) -> Places:
        """What only the other has."""
        return _less(self.outside, self.inside)

    @property
    def words(self) -> int:
        """How many words tell the summed text."""
        return sum(map(len, self.summed))


@dataclass(frozen=True)
class PairReading:
    """How many words of a pair were found in one sum.

    Attributes:
        words: how many could have been, of the text in the sum.
        found: of them.
        twin_found: of its twin's.
        others: tokens that were found and are neither's.
    """

    words: int
    found: int
    twin_found: int
    others: int


@dataclass(frozen=True)
class PairCount:
    """How often the summed text was ahead of its twin.

    Attributes:
        pairs: all.
        ahead: in which more words of the summed text were found.
        behind: in which fewer were.
        words: that could have been found in all sums.
        found: that were.
        others: tokens that were found and are of neither text.
    """

    pairs: int
    ahead: int
    behind: int
    words: int
    found: int
    others: int

    @classmethod
    def of(cls, readings: Sequence[PairReading]) -> PairCount:
        """Return the count of `readings`."""
        return cls(
            pairs=len(readings),
            ahead=sum(each.found > each.twin_found for each in readings),
            behind=sum(each.found < each.twin_found for each in readings),
            words=sum(each.words for each in readings),
            found=sum(each.found for each in readings),
            others=sum(each.others for each in readings),
        )

    @property
    def p_value(self) -> float:
        """How likely as many are ahead by the coin alone: the sign test, exact and one-sided."""
        return float(stats.binom.sf(self.ahead - 1, self.ahead + self.behind, 0.5))


def read_pair(
    opened: NDArray[np.floating],
    candidates: Sequence[NDArray[np.floating]],
    pair: TextPair,
    noise_deviation: float = 0.0,
) -> PairReading:
    """Return how many words of `pair` lie in what `opened` shows.

    Two readers look, and what either finds counts: one puts all that noise could be down to noise;
    one takes the sum for exact, which is right where the noise was forgotten.

    Args:
        opened: a layer's matrix (m, d) in a sum.
        candidates: for each place (V, d), what enters there for each token.
        pair: for each place the rows of `candidates` that are each text's.
        noise_deviation: of the noise in each entry, as the mechanism has it.

    Raises:
        ConfigError: the candidates are not of this layer, or there are more or fewer places.
    """
    if not len(pair.inside) == len(pair.outside) == len(candidates):
        raise ConfigError(
            f"Two texts have words at {len(pair.inside)} and {len(pair.outside)} places, with "
            f"candidates for {len(candidates)}: nothing was read. Give one entry for each place."
        )
    found = _found(visible_subspace(opened), candidates)
    if noise_deviation > 0:
        aware = _found(visible_subspace(opened, noise_deviation=noise_deviation), candidates)
        found = [one | other for one, other in zip(found, aware, strict=True)]
    # What both have at a place tells neither.
    neither = _less(_less(tuple(map(frozenset, found)), pair.inside), pair.outside)
    return PairReading(
        words=pair.words,
        found=_common(pair.summed, found),
        twin_found=_common(pair.twin, found),
        others=sum(map(len, neither)),
    )


def _less(places: Places, others: Places) -> Places:
    return tuple(one - other for one, other in zip(places, others, strict=True))


def _common(places: Places, found: Sequence[set[int]]) -> int:
    return sum(len(place & there) for place, there in zip(places, found, strict=True))


def _found(seen: Subspace, candidates: Sequence[NDArray[np.floating]]) -> list[set[int]]:
    threshold = exact_threshold(seen, _CHANCE)
    if not threshold > 0:
        return [set() for _ in candidates]
    inverted = invert_positions(seen, candidates.__getitem__, len(candidates), threshold)
    return [set(tokens) for tokens in inverted.found]
