"""A whole run on this machine: sites as objects, every check before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from audits.holdings import HoldingFacts, HoldingsFacts
from crypto.errors import ConfigError, PeerError
from crypto.secrets import system_entropy
from domains.catalogue import kind_of, load_dataset
from domains.description import label_counts
from domains.own_files import NAME as OWN
from domains.partition import share_out
from domains.task_kinds import TaskKind
from privacy.noise import SystemNoise
from secure_fl.canaries import with_fresh_number
from secure_fl.consortium import Consortium, open_consortium
from secure_fl.dataset_notes import is_published, say_if_published
from secure_fl.finish import sign_run, write_results
from secure_fl.guarantee import planned_event, resolve_sigma
from secure_fl.methods import method_of
from secure_fl.observing import RunEnded
from secure_fl.own_records import simulated
from secure_fl.rounds.proposing import check_machine
from secure_fl.runfolder import RunFolder
from secure_fl.runner import CoordinatorParts, Evaluator, Runner, first_progress
from secure_fl.site_home import now
from secure_fl.site_reporting import write_site_report
from secure_fl.sites.workbench import SiteRecords, SiteWorkbench, build_task
from secure_fl.transcript_check import check_statements
from secure_fl.transport.in_process import InProcessTransport

if TYPE_CHECKING:
    from pathlib import Path

    from domains.partition import Shares
    from domains.records import Dataset
    from secure_fl.config import RunConfig
    from secure_fl.observing import RunObserver
    from secure_fl.runfolder import Progress
    from secure_fl.transport import Handler


@dataclass(frozen=True)
class EmbeddedPlaces:
    """Where an embedded run reads and keeps what is not the run's own.

    Attributes:
        state: the consortium's folder; ledgers in it outlive runs.
        policy: the policy that a new site begins with.
        data: the folder of a published data set, where the run needs one.
        budget_carried: False for a state folder that was made for this run alone.
        dataset: records that take the place of those in `data`, as when a benchmark holds a
            part of the training records out; to go on with such a run, give the same ones.
        shares: who holds what of `dataset`, one share per site in order; None where the run's
            rule shares it out.
    """

    state: Path
    policy: Path
    data: Path | None
    budget_carried: bool
    dataset: Dataset | None = None
    shares: Shares | None = None


def start_run(
    config: RunConfig, out: Path, places: EmbeddedPlaces, observer: RunObserver
) -> RunFolder:
    """Run `config` from the start into the new folder `out`.

    Raises:
        ConfigError: the run cannot be done here; nothing was written to `out`, nothing spent.
        BudgetError: a site's policy or ledger says no; likewise.
        PeerError: too few sites remained; the run can be resumed.
    """
    method_of(config.mechanism)
    check_machine(config.mechanism)
    observer.preparing("calibrating the noise")
    mechanism = with_fresh_number(resolve_sigma(config.mechanism), system_entropy)
    resolved = config.model_copy(update={"mechanism": mechanism})
    consortium = open_consortium(places.state, mechanism.sites, places.policy)
    try:
        run = _Embedded(resolved, consortium, places, observer)
        run.preflight()
        folder = RunFolder.create(out)
        folder.write_config(resolved)
        folder.write_roster(consortium.signed_roster)
        progress = first_progress(system_entropy(16), now(), budget_carried=places.budget_carried)
        folder.write_progress(progress, None)
        return run.run(folder, progress)
    finally:
        consortium.close()


def resume_run(
    path: Path, places: EmbeddedPlaces, observer: RunObserver, readmit: tuple[str, ...] = ()
) -> RunFolder:
    """Go on with the unfinished run in `path` after its last finished round.

    Args:
        path: the run folder.
        places: where it reads and keeps the rest.
        observer: is told what happens.
        readmit: sites to take back that were left out for breaking the protocol.

    Raises:
        ConfigError: there is nothing to go on with, or not with this state folder; or a site to
            readmit was not left out.
        IntegrityError: what a resume needs was damaged.
    """
    folder = RunFolder(path)
    progress = folder.progress().readmitting(readmit)
    config = folder.config()
    folder.trim_leaves()
    folder.keep_metrics(progress.rounds_done)
    consortium = open_consortium(places.state, config.mechanism.sites, places.policy)
    try:
        if consortium.signed_roster != folder.read("transcript/roster.json"):
            raise ConfigError(
                f"{path} was begun under another roster than the one in {places.state}: its "
                "sites would refuse to go on. Give the --state folder that it was begun with."
            )
        check_statements(folder.leaves(), consortium.roster)
        run = _Embedded(config, consortium, places, observer)
        run.preflight(progress.run_id)
        folder.write_progress(progress, None)
        return run.run(folder, progress)
    finally:
        consortium.close()


class _Embedded:
    """The parties of one embedded run, put together."""

    def __init__(
        self,
        config: RunConfig,
        consortium: Consortium,
        places: EmbeddedPlaces,
        observer: RunObserver,
    ) -> None:
        torch.set_num_threads(config.runtime.threads)
        self._config = config
        self._consortium = consortium
        self._observer = observer
        name = config.mechanism.data.dataset
        self._published = name == OWN or places.data is not None or is_published(name)
        observer.preparing("loading the data")
        self._dataset, shares = self._load(places)
        self._workbenches = self._make_workbenches(self._dataset, shares)

    def _load(self, places: EmbeddedPlaces) -> tuple[Dataset, Shares | None]:
        """Return the records, and who holds what where they say it themselves."""
        mechanism = self._config.mechanism
        if places.dataset is not None:
            return places.dataset, places.shares
        if mechanism.data.dataset == OWN:
            found = simulated(self._config, places.data)
            return found.dataset, found.shares
        data = mechanism.data
        loaded = load_dataset(
            data.dataset,
            data=places.data,
            seed=mechanism.seed,
            options=data.options(),
            allow_hub=self._config.runtime.allow_hub,
        )
        say_if_published(loaded)
        return loaded, None

    def _make_workbenches(
        self, dataset: Dataset, shares: Shares | None
    ) -> dict[str, SiteWorkbench]:
        mechanism = self._config.mechanism
        if shares is None:
            shares = share_out(
                dataset.train, mechanism.sites, mechanism.seed, mechanism.data.rule()
            )
        return {
            home.name: SiteWorkbench(
                home.name,
                SiteRecords(dataset.name, dataset.labels, share, home.record_facts(dataset.name)),
                self._config.runtime,
                SystemNoise(),
                home.scrub_secrets(),
                canary_key=home.canary_key(),
            )
            for home, share in zip(self._consortium.sites, shares, strict=True)
        }

    def _holdings(self) -> HoldingsFacts | None:
        """Return who holds what; None of records that are the sites' own, whose counts stay."""
        data, labels = self._config.mechanism.data, self._dataset.labels
        if data.dataset == OWN:
            return None
        common = kind_of(data.dataset) is TaskKind.CLASSIFICATION
        return HoldingsFacts(
            rule=data.partition.value,
            labels=labels if common else (),
            sites=tuple(
                HoldingFacts(
                    site=name,
                    records=len(bench.records.records),
                    labels=label_counts(bench.records.records, len(labels)) if common else (),
                )
                for name, bench in self._workbenches.items()
            ),
        )

    def preflight(self, run: str | None = None) -> None:
        """Let every site say no before anything is written or spent, in words for its operator.

        Args:
            run: the run's id where it may have reserved its plan already.
        """
        mechanism = self._config.mechanism
        for home in self._consortium.sites:
            home.policy.check(mechanism)
            dataset, budget = home.policy.budget_for(mechanism)
            home.ledger.afford(dataset, planned_event(mechanism), budget, run=run)
        for home in self._consortium.sites:
            self._observer.preparing(f"{home.name}: scrubbing and encoding its records")
            self._workbenches[home.name].prepare(mechanism)

    def run(self, folder: RunFolder, progress: Progress) -> RunFolder:
        """Run what is left of the rounds, and finish the folder."""
        mechanism = self._config.mechanism
        task, adapted = build_task(mechanism, self._dataset.labels, self._config.runtime)
        evaluator = Evaluator(
            task,
            adapted,
            task.encode(self._dataset.evaluation),
            self._config.runtime.cache_layers,
            kind_of(mechanism.data.dataset),
        )
        parts = CoordinatorParts(
            config=self._config,
            roster=self._consortium.roster,
            key=self._consortium.coordinator_key,
            evaluator=evaluator,
            folder=folder,
            transport=InProcessTransport(self._handlers(), workers=self._config.runtime.workers),
            observer=self._observer,
            dataset=self._dataset,
            published=self._published,
            one_process=True,
            holdings=self._holdings(),
        )
        try:
            result = Runner(parts, progress).run()
        except PeerError as error:
            raise PeerError(f"{error} {self._said_by_sites()}".strip()) from error
        self._observer.preparing("writing and signing the run folder")
        facts = write_results(parts, result, self._consortium.root)
        joined = {party.name for party in facts.federation.sites}
        for home in self._consortium.sites:
            if home.name in joined:
                write_site_report(home, self._workbenches[home.name], facts, mechanism)
        sign_run(parts, result)
        last = folder.metrics()[-1]
        self._observer.ended(
            RunEnded(
                folder=folder.path,
                trust=self._consortium.root_path,
                facts=facts,
                last=last,
            )
        )
        return folder

    def _handlers(self) -> dict[str, Handler]:
        return {home.name: self._handler(home.name) for home in self._consortium.sites}

    def _handler(self, name: str) -> Handler:
        home = next(site for site in self._consortium.sites if site.name == name)
        site = home.machine(self._workbenches[name])

        def handle(request: bytes) -> bytes:
            reply = site.handle(request)
            self._observer.replied(name)
            return reply

        return handle

    def _said_by_sites(self) -> str:
        """Return what the sites' logs last said: in an embedded run their operator is ours."""
        said = [f"{home.name}: {home.log.last}" for home in self._consortium.sites if home.log.last]
        return " ".join(said)
