"""What finds entities in the comparison: stock Presidio as it comes offline, and ours.

Stock Presidio is what `pip install presidio-analyzer` gives on a machine without a network: its
predefined recognisers, and a blank spaCy pipeline, since no model can be fetched. Two things are
done for it. Its e-mail recogniser asks the network for a list of domain suffixes for every address;
it gets the list that lies in tldextract's own package, as if it had been fetched before. And
nothing it logs is written. Sockets are blocked for both engines: whoever asks the network fails.
"""

from __future__ import annotations

import logging
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol
from unittest import mock

import spacy
import tldextract
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import SpacyRecognizer

from privacy.scrubbing import KNOWN_ENTITIES, Scrubber, ScrubProfile
from privacy.scrubbing.measuring import COMMON_TYPES, CommonTypes
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STOCK: Final = "presidio"
OURS: Final = "ours"

TYPES: Final = CommonTypes(
    (*COMMON_TYPES.names, ("MAC_ADDRESS", "DEVICE_ID"), ("UK_NHS", "HEALTH_PLAN_NUMBER"))
)
"""Presidio's own types under our names too."""

_LANGUAGE: Final = "en"


class OfflineError(Exception):
    """Somebody asked the network."""


@contextmanager
def no_network() -> Iterator[None]:
    """Refuse every look-up and connection of this process within the block.

    Raises:
        OfflineError: inside the block, where the network is asked.
    """

    def refuse(*_: object) -> None:
        raise OfflineError("An engine asked the network, which a site does not have.")

    with (
        mock.patch.object(socket, "getaddrinfo", refuse),
        mock.patch.object(socket.socket, "connect", refuse),
    ):
        yield


class Finder(Protocol):
    """An engine under comparison."""

    name: str

    def find(self, text: str) -> Sequence[Span]:
        """Return what it finds in `text`."""


class _BlankSpacy(SpacyNlpEngine):  # type: ignore[misc] # Presidio ships no types
    """spaCy without a model: words, and neither lemmas nor names."""

    def __init__(self) -> None:
        super().__init__(models=[{"lang_code": _LANGUAGE, "model_name": "blank"}])
        self.nlp = {_LANGUAGE: spacy.blank(_LANGUAGE)}


class StockPresidio:
    """Presidio's analyzer with its predefined recognisers.

    Args:
        entities: what to look for; None for all that it lists.
    """

    name = STOCK

    def __init__(self, entities: Sequence[str] | None = None) -> None:
        _give_packaged_suffixes()
        logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL + 1)
        registry = RecognizerRegistry()
        registry.load_predefined_recognizers()
        self._analyzer = AnalyzerEngine(registry=registry, nlp_engine=_BlankSpacy())
        self._entities = None if entities is None else list(entities)

    @property
    def patterns(self) -> frozenset[str]:
        """The entities that it finds by their form; those of a model alone are left out."""
        return frozenset(
            entity
            for recognizer in self._analyzer.registry.recognizers
            if not isinstance(recognizer, SpacyRecognizer)
            for entity in recognizer.supported_entities
        )

    def find(self, text: str) -> Sequence[Span]:
        """Return Presidio's findings, at its own threshold."""
        found = self._analyzer.analyze(text, _LANGUAGE, entities=self._entities)
        return [Span(one.start, one.end, one.entity_type, one.score) for one in found]


def _give_packaged_suffixes() -> None:
    """Have tldextract read the list in its package, where it would ask the network first."""
    packaged = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    tldextract.extract = packaged


class Ours:
    """This project's scrubber, with its built-in recognisers alone.

    Args:
        entities: what to look for; all that it knows if not given.
    """

    name = OURS

    def __init__(self, entities: Sequence[str] = KNOWN_ENTITIES) -> None:
        self._scrubber = Scrubber(ScrubProfile(required=(), optional=tuple(entities)))

    @property
    def looked_for(self) -> frozenset[str]:
        """The entities for which a recogniser is loaded."""
        return frozenset(self._scrubber.coverage.looked_for)

    def find(self, text: str) -> Sequence[Span]:
        """Return what a site's own text would lose."""
        return self._scrubber.scrub(text).spans
