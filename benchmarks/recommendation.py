"""What a ranker of next items has to beat, on Amazon games in LLMRank's form.

    python -m benchmarks.recommendation --data DIR

The next item stands among 99 sampled others. The rows:

    popularity        how often a title stands in training
    last-item         how often it followed the last one in training; popularity parts what is alike
    likeness          cosine with the last title under the frozen all-MiniLM-L6-v2

None of them is federated or private, and none is tuned. HR@10 and NDCG@10 count a tie against the
ranker.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.cells import Cell, write_cells
from crypto.errors import SecureFLError
from domains.base_models import preset, resolve
from domains.baselines import frozen_features
from domains.catalogue import DatasetOptions, load_dataset
from domains.classification import SentenceClassification
from domains.ranking_scores import ranking_scores
from domains.recommendation.floors import last_item, likeness_to_last, popularity
from domains.records import Record
from secure_fl.failures import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from domains.records import Dataset

NAME: Final = "recommendation.amazon-games"
_NO_DATA: Final = (
    "not measured: the published files are not part of this project; name their folder with "
    "--data DIR"
)
_LONGEST_TITLE: Final = 32


@dataclass(frozen=True)
class RankingCell(Cell):
    """One row: means over `n` records, between 0 and 1."""

    n: int | None = None
    hit_rate_10: float | None = None
    ndcg_10: float | None = None
    auc: float | None = None
    error: str | None = None


def measure(dataset: Dataset, *, likeness: bool) -> tuple[RankingCell, ...]:
    """Return a cell for each floor; with `likeness` also the one that runs the encoder."""
    train, asked = dataset.train, dataset.evaluation
    labels = np.array([record.label for record in asked], np.int64)
    ranked = {"popularity": popularity(train, asked), "last-item": last_item(train, asked)}
    if likeness:
        ranked["likeness"] = likeness_to_last(title_states(asked), asked)
    cells = []
    for name, scores in ranked.items():
        found = ranking_scores(scores, labels)
        cells.append(
            RankingCell(
                name=name,
                n=found.n,
                hit_rate_10=found.hit_rate,
                ndcg_10=found.ndcg,
                auc=found.auc,
            )
        )
    return tuple(cells)


def title_states(asked: Sequence[Record]) -> dict[str, NDArray[np.float32]]:
    """Return the frozen encoder's vector of every title that has to be compared.

    Raises:
        ConfigError: the encoder is not on this machine.
    """
    titles = sorted(
        {title for record in asked for title in (*record.options, record.text.split("\n")[-1])}
    )
    model = resolve(preset("all-MiniLM-L6-v2").ref, local=None, allow_hub=False)
    task = SentenceClassification(model, ("no", "yes"), _LONGEST_TITLE)
    records = [Record(f"title-{number}", title, 0) for number, title in enumerate(titles)]
    return dict(zip(titles, frozen_features(task, task.encode(records)), strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rows; return 0, or the code of what went wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recommendation", description="Floors of next-item ranking."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--data", type=Path, help="the folder of the published files")
    parser.add_argument("--users", type=int, default=DatasetOptions().users, help="how many users")
    options = parser.parse_args(arguments)
    if options.data is None:
        cells = (RankingCell(name=NAME, error=_NO_DATA),)
        write_cells("Next-item ranking", cells, as_json=options.json)
        return ExitCode.OK
    try:
        dataset = load_dataset(
            NAME, data=options.data, seed=0, options=DatasetOptions(users=options.users)
        )
        cells = measure(dataset, likeness=True)
    except SecureFLError as error:
        print(error, file=sys.stderr)
        return ExitCode.CONFIG
    write_cells("Next-item ranking", cells, as_json=options.json)
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
