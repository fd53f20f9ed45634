"""The compliance officer's file: every ceiling and floor, refused in words."""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING, Any

import pytest
from round_simulator import (
    WEIGHTS,
    mechanism_of,
    policy_of,
    private_mechanism,
)

from crypto.errors import BudgetError, ConfigError
from privacy.events import Unit
from secure_fl.policy import SitePolicy, load_policy, smallest_opened_sum

if TYPE_CHECKING:
    from pathlib import Path

DATASET = {
    "name": "records",
    "dataset": "finance.generated",
    "epsilon": 10.0,
    "delta": 1e-5,
    "unit": "record",
}
LARGE: dict[str, Any] = {
    "sites": 200,
    "cohort__drop_out_rate": 0.05,
    "cohort__corrupted_share": 0.2,
}
HYBRID = "x25519-mlkem768-hkdf-sha256-aes256ctr-z32"
TEXT = f"""
schema = "secure-fl.site-policy.v1"
smallest_cohort = 3
smallest_threshold = 3
allowed_methods = ["fedit"]
allowed_base_models = ["{WEIGHTS}"]
largest_rank = 8
largest_clip = 1.0
required_scrubbing = []
[[datasets]]
name = "records"
dataset = "finance.generated"
epsilon = 10.0
delta = 1e-5
unit = "record"
"""


def test_what_the_policy_allows_is_allowed() -> None:
    policy_of().check(mechanism_of())
    policy_of().check(private_mechanism())


@pytest.mark.parametrize(
    ("policy", "change", "said"),
    [
        ({"smallest_cohort": 5}, {}, "a sum over 4 sites, and the smallest cohort is 5"),
        ({"smallest_threshold": 4}, {}, "3 survivors open a sum, and the smallest threshold is 4"),
        (
            {"smallest_cohort": 4},
            {},
            (
                "a coordinator that lies about who survived can open a sum "
                "over 3, and the smallest cohort is 4"
            ),
        ),
        (
            {"allowed_protections": ["masked"]},
            {"protection": "plain"},
            ("the protection `plain` is not allowed"),
        ),
        ({"allowed_methods": ["ffa-lora"]}, {}, "the method `fedit` is not allowed"),
        (
            {"allowed_base_models": ["cd" * 32]},
            {},
            ("the base model tiny with weights abababababababab... is not on the list"),
        ),
        ({"largest_rank": 7}, {}, "rank 8 exceeds the largest of 7"),
        (
            {"required_scrubbing": ["PERSON", "IBAN_CODE"]},
            {"data__scrub": ["PERSON"]},
            "the run does not scrub IBAN_CODE",
        ),
        (
            {"required_scrub_mode": "safe-harbor"},
            {},
            (
                "the run scrubs in mode placeholders, and safe-harbor is required "
                "(`mechanism.data.scrub_mode`)"
            ),
        ),
        (
            {"required_scrub_mode": "safe-harbor"},
            {"data__scrub_mode": "expert-determination", "data__scrub": ["PERSON"]},
            "the run scrubs in mode expert-determination, and safe-harbor is required",
        ),
        (
            {"requires_malicious": True},
            {},
            (
                "the coordinator has to be assumed malicious, and is assumed semi-honest "
                "(`mechanism.adversary`)"
            ),
        ),
        (
            {"requires_post_quantum": True},
            {},
            (
                "the cipher suite x25519-hkdf-sha256-aes256ctr-z32 has no post-quantum key, and "
                "one is required (`mechanism.cipher_suite`)"
            ),
        ),
        (
            {},
            LARGE | {"cohort__corrupted_share": 0.1},
            "bears a corrupted share of 0.1, and at least 0.2 has to be borne",
        ),
        (
            {"smallest_corrupted_share": 0.3},
            LARGE,
            "bears a corrupted share of 0.2, and at least 0.3 has to be borne",
        ),
        ({"allow_no_privacy": False}, {}, "mode none gives no privacy guarantee"),
        ({"largest_clip": 0.5}, "private", "clip 1.0 exceeds the largest of 0.5"),
        (
            {"largest_sampling_rate": 0.05},
            "private",
            ("sampling rate 0.1 exceeds the largest of 0.05"),
        ),
        (
            {"datasets": [DATASET | {"delta": 1e-6}]},
            "private",
            ("the run's delta of 1e-05 exceeds 1e-06 of data set `records`"),
        ),
        (
            {"datasets": [DATASET | {"unit": "patient"}]},
            "private",
            ("the run's guarantee is per record, and that of data set `records` is per patient"),
        ),
    ],
)
def test_each_limit_refuses_in_words(
    policy: dict[str, Any], change: dict[str, Any] | str, said: str
) -> None:
    mechanism = private_mechanism() if isinstance(change, str) else mechanism_of(**change)

    with pytest.raises(BudgetError) as caught:
        policy_of(**policy).check(mechanism)

    assert said in str(caught.value)
    assert "nothing was spent" in str(caught.value)
    assert "ask the compliance officer" in str(caught.value)


