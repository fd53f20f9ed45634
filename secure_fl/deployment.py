"""A coordinator and sites that stand in folders of their own, over any transport.

A site's folder is described in `site_home`; its `site.toml` says which records are its own. A
coordinator's folder holds its key, the roster, `run.toml`, and gets `run/`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import torch
from pydantic import Field, ValidationError

from crypto.errors import ConfigError
from crypto.keyfiles import read_secret
from crypto.secrets import system_entropy
from crypto.signatures import SigningKey
from domains.catalogue import load_dataset
from domains.partition import equal
from domains.partition_kinds import Partition
from privacy.noise import SystemNoise
from secure_fl.config import Count, Runtime, Section, explain, load_config
from secure_fl.guarantee import resolve_sigma
from secure_fl.plain_log import LogObserver
from secure_fl.runfolder import RunFolder
from secure_fl.site_home import now, open_site_home, pinned_roster, trusted_root
from secure_fl.sites.workbench import SiteRecords, SiteWorkbench, build_task

if TYPE_CHECKING:
    from secure_fl.config import Mechanism
    from secure_fl.transport import Handler, Transport


class SiteData(Section):
    """Which records are a site's own.

    `folder` holds a published data set's files and is absent for a generated one; a site of a
    rehearsal takes part `part` of `parts` of it.
    """

    dataset: str
    folder: str | None = None
    seed: int = 0
    part: Count = 1
    parts: Count = 1


class SiteFile(Section):
    """`site.toml`."""

    schema_: Literal["secure-fl.site.v1"] = Field(alias="schema")
    data: SiteData
    runtime: Runtime = Runtime()


class CoordinatorFile(Section):
    """`coordinator.toml`: where the evaluation set is that the consortium holds in common."""

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
    dataset = load_dataset(
        site.data.dataset,
        data=None if site.data.folder is None else Path(site.data.folder),
        seed=site.data.seed,
    )
    share = equal(dataset.train, site.data.parts, site.data.seed)[site.data.part - 1]
    facts = home.record_facts(dataset.name)
    records = SiteRecords(dataset.name, dataset.labels, share, facts)
    workbench = SiteWorkbench(home.name, records, site.runtime, SystemNoise(), home.scrub_secrets())
    return home.machine(workbench).handle


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
    config = config.model_copy(update={"mechanism": resolve_sigma(config.mechanism)})
    mechanism = config.mechanism
    _refuse_partition(mechanism)
    torch.set_num_threads(config.runtime.threads)
    dataset = load_dataset(
        mechanism.data.dataset,
        data=None if own.folder is None else Path(own.folder),
        seed=mechanism.seed,
    )
    task, adapted = build_task(mechanism, dataset.labels, config.runtime)
    run = RunFolder(folder / "run")
    if not (run.path / "config.toml").exists():
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
            task, adapted, task.encode(dataset.evaluation), config.runtime.cache_layers
        ),
        folder=run,
        transport=transport,
        observer=LogObserver(),
        dataset=dataset,
        published=own.folder is not None,
        one_process=False,
    )
    result = Runner(parts, progress).run()
    write_results(parts, result, trusted_root(folder).key)
    sign_run(parts, result)


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
