"""The lists of `words.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Final


@dataclass(frozen=True)
class Words:
    """What texts are made of, beside names, places and dictionaries."""

    titles: tuple[str, ...]
    roles: tuple[str, ...]
    months: tuple[str, ...]
    eponyms: tuple[str, ...]
    drugs: tuple[str, ...]
    brands: tuple[str, ...]
    models: tuple[str, ...]
    wordy_last_names: tuple[str, ...]
    """Last names that are English words or eponyms."""
    starts: tuple[str, ...]
    """With `middles` and `ends`: what terms of medicine are made of."""
    middles: tuple[str, ...]
    ends: tuple[str, ...]
    particles: tuple[str, ...]
    suffixes: tuple[str, ...]
    """Of organisations."""
    syllables: tuple[str, ...]
    """Of brands that nobody has."""
    also_names: tuple[str, ...]
    """English words that are names too, and as often words."""
    other_country_names: tuple[str, ...]
    regions: tuple[str, ...]


def _load() -> Words:
    text = resources.files("recipes.names").joinpath("words.toml").read_text("utf-8")
    return Words(**{name: tuple(words) for name, words in tomllib.loads(text).items()})


WORDS: Final = _load()
