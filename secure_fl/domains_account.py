"""What `secure-fl domains` says: of every data set, and of one that is at hand."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from audits.numerals import GAP, percent, thousands
from domains.catalogue import DOMAINS, ENTRIES, chosen_options, load_dataset
from domains.description import PERCENTS, Description, describe, label_counts
from domains.model_presets import MODEL_PRESETS, seen_before
from domains.partition import share_out

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

    from domains.catalogue import Domain, Entry
    from domains.model_presets import ModelPreset
    from domains.partition_kinds import Partition
    from domains.records import Dataset, Record
    from domains.sentence_choices import Agreement, Split

_WIDE: Final = 1000
_LONGEST_SHOWN: Final = 300
_CUT: Final = " [...]"
_NO_LABELS: Final = "none: every record brings its own options"
_LENGTH_NAMES: Final = ("shortest", "5 %", "median", "95 %", "longest")


@dataclass(frozen=True)
class Wanted:
    """What is asked about one data set.

    Attributes:
        name: as the catalogue lists it.
        data: the folder of its published files; None for one that is generated.
        seed: of a generated data set, and of the shares.
        rows: how many training records are shown after scrubbing.
        sites: among how many sites the training records are shared out; None for none.
        rule: by what rule.
        users: how many users are loaded at most; None for the usual number.
        agreement: which file of the Financial PhraseBank; None for the usual one.
        split: which of its rows are the evaluation set; None for the usual ones.
        allow_hub: whether published files may be downloaded.
    """

    name: str
    data: Path | None
    seed: int
    rows: int
    sites: int | None
    rule: Partition
    users: int | None = None
    agreement: Agreement | None = None
    split: Split | None = None
    allow_hub: bool = False


@dataclass(frozen=True)
class Row:
    """A record as scrubbing leaves it; `repr` does not show its text."""

    id: str
    label: str
    text: str = field(repr=False)


@dataclass(frozen=True)
class DatasetAccount:
    """What one data set holds.

    Attributes:
        dataset: the data set.
        entry: what the catalogue says of it.
        description: its numbers.
        rows: some of its training records, scrubbed.
        not_looked_for: entities that no provider on this machine looks for.
        shares: records of each label at each site, shape (sites, labels); None if not asked for.
        site_records: all records of each site, also where they share no labels; None likewise.
        rule: by which they were shared out; None where each site has a file of its own.
    """

    dataset: Dataset
    entry: Entry
    description: Description
    rows: tuple[Row, ...]
    not_looked_for: tuple[str, ...]
    shares: tuple[tuple[int, ...], ...] | None
    site_records: tuple[int, ...] | None
    rule: Partition | None

    @classmethod
    def of(cls, wanted: Wanted) -> DatasetAccount:
        """Load the data set and return its account.

        Raises:
            ConfigError: it cannot be loaded, has not what is chosen of it, or cannot be shared out
                as asked.
        """
        options = chosen_options(
            wanted.name, users=wanted.users, agreement=wanted.agreement, split=wanted.split
        )
        dataset = load_dataset(
            wanted.name,
            data=wanted.data,
            seed=wanted.seed,
            options=options,
            allow_hub=wanted.allow_hub,
        )
        shares = site_records = None
        if wanted.sites is not None:
            held = share_out(dataset.train, wanted.sites, wanted.seed, wanted.rule)
            shares = tuple(label_counts(share, len(dataset.labels)) for share in held)
            site_records = tuple(map(len, held))
        rows, missing = scrubbed_rows(dataset, wanted.rows)
        return cls(
            dataset=dataset,
            entry=ENTRIES[wanted.name],
            description=describe(dataset),
            rows=rows,
            not_looked_for=missing,
            shares=shares,
            site_records=site_records,
            rule=wanted.rule,
        )

    def as_json(self) -> str:
        """Return it as one line of JSON."""
        return _line(
            {
                "schema": "secure-fl.dataset.v1",
                "name": self.dataset.name,
                "summary": self.entry.summary,
                "version": self.dataset.version.hex(),
                "licence": self.dataset.licence,
                "kind": self.entry.kind.value,
                "prompt": asdict(self.entry.prompt),
                "files": list(self.entry.files),
                "choices": list(self.entry.choices),
                "labels": list(self.dataset.labels),
                "notes": list(self.dataset.notes),
                "length_percents": list(PERCENTS),
                **asdict(self.description),
                "rows": [asdict(row) for row in self.rows],
                "not_looked_for": list(self.not_looked_for),
                "partition": None
                if self.shares is None or self.rule is None
                else asdict(self.rule),
                "sites": None if self.shares is None else [list(share) for share in self.shares],
                "site_records": None if self.site_records is None else list(self.site_records),
            }
        )


def write_list(stream: TextIO, *, as_json: bool) -> None:
    """Write every data set of the catalogue to `stream`."""
    if as_json:
        sets = [_entry_fields(entry) for entry in ENTRIES.values()]
        domains = [_domain_fields(domain) for domain in DOMAINS.values()]
        stream.write(
            _line({"schema": "secure-fl.datasets.v1", "domains": domains, "datasets": sets})
        )
        return
    console = _console(stream)
    for number, domain in enumerate(DOMAINS.values()):
        if number:
            console.print()
        _write_domain(domain, console)
        for entry in domain.entries:
            console.print()
            _write_entry(entry, console)


def write_models(stream: TextIO, preset: ModelPreset | None, *, as_json: bool) -> None:
    """Write one model preset, or all of them, to `stream`."""
    chosen = tuple(MODEL_PRESETS.values()) if preset is None else (preset,)
    if as_json:
        models = [asdict(entry) for entry in chosen]
        stream.write(_line({"schema": "secure-fl.model-presets.v1", "models": models}))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("name", "kind", "tokens", "weights", "repository"):
        table.add_column(column, no_wrap=True)
    for entry in chosen:
        table.add_row(
            entry.name,
            entry.kind.value,
            str(entry.max_length),
            entry.weights.value,
            entry.repository,
        )
    console = _console(stream)
    console.print(table)
    for entry in chosen:
        for seen in entry.tuned_on:
            console.print(Text(f"\n{seen_before(entry.repository, seen)}"))


def write_account(account: DatasetAccount, stream: TextIO) -> None:
    """Write the account to `stream` for a person."""
    console = _console(stream)
    dataset, told = account.dataset, account.description
    console.print(Text.assemble((dataset.name, "bold"), f"  version {dataset.version.hex()[:16]}"))
    console.print(Text(account.entry.summary))
    console.print(Text(f"Licence: {dataset.licence}"))
    for note in dataset.notes:
        console.print(Text(note))
    console.print()
    console.print(_asked(account.entry))
    console.print()
    console.print(_parts(account))
    console.print(
        Text(
            f"{_count(told.shared)} of these training records have the words of an evaluation "
            "record. Case and white space do not count; lengths are in characters."
        )
    )
    if account.shares is not None and account.site_records is not None:
        console.print()
        # No title of the table: that is wrapped to its width, and two columns are narrow.
        console.print(_shared_by(account.rule))
        console.print(_sites(account.site_records, account.shares, dataset.labels))
    if account.rows:
        console.print()
        _write_rows(account, console)


def _write_domain(domain: Domain, console: Console) -> None:
    console.print(Text(f"The domain {domain.name}", style="bold underline"))
    table = _pairs()
    table.add_row("", Text(domain.summary))
    table.add_row("scrub", Text(", ".join(domain.scrub)))
    table.add_row("reported", Text(", ".join(domain.metrics)))
    table.add_row("models", Text(", ".join(domain.models)))
    console.print(table)


def _write_entry(entry: Entry, console: Console) -> None:
    console.print(Text(entry.name, style="bold"))
    table = _pairs()
    table.add_row("", Text(entry.summary))
    table.add_row("labels", Text(", ".join(entry.labels) or _NO_LABELS))
    table.add_row("files", Text(_files(entry)))
    if entry.hub is not None:
        table.add_row("hub", Text(f"{entry.hub.repository} at {entry.hub.revision}"))
    table.add_row("split", Text(entry.split))
    table.add_row("licence", Text(entry.licence))
    console.print(table)


def _pairs() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _files(entry: Entry) -> str:
    return ", ".join(entry.files) or "none: it is generated"


def scrubbed_rows(dataset: Dataset, count: int) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """Return the first `count` training records scrubbed, and what was not looked for."""
    if count == 0:
        return (), ()
    from privacy.scrubbing import (  # noqa: PLC0415 - seconds, and only where rows are shown
        KNOWN_ENTITIES,
        Scrubber,
        ScrubProfile,
    )

    scrubber = Scrubber(ScrubProfile(required=(), optional=KNOWN_ENTITIES))
    chosen = dataset.train[:count]
    clean = scrubber.scrub_all(record.text for record in chosen)
    rows = tuple(
        Row(record.id, _label(dataset, record), result.text)
        for record, result in zip(chosen, clean, strict=True)
    )
    return rows, scrubber.coverage.not_looked_for


def _label(dataset: Dataset, record: Record) -> str:
    """Return a record's label, or the place of the right one among its options, from 1."""
    return dataset.labels[record.label] if dataset.labels else f"option {record.label + 1}"


