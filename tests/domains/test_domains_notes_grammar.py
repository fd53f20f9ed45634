"""The grammar of templates: what it means, and what it refuses."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ConfigError
from domains.notes.grammar import Piece, Slot, expand, parse
from domains.notes.template_files import load_templates

PLAIN = st.text(st.characters(exclude_characters="{}|<>", exclude_categories=["Cs"]), max_size=8)


def named(slot: Slot) -> list[Piece]:
    return [Piece(f"[{slot.name}/{slot.form}]", "PERSON")]


def texts(source: str, draws: int = 60) -> set[str]:
    pattern = parse(source, "a test")
    return {
        "".join(piece.text for piece in expand(pattern, np.random.default_rng(seed), named))
        for seed in range(draws)
    }


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", {""}),
        ("as it stands", {"as it stands"}),
        ("{a|b}", {"a", "b"}),
        ("x{|y}z", {"xz", "xyz"}),
        ("{a|{b|c}d}", {"a", "bd", "cd"}),
        ("a | table | row", {"a | table | row"}),
        ("<name>", {"[name/]"}),
        ("<name2.last_first>", {"[name2/last_first]"}),
        ("p < 0.05 and 3<4>2 <A> <>", {"p < 0.05 and 3<4>2 <A> <>"}),
        ("<3..5>", {"3", "4", "5"}),
        ("<0.9..1.1>", {"0.9", "1.0", "1.1"}),
        ("<<name>>", {"<[name/]>"}),
    ],
)
def test_what_a_source_stands_for(source: str, expected: set[str]) -> None:
    assert texts(source) == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{a|b", "opens a brace"),
        ("a}", "closes a brace"),
        ("{a|{b}", "opens a brace"),
        ("<5..3>", "no number lies"),
    ],
)
def test_a_malformed_source_is_refused_by_name(source: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse(source, "the note of today")
    assert "the note of today" in str(caught.value)


@given(st.lists(PLAIN, min_size=1, max_size=5), PLAIN, PLAIN)
def test_choices_are_what_is_written_and_what_is_around_stays(
    options: list[str], before: str, after: str
) -> None:
    wanted = {before + option + after for option in options}
    assert texts(f"{before}{{{'|'.join(options)}}}{after}", 20) <= wanted


def test_only_a_slot_is_labelled() -> None:
    pattern = parse("Seen by <doctor>, {aged <3..4>|not <patient>}.", "a test")
    pieces = expand(pattern, np.random.default_rng(0), named)
    assert {
        bool(re.fullmatch(r"\[.*\]", piece.text)) == bool(piece.entity) for piece in pieces
    } == {True}


def test_every_slot_is_listed_however_deep() -> None:
    pattern = parse("<a>{<b.c>|{<d>|x}}", "a test")
    assert list(pattern.slots()) == [Slot("a"), Slot("b", "c"), Slot("d")]


def test_a_file_that_does_not_exist_is_no_empty_part() -> None:
    with pytest.raises(FileNotFoundError):
        load_templates("clinical", "nothing")
