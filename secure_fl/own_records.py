"""What a simulation, a site and a coordinator do with records that are a site's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from domains.domain import DEFAULT_OPTIONS
from domains.own_files import NAME, OwnFile, load_evaluation, load_simulation, load_site
from domains.partition_kinds import Partition
from secure_fl.dataset_notes import say
from secure_fl.sites.workbench import SiteRecords, SiteWorkbench

if TYPE_CHECKING:
    from pathlib import Path

    from domains.domain import DatasetOptions
    from domains.own_files import OwnSimulation
    from domains.records import Dataset
    from privacy.noise import NoiseSource
    from secure_fl.canaries import CanaryKey
    from secure_fl.config import Mechanism, RunConfig, Runtime
    from secure_fl.sites.scrub_secrets import ScrubSecrets
    from secure_fl.sites.scrubbing import RecordFacts


class OwnWorkbench(SiteWorkbench):
    """A workbench that also holds a run to what the site was told of its records."""

    def __init__(  # noqa: PLR0913 - as the workbench, and what was chosen
        self,
        site: str,
        records: SiteRecords,
        runtime: Runtime,
        noise: NoiseSource,
        secrets: ScrubSecrets | None = None,
        *,
        canary_key: CanaryKey | None = None,
        chosen: DatasetOptions = DEFAULT_OPTIONS,
    ) -> None:
        super().__init__(site, records, runtime, noise, secrets, canary_key=canary_key)
        self._chosen = chosen

    def prepare(self, mechanism: Mechanism) -> bytes:
        """Prepare as any workbench, for the labels and choices that the site was given.

        Raises:
            ConfigError: the run has other labels, or in another order, or chooses otherwise of a
                published data set; or as any workbench.
        """
        if mechanism.data.options() != self._chosen:
            raise ConfigError(
                f"The run chooses otherwise of {mechanism.data.dataset} than this site's "
                "site.toml: records that are scored could be trained on. Make `users`, "
                "`agreement` and `split` the same in both."
            )
        theirs = mechanism.data.labels
        if mechanism.data.dataset == NAME and theirs != self.records.labels:
            raise ConfigError(
                f"The run's labels are {', '.join(theirs or ())} and this site's "
                f"{', '.join(self.records.labels)}, in this order: updates would be sums of "
                "different classes. Agree on one list, for run.toml and every site.toml."
            )
        return super().prepare(mechanism)


def simulated(config: RunConfig, data: Path | None) -> OwnSimulation:
    """Return the records of a simulation on sites' own files, and say what was dropped.

    Raises:
        ConfigError: a folder of published files is named, the run shares out what has its sites
            already, or the files cannot be used.
    """
    mechanism = config.mechanism
    file = _file_of(config)
    if data is not None:
        raise ConfigError(
            f"The run reads the records that [data] names, yet the folder {data} was given: one "
            "of the two would be ignored. Leave --data out."
        )
    if file.path.is_dir() and mechanism.data.rule() != Partition():
        raise ConfigError(
            f"{file.path} has a file for every site, and `mechanism.data.partition` is "
            f"{mechanism.data.partition}: the report would state a distribution that is not "
            "there. Remove the partition's keys, or name one file."
        )
    found = load_simulation(
        file, mechanism.data.own_labels(), seed=mechanism.seed, sites=mechanism.sites
    )
    say(found.dataset.notes)
    return found


def site_records(file: OwnFile, labels: tuple[str, ...], facts: RecordFacts) -> SiteRecords:
    """Return what a deployed site trains on, and say what was dropped.

    Raises:
        ConfigError: the file cannot be used.
    """
    found = load_site(file, labels)
    say(found.notes)
    return SiteRecords(NAME, labels, found.train, facts)


def evaluation_set(config: RunConfig) -> Dataset:
    """Return the evaluation set of a deployed coordinator, and say what was dropped.

    Raises:
        ConfigError: the file cannot be used.
    """
    dataset = load_evaluation(_file_of(config), config.mechanism.data.own_labels())
    say(dataset.notes)
    return dataset


def _file_of(config: RunConfig) -> OwnFile:
    if config.data is None:
        raise ConfigError("The run has no table [data]: nothing says where the records are.")
    return config.data.file()
