"""What each mode writes, and what it can and cannot say of a value."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ConfigError
from privacy.scrubbing import (
    SAFE_HARBOR_ENTITIES,
    SAFE_HARBOR_IDENTIFIERS,
    DateOrder,
    Document,
    ExpertDetermination,
    Placeholders,
    ProviderKind,
    Recognizer,
    SafeHarbor,
    Scrubber,
    ScrubMode,
    ScrubProfile,
    Span,
    entities_of,
)
from privacy.scrubbing.modes.kept_places import stays
from privacy.scrubbing.modes.surrogates import NAMES, PLACES, firm, name, place, street

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from privacy.scrubbing import Replacement, Scrubbed

YEAR = 2026


def draw(document: int, count: int) -> int:
    """A stream for tests: any hash of the position does."""
    seed = hashlib.sha256(f"{document} {count}".encode()).digest()
    return int.from_bytes(seed[:8], "big")


def keyed(message: bytes) -> bytes:
    return hmac.digest(b"the site's key", message, "sha256")


def safe_harbor() -> SafeHarbor:
    return SafeHarbor(draw, this_year=YEAR)


def marked(template: str) -> tuple[str, tuple[Span, ...]]:
    """Return a text and its spans from one that says them: "[PERSON Anna Berg] came"."""
    parts, spans, at, done = [], [], 0, 0
    for match in re.finditer(r"\[([A-Z_0-9]+) ([^\]]*)\]", template):
        before = template[done : match.start()]
        at += len(before)
        spans.append(Span(at, at + len(match[2]), match[1], 1.0))
        at += len(match[2])
        parts += [before, match[2]]
        done = match.end()
    return "".join(parts) + template[done:], tuple(spans)


def written(
    template: str,
    replacement: Replacement,
    document: Document = Document(0),  # noqa: B008 - frozen
) -> Scrubbed:
    text, spans = marked(template)
    return replacement.write(text, spans, document)


# -- the lists ------------------------------------------------------------------------------------


def test_the_rule_has_eighteen_identifiers_and_text_can_hold_seventeen() -> None:
    assert "".join(entry.letter for entry in SAFE_HARBOR_IDENTIFIERS) == "ABCDEFGHIJKLMNOPQR"
    unnamed = [entry.letter for entry in SAFE_HARBOR_IDENTIFIERS if not entry.entities]
    assert unnamed == ["Q"], "photographs"
    assert set(SAFE_HARBOR_ENTITIES) == {
        entity for entry in SAFE_HARBOR_IDENTIFIERS for entity in entry.entities
    }


def test_safe_harbor_adds_what_is_missing_and_the_others_add_nothing() -> None:
    chosen = ("NRP", "PERSON")
    assert entities_of(ScrubMode.PLACEHOLDERS, chosen) == chosen
    assert entities_of(ScrubMode.EXPERT_DETERMINATION, chosen) == chosen
    whole = entities_of(ScrubMode.SAFE_HARBOR, chosen)
    assert whole[:2] == chosen
    assert set(whole) == {"NRP", *SAFE_HARBOR_ENTITIES}
    assert len(set(whole)) == len(whole)
    assert entities_of(ScrubMode.SAFE_HARBOR, whole) == whole


def test_there_are_as_many_names_as_are_promised() -> None:
    assert NAMES == len({name(number) for number in range(NAMES)}) == 82_800
    assert PLACES == len({place(number) for number in range(PLACES)}) == 45_540


def test_invented_names_are_hardly_anybodys() -> None:
    from faker import Faker  # noqa: PLC0415 - half a second of import, for this test alone

    real: set[str] = set()
    for locale in ("en_US", "de_DE", "fr_FR", "es_ES", "it_IT", "pl_PL", "tr_TR"):
        for provider in Faker(locale).get_providers():
            for kind in ("first_names", "last_names", "cities"):
                real |= {word.casefold() for word in getattr(provider, kind, ())}
    assert len(real) > 10_000
    invented = {name(number).casefold() for number in range(NAMES)}
    assert len(invented & real) < 20


# -- placeholders ---------------------------------------------------------------------------------


def test_placeholders_are_what_they_were() -> None:
    done = written("[PERSON Anna Berg] and [US_SSN 219-09-9999]", Placeholders())
    assert done.text == "<PERSON> and <US_SSN>"
    assert [(span.start, span.end) for span in done.spans] == [(0, 9), (14, 25)]
    assert Placeholders().write("x", (), None).text == "x"


# -- Safe Harbor ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("on [DATE_TIME 12 March 2019]", "on 2019"),
        ("on [DATE_TIME 2019-03-12T10:15:00Z]", "on 2019"),
        ("on [DATE_TIME 03/04/2019]", "on 2019"),
        ("[DATE_TIME 12 Dec 2018 to 3 Jan 2019]", "2018-2019"),
        ("[DATE_TIME 12 Dec 2018 to 31 Dec 2018]", "2018"),
        ("on [DATE_TIME 12 March]", "on <DATE_TIME>"),
        ("on [DATE_TIME 12/03/19]", "on <DATE_TIME>"),
        ("on [DATE_TIME the eve of 2019]", "on <DATE_TIME>"),
        ("born [DATE_TIME 12 March 1936]", "born <DATE_TIME>"),
        ("born [DATE_TIME 12 March 1937]", "born 1937"),
        ("from [DATE_TIME 1 May 1936 to 1 May 2019]", "from <DATE_TIME>"),
        ("a [AGE_OVER_89 92-year-old] man", "a 90 or older man"),
        ("a [AGE_OVER_89 92]-year-old man", "a 90-or-older-year-old man"),
        ("aged [AGE_OVER_89 ninety-four]", "aged 90 or older"),
        ("Boston, MA [POSTAL_CODE 02139]", "Boston, MA 021"),
        ("Boston, Massachusetts [POSTAL_CODE 02139]", "Boston, Massachusetts 021"),
        ("[POSTAL_CODE MA 02139]", "021"),
        ("ZIP code: [POSTAL_CODE 02139]", "ZIP code: 021"),
        ("[POSTAL_CODE 02139-4307]", "021"),
        ("WY [POSTAL_CODE 83112]", "WY 000"),
        ("[POSTAL_CODE 03601-0001]", "000"),
        ("[POSTAL_CODE 10115] Berlin", "<POSTAL_CODE> Berlin"),
        ("[POSTAL_CODE SW1A 1AA]", "<POSTAL_CODE>"),
        ("[US_SSN 219-09-9999] and [URL example.org/x]", "<US_SSN> and <URL>"),
        ("in [LOCATION Ohio], [LOCATION the Netherlands]", "in Ohio, the Netherlands"),
    ],
)
def test_what_the_rule_leaves(template: str, expected: str) -> None:
    assert written(template, safe_harbor()).text == expected


def test_what_stays_is_not_among_the_spans() -> None:
    done = written("from [LOCATION Toledo, Ohio] to [LOCATION Ohio]", safe_harbor())
    assert done.text.endswith(", Ohio to Ohio")
    assert "Toledo" not in done.text
    assert [(span.start, span.end) for span in done.spans] == [(5, 11)]


@pytest.mark.parametrize(
    "place", ["New York", "Washington", "Georgia", "Jordan", "Chad", "Ohio City", "Springfield"]
)
def test_a_name_that_is_also_a_citys_or_a_persons_is_replaced(place: str) -> None:
    assert place not in written(f"in [LOCATION {place}].", safe_harbor()).text


def test_one_person_has_one_name_in_a_document_and_titles_stay() -> None:
    done = written(
        "[PERSON Dr. Anna M. Berg], [PERSON BERG] and [PERSON Karl Berg-Holm]: [PERSON anna]",
        safe_harbor(),
    )
    first, second, third, fourth = re.split(", | and |: ", done.text)
    title, given_name, family = first.split()
    assert title == "Dr."
    assert (second, third.split()[1], fourth) == (family, family, given_name)
    assert len({*first.split(), *third.split()}) == 5
    assert not re.search("anna|berg|karl|holm", done.text, re.IGNORECASE)


@pytest.mark.parametrize("value", ["J. R.", "Dr.", "\u674e", "7", "Mr. X", "---"])
def test_a_name_without_a_word_is_replaced_too(value: str) -> None:
    done = written(f"Seen: [PERSON {value}].", safe_harbor())
    assert re.fullmatch(r"Seen: [A-Z][a-z]+\.", done.text)


def test_surrogates_know_the_place_and_not_the_value() -> None:
    """Other people in the same places get the same names: nothing of a value is in a surrogate."""
    template = (
        "[PERSON {0} {1}] of [STREET_ADDRESS {2}] in [LOCATION {3}], at [ORGANIZATION {4}], "
        "wrote to [PERSON {5} {1}] and [PERSON {1}]; born in [LOCATION {3}]."
    )
    first = template.format("Anna", "Berg", "12 Elm Street", "Bern", "Acme", "Karl")
    second = template.format("Bartholomew", "Ng", "9 Rue Haute", "Rome", "Umbrella Corp", "Li")
    one, other = written(first, safe_harbor()), written(second, safe_harbor())
    assert one.text == other.text
    swapped = template.format("Karl", "Anna", "Bern", "12 Elm Street", "Berg", "Acme")
    assert written(swapped, safe_harbor()).text == one.text


WORDS = st.lists(st.text("qxzv", min_size=4, max_size=8), min_size=5, max_size=5, unique=True)
PLACED = ("LOCATION", "ORGANIZATION", "PERSON", "STREET_ADDRESS")


@given(st.lists(st.tuples(st.sampled_from(PLACED), st.integers(0, 4)), max_size=12), WORDS, WORDS)
def test_whatever_the_values_are_the_surrogates_are_the_same(
    pattern: list[tuple[str, int]], some: list[str], others: list[str]
) -> None:
    one, other = (
        written(" ".join(f"[{entity} {words[which]}]" for entity, which in pattern), safe_harbor())
        for words in (some, others)
    )
    assert one.text == other.text


def test_surrogates_differ_from_document_to_document_and_not_from_try_to_try() -> None:
    texts = [written("[PERSON Anna]", safe_harbor(), Document(n, "u")).text for n in range(200)]
    assert len(set(texts)) > 190
    assert texts == [written("[PERSON Anna]", safe_harbor(), Document(n)).text for n in range(200)]


def test_a_surrogate_is_never_a_word_that_the_document_held() -> None:
    first = name(draw(0, 0))
    done = written(f"[PERSON {first.upper()}] and [PERSON Anna]", safe_harbor())
    assert first.casefold() not in done.text.casefold()
    done = written(f"[PERSON Anna] and [PERSON {first}]", safe_harbor())
    assert first not in done.text
    at_home = place(draw(0, 0))
    assert at_home not in written(f"[LOCATION Bern] [LOCATION {at_home}]", safe_harbor()).text


def test_a_stream_that_repeats_itself_is_refused() -> None:
    stuck = SafeHarbor(lambda *_: 7, this_year=YEAR)
    with pytest.raises(ConfigError, match="repeat themselves"):
        written("[PERSON Anna] [PERSON Berg] [PERSON Karl]", stuck)


def test_ten_thousand_names_are_ten_thousand() -> None:
    people = [f"P{''.join(letters)}" for letters in itertools.product("abcdefghij", repeat=4)]
    done = written(" ".join(f"[PERSON {who}]" for who in people), safe_harbor())
    assert len(set(done.text.split())) == 10_000


def test_more_names_than_there_are_words_get_two() -> None:
    few = SafeHarbor(lambda _, count: draw(0, count) // NAMES * NAMES + count % 3, this_year=YEAR)
    people = ("anna", "berg", "karl", "holm", "john")
    done = written(" ".join(f"[PERSON {who}]" for who in people), few)
    assert len(set(done.text.split())) == 5
    assert "-" in done.text


# -- Expert Determination -------------------------------------------------------------------------


def expert(order: DateOrder | None = None) -> ExpertDetermination:
    return ExpertDetermination(keyed, date_order=order)


def test_one_value_has_one_surrogate_in_all_documents() -> None:
    template = "[PERSON Anna Berg], [MEDICAL_RECORD_NUMBER 00-1234]"
    one = written(template, expert(), Document(1, "a")).text
    assert one == written(template, expert(), Document(2, "b")).text
    assert one == written(template.upper().replace("00-1234", "001234"), expert()).text
    assert one != written(template.replace("Anna", "Anne"), expert()).text
    assert one != written(template, ExpertDetermination(lambda m: keyed(b"x" + m))).text
    assert re.fullmatch(r"\w+ \w+, <MEDICAL_RECORD_NUMBER [0-9a-f]{12}>", one)


def test_two_kinds_of_number_never_share_a_code() -> None:
    codes = written("[US_SSN 123456789] [US_BANK_NUMBER 123456789]", expert()).text
    assert len(set(re.findall("[0-9a-f]{12}", codes))) == 2


def test_dates_of_one_unit_move_together_and_of_another_otherwise() -> None:
    template = "[DATE_TIME 2019-03-12] [DATE_TIME 2019-03-22]"
    moved = [written(template, expert(), Document(n, "patient 7")).text for n in range(5)]
    assert len(set(moved)) == 1
    others = {written(template, expert(), Document(0, f"patient {n}")).text for n in range(50)}
    alone = {written(template, expert(), Document(n)).text for n in range(50)}
    assert len(others) > 40
    assert len(alone) > 40


def test_shifts_are_of_one_to_365_days_either_way() -> None:
    from datetime import date  # noqa: PLC0415 - with its one use

    shifts = set()
    for unit in range(8000):
        text = written("[DATE_TIME 2019-06-15]", expert(), Document(0, str(unit))).text
        shifts.add((date.fromisoformat(text) - date(2019, 6, 15)).days)
    assert shifts <= {*range(-365, 0), *range(1, 366)}
    # 8000 draws of 730 leave one out with a probability of 730 (1 - 1/730)^8000 = 0.01; the
    # function is fixed, so this does not fail by chance.
    assert {-365, -1, 1, 365} <= shifts


@pytest.mark.parametrize(
    "value", ["03/04/2019", "next Easter", "31/13/2019", "12 March 2019 and so on"]
)
def test_a_date_that_cannot_be_read_becomes_a_placeholder(value: str) -> None:
    assert written(f"on [DATE_TIME {value}]", expert()).text == "on <DATE_TIME>"


def test_the_sites_order_of_day_and_month_reads_what_has_two_readings() -> None:
    texts = {written("[DATE_TIME 03/04/2019]", expert(order)).text for order in DateOrder}
    assert len(texts) == 2
    assert "<DATE_TIME>" not in texts


def test_places_ages_and_postal_codes_are_as_in_safe_harbor() -> None:
    template = "[AGE_OVER_89 92], [LOCATION Ohio], WY [POSTAL_CODE 83112] [POSTAL_CODE SW1A 1AA]"
    assert written(template, expert()).text == written(template, safe_harbor()).text


# -- both kinds of surrogates ---------------------------------------------------------------------

LETTERS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\u00e4\u00f8", min_size=4)
VALUES = st.lists(st.tuples(st.sampled_from(SAFE_HARBOR_ENTITIES), LETTERS), max_size=12)


@pytest.mark.parametrize("replacement", [safe_harbor(), expert()], ids=["safe-harbor", "expert"])
@given(values=VALUES)
def test_no_value_survives(replacement: Replacement, values: list[tuple[str, str]]) -> None:
    done = written(" | ".join(f"[{entity} {value}]" for entity, value in values), replacement)
    parts = done.text.split(" | ")
    assert len(parts) == max(1, len(values))
    words = "_".join(SAFE_HARBOR_ENTITIES).lower().split("_")
    for entity, value in values:
        if value.casefold() not in words and not (entity == "LOCATION" and stays(value)):
            assert value.casefold() not in map(str.casefold, re.findall(r"\w+", done.text)), entity


@pytest.mark.parametrize("replacement", [safe_harbor(), expert()], ids=["safe-harbor", "expert"])
def test_a_text_is_written_only_as_a_named_document(replacement: Replacement) -> None:
    with pytest.raises(ConfigError, match="which document of the run"):
        replacement.write("x", (), None)


@given(st.integers(0, 2**64 - 1))
def test_every_number_makes_a_surrogate_of_each_kind(number: int) -> None:
    assert re.fullmatch(r"[A-Z][a-z]+", name(number))
    assert re.fullmatch(r"[A-Z][a-z]+", place(number))
    assert re.fullmatch(r"\d{1,3} [A-Z][a-z]+ [A-Z][a-z]+", street(number))
    assert re.fullmatch(r"[A-Z][a-z]+ [A-Z][a-z]+", firm(number))


def test_whose_a_document_is_is_not_shown() -> None:
    assert "patient" not in repr(Document(3, "patient 7"))


# -- within a scrubber ----------------------------------------------------------------------------


def own(entity: str, words: Sequence[str]) -> Recognizer:
    def find(text: str) -> Iterator[Span]:
        for word in words:
            for match in re.finditer(re.escape(word), text):
                yield Span(match.start(), match.end(), entity, 1.0)

    return Recognizer(f"own {entity}", (entity,), find)


def everything() -> tuple[Recognizer, ...]:
    """Providers of a site's own for all entities of the mode; most of them find nothing."""
    words = {"PERSON": ["Anna Berg", "Berg"], "LOCATION": ["Bern", "Ohio"]}
    return tuple(own(entity, words.get(entity, [])) for entity in SAFE_HARBOR_ENTITIES)


