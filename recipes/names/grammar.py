"""Templates with choices `[a|b]` and slots `{name}`, and the text that one drawing makes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{([A-Za-z_]+)(\d?)\}")


def choose(template: str, rng: random.Random) -> str:
    """Return `template` with one alternative of each choice, the inner ones first."""
    while True:
        chosen, count = _CHOICE.subn(lambda match: rng.choice(match[1].split("|")), template)
        if not count:
            return chosen
        template = chosen


def pieces(chosen: str) -> Iterator[tuple[str, str | None]]:
    """Yield the parts of a chosen template in order: (text, None), or (slot, its number)."""
    done = 0
    for match in _SLOT.finditer(chosen):
        if match.start() > done:
            yield chosen[done : match.start()], None
        yield match[1], match[2]
        done = match.end()
    if done < len(chosen):
        yield chosen[done:], None
