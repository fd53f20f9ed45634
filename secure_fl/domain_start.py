"""What a domain's pack changes in the configuration and the policy that `init` writes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.catalogue import DOMAINS, ENTRIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domains.domain import Entry

_LONGEST: Final = 128
"""Tokens of a record that MiniLM reads well; the generated sentences need half of it."""

_COMMENTS: Final = 40
"""Where comments begin."""

Changes = tuple[tuple[str, str], ...]
"""Patterns that stand once in a template, and what stands there instead."""


def changes_for(name: str) -> Mapping[str, Changes]:
    """Return by file what is written for the data set called `name`, in the place of the usual.

    Raises:
        ConfigError: no data set is called so, or it is one that a run takes from sites' own files.
    """
    entry = ENTRIES.get(name)
    if entry is None:
        raise ConfigError(
            f"No data set is called {name!r}: nothing was written. Known data sets: "
            f"{', '.join(ENTRIES)}. Of sites' own records examples/own-data.toml is the example."
        )
    scrubbed = json.dumps(_scrub(entry))
    by_user = "users" in entry.choices
    unit = "user" if by_user else "record"
    unit_column = f"\n{_line('unit_column', 'user', 'whose a record is')}" if by_user else ""
    return {
        "run.toml": (
            (r'^dataset = "finance\.generated"[^\n]*$', _line("dataset", name, _where(entry))),
            (r"^scrub = \[.*?^\]$", f"scrub = {scrubbed}"),
            (r"^max_length = 64 ", f"max_length = {_LONGEST}"),
            (r'^unit = "record"[^#]*#[^\n]*', _line("unit", unit, "what the guarantee is about")),
        ),
        "policy.toml": (
            (r'^name = "invented-sentences"[^#]*', _line("name", name)),
            (r'^dataset = "finance\.generated"[^#]*', _line("dataset", name)),
            (r"^required_scrubbing = [^\n]*$", f"required_scrubbing = {scrubbed}"),
            (r'^unit = "record"[^#]*#[^\n]*', f"{_line('unit', unit, 'or another')}{unit_column}"),
        ),
    }


def changed(text: str, changes: Changes) -> str:
    """Return a template with `changes`.

    Raises:
        ConfigError: a pattern does not stand there once: the package is not whole.
    """
    for pattern, new in changes:
        text, count = _replaced(text, pattern, new)
        if count != 1:
            raise ConfigError(
                f"The template that is written from has {count} places like {pattern!r}, and one "
                "is expected: nothing was written. Install the package again."
            )
    return text


def _replaced(text: str, pattern: str, new: str) -> tuple[str, int]:
    """Replace matches by `new` as it is, with no escape of its own."""
    return re.subn(pattern, lambda _: new, text, flags=re.MULTILINE | re.DOTALL)


def advice(name: str) -> str:
    """Return what is left to whoever runs it."""
    data = " --data DIR" if ENTRIES[name].files else ""
    return (
        "Rates were chosen for other records, and `divisor` follows their number: sampling_rate "
        f"times what one site trains on, which `secure-fl domains show {name}{data}` says."
    )


def _scrub(entry: Entry) -> list[str]:
    return list(next(domain for domain in DOMAINS.values() if entry in domain.entries).scrub)


def _where(entry: Entry) -> str:
    return f"--data DIR has {', '.join(entry.files)}" if entry.files else "invented"


def _line(key: str, value: str, comment: str | None = None) -> str:
    """Return a line up to its comment, in the templates' columns, or with the comment."""
    start = f'{key} = "{value}" '.ljust(_COMMENTS)
    return start if comment is None else f"{start}# {comment}"
