"""The policy's ceilings and floors on noise, units and people, in all four modes."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from round_simulator import RECORD_PRIVACY, mechanism_of, policy_of, private_mechanism

import secure_fl
from crypto.errors import BudgetError, ConfigError
from privacy.accounting import epsilon
from privacy.events import Relation, Unit
from privacy.ledger import Adaptive, Planned
from secure_fl.guarantee import planned_event
from secure_fl.policy import SitePolicy, load_policy
from secure_fl.policy_datasets import DatasetBudget
from secure_fl.policy_veto import VetoSection

if TYPE_CHECKING:
    from secure_fl.config import Mechanism

TEMPLATE = Path(secure_fl.__file__).parent / "templates" / "policy.toml"
DATASET: dict[str, Any] = {
    "name": "records",
    "dataset": "finance.generated",
    "epsilon": 10.0,
    "delta": 1e-5,
    "unit": "record",
}
OF_SITES = DATASET | {"unit": "site"}
OTHER = DATASET | {"name": "others", "dataset": "finance.phrasebank"}
SHARED = {"colluders": 1, "drop_outs": 1}


def shared_noise(**changes: Any) -> Mechanism:  # noqa: ANN401 - keys of the configuration
    """Return a run whose sites share the noise of every record's step."""
    privacy = RECORD_PRIVACY | {"mode": "record-distributed"} | SHARED | changes
    return mechanism_of(
        privacy=privacy,
        adversary="malicious",
        training__batch_size=None,
        training__local_steps=1,
        encoding__clip_range=None,
    )


def site_noise(**changes: Any) -> Mechanism:  # noqa: ANN401 - keys of the configuration
    """Return a run that hides whole sites."""
    privacy = {"mode": "site", "delta": 1e-5, "sigma": 2.0, "clip": 1.0} | SHARED | changes
    return mechanism_of(privacy=privacy, adversary="malicious", encoding__clip_range=None)


def test_what_the_policy_allows_is_allowed_in_every_mode() -> None:
    policy_of().check(shared_noise())
    policy_of(datasets=[OF_SITES]).check(site_noise())
    policy_of(
        smallest_clip=1.0,
        smallest_noise_multiplier=2.0,
        smallest_drop_outs=1,
        largest_rounds=site_noise().training.rounds,
        allowed_units=["site"],
        datasets=[OF_SITES],
    ).check(site_noise())


@pytest.mark.parametrize(
    ("policy", "mechanism", "said"),
    [
        (
            {"smallest_colluders": 2},
            shared_noise(),
            "its shared noise bears 1 colluding sites, and at least 2 have to be borne",
        ),
        (
            {"smallest_drop_outs": 1},
            shared_noise(drop_outs=0),
            "its shared noise pays for 0 drop-outs, and at least 1 have to be paid for",
        ),
        (
            {"smallest_colluders": 2, "datasets": [OF_SITES]},
            site_noise(),
            "its shared noise bears 1 colluding sites",
        ),
        (
            {"smallest_drop_outs": 2, "datasets": [OF_SITES]},
            site_noise(drop_outs=None),
            "its shared noise pays for 1 drop-outs, and at least 2 have to be paid for",
        ),
        ({"smallest_clip": 1.5}, private_mechanism(), "clip 1.0 is below the smallest of 1.5"),
        ({"largest_clip": 0.5}, shared_noise(), "clip 1.0 exceeds the largest of 0.5"),
        (
            {"largest_clip": 0.5, "datasets": [OF_SITES]},
            site_noise(),
            "clip 1.0 exceeds the largest of 0.5",
        ),
        (
            {"largest_sampling_rate": 0.05},
            shared_noise(),
            "sampling rate 0.1 exceeds the largest of 0.05",
        ),
        (
            {"smallest_noise_multiplier": 2.5, "datasets": [OF_SITES]},
            site_noise(),
            "noise multiplier 2 is below the smallest of 2.5",
        ),
        (
            {"allowed_units": ["patient", "site"]},
            private_mechanism(),
            "a guarantee per record is not allowed",
        ),
        ({"largest_rounds": 1}, mechanism_of(training__rounds=2), "2 rounds exceed the largest"),
        (
            {},
            site_noise(),
            "the run's guarantee is per site, and that of data set `records` is per record",
        ),
        (
            {"datasets": [OF_SITES]},
            shared_noise(),
            "the run's guarantee is per record, and that of data set `records` is per site",
        ),
        (
            {"datasets": [OF_SITES | {"delta": 1e-6}]},
            site_noise(),
            "the run's delta of 1e-05 exceeds 1e-06",
        ),
    ],
)
def test_each_limit_refuses_in_words(
    policy: dict[str, Any], mechanism: Mechanism, said: str
) -> None:
    assert any(said in problem for problem in policy_of(**policy).problems(mechanism))
    with pytest.raises(BudgetError, match="nothing was spent"):
        policy_of(**policy).check(mechanism)


