"""Presidio as the frame: the one module that imports it.

Presidio's registry, analyzer and result types carry recognisers of our own; a site's spaCy model
or Presidio recogniser fits in the same places. What this module replaces, and why (read in
presidio-analyzer 2.2.362):

- the predefined recognisers: the e-mail one downloads a suffix list, the IBAN one logs the number
  it could not validate, the telephone one looks for the regions "UK" and "FE" that do not exist,
  and a pattern that times out is skipped, so that the record passes as clean;
- the NLP engine, which needs a model to have lemmas, without which context words never match;
- the context enhancer, which logs the words around a finding, puts the found text into an error,
  and copies every result.
"""

from __future__ import annotations

import bisect
import logging
import re
from typing import TYPE_CHECKING

from presidio_analyzer import (
    AnalysisExplanation,
    AnalyzerEngine,
    ContextAwareEnhancer,
    EntityRecognizer,
    LocalRecognizer,
    RecognizerRegistry,
    RecognizerResult,
)
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine

from privacy.scrubbing.names.recognizer import NAME_RECOGNIZERS
from privacy.scrubbing.recognizers import (
    CONTEXT_BOOST,
    LEAST_WITH_CONTEXT,
    Recognizer,
    RecognizerFailedError,
    with_context,
)
from privacy.scrubbing.rules.addresses import ADDRESS_RECOGNIZERS
from privacy.scrubbing.rules.ages import AGE_RECOGNIZERS
from privacy.scrubbing.rules.banking import BANKING_RECOGNIZERS
from privacy.scrubbing.rules.contact import CONTACT_RECOGNIZERS
from privacy.scrubbing.rules.cued_names import NAME_CUE_RECOGNIZERS
from privacy.scrubbing.rules.dates import DATE_RECOGNIZERS
from privacy.scrubbing.rules.devices import DEVICE_RECOGNIZERS
from privacy.scrubbing.rules.groups import GROUP_RECOGNIZERS
from privacy.scrubbing.rules.health import HEALTH_RECOGNIZERS
from privacy.scrubbing.rules.identity import IDENTITY_RECOGNIZERS
from privacy.scrubbing.rules.labels import LABEL_RECOGNIZERS
from privacy.scrubbing.rules.securities import SECURITIES_RECOGNIZERS
from privacy.scrubbing.rules.taxes import TAX_RECOGNIZERS
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

BUILT_IN = (
    *BANKING_RECOGNIZERS,
    *SECURITIES_RECOGNIZERS,
    *TAX_RECOGNIZERS,
    *IDENTITY_RECOGNIZERS,
    *CONTACT_RECOGNIZERS,
    *ADDRESS_RECOGNIZERS,
    *HEALTH_RECOGNIZERS,
    *DEVICE_RECOGNIZERS,
    *LABEL_RECOGNIZERS,
    *DATE_RECOGNIZERS,
    *AGE_RECOGNIZERS,
    *GROUP_RECOGNIZERS,
    *NAME_CUE_RECOGNIZERS,
    *NAME_RECOGNIZERS,
)

_LANGUAGE = "en"
_WORDS_BEFORE = 5
_WORDS_AFTER = 3


class _NoRecord(logging.Filter):
    """Lets nothing through: Presidio logs record text, also at ERROR."""

    def filter(self, record: logging.LogRecord) -> bool:
        del record
        return False


_NO_RECORD = _NoRecord()


def silence_presidio() -> None:
    """Drop everything that Presidio logs, whatever level the application sets."""
    for name in ("presidio-analyzer", "decision_process"):
        logging.getLogger(name).addFilter(_NO_RECORD)


_STOP_WORDS = frozenset(
    "a an and are as at be been but by for from had has have he her his i in is it its me my no of "  # noqa: SIM905 - quoted words read worse
    "on or our she so that the their them they this to under us was we were which will with you "
    "your".split()
)
_TOKEN = re.compile(r"a/c(?!\w)|[^\W\d_]+|\d+|[^\w\s]|_", re.IGNORECASE)