@pytest.fixture(scope="module")
def harbor() -> Scrubber:
    return Scrubber(ScrubProfile(SAFE_HARBOR_ENTITIES), everything(), safe_harbor())


def test_a_scrubber_writes_what_its_mode_says(harbor: Scrubber) -> None:
    text = "Anna Berg of Bern, Ohio came on 12 March 2019. Mail a@example.org. Berg left."
    done = harbor.scrub(text, Document(0))
    who = re.fullmatch(
        r"(\w+ (\w+)) of \w+, Ohio came on 2019\. Mail <EMAIL_ADDRESS>\. (\w+) left\.", done.text
    )
    assert who is not None
    assert who[2] == who[3]
    assert text[done.spans[0].start : done.spans[0].end] == "Anna Berg"


@pytest.mark.parametrize("cue", ["born ", "DOB: ", "b. ", "year of birth: ", "geboren im Jahr "])
def test_a_bare_year_of_birth_that_tells_an_age_over_89_goes(harbor: Scrubber, cue: str) -> None:
    for year, kept in ((1931, False), (1936, False), (1937, True), (1999, True)):
        done = harbor.scrub(f"Retired teacher, {cue}{year}, admitted with 1900 mL.", Document(0))
        assert (str(year) in done.text) is kept
        assert "1900 mL" in done.text


