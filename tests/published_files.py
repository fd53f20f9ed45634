"""Small files in the published formats of every data set that is read from files, written here.

The text of each row is this project's own.
"""

from __future__ import annotations

import csv
import json
import zipfile
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from domains.biomedical import medmcqa, medqa, pubmedqa
from domains.catalogue import ENTRIES
from domains.finance import fiqa, fiqa_fingpt, nwgi, phrasebank, tfns
from domains.recommendation import amazon, movielens, tallrec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    import pytest


def write_csv(path: Path, rows: Iterable[Iterable[object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


def write_lines(path: Path, rows: Iterable[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tfns_files(folder: Path, train: int = 9543, evaluation: int = 2388) -> None:
    for name, rows in (("sent_train.csv", train), ("sent_valid.csv", evaluation)):
        tweets = [
            (f"${name[5:7]}{row} up,\nagain https://t.co/{row}", row % 3) for row in range(rows)
        ]
        write_csv(folder / name, [("text", "label"), *tweets])


FIQA_HEADER = ("_id", "sentence", "target", "aspect", "score", "type")


def fiqa_files(folder: Path, *, first: tuple[object, ...] | None = None) -> None:
    for name, rows in fiqa.PUBLISHED_ROWS.items():
        listed: list[tuple[object, ...]] = [
            (
                f"{name}{row}",
                f"{name} sentence {row}",
                "ACME",
                "['Stock']",
                row % 3 / 4 - 0.25,
                "post",
            )
            for row in range(rows)
        ]
        if first is not None and name == "train.csv":
            listed[0] = first
        write_csv(folder / name, [FIQA_HEADER, *listed])


FIQA_FINGPT_HEADER = (
    "sentence",
    "snippets",
    "target",
    "sentiment_score",
    "aspects",
    "format",
    "label",
)


def fiqa_fingpt_files(folder: Path, *, first: tuple[object, ...] | None = None) -> None:
    for name, rows in zip(fiqa_fingpt.EXPECTED_FILES, (30, 6, 12), strict=True):
        listed: list[tuple[object, ...]] = [
            (f"{name} sentence {row}", "[]", "ACME", row % 3 / 4 - 0.25, "[]", "post", row % 3)
            for row in range(rows)
        ]
        if first is not None and name == "train.csv":
            listed[0] = first
        write_csv(folder / name, [FIQA_FINGPT_HEADER, *listed])


SEVEN = (
    "strong negative", "moderately negative", "mildly negative", "neutral",
    "mildly positive", "moderately positive", "strong positive",
)  # fmt: skip


def nwgi_files(folder: Path, evaluation: int = 4047, train: int = 16_184) -> None:
    for name, rows in (("train.jsonl", train), ("test.jsonl", evaluation)):
        write_lines(
            folder / name,
            ({"news": f"{name} {row}", "out": "", "label": SEVEN[row % 7]} for row in range(rows)),
        )


def article(number: int, **changed: object) -> dict[str, object]:
    return {
        "QUESTION": f"Does drug {number} help?",
        "CONTEXTS": ["Half were given it.", f"{number} recovered."],
        "LONG_ANSWER": "Secret conclusion.",
        "final_decision": pubmedqa.LABELS[number % 3],
    } | changed


def pubmedqa_files(folder: Path, **changed: object) -> None:
    articles = {str(1000 + number): article(number) for number in range(1000)}
    articles["1000"] = article(0, **changed)
    answers = {str(1000 + number): pubmedqa.LABELS[number % 3] for number in range(999, 499, -1)}
    (folder / "ori_pqal.json").write_text(json.dumps(articles))
    (folder / "test_ground_truth.json").write_text(json.dumps(answers))


def medmcqa_row(part: str, row: int) -> dict[str, object]:
    return {
        "question": f"Which is {part} number {row}?",
        "exp": None,
        "cop": row % 4 + 1,
        "opa": f"{row}",
        "opb": "two",
        "opc": "three",
        "opd": "all of the above",
        "subject_name": "Anatomy" if row % 2 else "Pathology",
        "topic_name": None,
        "id": f"{part}-{row}",
        "choice_type": "single",
    }


def medmcqa_files(folder: Path, *, first: Mapping[str, object] | None = None) -> None:
    for name, rows in ((medmcqa.TRAIN_FILE, 6), (medmcqa.DEV_FILE, 8)):
        listed = [medmcqa_row(name[:-5], row) for row in range(rows)]
        listed[0].update(first or {})
        write_lines(folder / name, listed)


def converted_file(folder: Path, *, first: Mapping[str, object] | None = None) -> Path:
    rows: list[dict[str, object]] = [
        {
            "question": f"Which is number {row}?",
            "choices": ["A. A. baumannii", f"B. {row}", "C. three", "D. all"],
            "answer": row % 4,
        }
        for row in range(8)
    ]
    rows[0].update(first or {})
    return write_lines(folder / medmcqa.CONVERTED_FILE, rows)


def medqa_row(part: str, row: int, labels: tuple[str, ...]) -> dict[str, Any]:
    options = {label: f"drug {label.lower()}{row}" for label in labels}
    label = labels[row % len(labels)]
    return {
        "question": f"{part}: a {row}-year-old man comes to the physician. What is next?",
        "answer": options[label],
        "options": options,
        "meta_info": "step2&3" if row % 2 else "step1",
        "answer_idx": label,
    }


def medqa_files(folder: Path, name: str, *, first: Mapping[str, object] | None = None) -> Path:
    entry = ENTRIES[name]
    paths = [folder / file for file in entry.files]
    for path, (part, rows) in zip(paths, medqa.PUBLISHED_ROWS.items(), strict=True):
        listed = [medqa_row(part, row, entry.labels) for row in range(rows)]
        listed[0].update(first or {})
        write_lines(path, listed)
    return paths[0]


ITEMS = 150


USERS = 12


def history_of(user: int) -> list[int]:
    """Return the items of a user in order: 3 to 14 of them, none twice."""
    return [(7 * user + 11 * step) % ITEMS for step in range(3 + user)]


def titled(item: int) -> str:
    return f'Game "{item}": the Sequel'


def games_files(folder: Path, **lines: str) -> None:
    """Write the three files; a line by the file's name replaces its first row."""
    rows = {
        "items": [f"{item}\t{titled(item)}" for item in range(ITEMS)],
        "train": [game_row(user, history_of(user)[:-1]) for user in range(USERS)],
        "test": [game_row(user, history_of(user)) for user in range(USERS)],
    }
    headers = (
        "item_id:token\ttitle:token_seq",
        *("user_id:token\titem_id_list:token_seq\titem_id:token",) * 2,
    )
    for (part, listed), name, header in zip(
        rows.items(), amazon.EXPECTED_FILES, headers, strict=True
    ):
        first = [lines[part]] if part in lines else listed[:1]
        text = "".join(f"{line}\n" for line in (header, *first, *listed[1:]))
        (folder / name).write_text(text, encoding="utf-8")


def game_row(user: int, items: list[int]) -> str:
    return f"{user}\t{' '.join(map(str, items[:-1]))}\t{items[-1]}"


def films_files(folder: Path, *, rating: str | None = None) -> None:
    """Write both files, ratings backwards in time; `rating` replaces the first one."""
    items = [
        f"{item}|Misérables {item} (1995)|01-Jan-1995||http://us.imdb.com/{item}{'|0' * 19}\n"
        for item in range(ITEMS)
    ]
    (folder / movielens.ITEM_FILE).write_text("".join(items), encoding="latin-1")
    ratings = [
        f"{user + 1}\t{item}\t{item % 5 + 1}\t{881250949 + place}\n"
        for user in range(USERS)
        for place, item in enumerate(history_of(user))
    ]
    ratings += ["99\t3\t5\t881250949\n", "99\t4\t1\t881250950\n"]
    if rating is not None:
        ratings[-1] = f"{rating}\n"
    (folder / movielens.RATINGS_FILE).write_text("".join(reversed(ratings)), encoding="ascii")


def tallrec_row(part: str, row: int) -> dict[str, object]:
    return {
        "instruction": "Given the user's preference and unpreference, identify whether the user "
        'will like the target movie by answering "Yes." or "No.".',
        "input": f'User Preference: "Orlando ({row})"\nUser Unpreference: "Dave (1993)"\n'
        f'Whether the user will like the target movie "{part} (1995)"?',
        "output": "No." if row % 3 else "Yes.",
    }


def tallrec_files(folder: Path, **cells: object) -> Path:
    for part, rows in (("train", 5), ("test", 4)):
        listed: list[object] = [tallrec_row(part, row) for row in range(rows)]
        listed[1] = {**tallrec_row(part, 1), **cells}
        (folder / f"{part}.json").write_text(json.dumps(listed, indent=4), encoding="utf-8")
    return folder / "train.json"


def as_file(lines: tuple[str, ...]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("latin-1")


def invented(rows: int) -> tuple[str, ...]:
    return tuple(f"Sentence number {row} .@{phrasebank.LABELS[row % 3]}" for row in range(rows))


def phrasebank_files(folder: Path) -> None:
    level = phrasebank.Agreement.HALF
    (folder / level.file_name).write_bytes(as_file(invented(level.rows)))


def few_medmcqa(patch: pytest.MonkeyPatch) -> None:
    """Say that the training file was published with 6 rows, the others with 8."""
    for name, rows in zip(medmcqa.EXPECTED_FILES, (6, 8, 8), strict=True):
        patch.setitem(medmcqa.PUBLISHED_ROWS, name, rows)


def few_games(patch: pytest.MonkeyPatch) -> None:
    for name, rows in zip(amazon.EXPECTED_FILES, (ITEMS, USERS, USERS), strict=True):
        patch.setitem(amazon.PUBLISHED_ROWS, name, rows)


def few_films(patch: pytest.MonkeyPatch) -> None:
    rows = sum(len(history_of(user)) for user in range(USERS)) + 2
    patch.setitem(movielens.PUBLISHED_ROWS, movielens.RATINGS_FILE, rows)
    patch.setitem(movielens.PUBLISHED_ROWS, movielens.ITEM_FILE, ITEMS)


def few_medqa(patch: pytest.MonkeyPatch) -> None:
    for part, rows in (("train", 30), ("test", 10)):
        patch.setitem(medqa.PUBLISHED_ROWS, part, rows)


def few_sentences(patch: pytest.MonkeyPatch) -> None:
    for name, rows in zip(tfns.EXPECTED_FILES, (30, 12), strict=True):
        patch.setitem(tfns.PUBLISHED_ROWS, name, rows)
    for name, rows in zip(fiqa.EXPECTED_FILES, (30, 6, 12), strict=True):
        patch.setitem(fiqa.PUBLISHED_ROWS, name, rows)
    patch.setattr(nwgi, "PUBLISHED_ROWS", 42)


WRITERS: Final[Mapping[str, Callable[[Path], object]]] = MappingProxyType(
    {
        phrasebank.NAME: phrasebank_files,
        tfns.NAME: lambda folder: tfns_files(folder, 30, 12),
        fiqa.NAME: fiqa_files,
        fiqa_fingpt.NAME: fiqa_fingpt_files,
        nwgi.NAME: lambda folder: nwgi_files(folder, 12, 30),
        pubmedqa.NAME: pubmedqa_files,
        medqa.NAME: lambda folder: medqa_files(folder, medqa.NAME),
        medqa.NAME_FIVE: lambda folder: medqa_files(folder, medqa.NAME_FIVE),
        medmcqa.NAME: medmcqa_files,
        amazon.NAME: games_files,
        movielens.NAME: films_files,
        tallrec.NAME: tallrec_files,
    }
)
"""What writes the files of each data set into a folder that exists."""


def _phrasebank_archive(folder: Path) -> None:
    path = folder / phrasebank.ARCHIVE
    path.parent.mkdir()
    level = phrasebank.Agreement.HALF
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            f"FinancialPhraseBank-v1.0/{level.file_name}", as_file(invented(level.rows))
        )


def _parquet(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def _lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _nwgi_parquet(folder: Path) -> None:
    nwgi_files(folder, 12, 30)
    for name, parquet in zip(nwgi.EXPECTED_FILES, nwgi.PARQUET_FILES, strict=True):
        _parquet(folder / parquet, _lines_of(folder / name))
        (folder / name).unlink()


def _medmcqa_parquet(folder: Path) -> None:
    medmcqa_files(folder)
    for name, parquet in zip(
        (medmcqa.TRAIN_FILE, medmcqa.DEV_FILE), medmcqa.HUB.files, strict=True
    ):
        rows = _lines_of(folder / name)
        for row in rows:
            row["cop"] = int(str(row["cop"])) - 1
        _parquet(folder / parquet, rows)
        (folder / name).unlink()


def _medqa_at_the_root(folder: Path) -> None:
    medqa_files(folder, medqa.NAME)
    for path in (folder / "4_options").iterdir():
        path.rename(folder / path.name)


HUB_WRITERS: Final[Mapping[str, Callable[[Path], object]]] = MappingProxyType(
    {
        phrasebank.NAME: _phrasebank_archive,
        tfns.NAME: WRITERS[tfns.NAME],
        fiqa_fingpt.NAME: fiqa_fingpt_files,
        nwgi.NAME: _nwgi_parquet,
        medqa.NAME: _medqa_at_the_root,
        medmcqa.NAME: _medmcqa_parquet,
    }
)
"""What writes the files of a data set as the Hugging Face hub has them."""


def publish(name: str, folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Write the files of the data set called `name` into the new `folder`, and return it.

    Where many rows were published, `patch` says for as long as it holds that there are few.
    """
    return _publish(WRITERS[name], folder, patch)


def publish_as_on_the_hub(name: str, folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Write the files as the Hugging Face hub has them; otherwise as `publish`."""
    return _publish(HUB_WRITERS[name], folder, patch)


def _publish(write: Callable[[Path], object], folder: Path, patch: pytest.MonkeyPatch) -> Path:
    for few in (few_medmcqa, few_games, few_films, few_medqa, few_sentences):
        few(patch)
    folder.mkdir(parents=True)
    write(folder)
    return folder