class WordEngine(NlpEngine):
    """The least NLP engine that makes context words live: a word's lemma is its lower case."""

    def load(self) -> None:
        """Nothing to load."""

    def is_loaded(self) -> bool:
        """There is no model, so nothing is missing."""
        return True

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        """Return the words, numbers and marks of `text` with their lemmas."""
        tokens = list(_TOKEN.finditer(text))
        words = [token[0] for token in tokens]
        return NlpArtifacts(
            entities=[],
            tokens=words,  # type: ignore[arg-type] # a spaCy Doc only for spaCy
            tokens_indices=[token.start() for token in tokens],
            lemmas=[word.lower() for word in words],
            nlp_engine=self,
            language=language,
        )

    def process_batch(  # type: ignore[override] # no open-ended options here
        self, texts: Iterable[str], language: str, batch_size: int = 1, n_process: int = 1
    ) -> Iterator[tuple[str, NlpArtifacts]]:
        """Yield each text with its artifacts, one after the other."""
        del batch_size, n_process
        for text in texts:
            yield text, self.process_text(text, language)

    def is_stopword(self, word: str, language: str) -> bool:
        """Say whether `word` says nothing about what stands beside it."""
        del language
        return word.lower() in _STOP_WORDS

    def is_punct(self, word: str, language: str) -> bool:
        """Say whether `word` is a mark or a number: neither uses up the context window."""
        del language
        return not word[:1].isalpha()

    def get_supported_entities(self) -> list[str]:
        """No entity: without a model nothing is recognised here."""
        return []

    def get_supported_languages(self) -> list[str]:
        """One language: the patterns do not depend on it."""
        return [_LANGUAGE]


class NearbyWords(ContextAwareEnhancer):
    """Raises the score of a finding that stands beside one of its recogniser's context words.

    Whole words, so that "accounted" says nothing about an account; the five before the finding and
    the three after it. The words inside the finding do not count.
    """

    def __init__(self) -> None:
        super().__init__(CONTEXT_BOOST, LEAST_WITH_CONTEXT, _WORDS_BEFORE, _WORDS_AFTER)

    def enhance_using_context(
        self,
        text: str,
        raw_results: list[RecognizerResult],
        nlp_artifacts: NlpArtifacts,
        recognizers: list[EntityRecognizer],
        context: list[str] | None = None,
    ) -> list[RecognizerResult]:
        """Return the findings, with raised scores where a context word stands near."""
        del context
        del nlp_artifacts  # a word's lemma is its lower case, so the text is all that is needed
        raise_beside_context(text, raw_results, {r.id: r.context for r in recognizers})
        return raw_results


_WORD = re.compile(r"a/c(?!\w)|[^\W\d_]+", re.IGNORECASE)


def raise_beside_context(
    text: str, results: Iterable[RecognizerResult], context_of: Mapping[str, Sequence[str]]
) -> None:
    """Raise the score of each result that stands near one of its recogniser's context words.

    Args:
        text: what the results were found in.
        results: findings; their scores are changed.
        context_of: each recogniser's context words, by its id.
    """
    words: list[str] | None = None
    places: list[int] = []
    for result in results:
        wanted = context_of[result.recognition_metadata[RecognizerResult.RECOGNIZER_IDENTIFIER_KEY]]
        if not wanted or result.score >= EntityRecognizer.MAX_SCORE:
            continue
        if words is None:
            words, places = _keywords(text)
        first = bisect.bisect_left(places, result.start)
        after = bisect.bisect_left(places, result.end)
        near = words[max(0, first - _WORDS_BEFORE) : first] + words[after : after + _WORDS_AFTER]
        if not set(near).isdisjoint(wanted):
            result.score = with_context(result.score)


def _keywords(text: str) -> tuple[list[str], list[int]]:
    """Return the words that may be context, in lower case, and where they start."""
    words: list[str] = []
    places: list[int] = []
    for match in _WORD.finditer(text):
        word = match[0].lower()
        if word not in _STOP_WORDS and word[0].isalpha():
            words.append(word)
            places.append(match.start())
    return words, places


