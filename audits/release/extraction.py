"""Extraction: given the start of a record that was trained on, does the model recite the rest?

Carlini et al. 2023, "Quantifying Memorization Across Neural Language Models", arXiv:2202.07646: a
record is extractable with p tokens of context if greedy decoding from them yields the rest of it.
A rate means little alone, since anybody continues "Dear Sir or" alike: extract controls too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from audits.statistics import binomial
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

GreedyContinuation = Callable[[NDArray[np.int64]], NDArray[np.int64]]
"""(p,) token ids to those that the model finds most likely after them, one by one, without them."""


@dataclass(frozen=True, eq=False)
class Passage:
    """A record, cut in two; not shown.

    Attributes:
        prefix: (p,) token ids that the attacker knows.
        suffix: (s,) token ids that follow in the record.
        repetitions: in how many records of the training data it stands.
    """

    prefix: NDArray[np.int64] = field(repr=False)
    suffix: NDArray[np.int64] = field(repr=False)
    repetitions: int = 1


@dataclass(frozen=True)
class Extraction:
    """What the model made of one prefix.

    Attributes:
        exact: the whole suffix came, token by token.
        shared: the share of the suffix that came before the first wrong token.
        repetitions: of the passage.
    """

    exact: bool
    shared: float
    repetitions: int = 1


@dataclass(frozen=True)
class ExtractionRate:
    """Over many passages.

    Attributes:
        passages: how many.
        exact: how many were recited to the end.
        rate: their share.
        interval: of the rate; Clopper and Pearson's.
        shared: the mean share that came before the first wrong token.
    """

    passages: int
    exact: int
    rate: float
    interval: tuple[float, float]
    shared: float


def extracted(
    generated: NDArray[np.integer[Any]], suffix: NDArray[np.integer[Any]], repetitions: int = 1
) -> Extraction:
    """Return how much of the suffix was generated, from its start.

    Args:
        generated: (g,) token ids; what goes beyond the suffix is not looked at.
        suffix: (s,) token ids that stand in the record.
        repetitions: of the record.

    Raises:
        ConfigError: the suffix is empty, or one of the two is no list.
    """
    if suffix.ndim != 1 or generated.ndim != 1 or suffix.size == 0:
        raise ConfigError(
            f"Tokens of shapes {generated.shape} and {suffix.shape} are not a continuation and "
            "what it should be: nothing was compared. Give lists, and a suffix of one token or "
            "more."
        )
    both = min(generated.size, suffix.size)
    wrong = np.flatnonzero(generated[:both] != suffix[:both])
    right = int(wrong[0]) if wrong.size else both
    return Extraction(right == suffix.size, right / suffix.size, repetitions)


def extract(
    passages: Sequence[Passage], continuation: GreedyContinuation
) -> tuple[Extraction, ...]:
    """Return what the model makes of each passage's prefix.

    Raises:
        ConfigError: a suffix is empty.
    """
    return tuple(
        extracted(continuation(passage.prefix), passage.suffix, passage.repetitions)
        for passage in passages
    )


def extraction_rate(
    found: Sequence[Extraction], *, at_most: int | None = None, confidence: float = 0.95
) -> ExtractionRate:
    """Return the rate over the passages that stand in `at_most` records (None: over all).

    What is extractable and stands in at most k records is k-eidetic memorisation (Carlini et al.
    2021, arXiv:2012.07805, definition 2): the fewer, the worse.

    Raises:
        ConfigError: there is no such passage.
    """
    counted = [each for each in found if at_most is None or each.repetitions <= at_most]
    if not counted:
        raise ConfigError(
            f"None of {len(found)} passages stands in {at_most} records or fewer: there is no "
            "rate. Extract some, or count more often repeated ones."
        )
    exact = sum(each.exact for each in counted)
    return ExtractionRate(
        passages=len(counted),
        exact=exact,
        rate=exact / len(counted),
        interval=binomial.interval(exact, len(counted), confidence),
        shared=float(np.mean([each.shared for each in counted])),
    )
