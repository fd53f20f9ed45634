"""Reads the templates, which lie as text beside this module: long lines are what they are about.

A file is a sequence of sections. `== name` begins a template, whose text is all that follows up
to the next section, without blank lines at its ends. `:: name` begins a list of words, one pattern
per line, of which a slot with that name takes one. `## ` begins a comment line.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.notes.grammar import Choice, Pattern, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOTE, _WORDS, _COMMENT = "== ", ":: ", "## "
_SHARED: Final = "words"


@dataclass(frozen=True, slots=True)
class Templates:
    """What one kind of notes of one part is made of, by name, in the order of the files."""

    notes: dict[str, Pattern]
    words: dict[str, Pattern]


@functools.cache
def load_templates(kind: str, part: str) -> Templates:
    """Return the templates of one kind and part.

    Word lists of the part's own file come before the shared ones of the same name.

    Raises:
        ConfigError: a name is given twice, a file does not begin with a section, or a pattern
            cannot be parsed.
    """
    own = f"{kind}_{part}"
    notes: dict[str, Pattern] = {}
    words: dict[str, Pattern] = {}
    for file in (_SHARED, f"{_SHARED}_{part}", own):
        in_this_file: set[str] = set()
        for mark, name, lines in _sections(file):
            if mark + name in in_this_file or name in notes:
                raise ConfigError(
                    f"The templates in {file} name {name} twice: which one is meant cannot be "
                    "told. Rename one."
                )
            in_this_file.add(mark + name)
            if mark == _NOTE:
                notes[name] = parse("\n".join(lines).strip("\n"), name)
            else:
                words[name] = Pattern((Choice(tuple(parse(w, name) for w in lines if w)),))
    return Templates(notes, words)


def _sections(file: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield mark, name and lines of each section of one file."""
    folder = resources.files("domains.notes") / "templates"
    mark, name = "", ""
    lines: list[str] = []
    for line in (folder / f"{file}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith(_COMMENT):
            continue
        if line.startswith((_NOTE, _WORDS)):
            if mark:
                yield mark, name, lines
            mark, name, lines = line[:3], line[3:].strip(), []
        elif mark:
            lines.append(line)
        elif line:
            raise ConfigError(
                f"The templates in {file} begin with text that belongs to no section: it would "
                "never be used. Begin with '== name' or ':: name'."
            )
    if mark:
        yield mark, name, lines
