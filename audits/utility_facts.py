"""How useful the model is: scores on the evaluation set that the consortium holds in common."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from audits.fact_types import Facts, Fraction


class RankingFacts(Facts):
    """How well the item that came next was ranked among each record's options.

    The hit rate and the discounted gain count the first ten; a tie is against the ranker.
    """

    hit_rate_10: Fraction
    ndcg_10: Fraction
    auc: Fraction


class ScoreFacts(Facts):
    """Scores on the common evaluation set, as fractions.

    Both F1 are None where records bring options of their own: they have no classes in common.
    """

    accuracy: Fraction
    macro_f1: Fraction | None
    weighted_f1: Fraction | None
    ranking: Annotated[RankingFacts | None, Field(exclude_if=lambda found: found is None)] = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.macro_f1 is None) is not (self.weighted_f1 is None):
            raise ValueError("both F1 scores are given or neither")
        return self


class UtilityFacts(Facts):
    """What the final scores are to be compared with.

    `majority_accuracy` is what always answering the most frequent label reaches on the common
    evaluation set; `before` is the model before the first round, if it was measured.
    """

    majority_accuracy: Fraction
    before: ScoreFacts | None
