"""A scrubber with the rules alone, so that a test of a rule does not rest on the names model."""

from __future__ import annotations

import pytest

from privacy.scrubbing import PATTERN_ENTITIES, Scrubber, ScrubProfile
from privacy.scrubbing.recognizers import ProviderKind

ENTITIES = tuple(sorted({*PATTERN_ENTITIES, "PERSON"}))
"""What rules find, by form or by cue."""


def rules_alone(entities: tuple[str, ...] = ENTITIES) -> Scrubber:
    """Return a scrubber of `entities` in which nothing but rules looks for them."""
    from privacy.scrubbing import engine  # noqa: PLC0415 - it imports Presidio

    rules = tuple(r for r in engine.BUILT_IN if r.kind is not ProviderKind.NAMES_MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "BUILT_IN", rules)
        return Scrubber(ScrubProfile(required=entities))
