"""Methods: the view each needs, what it trains, and its rule beside a naive twin."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from round_simulator import mechanism_of

from crypto.errors import ConfigError
from secure_fl.methods import METHODS, SeenUpdates, find_method, method_of
from secure_fl.methods.fedit_median import FedITMedian
from secure_fl.reporting import method_facts
from secure_fl.views import Protection, View

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from secure_fl.methods import Method

PARAMETERS = {
    "base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.default.weight": "A",
    "base_model.model.bert.encoder.layer.0.attention.self.query.lora_B.default.weight": "B",
    "base_model.model.classifier.modules_to_save.default.weight": "head",
    "base_model.model.classifier.modules_to_save.default.bias": "head",
    "base_model.model.bert.encoder.layer.0.attention.self.query.base_layer.weight": "base",
    "base_model.model.bert.encoder.layer.0.attention.self.query.base_layer.bias": "bias",
    "base_model.model.bert.encoder.layer.0.attention.self.key.bias": "base",
    "base_model.model.bert.layer.0.output.LayerNorm.modules_to_save.default.weight": "norm",
    "base_model.model.bert.layer.0.output.LayerNorm.original_module.weight": "base",
    "base_model.model.classifier.original_module.weight": "base",
    "base_model.model.classifier.original_module.bias": "base",
}
MEANS = [method for method in METHODS if method.needs is View.SUM]


def seen(updates: NDArray[np.float64], *, each: bool) -> SeenUpdates:
    return SeenUpdates(updates.sum(axis=0), len(updates), updates if each else None)


def by_name(name: str) -> Method:
    return find_method(name, Protection.PLAIN)


def test_names_are_unique_and_every_method_says_why() -> None:
    assert len({method.name for method in METHODS}) == len(METHODS)
    for method in METHODS:
        assert method.reason.endswith(".")
        assert method.reference
        assert "\n" not in method.tuned


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("fedit", {"A", "B", "head"}),
        ("fedit-median", {"A", "B", "head"}),
        ("ffa-lora", {"B", "head"}),
        ("bitfit", {"bias", "norm", "head"}),
        ("norm-tuning", {"norm", "head"}),
        ("linear-head", {"head"}),
    ],
)
def test_what_each_method_trains(name: str, trained: set[str]) -> None:
    method = by_name(name)

    for parameter, kind in PARAMETERS.items():
        assert method.trains(parameter) == (kind in trained), parameter


UPDATES = st.integers(2, 5).flatmap(
    lambda sites: st.lists(
        st.lists(st.floats(-8, 8, width=32), min_size=3, max_size=3),
        min_size=sites,
        max_size=sites,
    )
)


@given(UPDATES)
@pytest.mark.parametrize("method", MEANS, ids=lambda method: method.name)
def test_the_mean_rules_beside_plain_arithmetic(method: Method, updates: list[list[float]]) -> None:
    shared = np.array([1.0, -2.0, 0.5], np.float32)

    moved = method.server_rule(shared, seen(np.array(updates), each=False))

    twin = [
        float(start) + statistics.fmean(column)
        for start, column in zip(shared.tolist(), zip(*updates, strict=True), strict=True)
    ]
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved, twin, rtol=1e-6, atol=1e-6)


@given(UPDATES)
def test_the_median_rule_beside_statistics(updates: list[list[float]]) -> None:
    shared = np.array([1.0, -2.0, 0.5], np.float32)

    moved = by_name("fedit-median").server_rule(shared, seen(np.array(updates), each=True))

    twin = [
        np.float32(float(start) + statistics.median(column))
        for start, column in zip(shared.tolist(), zip(*updates, strict=True), strict=True)
    ]
    np.testing.assert_array_equal(moved, np.array(twin, np.float32))


def test_the_average_of_ffa_lora_is_exact_and_that_of_fedit_is_not() -> None:
    generator = np.random.default_rng(1)
    common = generator.normal(size=(2, 5))
    factors_a = generator.normal(size=(3, 2, 5))
    factors_b = generator.normal(size=(3, 4, 2))

    exact = np.mean([b @ common for b in factors_b], axis=0)
    np.testing.assert_allclose(factors_b.mean(axis=0) @ common, exact)
    products = np.mean([b @ a for a, b in zip(factors_a, factors_b, strict=True)], axis=0)
    assert np.abs(factors_b.mean(axis=0) @ factors_a.mean(axis=0) - products).max() > 0.1


def test_a_rule_does_not_change_what_it_was_given() -> None:
    for method in METHODS:
        shared = np.ones(3, np.float32)
        updates = np.arange(12, dtype=np.float64).reshape(4, 3)
        shared.flags.writeable = updates.flags.writeable = False

        assert not np.shares_memory(method.server_rule(shared, seen(updates, each=True)), shared)


# -- views -------------------------------------------------------------------------------------


def test_a_protection_reveals_no_more_than_it_says() -> None:
    assert Protection.MASKED.reveals is View.SUM
    assert Protection.PLAIN.reveals is View.EACH
    assert View.SUM < View.GROUPS < View.EACH


def test_a_method_that_needs_more_than_is_revealed_is_refused_in_words() -> None:
    with pytest.raises(ConfigError) as caught:
        find_method("fedit-median", Protection.MASKED)

    said = str(caught.value)
    assert "has to read every single update" in said
    assert "`masked` reveals only their sum" in said
    assert "silently compute something else" in said
    assert "fedit, ffa-lora, bitfit, norm-tuning, linear-head" in said
    assert "the coordinator reads every update" in said


def test_a_median_knows_no_weights() -> None:
    weights = {"typical_records": 100}
    for method in METHODS:
        mechanism = mechanism_of(
            method=method.name, protection="plain", training__weighting=weights
        )
        if method.needs is View.SUM:
            assert method_of(mechanism) is method
            continue
        with pytest.raises(ConfigError, match="it would be taken for an outlier"):
            method_of(mechanism)


def test_the_report_says_by_what_a_site_counts() -> None:
    assert "times" not in method_facts(mechanism_of(), 10).sent
    weighted = mechanism_of(training__weighting={"typical_records": 100, "largest": 2.5})
    assert method_facts(weighted, 10).sent.endswith(
        "; times the site's records over 100, and at most 2.5 times"
    )


def test_every_mean_runs_under_masks_and_everything_runs_in_clear() -> None:
    for method in METHODS:
        assert find_method(method.name, Protection.PLAIN) is method
        if method.needs is View.SUM:
            assert find_method(method.name, Protection.MASKED) is method


def test_an_unknown_method_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no method `fedavg`\. Choose one of: fedit, ffa-lora"):
        find_method("fedavg", Protection.PLAIN)


def test_the_median_has_to_read_each_update() -> None:
    updates = np.array([[0.0], [0.0], [9.0]])
    shared = np.zeros(1, np.float32)

    with pytest.raises(ConfigError, match="only their sum was revealed"):
        FedITMedian().server_rule(shared, seen(updates, each=False))
    assert FedITMedian().server_rule(shared, seen(updates, each=True)) == [0.0]


def test_without_the_check_a_median_of_a_sum_is_silently_the_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the refusals prevent: one view pretended, and a robust rule follows the outlier."""

    def pretended(self: SeenUpdates) -> NDArray[np.float64]:
        return np.broadcast_to(self.mean(), (self.survivors, self.total.size))

    monkeypatch.setattr(SeenUpdates, "single_updates", pretended)
    updates = np.array([[0.0], [0.0], [9.0]])
    shared = np.zeros(1, np.float32)

    assert FedITMedian().server_rule(shared, seen(updates, each=False)) == [3.0]
