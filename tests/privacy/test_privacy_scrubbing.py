from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING

import pytest

from crypto.errors import ConfigError
from privacy.scrubbing import (
    DEFAULT_THRESHOLD,
    KNOWN_ENTITIES,
    OTHER_ENTITIES,
    PATTERN_ENTITIES,
    Recognizer,
    Scrubbed,
    Scrubber,
    ScrubProfile,
    ScrubTally,
    Span,
    Trigger,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RECORD = "Anna Berg, IBAN DE89 3704 0044 0532 0130 00"


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return Scrubber(ScrubProfile(required=PATTERN_ENTITIES))


def names(text: str, found: Iterable[str] = ("Anna Berg",)) -> Iterator[Span]:
    for name in found:
        place = text.find(name)
        while place >= 0:
            yield Span(place, place + len(name), "PERSON", 0.9)
            place = text.find(name, place + 1)


def without_providers_of(entity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from privacy.scrubbing import engine  # noqa: PLC0415 - it imports Presidio

    left = tuple(r for r in engine.BUILT_IN if entity not in r.entities)
    monkeypatch.setattr(engine, "BUILT_IN", left)


# --- what can be promised ------------------------------------------------------------------


def test_coverage_names_every_known_entity_once() -> None:
    coverage = Scrubber(ScrubProfile(("IBAN_CODE",), ("EMAIL_ADDRESS",))).coverage
    assert coverage.looked_for == ("EMAIL_ADDRESS", "IBAN_CODE")
    assert sorted(coverage.looked_for + coverage.not_looked_for) == list(KNOWN_ENTITIES)
    assert {"PERSON", "LOCATION", "NRP", "DATE_TIME"} <= set(coverage.not_looked_for)


@pytest.mark.parametrize("entity", [*OTHER_ENTITIES, "IBAN_CODE", "DATE_TIME"])
def test_a_required_entity_without_a_provider_refuses_to_train(
    entity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_providers_of(entity, monkeypatch)
    with pytest.raises(ConfigError, match=f"requires {entity}.*refuses to train.*recogniser for"):
        Scrubber(ScrubProfile(required=("URL", entity)))


def test_presidio_claims_names_that_it_cannot_find_and_we_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import presidio_analyzer  # noqa: PLC0415 - seconds of import, for this test alone

    from privacy.scrubbing.engine import WordEngine  # noqa: PLC0415 - the same

    registry = presidio_analyzer.RecognizerRegistry()
    registry.load_predefined_recognizers(nlp_engine=WordEngine())
    stock = presidio_analyzer.AnalyzerEngine(registry=registry, nlp_engine=WordEngine())
    assert "PERSON" in stock.get_supported_entities("en")
    assert stock.analyze("Anna Berg lives in Berlin.", "en", entities=["PERSON"]) == []

    without_providers_of("PERSON", monkeypatch)
    coverage = Scrubber(ScrubProfile(PATTERN_ENTITIES, ("PERSON",))).coverage
    assert "PERSON" not in coverage.looked_for
    assert "PERSON" in coverage.not_looked_for


def test_a_sites_own_recogniser_is_a_provider() -> None:
    own = Recognizer("our names", ("PERSON",), names)
    scrubber = Scrubber(ScrubProfile(("IBAN_CODE", "PERSON")), recognizers=(own,))
    assert scrubber.scrub(RECORD).text == "<PERSON>, IBAN <IBAN_CODE>"
    assert scrubber.coverage.looked_for == ("IBAN_CODE", "PERSON")


def test_a_required_entity_that_cannot_reach_the_threshold_is_refused() -> None:
    assert Scrubber(ScrubProfile(("US_BANK_NUMBER",), score_threshold=0.45))
    with pytest.raises(ConfigError, match=r"US_BANK_NUMBER.*at most 0\.45, below .*Lower"):
        Scrubber(ScrubProfile(("US_BANK_NUMBER",), score_threshold=0.5))


def test_every_built_in_recogniser_stays_within_the_score_it_states(scrubber: Scrubber) -> None:
    from privacy.scrubbing.engine import BUILT_IN  # noqa: PLC0415 - it imports Presidio

    del scrubber
    provided = {entity for r in BUILT_IN for entity in r.entities}
    assert set(PATTERN_ENTITIES) <= provided <= set(KNOWN_ENTITIES)
    for recognizer in BUILT_IN:
        assert recognizer.reach >= DEFAULT_THRESHOLD


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (lambda: ScrubProfile(()), "names no entity"),
        (lambda: ScrubProfile(("IBAN_CODE", "IBAN_CODE")), "more than once"),
        (lambda: ScrubProfile(("IBAN_CODE",), ("IBAN_CODE",)), "more than once"),
        (lambda: ScrubProfile(("<b>",)), "cannot stand as a placeholder"),
        (lambda: ScrubProfile(("IBAN_CODE\n",)), "cannot stand as a placeholder"),
        (lambda: ScrubProfile(("IBAN_CODE",), score_threshold=0.0), r"not in \(0, 1\]"),
        (lambda: ScrubProfile(("IBAN_CODE",), score_threshold=float("nan")), r"not in \(0, 1\]"),
        (lambda: Scrubber(ScrubProfile(("IBAN_CODE", "PRESON"))), "requires PRESON"),
        (lambda: Scrubber(ScrubProfile(("IBAN_CODE",), ("PRESON",))), "no known entity"),
    ],
)
def test_a_profile_that_means_nothing_is_refused(profile: object, message: str) -> None:
    assert callable(profile)
    with pytest.raises(ConfigError, match=message):
        profile()


def test_profiles_that_mean_the_same_are_equal_and_frozen() -> None:
    profile = ScrubProfile(("URL", "IBAN_CODE"))
    assert profile == ScrubProfile(("IBAN_CODE", "URL"))
    with pytest.raises(FrozenInstanceError):
        profile.required = ()  # type: ignore[misc] # what the test is about


def test_optional_entities_alone_without_a_provider_leave_the_text_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_providers_of("PERSON", monkeypatch)
    scrubber = Scrubber(ScrubProfile((), ("PERSON",)))
    assert scrubber.scrub(RECORD) == Scrubbed(RECORD, ())
    assert scrubber.coverage.looked_for == ()


# --- what happens to the text --------------------------------------------------------------


def test_only_what_the_profile_names_is_replaced() -> None:
    text = "Mail anna@example.com about DE89370400440532013000"
    scrubber = Scrubber(ScrubProfile(("EMAIL_ADDRESS",)))
    assert scrubber.scrub(text).text == "Mail <EMAIL_ADDRESS> about DE89370400440532013000"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("Profit rose to EUR 13.1 mn from EUR 8.7 mn .", None),
        # Decomposed letters: e and a combining acute.
        ("Mail jose\u0301@example.com!", "Mail <EMAIL_ADDRESS>!"),
        ("cafe\u0301 10.20.30.40 cafe\u0301", "cafe\u0301 <IP_ADDRESS> cafe\u0301"),
        # Hebrew and Arabic, with direction marks inside and around the number.
        (
            "\u05d0\u05d1 \u202a+44 20\u200e 7946 0958\u202c \u05d2",
            "\u05d0\u05d1 \u202a<PHONE_NUMBER>\u202c \u05d2",
        ),
        (
            "IBAN \u0627\u0644 DE89\u200f3704 0044 0532 0130 00 \u0628",
            "IBAN \u0627\u0644 <IBAN_CODE> \u0628",
        ),
        # A zero-width space stands for a gap here and for nothing there.
        ("account\u200b12345678", "account\u200b<ACCOUNT_NUMBER>"),
        ("4111\u200b1111\u200b1111\u200b1111.", "<CREDIT_CARD>."),
        # No-break spaces, typographic hyphens, full-width and Arabic-Indic digits.
        ("DE89\u00a03704\u00a00044\u202f0532\u00a00130\u00a000", "<IBAN_CODE>"),
        ("SSN 536\u201190\u20114399", "SSN <US_SSN>"),
        ("\uff14\uff11\uff11\uff11 1111 1111 1111", "<CREDIT_CARD>"),
        ("\u0664" + "\u0661" * 15, "<CREDIT_CARD>"),
        # Outside the basic plane, and half a surrogate pair from broken decoding.
        ("\U0001f600 10.20.30.40 \U0001f600", "\U0001f600 <IP_ADDRESS> \U0001f600"),
        ("\ud83d 10.20.30.40", "\ud83d <IP_ADDRESS>"),
        # Already scrubbed, or written like it.
        ("Pay <IBAN_CODE> to <PERSON>", None),
        ("<EMAIL_ADDRESS>@example.com", "<EMAIL_ADDRESS>@example.com"),
        ("http://<URL>/a <URL>", None),
    ],
)  # fmt: skip
def test_texts_at_the_edge(scrubber: Scrubber, text: str, expected: str | None) -> None:
    scrubbed = scrubber.scrub(text)
    assert scrubbed.text == (text if expected is None else expected)
    assert scrubber.scrub(scrubbed.text).text == scrubbed.text
    rebuilt, done = "", 0
    for span in scrubbed.spans:
        rebuilt += text[done : span.start] + f"<{span.entity}>"
        done = span.end
    assert rebuilt + text[done:] == scrubbed.text


