"""The table that says which records are trained on, and what is taken out of them before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, field_validator, model_validator

from crypto.errors import ConfigError
from domains.catalogue import DatasetOptions, chosen_options
from domains.own_files import NAME as OWN
from domains.own_files import BadRows, OwnFile, check_labels
from domains.partition_kinds import Partition, PartitionKind
from domains.sentence_choices import Agreement, Split
from privacy.scrubbing.modes.modes import ScrubMode, entities_of
from secure_fl.config_sections import Count, Section

if TYPE_CHECKING:
    from pydantic import ValidationInfo


class DataSection(Section):
    """Which data set every site's records are of, and what becomes of it before training."""

    dataset: str
    """A name of the catalogue, for example `finance.generated`; or `own`: sites' own records."""
    labels: Annotated[tuple[str, ...] | None, Field(exclude_if=lambda labels: labels is None)] = (
        None
    )
    """Of sites' own records, and needed there: the classes, in the order that all sites agreed on.
    For another data set the key is not part of what is signed."""
    users: Annotated[Count | None, Field(exclude_if=lambda users: users is None)] = None
    """Of a recommendation data set of users: how many are loaded at most. This key and the two
    below are not part of what is signed where they are absent."""
    agreement: Annotated[
        Agreement | None, Field(exclude_if=lambda agreement: agreement is None)
    ] = None
    """Of the Financial PhraseBank: which file, such as `75Agree`."""
    split: Annotated[Split | None, Field(exclude_if=lambda split: split is None)] = None
    """Of the Financial PhraseBank: which rows are scored, `fingpt` or `quarter`."""
    partition: PartitionKind = PartitionKind.EQUAL
    """By what rule a simulation shares the records out. In a deployment every site has its own, and
    only the default is accepted."""
    alpha: Annotated[float, Field(strict=True)] | None = None
    """Of the partition `label`: the Dirichlet's concentration."""
    sigma: Annotated[float, Field(strict=True)] | None = None
    """Of the partition `size`: the standard deviation of the logarithm of a site's size."""
    key: str | None = None
    """Of the partition `key`: the column whose equal values stay at one site."""
    smallest_share: Count = 1
    """Records that the partition gives every site at least, or the run is refused."""
    scrub_mode: ScrubMode = ScrubMode.PLACEHOLDERS
    """What stands in the place of what is found."""
    scrub: Annotated[tuple[str, ...], Field(validate_default=True)] = ()
    """PII entities that every site must remove; a site without a provider for one refuses. Safe
    Harbor adds all of its own."""

    @field_validator("scrub")
    @classmethod
    def _whole(cls, chosen: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """Add what the mode asks for, so that the signed configuration shows all of it."""
        mode = info.data.get("scrub_mode")
        return chosen if mode is None else entities_of(mode, chosen)

    @model_validator(mode="after")
    def _shares_out(self) -> Self:
        try:
            self.rule()
        except ConfigError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return self

    @model_validator(mode="after")
    def _names_labels(self) -> Self:
        if self.dataset != OWN and self.labels is not None:
            raise ValueError(
                f"`mechanism.data.labels` are those of sites' own records, and `{self.dataset}` "
                f'has labels of its own: remove them, or say `dataset = "{OWN}"`'
            )
        if self.dataset == OWN:
            self.own_labels()
        return self

    @model_validator(mode="after")
    def _chooses_what_there_is(self) -> Self:
        try:
            self.options()
        except ConfigError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return self

    def options(self) -> DatasetOptions:
        """Return what is chosen of a data set of the catalogue, the usual where nothing is.

        Raises:
            ConfigError: the data set has no such choice.
        """
        return chosen_options(
            self.dataset, users=self.users, agreement=self.agreement, split=self.split
        )

    def own_labels(self) -> tuple[str, ...]:
        """Return the classes of the sites' own records.

        Raises:
            ValueError: there are none to tell apart.
        """
        try:
            check_labels(self.labels or ())
        except ConfigError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return self.labels or ()

    def rule(self) -> Partition:
        """Return by what rule the records are shared out."""
        return Partition(self.partition, self.sigma, self.alpha, self.key, self.smallest_share)

    @model_validator(mode="after")
    def _scrubs_something(self) -> Self:
        if self.scrub_mode is ScrubMode.EXPERT_DETERMINATION and not self.scrub:
            raise ValueError(
                "`mechanism.data.scrub_mode` is expert-determination and `scrub` names nothing: "
                "no text would change. Name the entities that the expert's determination counts on"
            )
        return self


class OwnColumns(Section):
    """Which columns of a site's own file say what; see `domains.own_files.OwnFile`."""

    text: str = "text"
    label: str = "label"
    unit: str | None = None
    split: str | None = None
    id: str | None = None
    delimiter: str = ","
    bad_rows: BadRows = BadRows.REFUSE

    @model_validator(mode="after")
    def _is_readable(self) -> Self:
        try:
            self.at(Path())
        except ConfigError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return self

    def at(self, path: Path) -> OwnFile:
        """Return the file at `path`, with these columns."""
        return OwnFile(
            path=path,
            text=self.text,
            label=self.label,
            unit=self.unit,
            split=self.split,
            id=self.id,
            delimiter=self.delimiter,
            bad_rows=self.bad_rows,
        )


class OwnDataSection(OwnColumns):
    """`[data]`: where whoever starts the run has its own records; never sent to anybody."""

    path: Annotated[str, Field(min_length=1)]
    """A CSV, JSON lines or Parquet file; of a simulation also a folder with one for each site. In a
    file that a person wrote a relative one begins where that file stands; in a run folder's
    `config.toml`, where the run was started."""

    def beside(self, folder: Path) -> Self:
        """Return the same with a relative path that begins in `folder`."""
        return self.model_copy(update={"path": str(folder / self.path)})

    def file(self) -> OwnFile:
        """Return the file that is named."""
        return self.at(Path(self.path))
