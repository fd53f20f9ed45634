"""The small grammar in which templates are written, so that one template gives many texts.

    {a|b|c}        one of these; they nest, and an empty one may be left out
    <name>         a slot, filled by the caller; <name.form> asks for one form of it
    <18..89>       a number drawn between both, with as many decimals as the first has
    anything else  stands as it is; a lone "<" too, unless a name or a number follows

A template is parsed once and expanded many times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

_TOKEN = re.compile(
    r"<(?P<slot>[a-z]\w*)(?:\.(?P<form>[a-z_]+))?>"
    r"|<(?P<low>\d+(?:\.\d+)?)\.\.(?P<high>\d+(?:\.\d+)?)>"
    r"|(?P<mark>[{|}])"
)


@dataclass(frozen=True, slots=True)
class Slot:
    """A place that the caller fills; `form` is empty where the template asks for none."""

    name: str
    form: str = ""


@dataclass(frozen=True, slots=True)
class NumberRange:
    """A number between `low` and `high`, both possible, with `decimals` decimals."""

    low: float
    high: float
    decimals: int

    def draw(self, rng: np.random.Generator) -> str:
        """Return one number of the range."""
        scale = 10**self.decimals
        steps = rng.integers(round(self.low * scale), round(self.high * scale) + 1)
        return f"{int(steps) / scale:.{self.decimals}f}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several patterns."""

    options: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """Parts that follow each other: literal text, slots, numbers and choices."""

    parts: tuple[str | Slot | NumberRange | Choice, ...]

    def slots(self) -> Iterator[Slot]:
        """Yield every slot that some expansion holds."""
        for part in self.parts:
            if isinstance(part, Slot):
                yield part
            elif isinstance(part, Choice):
                for option in part.options:
                    yield from option.slots()


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text; `entity` is empty where it identifies nobody."""

    text: str
    entity: str = ""


def parse(source: str, name: str) -> Pattern:
    """Return the pattern that `source` writes down.

    Args:
        source: text in the grammar above.
        name: of the template, for the error.

    Raises:
        ConfigError: a brace is not closed or was never opened, or a range is upside down.
    """
    options: list[list[list[str | Slot | NumberRange | Choice]]] = [[[]]]
    done = 0
    for match in _TOKEN.finditer(source):
        _append_text(options[-1][-1], source[done : match.start()])
        done = match.end()
        mark = match["mark"]
        if mark is None:
            options[-1][-1].append(_slot_or_range(match, name))
        elif mark == "{":
            options.append([[]])
        elif mark == "|" and len(options) > 1:
            options[-1].append([])
        elif mark == "|":
            _append_text(options[-1][-1], mark)
        elif len(options) == 1:
            raise ConfigError(_unbalanced(name, "closes a brace that none opened"))
        else:
            closed = options.pop()
            options[-1][-1].append(Choice(tuple(Pattern(tuple(parts)) for parts in closed)))
    if len(options) > 1:
        raise ConfigError(_unbalanced(name, "opens a brace that none closes"))
    _append_text(options[0][0], source[done:])
    return Pattern(tuple(options[0][0]))


def expand(
    pattern: Pattern, rng: np.random.Generator, fill: Callable[[Slot], list[Piece]]
) -> list[Piece]:
    """Return one text of the pattern as pieces, in order.

    Args:
        pattern: what to expand.
        rng: decides choices and numbers; always asked in the order of the text.
        fill: returns what stands in a slot.
    """
    pieces: list[Piece] = []
    for part in pattern.parts:
        if isinstance(part, str):
            pieces.append(Piece(part))
        elif isinstance(part, Slot):
            pieces += fill(part)
        elif isinstance(part, NumberRange):
            pieces.append(Piece(part.draw(rng)))
        else:
            option = part.options[int(rng.integers(len(part.options)))]
            pieces += expand(option, rng, fill)
    return pieces


def _slot_or_range(match: re.Match[str], name: str) -> Slot | NumberRange:
    if match["slot"] is not None:
        return Slot(match["slot"], match["form"] or "")
    low, high = match["low"], match["high"]
    if float(low) > float(high):
        raise ConfigError(
            f"The template {name} has the range <{low}..{high}>, in which no number lies: no note "
            "can be made from it. Write the smaller number first."
        )
    return NumberRange(float(low), float(high), len(low.partition(".")[2]))


def _append_text(parts: list[str | Slot | NumberRange | Choice], text: str) -> None:
    if not text:
        return
    if parts and isinstance(parts[-1], str):
        parts[-1] += text
    else:
        parts.append(text)


def _unbalanced(name: str, what: str) -> str:
    return (
        f"The template {name} {what}: where its choices end cannot be told, so no note can be made "
        "from it. Balance its braces."
    )