def _asked(entry: Entry) -> Table:
    table = _pairs()
    table.add_row("task", Text(entry.kind.value))
    table.add_row("files", Text(_files(entry)))
    table.add_row("choices", Text(", ".join(entry.choices) or "none"))
    table.add_row("prompt", Text(entry.prompt.template))
    table.add_row("answers", Text(", ".join(entry.prompt.answers) or "the record's own options"))
    return table


def _parts(account: DatasetAccount) -> Table:
    told, labels = account.description, account.dataset.labels
    table = _table("", "training", "evaluation")
    both = (told.train, told.evaluation)
    table.add_row("records", *(_count(part.records) for part in both))
    for number, label in enumerate(labels):
        table.add_row(Text(label), *(_share(part.labels[number], part.records) for part in both))
    for number, name in enumerate(_LENGTH_NAMES):
        table.add_row(f"length, {name}", *(_count(part.lengths[number]) for part in both))
    table.add_row("repeat another's words", *(_count(part.repeated) for part in both))
    contradicted = [part.contradicted for part in both if part.contradicted is not None]
    if len(contradicted) == len(both):
        table.add_row("... with another label", *map(_count, contradicted))
    return table


def _shared_by(rule: Partition | None) -> Text:
    if rule is None:
        return Text("Who holds what (each site's own file)")
    said = [rule.kind.value]
    said += [
        f"{name} {value}"
        for name, value in (("sigma", rule.sigma), ("alpha", rule.alpha), ("key", rule.key))
        if value is not None
    ]
    return Text(f"Who would hold what ({', '.join(said)})")


