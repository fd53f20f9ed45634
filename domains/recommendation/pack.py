"""The recommendation domain: the next item from the titles before it, and yes or no.

TALLRec's prompt is its own, in the Alpaca form in which it was trained.
"""

from __future__ import annotations

from typing import Final

from domains.domain import Domain, Entry, Published
from domains.prompts import TaskPrompt
from domains.recommendation import amazon, movielens, tallrec
from domains.task_kinds import TaskKind

_LAST_OF_USER: Final = "leave-one-out: the last item of each user, among 99 sampled others"
_TALLREC: Final = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n### Instruction:\n"
    "Given the user's preference and unpreference, identify whether the user will like the target "
    'movie by answering "Yes." or "No.".\n\n### Input:\n{text}\n\n### Response:\n'
)

_ENTRIES: Final = (
    Entry(
        name=amazon.NAME,
        summary=(
            "Amazon video games as LLMRank published them: which comes next, by title. Text, "
            "columns parted by tabs."
        ),
        licence=amazon.LICENCE,
        labels=(),
        split=_LAST_OF_USER,
        kind=TaskKind.RANKING,
        prompt=TaskPrompt(
            "A person bought these video games, oldest first:\n{text}\nThe next one is:"
        ),
        source=Published(
            amazon.EXPECTED_FILES,
            lambda folder, options: amazon.load(folder, users=options.users),
        ),
        choices=("users",),
    ),
    Entry(
        name=movielens.NAME,
        summary=(
            "MovieLens 100K: which film comes next, by title. Text, as in ml-100k.zip: columns "
            "parted by tabs in u.data, by | in u.item."
        ),
        licence=movielens.LICENCE,
        labels=(),
        split=_LAST_OF_USER,
        kind=TaskKind.RANKING,
        prompt=TaskPrompt("A person watched these films, oldest first:\n{text}\nThe next one is:"),
        source=Published(
            movielens.EXPECTED_FILES,
            lambda folder, options: movielens.load(folder, users=options.users),
        ),
        choices=("users",),
    ),
    Entry(
        name=tallrec.NAME,
        summary="TALLRec: will this person like the film, yes or no. JSON, a list of objects.",
        licence=tallrec.LICENCE,
        labels=tallrec.LABELS,
        split="as published: the test file",
        kind=TaskKind.CLASSIFICATION,
        prompt=TaskPrompt(_TALLREC, answers=("No.", "Yes.")),
        source=Published(tallrec.EXPECTED_FILES, lambda folder, _: tallrec.load(folder)),
    ),
)

RECOMMENDATION: Final = Domain(
    name="recommendation",
    summary="What a person takes next, from the titles before it; a user is the unit.",
    entries=_ENTRIES,
    scrub=("EMAIL_ADDRESS", "PHONE_NUMBER", "UNIQUE_ID"),
    metrics=("hr@10", "ndcg@10", "auc"),
    models=("minilm", "smollm2-135m", "qwen2.5-0.5b", "llama2-7b"),
)