def test_a_word_that_comes_nearer_when_a_finding_shrinks_counts_at_once(scrubber: Scrubber) -> None:
    # Seven words stand between, until six of them are one placeholder.
    text = "account www.a-b-c-d-e-f-g.com/h of 12345678"
    once = scrubber.scrub(text)
    assert once.text == scrubber.scrub(once.text).text
    assert "12345678" not in once.text
    assert [text[span.start : span.end] for span in once.spans][-1] == "12345678"


def test_scrubbing_is_deterministic_whatever_the_order_of_recognisers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("privacy.scrubbing.engine.BUILT_IN", ())

    def berg_in(text: str) -> list[Span]:
        place = text.find("Berg in")
        return [Span(place, place + 7, "LOCATION", 0.9)] if place >= 0 else []

    first = Recognizer("first", ("PERSON",), lambda text: names(text, ("Anna", "Anna Berg")))
    second = Recognizer("second", ("LOCATION",), berg_in)
    profile = ScrubProfile(("PERSON", "LOCATION"))
    text = "Anna Berg in Berlin"
    results = {Scrubber(profile, order).scrub(text) for order in ((first, second), (second, first))}
    # The spans chain: all characters go, under the longest one's name.
    assert results == {Scrubbed("<PERSON> Berlin", (Span(0, 12, "PERSON", 0.9),))}


