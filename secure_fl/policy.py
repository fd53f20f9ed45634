"""The compliance officer's file: what this site's own process enforces against any coordinator.

Values from the coordinator are proposals. A run that asks for more than the policy allows is
refused before a record is read and before anything is spent. This module imports neither torch
nor presidio, so that a policy can be checked in a moment.
"""

from __future__ import annotations

import math
import tomllib
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError

from crypto.errors import BudgetError, ConfigError
from privacy.events import Relation, Unit
from privacy.ledger import Budget
from secure_fl.config import (
    AccountedRelation,
    Count,
    Hex32,
    NoPrivacy,
    Positive,
    Probability,
    RecordPrivacy,
    Section,
    explain,
)
from secure_fl.views import Protection

if TYPE_CHECKING:
    from pathlib import Path

    from secure_fl.config import Mechanism


class DatasetBudget(Section):
    """The ceiling over all runs for one named data set of this site."""

    name: str
    """The officer's name for these records; every version of the file spends from it."""
    dataset: str
    """The catalogue's name that a run asks for."""
    epsilon: Positive
    delta: Probability
    unit: Unit
    relation: AccountedRelation = Relation.ADD_REMOVE


class SitePolicy(Section):
    """Ceilings and floors of one site."""

    schema_: Literal["secure-fl.site-policy.v1"] = Field(alias="schema")
    smallest_cohort: Annotated[int, Field(ge=2)]
    smallest_threshold: Annotated[int, Field(ge=2)]
    allowed_methods: tuple[str, ...]
    allowed_protections: tuple[Protection, ...] = (Protection.MASKED,)
    allow_no_privacy: bool = False
    """Whether mode none is allowed at all."""
    allowed_base_models: tuple[Hex32, ...]
    """SHA-256 digests of base-model weights."""
    largest_rank: Count
    largest_clip: Positive
    largest_sampling_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    required_scrubbing: tuple[str, ...]
    """PII entities that must be removed from every record before training."""
    datasets: tuple[DatasetBudget, ...]

    def budget_for(self, mechanism: Mechanism) -> tuple[str, Budget]:
        """Return the named data set that a run would spend from, and its ceiling.

        Raises:
            BudgetError: no data set of this policy may be used for what the run asks.
        """
        for entry in self.datasets:
            if entry.dataset != mechanism.data.dataset:
                continue
            private = isinstance(mechanism.privacy, RecordPrivacy)
            return entry.name, Budget(
                epsilon=entry.epsilon if private else math.inf,
                delta=entry.delta,
                unit=entry.unit,
                relation=entry.relation,
            )
        raise BudgetError(
            f"This site's policy names no data set for `{mechanism.data.dataset}`: nothing was "
            "spent. The compliance officer adds a [[datasets]] entry, or the run uses another."
        )

    def ceiling(self, name: str) -> float:
        """Return the epsilon that the data set called `name` may spend over all private runs."""
        return next(entry.epsilon for entry in self.datasets if entry.name == name)

    def check(self, mechanism: Mechanism) -> None:
        """Return if the policy allows `mechanism`.

        Raises:
            BudgetError: it does not; the message lists every point, and nothing was spent.
        """
        problems = [*self._party_problems(mechanism), *self._training_problems(mechanism)]
        problems += self._privacy_problems(mechanism)
        if problems:
            raise BudgetError(
                "The site's policy refuses this run, nothing was spent: "
                + "; ".join(problems)
                + ". Change the run, or ask the compliance officer to change the policy."
            )

    def _party_problems(self, mechanism: Mechanism) -> list[str]:
        problems = []
        if mechanism.sites < self.smallest_cohort:
            problems.append(
                f"a sum over {mechanism.sites} sites, and the smallest cohort is "
                f"{self.smallest_cohort}"
            )
        if mechanism.needed_survivors() < self.smallest_threshold:
            problems.append(
                f"{mechanism.needed_survivors()} survivors open a sum, and the smallest "
                f"threshold is {self.smallest_threshold}"
            )
        if mechanism.protection not in self.allowed_protections:
            problems.append(f"the protection `{mechanism.protection.value}` is not allowed")
        if mechanism.method not in self.allowed_methods:
            problems.append(f"the method `{mechanism.method}` is not allowed")
        return problems

    def _training_problems(self, mechanism: Mechanism) -> list[str]:
        problems = []
        if mechanism.model.weights_sha256 not in self.allowed_base_models:
            problems.append(
                f"the base model {mechanism.model.name} with weights "
                f"{mechanism.model.weights_sha256[:16]}... is not on the list"
            )
        if mechanism.adapter.rank > self.largest_rank:
            problems.append(
                f"rank {mechanism.adapter.rank} exceeds the largest of {self.largest_rank}"
            )
        missing = sorted(set(self.required_scrubbing) - set(mechanism.data.scrub))
        if missing:
            problems.append(f"the run does not scrub {', '.join(missing)}")
        return problems

    def _privacy_problems(self, mechanism: Mechanism) -> list[str]:
        privacy = mechanism.privacy
        if isinstance(privacy, NoPrivacy):
            if self.allow_no_privacy:
                return []
            return ["mode none gives no privacy guarantee, and it is not allowed here"]
        problems = []
        if privacy.clip > self.largest_clip:
            problems.append(f"clip {privacy.clip} exceeds the largest of {self.largest_clip}")
        if privacy.sampling_rate > self.largest_sampling_rate:
            problems.append(
                f"sampling rate {privacy.sampling_rate} exceeds the largest of "
                f"{self.largest_sampling_rate}"
            )
        problems += [
            f"the run's delta of {privacy.delta} exceeds {entry.delta} of data set `{entry.name}`"
            for entry in self.datasets
            if entry.dataset == mechanism.data.dataset and privacy.delta > entry.delta
        ]
        return problems


def load_policy(path: Path) -> SitePolicy:
    """Return the policy in the TOML file at `path`.

    Raises:
        ConfigError: the file is missing, or has a key or value that no policy can have.
    """
    try:
        return SitePolicy.model_validate(tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise ConfigError(
            f"There is no site policy at {path}: without one a site refuses every run. "
            "`secure-fl init` writes one to begin with."
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}.") from None
    except ValidationError as error:
        raise ConfigError(explain(error, str(path))) from None
