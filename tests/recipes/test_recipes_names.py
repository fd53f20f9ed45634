from __future__ import annotations

import random

import pytest

from privacy.scrubbing.names.gazetteer import Gazetteer, Listed
from privacy.scrubbing.names.network import KINDS
from recipes.names.examples import ExampleMaker
from recipes.names.filler import IDENTIFIER, LOCATION, ORGANIZATION, PERSON, Piece
from recipes.names.grammar import choose, pieces
from recipes.names.lists import HELD_OUT_LOCALES, Lists, Names, gazetteer_lines, ordinary_words
from recipes.names.texts import TextMaker, is_left_out, note_texts, templates

_SMALL_WORDS = [f"q{one}{two}" for one in "abcdefghij" for two in "abcdefghijklm"]
"""As many as the gazetteer takes for words whatever else they are."""


@pytest.fixture(scope="module")
def lists() -> Lists:
    english = Names(("Anna", "John", "Grace"), ("Berg", "Young"))
    return Lists(
        names={
            "en_US": english,
            "en_GB": english,
            "cs_CZ": Names(("Ji\u0159\u00ed",), ("Nov\u00e1k",)),
            "tr_TR": Names(("I\u015f\u0131l",), ("Y\u0131ld\u0131z",)),
        },
        census=Names(("Mary", "Will"), ("Smith", "Zhu")),
        cities=("Bath", "Boston", "Springfield"),
        city_weights=(90_000, 600_000, 0),
        countries=("Peru", "New Zealand"),
        regions=("Kent",),
        words=(*_SMALL_WORDS, "the", "will", "john", "bath", "grace", "sees"),
        foreign_words=("und",),
    )


@pytest.fixture(scope="module")
def maker(lists: Lists) -> TextMaker:
    return TextMaker(lists, 3, prose=("Nobody is in here.",))


def test_choices_are_made_from_within() -> None:
    made = {choose("[a|b[c|d]|]{x}", random.Random(seed)) for seed in range(60)}
    assert made == {"a{x}", "bc{x}", "bd{x}", "{x}"}
    assert list(pieces("Hi {first2}, {city}!")) == [
        ("Hi ", None), ("first", "2"), (", ", None), ("city", ""), ("!", None),
    ]  # fmt: skip


@pytest.mark.parametrize("template", templates())
def test_every_template_fills(maker: TextMaker, template: str) -> None:
    text = "".join(piece.text for piece in maker.one(template))
    assert "{" not in text.replace("{}", "")
    assert "[" not in text


def test_names_are_labelled_and_the_rest_is_not(maker: TextMaker) -> None:
    text = maker.one("Ask {titled} of {org} in {city} about {ident}, {Eponym} and {date}.")
    labelled = [piece.kind for piece in text if piece.kind]
    assert labelled == [PERSON, ORGANIZATION, LOCATION, IDENTIFIER]
    assert {piece.entity for piece in text if piece.entity} == {"DATE_TIME"}
    assert {piece.placeholder for piece in text if piece.placeholder} == {
        "<PERSON>", "<ORGANIZATION>", "<LOCATION>", "<UNIQUE_ID>", "<DATE_TIME>",
    }  # fmt: skip


def test_the_same_seed_makes_the_same_texts(lists: Lists) -> None:
    first, second, other = (list(TextMaker(lists, seed).texts(40)) for seed in (5, 5, 6))
    assert first == second
    assert first != other


def test_held_out_locales_are_in_no_list(lists: Lists) -> None:
    gazetteer = Gazetteer(gazetteer_lines(lists))
    assert "tr_TR" in HELD_OUT_LOCALES
    assert gazetteer.of("isil") == gazetteer.of("yildiz") == 0
    assert gazetteer.of("jiri") == Listed.FIRST_NAME
    assert gazetteer.of("novak") == Listed.LAST_NAME
    assert gazetteer.of("und") == Listed.FOREIGN_WORD
    assert gazetteer.phrases(["new", "zealand"]) == [Listed.COUNTRY] * 2


def test_held_out_names_are_in_no_text(lists: Lists) -> None:
    texts = TextMaker(lists, 1).texts(400)
    whole = "".join(piece.text for text in texts for piece in text).casefold()
    assert "nov\u00e1k" in whole
    assert "y\u0131ld\u0131z" not in whole


def test_a_word_that_is_hardly_a_name_is_a_word(lists: Lists) -> None:
    words = ordinary_words(lists)
    assert {"will", "grace", "sees"} <= words  # names, and as often words
    assert "john" not in words
    gazetteer = Gazetteer(gazetteer_lines(lists))
    assert gazetteer.of("john") == Listed.FIRST_NAME
    assert gazetteer.of("bath") == Listed.CITY | Listed.EVERYDAY


def test_validation_leaves_templates_out() -> None:
    everything = list(note_texts(60, 1))
    without = list(note_texts(60, 1, leave_out=True))
    assert 0 < len(without) < len(everything)
    assert is_left_out("eye-clinic") is is_left_out("eye-clinic")


def test_examples_carry_the_labels_to_the_tokens() -> None:
    text = [Piece("Ask "), Piece("Anna O'Hara", PERSON), Piece(" in "), Piece("Bath", LOCATION)]
    maker = ExampleMaker({"ask": 1, "in": 2}, Gazetteer(["anna\t1", "bath\t36"]))
    (example,) = maker.examples([text], None)
    assert [KINDS[kind] for kind in example.kinds] == ["", "PERSON", "PERSON", "", "LOCATION"]
    assert example.rows[:, 0].tolist() == [1, 0, 0, 2, 0]
    assert example.rows[:, -1].tolist() == [0, 1, 0, 0, 36]
    forgotten = list(maker.examples([text] * 300, random.Random(2)))
    lists = [example.rows[1, -1] for example in forgotten if len(example.kinds) == 5]
    assert {0, 1} == set(lists)  # some have lost their list, and some have not
    assert any((example.kinds == 0).all() for example in forgotten)  # some were scrubbed before
