"""Identifiers that stand in one piece: a form, a checksum, and what each says about the other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CERTAIN = 1.0
"""A checksum of two digits or more, or a form that nothing else has."""

WRITTEN = 0.6
"""A form that is rarely anything else."""

SHAPE = 0.5
"""A form that is sometimes something else."""

NEEDS_CONTEXT = 0.3
"""A checksum of one digit over a common form: scrubbed beside a word for it."""

WEAK = 0.1
"""A common form, or a checksum that fails: scrubbed beside a word for it, since it may be a slip
of the pen."""

NONE = 0.0
"""No finding."""

_SEPARATORS = str.maketrans("", "", " -./()")


@dataclass(frozen=True, slots=True)
class Form:
    """How one kind of identifier is written.

    `pattern` has no capturing group and no look-around at its ends: `finder` sees to it that the
    match stands alone. `score` takes the match without separators, in capitals, and returns the
    finding's score, `NONE` for no finding.
    """

    entity: str
    pattern: str
    score: Callable[[str], float]


def checked(
    check: Callable[[str], bool], valid: float, invalid: float = WEAK
) -> Callable[[str], float]:
    """Return the score of a form whose checksum is `check`."""

    def score(compact: str) -> float:
        return valid if check(compact) else invalid

    return score


def finder(forms: Sequence[Form], *, opening: str) -> Callable[[str], Iterator[Span]]:
    """Return the `Find` of `forms`, tried in order at each place, in one pass over the text.

    `opening` is a pattern with which every form starts: where it does not match, and that is
    almost everywhere, none of them is tried.
    """
    alternatives = "|".join(f"({form.pattern})" for form in forms)
    # What follows belongs to the choice: a form that goes on is another form or none.
    together = re.compile(rf"(?<!\w)(?={opening})(?:{alternatives})(?!\w)")

    def find(text: str) -> Iterator[Span]:
        for match in together.finditer(text):
            form = forms[(match.lastindex or 1) - 1]
            score = form.score(match[0].translate(_SEPARATORS).upper())
            if score:
                yield Span(match.start(), match.end(), form.entity, score)

    return find