def test_a_site_is_in_every_round_and_nothing_of_it_is_sampled() -> None:
    policy_of(largest_sampling_rate=0.01, datasets=[OF_SITES]).check(site_noise())


def test_limits_of_private_runs_say_nothing_of_mode_none() -> None:
    policy_of(
        smallest_noise_multiplier=99.0,
        smallest_clip=1.0,
        largest_epsilon_per_run=0.001,
        smallest_colluders=3,
        allowed_units=[],
    ).check(mechanism_of())


@pytest.mark.parametrize("mechanism", [private_mechanism(), shared_noise(), site_noise()])
def test_what_one_run_may_spend(mechanism: Mechanism) -> None:
    dataset = OF_SITES if mechanism.privacy.mode == "site" else DATASET
    relation = Relation.ZERO_OUT if dataset is OF_SITES else Relation.ADD_REMOVE
    # The delta is the data set's: it is there that the run will be charged.
    dataset = dataset | {"delta": 1e-4}
    spends = epsilon([planned_event(mechanism)], 1e-4, relation=relation)
    policy_of(largest_epsilon_per_run=spends, datasets=[dataset]).check(mechanism)
    tight = policy_of(largest_epsilon_per_run=spends * 0.999, datasets=[dataset])
    (problem,) = tight.problems(mechanism)
    assert problem.startswith(f"it would spend epsilon {spends:.4g} (delta 0.0001)")
    policy_of(largest_epsilon_per_run=spends * 0.999, datasets=[]).check(mechanism)


def test_a_run_without_its_noise_cannot_be_held_to_what_it_spends() -> None:
    undecided = mechanism_of(
        privacy={key: RECORD_PRIVACY[key] for key in RECORD_PRIVACY if key != "sigma"}
        | {"epsilon": 1.0},
        training__batch_size=None,
    )
    policy_of(smallest_noise_multiplier=99.0).check(undecided)
    with pytest.raises(ConfigError, match="no sigma yet"):
        policy_of(largest_epsilon_per_run=2.0).check(undecided)


# -- data sets ------------------------------------------------------------------------------------


def test_a_data_set_says_how_its_runs_compose_and_who_is_in_it() -> None:
    name, budget = policy_of(
        datasets=[
            DATASET
            | {
                "composition": "adaptive",
                "renyi_order": 8.0,
                "epsilon_per_year": 3.0,
                "largest_returning_share": 0.25,
            }
        ]
    ).budget_for(private_mechanism())
    assert name == "records"
    assert budget.composition == Adaptive(8.0)
    assert (budget.epsilon, budget.yearly_epsilon, budget.returning_share) == (10.0, 3.0, 0.25)
    _, plain = policy_of().budget_for(private_mechanism())
    assert plain.composition == Planned()
    assert (plain.yearly_epsilon, plain.returning_share) == (math.inf, 0.0)
    assert plain.shares_people_with == ()


def test_mode_none_has_no_ceiling_of_any_kind() -> None:
    _, budget = policy_of(datasets=[DATASET | {"epsilon_per_year": 1.0}]).budget_for(mechanism_of())
    assert (budget.epsilon, budget.yearly_epsilon) == (math.inf, math.inf)


