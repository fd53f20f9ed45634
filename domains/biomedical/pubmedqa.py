"""PubMedQA, its expert-labelled part (PQA-L), in the published files.

Jin, Dhingra, Liu, Cohen and Lu, "PubMedQA: A Dataset for Biomedical Research Question
Answering", EMNLP 2019. `ori_pqal.json` holds 1000 articles by PMID, `test_ground_truth.json` the
answers of the 500 that are the test set.

The setting is the one that the paper calls reasoning-required: the model reads the question and
the abstract without its conclusion. The conclusion (`LONG_ANSWER`) states the answer and is never
read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.overlap import separate
from domains.reading import Row, check_rows, json_object, published_file
from domains.records import Dataset, Record

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "biomedical.pubmedqa"
LABELS: Final = ("yes", "no", "maybe")
LICENCE: Final = "MIT (Jin et al. 2019)"
ARTICLES_FILE: Final = "ori_pqal.json"
TEST_FILE: Final = "test_ground_truth.json"
EXPECTED_FILES: Final = (ARTICLES_FILE, TEST_FILE)
PUBLISHED_ROWS: Final = {ARTICLES_FILE: 1000, TEST_FILE: 500}

_ANSWERS: Final = {label: code for code, label in enumerate(LABELS)}


def load(folder: Path, *, drop_overlap: bool = True) -> Dataset:
    """Return the data set of the two published files.

    Args:
        folder: where they lie.
        drop_overlap: drop training articles whose text is also in the test set.

    Raises:
        ConfigError: a file is absent, unreadable, malformed, or not of the published length, or
            the two files disagree.
    """
    articles = read_articles(published_file(folder, ARTICLES_FILE, EXPECTED_FILES))
    check_rows(folder / ARTICLES_FILE, len(articles), PUBLISHED_ROWS[ARTICLES_FILE])
    answers = read_answers(published_file(folder, TEST_FILE, EXPECTED_FILES))
    check_rows(folder / TEST_FILE, len(answers), PUBLISHED_ROWS[TEST_FILE])
    evaluation = evaluation_articles(articles, answers, folder)
    train = tuple(record for pmid, record in articles.items() if pmid not in answers)
    sides = separate(train, evaluation, drop_overlap=drop_overlap)
    return Dataset.of(
        name=NAME,
        labels=LABELS,
        train=sides.train,
        evaluation=evaluation,
        licence=LICENCE,
        notes=(
            *sides.notes,
            "Evaluation set: the published test set of PQA-L.",
            "Reasoning-required: question and abstract, without the abstract's conclusion.",
        ),
    )


def read_articles(path: Path) -> dict[str, Record]:
    """Return one record per article, by PMID; ids are `pubmedqa-PMID`.

    A record's text is the question, a newline, and the parts of the abstract in their order.

    Raises:
        ConfigError: naming file and row, never text: an id that is no PMID, no or an empty
            question or context, an unknown answer; or see `reading.json_object`.
    """
    articles = {}
    for number, (pmid, article) in enumerate(json_object(path).items(), start=1):
        row = Row(path, number, article if isinstance(article, dict) else {})
        articles[_checked(pmid, row)] = Record(
            f"pubmedqa-{pmid}",
            f"{row.text('QUESTION')}\n{_contexts(row)}",
            row.choice("final_decision", _ANSWERS),
        )
    return articles


def read_answers(path: Path) -> dict[str, int]:
    """Return the label of each article of the test set, by PMID, in the file's order.

    Raises:
        ConfigError: as `read_articles`.
    """
    answers = {}
    for number, (pmid, answer) in enumerate(json_object(path).items(), start=1):
        row = Row(path, number, {"answer": answer})
        answers[_checked(pmid, row)] = row.choice("answer", _ANSWERS)
    return answers


def evaluation_articles(
    articles: dict[str, Record], answers: dict[str, int], folder: Path
) -> tuple[Record, ...]:
    """Return the articles of the test set, in its order.

    Raises:
        ConfigError: an article is absent, or has another answer than the test set says.
    """
    for pmid, label in answers.items():
        if pmid not in articles or articles[pmid].label != label:
            raise ConfigError(
                f"{ARTICLES_FILE} and {TEST_FILE} of {folder} disagree on PMID {pmid}: a score "
                "would not be the published one. Copy both files again, from one release."
            )
    return tuple(articles[pmid] for pmid in answers)


def _checked(pmid: str, row: Row) -> str:
    if not (pmid.isascii() and pmid.isdecimal()):
        row.refuse("no PMID as its id", "it cannot be told from other articles")
    return pmid


def _contexts(row: Row) -> str:
    parts = row.cells.get("CONTEXTS")
    if not isinstance(parts, list) or not parts:
        row.refuse("no list of texts in 'CONTEXTS'", "the question could not be reasoned about")
    return " ".join(
        Row(row.path, row.number, {"CONTEXTS": part}).text("CONTEXTS") for part in parts
    )