class _InFrame(LocalRecognizer):
    """One of our recognisers as Presidio's."""

    def __init__(self, ours: Recognizer) -> None:
        self.ours = ours
        super().__init__(
            list(ours.entities),
            name=ours.name,
            supported_language=_LANGUAGE,
            context=list(ours.context),
        )

    def load(self) -> None:
        """Nothing to load: a recogniser comes with what it needs."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None
    ) -> list[RecognizerResult]:
        """Return the findings of the entities asked for.

        Raises:
            RecognizerFailedError: the recogniser raised, or a finding lies outside the text.
        """
        del nlp_artifacts
        failure = None
        spans: Sequence[Span] = ()
        try:
            spans = tuple(self.ours.find(text))
        except RecognizerFailedError as error:  # of another process, where it was told already
            failure = error.failure
        except Exception as error:  # noqa: BLE001 - a site's own recogniser may raise anything
            failure = type(error).__name__
        # Raised out here, so that the original error, which may quote the text, is not chained.
        if failure is not None:
            raise RecognizerFailedError(self.ours.name, failure)
        for span in spans:
            if not (
                0 <= span.start < span.end <= len(text)
                and span.entity in self.supported_entities
                and 0 < span.score <= self.MAX_SCORE
            ):
                raise RecognizerFailedError(self.ours.name, "a finding that is none")
        return [self._result(span) for span in spans if span.entity in entities]

    def _result(self, span: Span) -> RecognizerResult:
        return RecognizerResult(
            entity_type=span.entity,
            start=span.start,
            end=span.end,
            score=span.score,
            analysis_explanation=AnalysisExplanation(self.ours.name, span.score),
            recognition_metadata={
                RecognizerResult.RECOGNIZER_NAME_KEY: self.ours.name,
                RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
            },
        )


class Engine:
    """Finds the entities of one profile in one folded text with Presidio's parts.

    `find` asks the recognisers itself: Presidio's own loop compares every finding with every
    other, which takes minutes for ten thousand of them, and asks also those that cannot match.
    `find_by_presidio` is that loop, the naive twin: merged, both say the same.
    """

    def __init__(
        self, recognizers: Sequence[Recognizer], entities: frozenset[str], *, threshold: float
    ) -> None:
        silence_presidio()
        self._framed = [_InFrame(recognizer) for recognizer in recognizers]
        self._frame: list[EntityRecognizer] = [*self._framed]
        self._context_of = {framed.id: framed.context for framed in self._framed}
        self._entities = sorted(entities)
        self._threshold = threshold
        self.analyzer = AnalyzerEngine(
            registry=RecognizerRegistry(self._frame, supported_languages=[_LANGUAGE]),
            nlp_engine=WordEngine(),
            context_aware_enhancer=NearbyWords(),
            supported_languages=[_LANGUAGE],
            log_decision_process=False,
        )

    def find(self, text: str) -> list[Span]:
        """Return the findings at or above the threshold, from those who can find something.

        Raises:
            RecognizerFailedError: a recogniser raised or returned what is no finding.
        """
        fires = {trigger: trigger.fires(text) for trigger in {r.ours.trigger for r in self._framed}}
        results = [
            result
            for recognizer in self._framed
            if fires[recognizer.ours.trigger]
            for result in recognizer.analyze(text, self._entities, None)
        ]
        raise_beside_context(text, results, self._context_of)
        return [_span(result) for result in results if result.score >= self._threshold]

    def find_by_presidio(self, text: str) -> list[Span]:
        """Return what Presidio's analyzer returns for the same recognisers, every one asked."""
        results = self.analyzer.analyze(
            text, _LANGUAGE, entities=self._entities, score_threshold=self._threshold
        )
        return [_span(result) for result in results]


def _span(result: RecognizerResult) -> Span:
    return Span(result.start, result.end, result.entity_type, result.score)
