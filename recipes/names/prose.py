"""Plain English with nobody in it: the documentation in Python's standard library (PSF licence).

Templates alone would teach the network that ordinary sentences are short and sound alike.
"""

from __future__ import annotations

import ast
import re
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

from privacy.scrubbing.names.gazetteer import Listed
from privacy.scrubbing.names.tokens import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from privacy.scrubbing.names.gazetteer import Gazetteer

_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z])|\n\s*\n")
_CODE: Final = re.compile(r"[_<>{}=\[\]\\|@`]|\(\)|::|\.\.\.|\w\.\w")
_SHORTEST, _LONGEST = 40, 400
_NAMES: Final = Listed.FIRST_NAME | Listed.LAST_NAME | Listed.CITY | Listed.COUNTRY | Listed.REGION
_CAPITALISED: Final = re.compile(r"(?<=[\w,;] )[A-Z][a-z]+")


def sentences(gazetteer: Gazetteer) -> tuple[str, ...]:
    """Return sentences without code and without a capitalised word that is on a list of names."""
    found = {
        sentence
        for text in _texts()
        for sentence in (" ".join(s.split()) for s in _SENTENCE.split(text))
        if _SHORTEST <= len(sentence) <= _LONGEST and not _CODE.search(sentence)
    }
    return tuple(s for s in sorted(found) if not _may_name(s, gazetteer))


def _may_name(sentence: str, gazetteer: Gazetteer) -> bool:
    words = _CAPITALISED.findall(sentence)
    return any(gazetteer.of(plain(word)) & int(_NAMES) for word in words)


def _texts() -> Iterator[str]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(p for p in folder.glob("**/*.py") if not _is_foreign(p.relative_to(folder))):
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield ast.get_docstring(node) or ""
        if path.parts[-2:] == ("pydoc_data", "topics.py"):
            for constant in ast.walk(tree):
                if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                    yield constant.value


def _is_foreign(path: Path) -> bool:
    return path.parts[0] in {"site-packages", "dist-packages", "test", "lib2to3", "idlelib"}