def test_a_recogniser_that_tags_placeholders_does_not_nest_them() -> None:
    greedy = Recognizer("greedy", ("PERSON",), lambda text: [Span(0, len(text), "PERSON", 0.9)])
    scrubber = Scrubber(ScrubProfile(("PERSON", "URL")), (greedy,))
    assert scrubber.scrub("ab <URL> cd").text == "<PERSON><URL><PERSON>"
    assert scrubber.scrub("<PERSON>").text == "<PERSON>"


# --- what must not leak --------------------------------------------------------------------


class FailureWithTextError(Exception):
    pass


def raises(text: str) -> Iterable[Span]:
    if "Anna" in text:
        raise FailureWithTextError(text)
    return ()


def raises_late(text: str) -> Iterator[Span]:
    yield Span(0, 1, "PERSON", 0.9)
    raises(text)


@pytest.mark.parametrize(
    ("find", "failure"),
    [
        (raises, "FailureWithTextError"),
        (raises_late, "FailureWithTextError"),
        (lambda text: [Span(0, len(text) + 1, "PERSON", 0.9)], "a finding that is none"),
        (lambda _: [Span(3, 3, "PERSON", 0.9)], "a finding that is none"),
        (lambda _: [Span(-1, 3, "PERSON", 0.9)], "a finding that is none"),
        (lambda _: [Span(0, 3, "LOCATION", 0.9)], "a finding that is none"),
        (lambda _: [Span(0, 3, "PERSON", float("nan"))], "a finding that is none"),
        (lambda _: None, "TypeError"),
    ],
)
def test_a_recogniser_that_fails_stops_training_and_quotes_nothing(
    find: object, failure: str
) -> None:
    own = Recognizer("our names", ("PERSON",), find)  # type: ignore[arg-type] # a hostile one
    scrubber = Scrubber(ScrubProfile(("IBAN_CODE", "PERSON")), (own,))
    with pytest.raises(ConfigError) as caught:
        list(scrubber.scrub_all(iter([RECORD])))
    message = str(caught.value)
    assert "'our names' failed on document 0" in message
    assert failure in message
    assert "refuses to train" in message
    chain: BaseException | None = caught.value
    while chain is not None:
        assert not any(word in repr(chain) for word in ("Anna", "Berg", "3704"))
        assert not isinstance(chain, FailureWithTextError)
        chain = chain.__cause__ or chain.__context__