def test_each_limit_allows_what_just_meets_it() -> None:
    policy_of(
        smallest_cohort=3,
        smallest_threshold=3,
        largest_rank=8,
        largest_clip=1.0,
        largest_sampling_rate=0.1,
        required_scrubbing=["PERSON"],
    ).check(private_mechanism(data__scrub=["PERSON", "IBAN_CODE"]))
    policy_of(required_scrub_mode="safe-harbor", required_scrubbing=["PERSON"]).check(
        mechanism_of(data__scrub_mode="safe-harbor")
    )
    policy_of().check(mechanism_of(data__scrub_mode="safe-harbor"))
    policy_of(smallest_cohort=4).check(mechanism_of(threshold=4))
    policy_of(smallest_cohort=4).check(mechanism_of(protection="plain"))
    policy_of(requires_malicious=True).check(mechanism_of(adversary="malicious"))
    policy_of(requires_post_quantum=True).check(mechanism_of(cipher_suite=HYBRID))
    policy_of().check(mechanism_of(**LARGE))
    policy_of(smallest_corrupted_share=0.0).check(
        mechanism_of(**LARGE | {"cohort__corrupted_share": 0.0})
    )


def test_against_a_malicious_coordinator_no_list_of_survivors_is_split() -> None:
    """It is told which list the others confirmed, so no sum is over fewer than the threshold."""
    with pytest.raises(BudgetError, match="can open a sum over 3"):
        policy_of(smallest_cohort=4).check(mechanism_of())
    policy_of(smallest_cohort=4).check(mechanism_of(adversary="malicious"))


