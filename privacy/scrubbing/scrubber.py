"""The scrubber of one site: entities out of the text before a model sees it, or no training."""

from __future__ import annotations

import bisect
import itertools
import re
from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from privacy.scrubbing.folding import readings
from privacy.scrubbing.modes.modes import Document
from privacy.scrubbing.modes.replacing import Placeholders
from privacy.scrubbing.profile import KNOWN_ENTITIES, Coverage, ScrubProfile
from privacy.scrubbing.propagation import propagated
from privacy.scrubbing.recognizers import (
    Provider,
    ProviderKind,
    Recognizer,
    RecognizerFailedError,
)
from privacy.scrubbing.spans import (
    Scrubbed,
    Span,
    merge_overlaps,
    placeholder,
    replace,
    to_original,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from privacy.scrubbing.modes.replacing import Replacement


_PLACEHOLDERS = Placeholders()


class Scrubber:
    """Replaces what identifies people, by typed placeholders or by another mode's rule, offline.

    Formal guarantees: the same text, as the same document, gives the same result; scrubbing a text
    with placeholders changes nothing; every character of every finding at or above the threshold
    is replaced, but for what a mode's rule lets stay (`replacing`); no text appears in a log, an
    error or a representation. It is no guarantee that everything is found: `coverage` says what was
    not looked for, and recall is measured, not promised.

    | text | result |
    |---|---|
    | empty, or without a finding | the same text, no spans |
    | with `<IBAN_CODE>` in it already | the placeholder stays as it is |
    | two findings share a character | one placeholder, named after the longest |
    | combining marks, direction marks, other scripts' digits | spans count the given code points |

    Args:
        profile: what to scrub.
        recognizers: a site's own, beside the built-in ones.
        replacement: what is written in the place of a finding.

    Raises:
        ConfigError: the profile requires an entity for which no provider is loaded or that can
            never reach its threshold, names an entity that nobody knows, or does not require one
            that the replacement's mode cannot do without.
    """

    def __init__(
        self,
        profile: ScrubProfile,
        recognizers: Sequence[Recognizer] = (),
        replacement: Replacement = _PLACEHOLDERS,
    ) -> None:
        # Presidio brings spaCy and torch, seconds of import, so only a site that scrubs pays.
        from privacy.scrubbing.engine import BUILT_IN, Engine  # noqa: PLC0415 - presidio is heavy

        loaded = (*BUILT_IN, *recognizers)
        _refuse_what_cannot_be_honoured(profile, loaded)
        _refuse_less_than_the_mode_asks(profile, replacement)
        self._replacement = replacement
        provided = {entity for recognizer in loaded for entity in recognizer.entities}
        known = provided | set(KNOWN_ENTITIES)
        looked_for = frozenset(provided.intersection(profile.entities))
        self._coverage = Coverage(tuple(sorted(looked_for)), tuple(sorted(known - looked_for)))
        self._providers = _providers(BUILT_IN, recognizers, looked_for)
        # What a replacement finds itself comes on top, and is nobody's provider.
        loaded += replacement.recognizers
        wanted = [r for r in loaded if looked_for.intersection(r.entities)]
        # Presidio given no recogniser would load all of its own.
        self._engine = (
            Engine(wanted, looked_for, threshold=profile.score_threshold) if wanted else None
        )
        self._placeholder = re.compile("|".join(re.escape(placeholder(e)) for e in sorted(known)))

    @property
    def coverage(self) -> Coverage:
        """What is looked for, and what is not."""
        return self._coverage

    @property
    def providers(self) -> tuple[Provider, ...]:
        """Who looks for what, by entity and name."""
        return self._providers

    def scrub(self, text: str, document: Document | None = None) -> Scrubbed:
        """Return `text` with each finding replaced.

        Args:
            text: one document.
            document: which one it is; needed for every mode but placeholders.

        Raises:
            ConfigError: a recogniser failed; names it and not the text. Or no document is named
                where one is needed.
        """
        return self._scrub(text, "the document", document)

    def scrub_all(
        self, texts: Iterable[str], documents: Iterable[Document] | None = None
    ) -> Iterator[Scrubbed]:
        """Yield each text scrubbed, in order, one at a time.

        Args:
            texts: the documents of a run.
            documents: which they are, one for each; numbered from 0 and nobody's when absent.

        Raises:
            ConfigError: a recogniser failed; names it and the document's index from 0, not its
                text. What was not yet yielded must not be trained on.
            ValueError: there are not as many `documents` as `texts`.
        """
        pairs: Iterable[tuple[str, Document]] = (
            zip(texts, map(Document, itertools.count()), strict=False)
            if documents is None
            else zip(texts, documents, strict=True)
        )
        for index, (text, document) in enumerate(pairs):
            yield self._scrub(text, f"document {index}", document)

    def _scrub(self, text: str, which: str, document: Document | None) -> Scrubbed:
        failed: RecognizerFailedError | None = None
        try:
            return self._replacement.write(text, self._search(text), document)
        except RecognizerFailedError as error:
            failed = error
        # Raised out here, so that nothing is chained whose traceback leads back to the text.
        raise ConfigError(
            f"The recogniser {failed.name!r} failed on {which} ({failed.failure}): what it looks "
            "for may still be in the text, so the site refuses to train. Mend the recogniser, or "
            "take it and its entities out of the scrub profile."
        )

    def _search(self, text: str) -> tuple[Span, ...]:
        """Return the disjoint ascending spans of all findings, as spans of `text`."""
        # Repeated, since a placeholder has fewer words than what it replaced: a context word can
        # come near a number that it was too far from before. Each turn replaces at least one
        # character that is in no placeholder, so it ends.
        spans: tuple[Span, ...] = ()
        scrubbed = text
        while found := self._find(scrubbed):
            spans = tuple(sorted((*spans, *to_original(found, spans)), key=lambda s: s.start))
            scrubbed = replace(text, spans)
        return spans

    def _find(self, text: str) -> tuple[Span, ...]:
        """Return the merged findings in every reading of `text`, outside its placeholders."""
        if self._engine is None:
            return ()
        found = [
            span
            for reading in readings(text)
            for span in reading.unfold(propagated(reading.text, self._engine.find(reading.text)))
        ]
        if not found:
            return ()
        holes = [match.span() for match in self._placeholder.finditer(text)]
        return merge_overlaps(piece for span in found for piece in _outside(span, holes))


def _outside(span: Span, holes: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """Yield the parts of `span` that lie in none of the disjoint ascending `holes`."""
    start = span.start
    first = max(0, bisect.bisect_left(holes, (start, start)) - 1)
    for hole_start, hole_end in itertools.islice(holes, first, None):
        if hole_start >= span.end:
            break
        if hole_start > start:
            yield Span(start, hole_start, span.entity, span.score)
        start = max(start, hole_end)
    if start < span.end:
        yield Span(start, span.end, span.entity, span.score)


def _refuse_what_cannot_be_honoured(profile: ScrubProfile, loaded: Sequence[Recognizer]) -> None:
    reach: dict[str, float] = {}
    for recognizer in loaded:
        for entity in recognizer.entities:
            reach[entity] = max(reach.get(entity, 0.0), recognizer.reach)
    missing = ", ".join(entity for entity in profile.required if entity not in reach)
    if missing:
        it = "them" if "," in missing else "it"
        raise ConfigError(
            f"The scrub profile requires {missing}, and no provider that finds {it} is loaded: "
            "it would stay in every record, so the site refuses to train. Load a recogniser "
            f"for {missing}, or have the policy take {it} off the required entities."
        )
    for entity in profile.required:
        if reach[entity] < profile.score_threshold:
            raise ConfigError(
                f"The scrub profile requires {entity}, whose findings score at most "
                f"{reach[entity]:g}, below the threshold {profile.score_threshold:g}: it would "
                "stay in every record, so the site refuses to train. Lower the score threshold."
            )
    for entity in profile.optional:
        if entity not in reach and entity not in KNOWN_ENTITIES:
            raise ConfigError(
                f"The scrub profile names {entity}, which is no known entity and which no loaded "
                f"recogniser finds: it would stay in every record. Use one of "
                f"{', '.join(KNOWN_ENTITIES)}."
            )


def _refuse_less_than_the_mode_asks(profile: ScrubProfile, replacement: Replacement) -> None:
    missing = sorted(set(replacement.required) - set(profile.required))
    if missing:
        raise ConfigError(
            f"The mode {replacement.mode.value} has to look for {', '.join(missing)}, which the "
            "scrub profile does not require: the text would be called what it is not. Require "
            "every entity of the mode, or use another mode."
        )


def _providers(
    built_in: Sequence[Recognizer], own: Sequence[Recognizer], looked_for: frozenset[str]
) -> tuple[Provider, ...]:
    kinds = [(r, r.kind) for r in built_in] + [(r, ProviderKind.OWN) for r in own]
    found = {
        Provider(entity, recognizer.name, kind, recognizer.digest)
        for recognizer, kind in kinds
        for entity in looked_for.intersection(recognizer.entities)
    }
    return tuple(sorted(found, key=lambda p: (p.entity, p.kind.value, p.name)))