def test_the_document_that_failed_is_named_and_those_before_it_are_done() -> None:
    own = Recognizer("our names", ("PERSON",), raises)
    results = Scrubber(ScrubProfile(("URL", "PERSON")), (own,)).scrub_all(
        ["at www.example.com", "nothing", RECORD, "never reached"]
    )
    assert next(results).text == "at <URL>"
    assert next(results).text == "nothing"
    with pytest.raises(ConfigError, match="document 2 "):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_scrub_all_is_lazy_and_holds_one_text_at_a_time(scrubber: Scrubber) -> None:
    def texts() -> Iterator[str]:
        yield "at www.example.com"
        pytest.fail("the second text was asked for before the first was taken")

    assert next(scrubber.scrub_all(texts())).text == "at <URL>"


def test_no_representation_shows_text(scrubber: Scrubber) -> None:
    scrubbed = scrubber.scrub(RECORD)
    (span,) = scrubbed.spans
    assert repr(span) == "Span(start=16, end=43, entity='IBAN_CODE', score=1.0)"
    assert repr(scrubbed) == "<Scrubbed: 27 characters, 1 placeholders>"
    assert "Anna" not in f"{scrubbed} {scrubbed!r} {scrubber!r} {[scrubbed]}"
    assert pickle.loads(pickle.dumps(scrubbed)) == scrubbed  # noqa: S301 - our own bytes


# --- counts --------------------------------------------------------------------------------


def test_a_tally_adds_up(scrubber: Scrubber) -> None:
    texts = ["at www.example.com", "nothing", "www.example.com and 10.20.30.40"]
    parts = [ScrubTally.of(scrubbed) for scrubbed in scrubber.scrub_all(texts)]
    total = sum(parts, ScrubTally())
    assert total == ScrubTally(3, 2, (("IP_ADDRESS", 1), ("URL", 2)))
    assert total == parts[2] + (parts[0] + parts[1])
    assert (total.count("URL"), total.count("PERSON"), total.total) == (2, 0, 3)
    assert parts[1] == ScrubTally(1, 0, ())


@pytest.mark.parametrize(
    "fields",
    [
        (1, 2, ()),
        (-1, 0, ()),
        (1, 1, (("URL", 0),)),
        (1, 1, (("URL", 1), ("IBAN_CODE", 1))),
        (1, 1, (("URL", 1), ("URL", 1))),
    ],
)
def test_a_tally_that_cannot_be_is_refused(
    fields: tuple[int, int, tuple[tuple[str, int], ...]],
) -> None:
    with pytest.raises(ConfigError, match="scrub tally"):
        ScrubTally(*fields)


def test_triggers_hold_no_look_around_since_leaving_a_recogniser_out_relies_on_it() -> None:
    for trigger in Trigger:
        assert not any(
            mark in trigger.value.pattern for mark in ("(?=", "(?!", "(?<", "\\b", "^", "$")
        )