def _sites(
    totals: tuple[int, ...], shares: tuple[tuple[int, ...], ...], labels: tuple[str, ...]
) -> Table:
    table = _table("site", "records", *labels)
    for number, (total, share) in enumerate(zip(totals, shares, strict=True), start=1):
        table.add_row(f"site-{number}", _count(total), *(_share(count, total) for count in share))
    return table


def _write_rows(account: DatasetAccount, console: Console) -> None:
    for row in account.rows:
        # A text may hold what moves a terminal's cursor.
        text = "".join(letter if letter.isprintable() else " " for letter in row.text)
        if len(text) > _LONGEST_SHOWN:
            text = text[:_LONGEST_SHOWN] + _CUT
        console.print(Text.assemble((f"{row.id}  {row.label}: ", "bold"), text))
    missing = ", ".join(account.not_looked_for) or "nothing"
    console.print(Text(f"Scrubbed, and shown to you alone. Not looked for: {missing}."))


def _domain_fields(domain: Domain) -> dict[str, object]:
    return {
        "name": domain.name,
        "summary": domain.summary,
        "scrub": list(domain.scrub),
        "metrics": list(domain.metrics),
        "models": list(domain.models),
        "datasets": [entry.name for entry in domain.entries],
    }


def _entry_fields(entry: Entry) -> dict[str, object]:
    return {
        "name": entry.name,
        "summary": entry.summary,
        "labels": list(entry.labels),
        "files": list(entry.files),
        "hub": None if entry.hub is None else asdict(entry.hub),
        "split": entry.split,
        "licence": entry.licence,
    }


def _table(first: str, *names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title_style="")
    table.add_column(first)
    for name in names:
        table.add_column(Text(name), justify="right", no_wrap=True)
    return table


def _console(stream: TextIO) -> Console:
    console = Console(file=stream, highlight=False)
    # A log is searched and copied from, so its lines are not broken at eighty columns.
    return console if console.is_terminal else Console(file=stream, highlight=False, width=_WIDE)


def _line(content: dict[str, object]) -> str:
    return json.dumps(content, ensure_ascii=False) + "\n"


def _count(number: int) -> str:
    return thousands(number).replace(GAP, " ")


def _share(count: int, total: int) -> str:
    return f"{_count(count)} ({percent(count / total)})".replace(GAP, " ") if total else "0"
