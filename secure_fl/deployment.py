"""A coordinator and sites that stand in folders of their own, over any transport.

A site's folder is described in `site_home`; its `site.toml` says which records are its own. A
coordinator's folder holds its key, the roster, `run.toml`, and gets `run/`. Records that one of
these files names by a relative path are looked for from the file's folder: where a party's process
is started is up to its transport.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeVar

import torch
from pydantic import Field, ValidationError, model_validator

from crypto.errors import ConfigError
from crypto.keyfiles import read_secret
from crypto.secrets import system_entropy
from crypto.signatures import SigningKey
from domains.catalogue import chosen_options, kind_of, load_dataset
from domains.own_files import NAME as OWN
from domains.partition import equal
from domains.partition_kinds import Partition
from domains.sentence_choices import Agreement, Split
from privacy.noise import SystemNoise
from secure_fl.canaries import with_fresh_number
from secure_fl.config import Count, Runtime, Section, explain, load_config
from secure_fl.config_data import OwnColumns
from secure_fl.dataset_notes import is_published, say_if_published
from secure_fl.guarantee import resolve_sigma
from secure_fl.own_records import OwnWorkbench, evaluation_set, site_records
from secure_fl.plain_log import LogObserver
from secure_fl.runfolder import RunFolder
from secure_fl.site_home import now, open_site_home, pinned_roster, trusted_root
from secure_fl.sites.workbench import SiteRecords, build_task

if TYPE_CHECKING:
    from pathlib import Path

    from domains.domain import DatasetOptions
    from domains.records import Dataset
    from secure_fl.config import Mechanism, RunConfig
    from secure_fl.sites.scrubbing import RecordFacts
    from secure_fl.transport import Handler, Transport


_COLUMNS = frozenset(OwnColumns.model_fields)
_REHEARSING = frozenset({"folder", "seed", "part", "parts", "users", "agreement"})


class SiteData(OwnColumns):
    """Which records are a site's own.

    With the data set `own`, `path` is the site's file and `labels` are those that all sites agreed
    on. Otherwise it rehearses: `folder` holds a published data set's files and is absent for a
    generated one; the site takes part `part` of `parts` of it. `users`, `agreement` and `split` are
    then those of the run's `[mechanism.data]`. A relative `path` or `folder` begins where the file
    stands.
    """

    dataset: str
    path: Annotated[str, Field(min_length=1)] | None = None
    labels: tuple[str, ...] = ()
    folder: str | None = None
    seed: int = 0
    part: Count = 1
    parts: Count = 1
    users: Count | None = None
    agreement: Agreement | None = None

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        own = self.dataset == OWN
        strange = _REHEARSING if own else {"path", "labels", *_COLUMNS} - {"split"}
        given = sorted(strange & self.model_fields_set)
        if given:
            raise ValueError(
                f"`{given[0]}` has no meaning for the data set `{self.dataset}`: remove it"
            )
        if own and (self.path is None or not self.labels):
            raise ValueError(f"the data set `{OWN}` needs `path` and `labels`: add them")
        try:
            self.options()
        except ConfigError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return self

    def options(self) -> DatasetOptions:
        """Return what is chosen of a data set of the catalogue, the usual where nothing is.

        Raises:
            ConfigError: the data set has no such choice, or `split` names none.
        """
        split = None
        if self.dataset != OWN and self.split is not None:
            known = {each.value: each for each in Split}
            if self.split not in known:
                raise ConfigError(
                    f"No `split` of a data set is called {self.split!r}: it would be unclear what "
                    f"is trained on. Choose {' or '.join(known)}."
                )
            split = known[self.split]
        return chosen_options(self.dataset, users=self.users, agreement=self.agreement, split=split)


class SiteFile(Section):
    """`site.toml`."""

    schema_: Literal["secure-fl.site.v1"] = Field(alias="schema")
    data: SiteData
    runtime: Runtime = Runtime()


class CoordinatorFile(Section):
    """`coordinator.toml`: where the evaluation set is that the consortium holds in common.

    A relative `folder` begins where the file stands.
    """

    schema_: Literal["secure-fl.coordinator.v1"] = Field(alias="schema")
    folder: str | None = None


T = TypeVar("T", SiteFile, CoordinatorFile)


def open_site(folder: Path) -> Handler:
    """Return the handler of the site in `folder`.

    Raises:
        ConfigError: a file is missing or says something impossible.
        IntegrityError: roster or ledger do not verify.
    """
    home = open_site_home(folder)
    site = _read(folder / "site.toml", SiteFile)
    if site.data.part > site.data.parts:
        raise ConfigError(
            f"{folder / 'site.toml'} asks for part {site.data.part} of {site.data.parts}: "
            "number the parts from 1."
        )
    torch.set_num_threads(site.runtime.threads)
    facts = home.record_facts(site.data.dataset)
    records = _site_records(site.data, folder, facts, allow_hub=site.runtime.allow_hub)
    workbench = OwnWorkbench(
        home.name,
        records,
        site.runtime,
        SystemNoise(),
        home.scrub_secrets(),
        canary_key=home.canary_key(),
        chosen=site.data.options(),
    )
    return home.machine(workbench).handle


def _site_records(
    data: SiteData, home: Path, facts: RecordFacts, *, allow_hub: bool
) -> SiteRecords:
    """Return the records that `site.toml`, in the folder `home`, names."""
    if data.path is not None:
        return site_records(data.at(home / data.path), data.labels, facts)
    dataset = load_dataset(
        data.dataset,
        data=None if data.folder is None else home / data.folder,
        seed=data.seed,
        options=data.options(),
        allow_hub=allow_hub,
    )
    share = equal(dataset.train, data.parts, data.seed)[data.part - 1]
    return SiteRecords(dataset.name, dataset.labels, share, facts)


def coordinate(transport: Transport, folder: Path) -> None:
    """Run the run in the coordinator's `folder` over `transport`, into `folder`/run.

    Raises:
        ConfigError: a file is missing or says something impossible.
        PeerError: too few sites remained; calling again goes on.
    """
    # A site starts a process per message, and needs nothing of what scores and reports need.
    from secure_fl.finish import sign_run, write_results  # noqa: PLC0415 - as said
    from secure_fl.runner import (  # noqa: PLC0415 - as said
        CoordinatorParts,
        Evaluator,
        Runner,
        first_progress,
    )

    own = _read(folder / "coordinator.toml", CoordinatorFile)
    roster = pinned_roster(folder)  # before a run is begun under one that is refused
    config = load_config(folder / "run.toml")
    run = RunFolder(folder / "run")
    begun = (run.path / "config.toml").exists()
    mechanism = resolve_sigma(config.mechanism)
    if begun:
        # The run goes on with the canaries that it was begun with.
        kept = run.config().mechanism.canaries
        mechanism = mechanism.model_copy(update={"canaries": kept})
    else:
        mechanism = with_fresh_number(mechanism, system_entropy)
    config = config.model_copy(update={"mechanism": mechanism})
    _refuse_partition(mechanism)
    torch.set_num_threads(config.runtime.threads)
    dataset = _evaluation_set(config, own, folder)
    task, adapted = build_task(mechanism, dataset.labels, config.runtime)
    if not begun:
        run = RunFolder.create(run.path)
        run.write_config(config)
        run.write_roster((folder / "roster.json").read_bytes())
        run.write_progress(first_progress(system_entropy(16), now(), budget_carried=True), None)
    progress = run.progress()
    run.trim_leaves()
    run.keep_metrics(progress.rounds_done)
    parts = CoordinatorParts(
        config=run.config(),
        roster=roster,
        key=SigningKey.from_seed(read_secret(folder / "identity.key")),
        evaluator=Evaluator(
            task,
            adapted,
            task.encode(dataset.evaluation),
            config.runtime.cache_layers,
            kind_of(config.mechanism.data.dataset),
        ),
        folder=run,
        transport=transport,
        observer=LogObserver(),
        dataset=dataset,
        published=dataset.name == OWN or is_published(dataset.name),
        one_process=False,
    )
    result = Runner(parts, progress).run()
    write_results(parts, result, trusted_root(folder).key)
    sign_run(parts, result)


def _evaluation_set(config: RunConfig, own: CoordinatorFile, home: Path) -> Dataset:
    """Return what the coordinator in the folder `home` scores on."""
    data = config.mechanism.data
    if data.dataset == OWN:
        if own.folder is not None:
            raise ConfigError(
                f"`folder` in coordinator.toml is {own.folder}, and the run reads its evaluation "
                "set from [data] in run.toml: one of the two would be ignored. Remove `folder`."
            )
        return evaluation_set(config)
    folder = None if own.folder is None else home / own.folder
    loaded = load_dataset(
        data.dataset,
        data=folder,
        seed=config.mechanism.seed,
        options=data.options(),
        allow_hub=config.runtime.allow_hub,
    )
    say_if_published(loaded)
    return loaded


def _refuse_partition(mechanism: Mechanism) -> None:
    """Raise ConfigError where the run says who holds what, which a deployment's sites decide."""
    if mechanism.data.rule() != Partition():
        raise ConfigError(
            f"`mechanism.data.partition` is {mechanism.data.partition}, and here every site brings "
            "its own records: the report would state a distribution that is not there. Remove the "
            "partition's keys, or simulate with `secure-fl run`."
        )


def _read(path: Path, kind: type[T]) -> T:
    try:
        return kind.model_validate(tomllib.loads(path.read_text("utf-8")))
    except ValidationError as error:
        raise ConfigError(explain(error, str(path), kind)) from None
    except (OSError, ValueError, RecursionError) as error:  # bad UTF-8 and TOML
        raise ConfigError(f"{path} cannot be read as TOML: {error}.") from None
