"""Amazon games, MovieLens and TALLRec: files in the published formats, written here and real."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import published_files
import pytest
from published_files import (
    USERS,
    films_files,
    games_files,
    history_of,
    tallrec_files,
    tallrec_row,
    titled,
)

from crypto.errors import ConfigError
from domains.catalogue import ENTRIES, DatasetOptions, load_dataset
from domains.recommendation import amazon, movielens
from domains.recommendation.sequences import HISTORY, Step, chosen_users, ranking_records

if TYPE_CHECKING:
    from domains.records import Dataset

_GAMES_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "amazon_games"
GAMES = "recommendation.amazon-games"
FILMS = "recommendation.movielens-100k"
YES_OR_NO = "recommendation.tallrec"


def refusal(name: str, folder: Path, *, users: int = 5000) -> str:
    with pytest.raises(ConfigError) as caught:
        load_dataset(name, data=folder, seed=0, options=DatasetOptions(users=users))
    assert "Secret" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def few_games(monkeypatch: pytest.MonkeyPatch) -> None:
    published_files.few_games(monkeypatch)


def check_options(dataset: Dataset, name: str) -> None:
    """Check that each record's options are its next item and titles not in its text, none twice.

    The next item may have the title of another that the user took.
    """
    for side, negatives in ((dataset.train, 19), (dataset.evaluation, 99)):
        for record in side:
            assert len(record.options) == len(set(record.options)) == negatives + 1
            others = {*record.options} - {record.options[record.label]}
            assert not others & set(record.text.split("\n"))
    assert ENTRIES[name].prompt.choices(dataset.train[0]) == dataset.train[0].options


@pytest.mark.usefixtures("few_games")
def test_games_are_loaded_by_name_from_their_published_files(tmp_path: Path) -> None:
    games_files(tmp_path)
    dataset = load_dataset(GAMES, data=tmp_path, seed=0)
    assert (dataset.name, dataset.labels) == (GAMES, ())
    assert (len(dataset.train), len(dataset.evaluation)) == (USERS, USERS)
    check_options(dataset, GAMES)
    for record in dataset.evaluation:
        *before, last = map(titled, history_of(int(record.columns["user"])))
        assert record.text.split("\n") == before[-HISTORY:]
        assert record.options[record.label] == last
    by_user = {record.columns["user"]: record for record in dataset.train}
    for record in by_user.values():
        before = [titled(item) for item in history_of(int(record.columns["user"]))]
        assert record.options[record.label] == before[-2]
        assert before[-1] not in record.text.split("\n")
    assert len({record.label for record in dataset.evaluation}) > 1


@pytest.mark.usefixtures("few_games")
def test_fewer_users_are_the_same_on_both_sides_and_keep_their_records(tmp_path: Path) -> None:
    games_files(tmp_path)
    whole = load_dataset(GAMES, data=tmp_path, seed=0)
    few = load_dataset(GAMES, data=tmp_path, seed=1, options=DatasetOptions(users=5))
    assert len(few.train) == len(few.evaluation) == 5
    assert {record.columns["user"] for record in few.train} == {
        record.columns["user"] for record in few.evaluation
    }
    assert set(few.evaluation) <= set(whole.evaluation)
    assert "5 of 12 users were loaded, drawn with seed 42." in few.notes
    assert "All 12 users were loaded." in whole.notes


@pytest.mark.usefixtures("few_games")
@pytest.mark.parametrize(
    ("part", "line", "named"),
    [
        ("items", "0\tSecret\tSecret", "Line 2 of {folder}/Games.item has 3 cells"),
        ("items", "0\t ", "Row 1 of {folder}/Games.item has an empty text"),
        ("items", "1\tSecret", "Row 2 of {folder}/Games.item has an item that stands before"),
        ("train", "0\t\t11", "Row 1 of {folder}/Games-6k.valid.inter has an empty text"),
        ("train", "0\t0 151\t11", "Row 1 of {folder}/Games-6k.valid.inter has an item that"),
        ("test", "0\t0  11\t22", "Row 1 of {folder}/Games-6k.test.inter has an item that"),
        ("test", "0\t0 11\t151", "Row 1 of {folder}/Games-6k.test.inter has an item that"),
        ("test", "1\t0 11\t22", "Row 2 of {folder}/Games-6k.test.inter has a user that"),
        ("test", "0\t0 22\t11", "disagree on the history of user 0"),
        ("test", "77\t0 11\t22", "do not name the same users"),
    ],
)
def test_a_bad_row_of_games_is_named(part: str, line: str, named: str, tmp_path: Path) -> None:
    games_files(tmp_path, **{part: line})
    assert named.format(folder=tmp_path) in refusal(GAMES, tmp_path)


@pytest.mark.usefixtures("few_games")
def test_games_that_were_cut_or_re_encoded_are_refused(tmp_path: Path) -> None:
    games_files(tmp_path)
    path = tmp_path / amazon.EVALUATION_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert f"Line 13 of {path} has no end" in refusal(GAMES, tmp_path)
    path.write_bytes(whole[: whole[:-1].rindex(b"\n") + 1])
    assert "11 rows, the published file 12" in refusal(GAMES, tmp_path)
    path.write_bytes(whole.removeprefix(b"user"))
    assert f"The header of {path}" in refusal(GAMES, tmp_path)
    games_files(tmp_path, items="0\tSecret\x00")
    assert "is not text in utf-8" in refusal(GAMES, tmp_path)


@pytest.mark.usefixtures("few_games")
def test_no_users_at_all_are_refused(tmp_path: Path) -> None:
    games_files(tmp_path)
    assert "At most 0 users" in refusal(GAMES, tmp_path, users=0)


def test_more_users_hold_the_fewer() -> None:
    users = [str(user) for user in range(100)]
    assert chosen_users(users, 10) < chosen_users(reversed(users), 20)
    assert chosen_users(users, 1000) == frozenset(users)


def test_negatives_and_places_are_uniform() -> None:
    titles = [f"t{number}" for number in range(13)]
    steps = [Step(str(user), ("t0", "t1"), "t2") for user in range(6000)]
    records = ranking_records("r", steps, titles, 4)
    places = Counter(record.label for record in records)
    drawn = Counter(title for record in records for title in record.options if title != "t2")
    assert set(drawn) == set(titles[3:])
    assert all(abs(count - 1200) < 150 for count in places.values())
    assert all(abs(count - 2400) < 200 for count in drawn.values())


def test_a_step_that_cannot_be_ranked_is_refused() -> None:
    titles = [f"Secret {number}" for number in range(5)]
    with pytest.raises(ConfigError, match=r"'r-7' needs 4 titles .* there are 3"):
        ranking_records("r", [Step("7", (titles[0],), titles[1])], titles, 4)
    with pytest.raises(ConfigError, match="'r-7' has no history"):
        ranking_records("r", [Step("7", (), titles[1])], titles, 2)


@pytest.fixture
def few_films(monkeypatch: pytest.MonkeyPatch) -> None:
    published_files.few_films(monkeypatch)


@pytest.mark.usefixtures("few_films")
def test_films_are_loaded_in_the_order_of_their_time_stamps(tmp_path: Path) -> None:
    films_files(tmp_path)
    dataset = load_dataset(FILMS, data=tmp_path, seed=0)
    assert (len(dataset.train), len(dataset.evaluation)) == (USERS, USERS)
    check_options(dataset, FILMS)
    for record in dataset.evaluation:
        *before, last = history_of(int(record.columns["user"]) - 1)
        assert record.text.split("\n") == [f"Misérables {item} (1995)" for item in before][-10:]
        assert record.options[record.label] == f"Misérables {last} (1995)"
    assert "1 users with fewer than 3 films were dropped." in dataset.notes


@pytest.mark.usefixtures("few_films")
@pytest.mark.parametrize(
    ("rating", "named"),
    [
        ("99\t151\t5\t881250949", "an item that u.item does not name"),
        ("99\t4\t6\t881250949", "unknown label in 'rating'"),
        ("99\t4\t5\tSecret", "no whole number in 'timestamp'"),
        ("Secret\t4\t5\t881250949", "no whole number in 'user'"),
    ],
)
def test_a_bad_rating_is_named(rating: str, named: str, tmp_path: Path) -> None:
    films_files(tmp_path, rating=rating)
    message = refusal(FILMS, tmp_path)
    assert message.startswith(f"Row 1 of {tmp_path / movielens.RATINGS_FILE} has")
    assert named in message


@pytest.mark.usefixtures("few_films")
def test_a_film_rated_twice_or_titles_in_another_encoding_are_refused(tmp_path: Path) -> None:
    films_files(tmp_path, rating="99\t3\t5\t881250990")
    assert "Row 2" in (message := refusal(FILMS, tmp_path))
    assert "rated before" in message
    films_files(tmp_path)
    path = tmp_path / movielens.ITEM_FILE
    path.write_text(path.read_text(encoding="latin-1"), encoding="utf-8")
    assert "is not text in latin-1" in refusal(FILMS, tmp_path)


def test_tallrec_is_loaded_by_name_from_its_published_files(tmp_path: Path) -> None:
    tallrec_files(tmp_path)
    dataset = load_dataset(YES_OR_NO, data=tmp_path, seed=0)
    assert [dataset.labels[record.label] for record in dataset.evaluation] == [
        "Yes",
        "No",
        "No",
        "Yes",
    ]
    record = dataset.evaluation[0]
    assert (record.id, record.text) == ("tallrec-test-000001", tallrec_row("test", 0)["input"])
    prompt = ENTRIES[YES_OR_NO].prompt
    assert prompt.choices(record)[record.label] == "Yes."
    assert str(tallrec_row("test", 0)["instruction"]) in prompt.ask(record)


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        ({"output": "Maybe."}, "unknown label in 'output'"),
        ({"output": "Yes"}, "unknown label in 'output'"),
        ({"input": " "}, "empty text in 'input'"),
        ({"instruction": None, "input": "Secret"}, "no text in 'instruction'"),
    ],
)
def test_a_bad_tallrec_row_is_named(cells: dict[str, object], named: str, tmp_path: Path) -> None:
    path = tallrec_files(tmp_path, **cells)
    message = refusal(YES_OR_NO, tmp_path)
    assert message.startswith(f"Row 2 of {path} has")
    assert named in message


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b'{"input": "Secret"}', "holds no JSON list"),
        (b'["Secret"]', "Row 1 of {path} is no JSON object"),
        (b'[{"input": "Secret"', "was cut there"),
        (b'[{"input": "Secret", "input": "Secret"}]', "has a key twice"),
        (b'["Secret \xe9"]', "is not UTF-8 text"),
        (b"[" * 200_000, "is nested too deeply"),
        (b"[]", "has no training records"),
    ],
)
def test_a_bad_tallrec_file_is_named(content: bytes, named: str, tmp_path: Path) -> None:
    path = tallrec_files(tmp_path)
    path.write_bytes(content)
    assert named.format(path=path) in refusal(YES_OR_NO, tmp_path)


@pytest.mark.parametrize("name", [GAMES, FILMS, YES_OR_NO])
def test_a_wrong_folder_is_answered_with_the_files_that_belong_in_it(
    name: str, tmp_path: Path
) -> None:
    message = refusal(name, tmp_path)
    assert all(file in message for file in ENTRIES[name].files)


@pytest.mark.realdata
def test_the_published_games() -> None:
    if not _GAMES_FOLDER.is_dir():
        pytest.skip(f"the published files are not at {_GAMES_FOLDER}")
    dataset = load_dataset(GAMES, data=_GAMES_FOLDER, seed=0, options=DatasetOptions(users=500))
    assert (len(dataset.train), len(dataset.evaluation)) == (500, 500)
    check_options(dataset, GAMES)
    assert "500 of 50546 users were loaded, drawn with seed 42." in dataset.notes