def test_names_that_share_people_have_the_lowest_ceiling_of_theirs() -> None:
    third = DATASET | {"name": "third", "dataset": "x", "epsilon": 1.0}
    policy = policy_of(
        datasets=[
            DATASET | {"shares_people_with": ["others"]},
            OTHER | {"epsilon": 4.0, "epsilon_per_year": 2.0},
            third,
        ]
    )
    _, budget = policy.budget_for(private_mechanism())
    assert (budget.epsilon, budget.yearly_epsilon) == (4.0, 2.0)
    assert budget.shares_people_with == ("others",)
    _, other = policy.budget_for(private_mechanism(data__dataset="finance.phrasebank"))
    assert (other.epsilon, other.shares_people_with) == (4.0, ("records",))
    assert policy.ceiling("records") == 4.0
    assert policy.ceiling("third") == 1.0


def test_people_are_shared_through_others() -> None:
    policy = policy_of(
        datasets=[
            DATASET | {"shares_people_with": ["b"]},
            OTHER | {"name": "b"},
            OTHER | {"name": "c", "dataset": "x", "shares_people_with": ["b"], "epsilon": 0.5},
        ]
    )
    assert policy.ceiling("records") == 0.5
    assert policy.budget_for(private_mechanism())[1].shares_people_with == ("b",)


@pytest.mark.parametrize("unit", [[], {}, ["site"]])
def test_a_unit_that_is_a_list_is_refused_like_any_other(unit: object) -> None:
    entry = {"name": "a", "dataset": "b", "epsilon": 1.0, "delta": 1e-5, "unit": unit}
    with pytest.raises(ValidationError, match="unit"):
        DatasetBudget.model_validate(entry)


def test_a_site_is_hidden_under_zero_out() -> None:
    _, budget = policy_of(datasets=[OF_SITES]).budget_for(site_noise())
    assert (budget.unit, budget.relation) == (Unit.SITE, Relation.ZERO_OUT)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"relation": "replace-one"}, "ask for add-remove"),
        ({"relation": "zero-out"}, "ask for add-remove"),
        ({"unit": "site", "relation": "add-remove"}, "ask for zero-out"),
        ({"composition": "adaptive"}, "`renyi_order` is needed"),
        ({"renyi_order": 8.0}, "has no meaning for `planned`"),
        ({"composition": "adaptive", "renyi_order": 65.0}, "order 65 are not computed"),
        ({"composition": "added"}, "composition"),
        ({"shares_people_with": ["nobody"]}, "is no other data set of this policy"),
        ({"shares_people_with": ["records"]}, "is no other data set of this policy"),
        ({"shares_people_with": ["others"], "delta": 1e-6}, "cannot be composed"),
        ({"shares_people_with": ["others"], "unit": "patient"}, "cannot be composed"),
        (
            {"shares_people_with": ["others"], "composition": "adaptive", "renyi_order": 8.0},
            "cannot be composed",
        ),
        ({"epsilon_per_year": 0.0}, "epsilon_per_year"),
        ({"largest_returning_share": 1.5}, "largest_returning_share"),
    ],
)
def test_a_data_set_that_cannot_be_meant(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        policy_of(datasets=[DATASET | change, OTHER])
    assert said in str(refusal.value)


# -- the file that `secure-fl init` writes --------------------------------------------------------


def test_the_template_names_every_key_of_a_policy() -> None:
    text = TEMPLATE.read_text("utf-8")
    for kind in (SitePolicy, DatasetBudget, VetoSection):
        for name, field in kind.model_fields.items():
            key = field.alias or name
            assert (
                re.search(rf"^(# )?(\[{{1,2}})?{key}\b", text, re.MULTILINE) or key == "relation"
            ), key


def test_what_the_template_only_mentions_can_be_said(tmp_path: Path) -> None:
    text = re.sub(r"^# (\w+ = |\[\[)", r"\1", TEMPLATE.read_text("utf-8"), flags=re.MULTILINE)
    text = text.replace('composition = "planned"', 'composition = "adaptive"')
    other = '[[datasets]]\nname = "archive-2024"\ndataset = "old"\nepsilon = 1.0\ndelta = 1e-5\n'
    other += 'unit = "record"\ncomposition = "adaptive"\nrenyi_order = 8.0\n'
    path = tmp_path / "policy.toml"
    path.write_text(f"{text}\n{other}", "utf-8")
    policy = load_policy(path)
    assert policy.smallest_noise_multiplier == 0.5
    assert policy.datasets[0].epsilon_per_year == 4.0
    assert policy.datasets[0].how() == Adaptive(8.0)
    assert policy.ceiling("invented-sentences") == 1.0