@pytest.mark.parametrize("key", ["requires_malicious", "requires_post_quantum"])
def test_what_is_required_of_sums_says_nothing_of_plain_updates(key: str) -> None:
    """Whether those may leave at all, `allowed_protections` says."""
    policy_of(**{key: True}).check(mechanism_of(protection="plain"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("requires_malicious = 1.5", "requires_malicious"),
        ("requires_post_quantum = 7", "requires_post_quantum"),
        ("smallest_corrupted_share = 0.4", "smallest_corrupted_share"),
        ("smallest_corrupted_share = -0.1", "smallest_corrupted_share"),
        ("require_malicious = true", "did you mean `requires_malicious`?"),
    ],
)
def test_a_requirement_that_cannot_be_meant(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(TEXT.replace("largest_rank = 8", f"largest_rank = 8\n{line}"), "utf-8")

    with pytest.raises(ConfigError, match=re.escape(said)):
        load_policy(path)


def test_every_point_is_listed_at_once() -> None:
    with pytest.raises(BudgetError) as caught:
        policy_of(largest_rank=1, largest_clip=0.1, allowed_methods=[]).check(private_mechanism())

    for point in ("rank 8", "clip 1.0", "`fedit`"):
        assert point in str(caught.value)


def test_limits_of_private_runs_do_not_speak_of_mode_none() -> None:
    policy_of(largest_clip=1e-9, largest_sampling_rate=1e-9).check(mechanism_of())


def test_the_budget_is_the_named_data_sets_own() -> None:
    name, budget = policy_of().budget_for(private_mechanism())
    assert (name, budget.epsilon, budget.delta, budget.unit) == ("records", 10.0, 1e-5, Unit.RECORD)

    _, without = policy_of().budget_for(mechanism_of())
    assert math.isinf(without.epsilon)
    with pytest.raises(BudgetError, match=r"names no data set for `health\.notes`"):
        policy_of().budget_for(mechanism_of(data__dataset="health.notes"))


def test_the_ceiling_of_a_name_that_is_gone() -> None:
    assert policy_of().ceiling("records") == 10.0
    with pytest.raises(ConfigError, match="names no data set `gone` any more"):
        policy_of().ceiling("gone")


# -- the figure of split survivor lists --------------------------------------------------------


@pytest.mark.parametrize(
    ("sites", "threshold", "fewest"), [(4, 3, 3), (10, 7, 6), (5, 4, 4), (3, 3, 3), (100, 67, 51)]
)
def test_the_smallest_sum_under_split_lists(sites: int, threshold: int, fewest: int) -> None:
    assert smallest_opened_sum(sites, threshold) == fewest


@pytest.mark.parametrize("sites", [3, 4, 5, 6])
def test_the_smallest_sum_is_what_exhaustive_search_finds(sites: int) -> None:
    for threshold in range(2 * sites // 3 + 1, sites + 1):
        assert smallest_opened_sum(sites, threshold) == _searched(sites, threshold)


def _searched(sites: int, threshold: int) -> int:
    """The twin: how many sites can each be called a drop-out by `threshold` others."""
    most = 0
    for outside in range(1, sites + 1):
        # Each site may call at most n - t of the others drop-outs; deal the calls greedily.
        calls = dict.fromkeys(range(sites), sites - threshold)
        for dropped in range(outside):
            by = sorted((s for s in calls if s != dropped and calls[s]), key=lambda s: -calls[s])
            for site in by[:threshold]:
                calls[site] -= 1
            if len(by) < threshold:
                break
        else:
            most = outside
    return sites - most


# -- the file ----------------------------------------------------------------------------------


def test_a_policy_loads_and_its_defaults_are_the_strict_ones(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(TEXT, "utf-8")

    policy = load_policy(path)

    assert policy.allow_no_privacy is False
    assert [protection.value for protection in policy.allowed_protections] == ["masked"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "largest_rank",
            "largest_rnk",
            ("`largest_rnk` is not a key of this file, did you mean `largest_rank`?"),
        ),
        ("largest_rank = 8\n", "", "`largest_rank` is missing and has no default"),
        ("required_scrubbing = []\n", "", "`required_scrubbing` is missing"),
        ("smallest_cohort = 3", "smallest_cohort = 1", "`smallest_cohort`: Input should be"),
        (
            "smallest_cohort = 3",
            "smallest_cohort = 3\nepsilon = 1.0",
            ("it belongs into [datasets]"),
        ),
        ('unit = "record"', "", "`datasets.0.unit` is missing"),
        ("delta = 1e-5\n", "", "`datasets.0.delta` is missing"),
        ("epsilon = 10.0", "epsilon = inf", "`datasets.0.epsilon`"),
        ("epsilon = 10.0", "epsilon = 10.0\nlargest_rank = 2", "it belongs into the first lines"),
        ('name = "records"', 'name = "Our Records"', "`datasets.0.name`"),
        ("secure-fl.site-policy.v1", "secure-fl.run.v1", "`schema`"),
        ("delta = 1e-5", 'delta = 1e-5\nrelation = "replace-one"', "a stronger claim than"),
    ],
)
def test_what_a_policy_cannot_say(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(TEXT.replace(old, new, 1), "utf-8")

    with pytest.raises(ConfigError) as caught:
        load_policy(path)

    assert said in str(caught.value)


def test_a_policy_that_is_absent_or_no_toml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="without one a site refuses every run"):
        load_policy(tmp_path / "absent.toml")
    path = tmp_path / "policy.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        load_policy(path)


def test_two_entries_for_one_data_set_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two .* entries are for `finance\.generated`"):
        policy_of(datasets=[DATASET, DATASET | {"name": "others", "epsilon": 99.0}])


def test_one_budget_has_one_ceiling() -> None:
    other = DATASET | {"dataset": "finance.phrasebank"}
    assert isinstance(policy_of(datasets=[DATASET, other]), SitePolicy)

    for change in ({"epsilon": 99.0}, {"delta": 1e-6}, {"unit": "patient"}):
        with pytest.raises(ValueError, match="`records` has two different ceilings"):
            policy_of(datasets=[DATASET, other | change])


def test_no_combination_of_limits_lets_mode_none_through_unasked() -> None:
    for cohort, methods in itertools.product([2, 3], [["fedit"], ["fedit", "ffa-lora"]]):
        policy = policy_of(allow_no_privacy=False, smallest_cohort=cohort, allowed_methods=methods)
        with pytest.raises(BudgetError, match="mode none"):
            policy.check(mechanism_of())
