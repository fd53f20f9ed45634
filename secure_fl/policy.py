"""The compliance officer's file: what this site's own process enforces against any coordinator.

Values from the coordinator are proposals. A run that asks for more than the policy allows is
refused before a record is read and before anything is spent. This module imports neither torch
nor presidio, so that a policy can be checked in a moment.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from crypto.errors import BudgetError, ConfigError
from crypto.masked_sum_session import Adversary
from privacy.events import Unit
from privacy.scrubbing.modes.modes import ScrubMode
from secure_fl.config import Guaranteed, explain
from secure_fl.config_sections import Count, CountOrNone, Hex32, Positive, Rate, Section
from secure_fl.policy_datasets import DatasetBudget, budget_of, require_one_account
from secure_fl.policy_own import OwnFunctionEntry, OwnModelEntry, described
from secure_fl.policy_privacy import privacy_problems
from secure_fl.policy_veto import VetoSection
from secure_fl.views import Protection

if TYPE_CHECKING:
    from pathlib import Path

    from privacy.ledger import Budget
    from privacy.scrubbing.modes.modes import DateOrder
    from privacy.scrubbing.own_models.description import Own
    from secure_fl.config import Mechanism

__all__ = ["DatasetBudget", "SitePolicy", "load_policy", "smallest_opened_sum"]

Floor = Annotated[int, Field(ge=2, le=100, strict=True)]


class SitePolicy(Section):
    """Ceilings and floors of one site."""

    schema_: Literal["secure-fl.site-policy.v1"] = Field(alias="schema")
    smallest_cohort: Floor
    """Fewest sites whose sum may become known: under masks whatever the coordinator does, under
    homomorphic sums as long as it follows the protocol."""
    smallest_threshold: Floor
    requires_malicious: bool = False
    """Whether the coordinator has to be assumed malicious, not just curious."""
    requires_post_quantum: bool = False
    """Whether masks, shares and the key of homomorphic sums must stay secret from who records today
    and decrypts in years."""
    smallest_corrupted_share: Annotated[float, Field(ge=0, le=1 / 3, strict=True)] = 0.2
    """Above 100 sites: the least share of colluding sites that a run has to bear."""
    smallest_colluders: Count = 1
    """Where noise is shared: how many colluding sites its bound has to bear, at least."""
    smallest_drop_outs: CountOrNone = 0
    """Where noise is shared: how many drop-outs a round's noise has to pay for, at least."""
    most_canaries: CountOrNone = 0
    """How many records of a run's own, made up to attack its release by, may be trained on beside
    this site's; none where it is not said."""
    allowed_methods: tuple[str, ...]
    allowed_protections: tuple[Protection, ...] = (Protection.MASKED,)
    allow_no_privacy: bool = False
    """Whether mode none is allowed at all."""
    allowed_units: tuple[Unit, ...] = tuple(Unit)
    """Whose presence a guarantee may hide; each data set has one of these."""
    allowed_base_models: tuple[Hex32, ...]
    """SHA-256 digests of base-model weights."""
    largest_rank: Count
    smallest_clip: Positive | None = None
    largest_clip: Positive
    largest_sampling_rate: Rate = 1.0
    largest_rounds: Count | None = None
    smallest_noise_multiplier: Positive | None = None
    """Least noise of one step, in units of the sensitivity."""
    largest_epsilon_per_run: Positive | None = None
    """What one run may spend, at its data set's delta."""
    required_scrubbing: tuple[str, ...]
    """PII entities that must be removed from every record before training."""
    required_scrub_mode: ScrubMode | None = None
    """What has to stand in the place of what is found; whatever the run says when absent."""
    expert_statement: Hex32 | None = None
    """SHA-256 of the document in which an expert determined that the risk of identifying somebody
    in what expert-determination leaves is very small. The site's own report names it."""
    own_models: tuple[OwnModelEntry, ...] = ()
    """Named-entity models of the site's own, which look for what a run scrubs, beside ours."""
    own_functions: tuple[OwnFunctionEntry, ...] = ()
    """Python functions of the site's own that do the same."""
    veto: VetoSection = VetoSection()
    """What this site refuses to send of its own; every test is on where the file says nothing."""
    datasets: tuple[DatasetBudget, ...]

    @model_validator(mode="after")
    def _has_one_ceiling_each(self) -> Self:
        asked = [entry.dataset for entry in self.datasets]
        twice = sorted({name for name in asked if asked.count(name) > 1})
        if twice:
            raise ValueError(
                f"two [[datasets]] entries are for `{twice[0]}`, and one of them would be ignored: "
                "keep one"
            )
        for entry in self.datasets:
            terms = entry.model_copy(update={"dataset": ""})
            for other in self.datasets:
                if other.name == entry.name and other.model_copy(update={"dataset": ""}) != terms:
                    raise ValueError(
                        f"`{entry.name}` has two different ceilings: records that spend from one "
                        "budget need one ceiling, delta and unit"
                    )
        require_one_account(self.datasets)
        return self

    def entry_for(self, dataset: str) -> DatasetBudget | None:
        """Return the entry of what a run calls `dataset`; None where the policy has none."""
        return next((entry for entry in self.datasets if entry.dataset == dataset), None)

    def budget_for(self, mechanism: Mechanism) -> tuple[str, Budget]:
        """Return the named data set that a run would spend from, and what it may spend.

        Names that share people have one ceiling: the lowest of theirs.

        Raises:
            BudgetError: no data set of this policy may be used for what the run asks.
        """
        entry = self.entry_for(mechanism.data.dataset)
        if entry is None:
            raise BudgetError(
                f"This site's policy names no data set for `{mechanism.data.dataset}`: nothing was "
                "spent. The compliance officer adds a [[datasets]] entry, or the run uses another."
            )
        budget = budget_of(entry, self.datasets)
        if isinstance(mechanism.privacy, Guaranteed):
            return entry.name, budget
        return entry.name, replace(budget, epsilon=math.inf, yearly_epsilon=math.inf)

    def unit_column(self, dataset: str) -> str | None:
        """Return which column says whose a record is in what a run calls `dataset`, if one does."""
        entry = self.entry_for(dataset)
        return None if entry is None else entry.unit_column

    def date_order(self, dataset: str) -> DateOrder | None:
        """Return how numeric dates are meant in what a run calls `dataset`, if it is known."""
        entry = self.entry_for(dataset)
        return None if entry is None else entry.date_order

    def own_recognizers(self, beside: Path) -> tuple[Own, ...]:
        """Return the site's own models and functions.

        Args:
            beside: the folder in which the policy stands; relative folders begin there.
        """
        return described((*self.own_models, *self.own_functions), beside)

    def ceiling(self, name: str) -> float:
        """Return the epsilon that the data set called `name` may spend over all private runs.

        Raises:
            ConfigError: the policy names no such data set.
        """
        for entry in self.datasets:
            if entry.name == name:
                return budget_of(entry, self.datasets).epsilon
        raise ConfigError(
            f"The site's policy names no data set `{name}` any more: its ceiling is unknown. The "
            "compliance officer puts the entry back."
        )

    def check(self, mechanism: Mechanism) -> None:
        """Return if the policy allows `mechanism`.

        Raises:
            BudgetError: it does not; the message lists every point, and nothing was spent.
            ConfigError: the policy limits what a run may spend, and the run has no sigma yet.
        """
        problems = self.problems(mechanism)
        if problems:
            raise BudgetError(
                "The site's policy refuses this run, nothing was spent: "
                + "; ".join(problems)
                + ". Change the run, or ask the compliance officer to change the policy."
            )

    def problems(self, mechanism: Mechanism) -> tuple[str, ...]:
        """Return every point on which the policy refuses `mechanism`, each in words.

        Raises:
            ConfigError: the policy limits what a run may spend, and the run has no sigma yet.
        """
        return (
            *self._party_problems(mechanism),
            *self._training_problems(mechanism),
            *privacy_problems(self, mechanism),
        )

    def _party_problems(self, mechanism: Mechanism) -> list[str]:
        problems = []
        if mechanism.sites < self.smallest_cohort:
            problems.append(
                f"a sum over {mechanism.sites} sites, and the smallest cohort is "
                f"{self.smallest_cohort}"
            )
        elif mechanism.protection is not Protection.PLAIN:
            problems += self._sum_problems(mechanism)
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

    def _sum_problems(self, mechanism: Mechanism) -> list[str]:
        problems = []
        if self.requires_post_quantum and not mechanism.cipher_suite.is_hybrid:
            problems.append(
                f"the cipher suite {mechanism.cipher_suite.value} has no post-quantum key, and one "
                "is required (`mechanism.cipher_suite`)"
            )
        if mechanism.adversary is Adversary.MALICIOUS:
            return problems + self._corruption_problems(mechanism)
        if self.requires_malicious:
            problems.append(
                "the coordinator has to be assumed malicious, and is assumed semi-honest "
                "(`mechanism.adversary`)"
            )
        problems += self._corruption_problems(mechanism)
        if mechanism.cohort is None and mechanism.protection is Protection.MASKED:
            problems += self._split_problems(mechanism.sites, mechanism.needed_survivors())
        return problems

    def _corruption_problems(self, mechanism: Mechanism) -> list[str]:
        cohort = mechanism.cohort
        if cohort is None or cohort.corrupted_share >= self.smallest_corrupted_share:
            return []
        problem = (
            f"it bears a corrupted share of {cohort.corrupted_share:g}, and at least "
            f"{self.smallest_corrupted_share:g} has to be borne (`mechanism.cohort`)"
        )
        return [problem]

    def _split_problems(self, sites: int, threshold: int) -> list[str]:
        fewest = smallest_opened_sum(sites, threshold)
        if fewest >= self.smallest_cohort:
            return []
        problem = (
            f"at a threshold of {threshold} among {sites} sites, a coordinator that lies about "
            f"who survived can open a sum over {fewest}, and the smallest cohort is "
            f"{self.smallest_cohort} (raise `mechanism.threshold`)"
        )
        return [problem]

    def _training_problems(self, mechanism: Mechanism) -> list[str]:
        problems = []
        if mechanism.model.weights_sha256 not in self.allowed_base_models:
            problems.append(
                f"the base model {mechanism.model.name} with weights "
                f"{mechanism.model.weights_sha256[:16]}... is not on the list"
            )
        canaries = 0 if mechanism.canaries is None else mechanism.canaries.most_records
        if canaries > self.most_canaries:
            problems.append(
                f"up to {canaries} canaries would be trained on, and at most {self.most_canaries} "
                "may be (`mechanism.canaries`)"
            )
        if mechanism.adapter.rank > self.largest_rank:
            problems.append(
                f"rank {mechanism.adapter.rank} exceeds the largest of {self.largest_rank}"
            )
        rounds = mechanism.training.rounds
        if self.largest_rounds is not None and rounds > self.largest_rounds:
            problems.append(f"{rounds} rounds exceed the largest number of {self.largest_rounds}")
        missing = sorted(set(self.required_scrubbing) - set(mechanism.data.scrub))
        if missing:
            problems.append(f"the run does not scrub {', '.join(missing)}")
        mode = mechanism.data.scrub_mode
        if self.required_scrub_mode not in {None, mode}:
            problems.append(
                f"the run scrubs in mode {mode.value}, and {self.required_scrub_mode} is required "
                "(`mechanism.data.scrub_mode`)"
            )
        return problems


def smallest_opened_sum(sites: int, threshold: int) -> int:
    """Return the fewest sites whose masked sum can be opened by lying about the survivors.

    A site outside of that sum needs `threshold` sites that were told it dropped out; each of the
    `sites` is told of at most sites - threshold drop-outs: n - floor(n (n - t) / t).
    """
    return sites - sites * (sites - threshold) // threshold


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
    except ValidationError as error:
        raise ConfigError(explain(error, str(path), SitePolicy)) from None
    except (OSError, ValueError, RecursionError) as error:  # bad UTF-8 and TOML
        raise ConfigError(f"{path} cannot be read as TOML: {error}.") from None