def test_the_own_search_of_a_mode_is_nobodys_provider(harbor: Scrubber) -> None:
    assert {provider.name for provider in harbor.providers if provider.entity == "DATE_TIME"} == {
        "date",
        "own DATE_TIME",
    }
    bare = [recognizer for recognizer in everything() if recognizer.entities != ("US_SSN",)]
    assert Scrubber(ScrubProfile(SAFE_HARBOR_ENTITIES), bare, safe_harbor())


def test_providers_say_who_looks_for_what(harbor: Scrubber) -> None:
    kinds = {(provider.entity, provider.kind) for provider in harbor.providers}
    assert ("PERSON", ProviderKind.OWN) in kinds
    assert ("IBAN_CODE", ProviderKind.PATTERN) in kinds
    assert {provider.entity for provider in harbor.providers} == set(harbor.coverage.looked_for)


@pytest.mark.parametrize("entity", SAFE_HARBOR_ENTITIES)
def test_safe_harbor_without_one_of_its_entities_is_refused(entity: str) -> None:
    fewer = tuple(other for other in SAFE_HARBOR_ENTITIES if other != entity)
    with pytest.raises(ConfigError, match=f"safe-harbor has to look for {entity}"):
        Scrubber(ScrubProfile(fewer), everything(), safe_harbor())
    with pytest.raises(ConfigError, match=f"safe-harbor has to look for {entity}"):
        Scrubber(ScrubProfile(fewer, optional=(entity,)), everything(), safe_harbor())


def test_documents_are_numbered_and_each_text_needs_its_own(harbor: Scrubber) -> None:
    texts = ["Anna Berg", "Anna Berg"]
    numbered = [done.text for done in harbor.scrub_all(texts)]
    assert numbered == [
        harbor.scrub("Anna Berg", Document(0)).text,
        harbor.scrub("Anna Berg", Document(1)).text,
    ]
    assert numbered[0] != numbered[1]
    with pytest.raises(ConfigError, match="which document"):
        harbor.scrub("Anna Berg")
    with pytest.raises(ValueError, match="shorter"):
        list(harbor.scrub_all(texts, [Document(0)]))


def test_another_number_after_a_birth_is_no_year_of_birth(harbor: Scrubber) -> None:
    text = "born 1940 weighing 1900 g; born to a mother of 1200 parishioners in 1870 houses"
    assert harbor.scrub(text, Document(0)).text == text


def test_a_year_that_is_no_year_is_refused() -> None:
    with pytest.raises(ConfigError, match="machine's clock"):
        SafeHarbor(draw, this_year=70)
