"""Scores a finished run's adapter on the evaluation sets of other data sets of the same kind.

Labelled texts need the run's classes. Records with options of their own need none in common: an
encoder gives every option one number, however many there are.

What comes out is of the evaluator's machine: nothing of it is signed, and the run is not verified.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from crypto.errors import ConfigError, IntegrityError
from domains.catalogue import DEFAULT_OPTIONS, ENTRIES, Generated, kind_of, load_dataset
from domains.model_presets import seen_before
from domains.task_kinds import TaskKind
from secure_fl.runfolder import RunFolder
from secure_fl.runner import Evaluator
from secure_fl.sites.workbench import build_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from domains.domain import Entry
    from domains.records import Record
    from domains.scores import ClassificationScores
    from domains.tasks import Task
    from secure_fl.config import RunConfig
    from secure_fl.sites.adapted_model import AdaptedModel


@dataclass(frozen=True)
class Asked:
    """A data set to score on, and the folder of its published files where it has some."""

    entry: Entry
    data: Path | None


@dataclass(frozen=True)
class Scored:
    """What the adapter came to on one data set.

    Attributes:
        dataset: its name.
        kind: of its records.
        scores: the adapter's.
        seen: why they say little, where the base model is known to have been tuned on the set.
    """

    dataset: str
    kind: TaskKind
    scores: ClassificationScores
    seen: str | None


@dataclass(frozen=True)
class Learned:
    """What the run's records were like, by which other data sets are measured."""

    dataset: str
    kind: TaskKind
    labels: tuple[str, ...]
    """That the model was built with."""
    classes: tuple[str, ...]
    """What they are called, in their order."""
    answers: tuple[str, ...]
    """Of a language model that answers the same for every record; else none."""


def asked_of(names: Sequence[str], folders: Sequence[Path]) -> tuple[Asked, ...]:
    """Return the data sets called `names`; the published ones take `folders`, in order.

    Without a folder each is looked for in the Hugging Face cache, if the hub has it.

    Raises:
        ConfigError: a name is unknown, or folders and published data sets differ in number.
    """
    unknown = [name for name in names if name not in ENTRIES]
    if unknown:
        raise ConfigError(
            f"No data set is called {unknown[0]!r}: nothing was scored. Known data sets: "
            f"{', '.join(sorted(ENTRIES))}."
        )
    entries = [ENTRIES[name] for name in names]
    needed = [entry for entry in entries if not isinstance(entry.source, Generated)]
    if not folders and all(entry.hub is not None for entry in needed):
        return tuple(Asked(entry, None) for entry in entries)
    if len(needed) != len(folders):
        raise ConfigError(
            f"{len(needed)} of the data sets are read from published files and {len(folders)} "
            "folders were named: it is unknown which is whose. Give one --data for each of them, "
            "in the order of --on."
        )
    rest = iter(folders)
    return tuple(
        Asked(entry, None if isinstance(entry.source, Generated) else next(rest))
        for entry in entries
    )


def evaluate(run: Path, asked: Sequence[Asked]) -> tuple[Scored, ...]:
    """Return the scores of the adapter of `run` on each data set's evaluation set.

    Raises:
        ConfigError: the run is unfinished, the base model or a data set is not here, or the records
            of a data set are of another kind than the run's, or their classes are others.
        IntegrityError: the adapter is damaged, or is of another model.
    """
    config = RunFolder(run).config()
    learned = learned_of(config)
    orders = [_order(each.entry, learned) for each in asked]
    torch.set_num_threads(config.runtime.threads)
    task, adapted = build_task(config.mechanism, learned.labels, config.runtime)
    load_adapter(adapted, run)
    return tuple(
        Scored(
            each.entry.name,
            each.entry.kind,
            _scores(task, adapted, each, order, config),
            seen_before(config.mechanism.model.name, each.entry.name),
        )
        for each, order in zip(asked, orders, strict=True)
    )


def classes_of(entry: Entry) -> tuple[str, ...]:
    """Return what the pack calls the classes where it asks about them; else the labels.

    TFNS's bearish, bullish and neutral are answered negative, positive and neutral, as in FinGPT.
    """
    answers = entry.prompt.answers
    return answers if len(answers) == len(entry.labels) else entry.labels


