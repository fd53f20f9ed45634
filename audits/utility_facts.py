"""How useful the model is: scores on the evaluation set that the consortium holds in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from audits.fact_types import Facts, Fraction


class RankingFacts(Facts):
    """How well the item that came next was ranked among each record's options.

    The hit rate and the discounted gain count the first ten; a tie is against the ranker.
    """

    hit_rate_10: Fraction
    ndcg_10: Fraction
    auc: Fraction


class ScoreFacts(Facts):
    """Scores on the common evaluation set, as fractions."""

    accuracy: Fraction
    macro_f1: Fraction
    weighted_f1: Fraction
    ranking: Annotated[RankingFacts | None, Field(exclude_if=lambda found: found is None)] = None


class UtilityFacts(Facts):
    """What the final scores are to be compared with.

    `majority_accuracy` is what always answering the most frequent label reaches on the common
    evaluation set; `before` is the model before the first round, if it was measured.
    """

    majority_accuracy: Fraction
    before: ScoreFacts | None