def learned_of(config: RunConfig) -> Learned:
    """Return what the run's records were like.

    Raises:
        ConfigError: the run was on a data set that is in no pack here.
    """
    data, prompt = config.mechanism.data, config.mechanism.prompt
    answers = () if prompt is None else prompt.answers
    if data.labels is not None:
        kind = kind_of(data.dataset)
        return Learned(data.dataset, kind, data.labels, data.labels, answers)
    entry = ENTRIES.get(data.dataset)
    if entry is None:
        raise ConfigError(
            f"The run was on {data.dataset!r}, which is in no pack here: its classes are unknown, "
            "and nothing was scored. Use the version of the program that made the run."
        )
    return Learned(entry.name, entry.kind, entry.labels, classes_of(entry), answers)


def _order(entry: Entry, run: Learned) -> tuple[int, ...]:
    """Return the run's number of each of the data set's classes; none for records with options.

    Raises:
        ConfigError: the adapter learned something else than what the data set asks for.
    """
    if entry.kind is not run.kind:
        like = ", ".join(each.name for each in ENTRIES.values() if each.kind is run.kind)
        raise ConfigError(
            f"{entry.name} is a {entry.kind} data set and the run's, {run.dataset}, a {run.kind} "
            "one: the adapter never learned what is asked, and nothing was scored. Name data sets "
            f"of the run's kind: {like}."
        )
    if entry.kind is TaskKind.CLASSIFICATION:
        return _by_class(entry, run.classes)
    if run.answers and entry.labels != run.labels:
        raise ConfigError(
            f"The run's language model answers {', '.join(run.answers)}, and {entry.name} is "
            f"answered {', '.join(entry.labels) or 'with the options themselves'}: some of its "
            "answers could not be given, and nothing was scored. Name data sets with the run's."
        )
    return ()


def _by_class(entry: Entry, classes: tuple[str, ...]) -> tuple[int, ...]:
    """Return the run's number of each of the data set's classes, by the pack's names or its own."""
    for theirs in (classes_of(entry), entry.labels):
        if set(theirs) == set(classes):
            return tuple(classes.index(name) for name in theirs)
    raise ConfigError(
        f"The classes of {entry.name} are {', '.join(classes_of(entry))} and the run's "
        f"{', '.join(classes)}: a score would compare different things, and nothing was scored. "
        "Name data sets with the run's classes."
    )


def _scores(
    task: Task, adapted: AdaptedModel, asked: Asked, order: tuple[int, ...], config: RunConfig
) -> ClassificationScores:
    run = config.mechanism
    # Of the run's own data set the same part is scored: what is left was trained on.
    same = asked.entry.name == run.data.dataset
    options = run.data.options() if same else DEFAULT_OPTIONS
    dataset = load_dataset(
        asked.entry.name,
        data=asked.data,
        seed=run.seed,
        options=options,
        allow_hub=config.runtime.allow_hub,
    )
    records = tuple(_numbered(record, order) for record in dataset.evaluation)
    return Evaluator(task, adapted, task.encode(records), kind=asked.entry.kind).score(
        adapted.flat()
    )


def _numbered(record: Record, order: tuple[int, ...]) -> Record:
    """Return the record with the run's number of its class; one with options keeps its own."""
    return record if record.options else replace(record, label=order[record.label])


def load_adapter(adapted: AdaptedModel, run: Path) -> None:
    """Set the shared parameters of `adapted` to those that the run in `run` released.

    Raises:
        ConfigError: the run has no adapter: it is not finished.
        IntegrityError: the adapter is damaged, or is of another model.
    """
    path = run / "adapter" / "adapter_model.safetensors"
    if not path.is_file():
        raise ConfigError(
            f"{path} is missing: there is nothing to score. Name the folder of a finished run, or "
            f"go on with this one by `secure-fl run --resume {run}`."
        )
    try:
        saved = load_file(path)
    except (OSError, SafetensorError):
        saved = {}
    with torch.no_grad():
        for name, parameter in adapted.parameters.items():
            # PEFT's published naming leaves these two parts out.
            stored = saved.get(name.replace(".default", "").replace(".modules_to_save", ""))
            if stored is None or stored.shape != parameter.shape:
                raise IntegrityError(
                    f"{path} does not hold what the run's configuration trains: it was damaged, "
                    "or is of another run. Restore the folder from a copy."
                )
            parameter.copy_(stored)
