from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ConfigError
from privacy.update import TensorSpec, Update, UpdateSpec

SPEC = UpdateSpec(
    parameters=(TensorSpec("b", (2, 3)), TensorSpec("a", (2,))),
    statistics=(TensorSpec("loss", ()),),
)
FLOATS = st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=9, max_size=9)


def ramp() -> Update:
    return Update.from_flat(SPEC, np.arange(9, dtype=np.float32))


def test_from_flat_lays_parameters_before_statistics_in_the_order_of_the_spec() -> None:
    update = ramp()
    assert list(update.parameters) == ["b", "a"]
    assert update.parameters["b"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert update.parameters["a"].tolist() == [6, 7]
    assert update.statistics["loss"].shape == ()
    assert update.statistics["loss"] == 8
    assert update.spec == SPEC
    assert SPEC.size == 9


def test_mapping_and_flat_vector_make_the_same_update() -> None:
    update = ramp()
    again = Update(dict(update.parameters), dict(update.statistics))
    assert again.spec == update.spec
    assert again.flat().tobytes() == update.flat().tobytes()


@given(FLOATS, FLOATS, st.floats(-100, 100))
def test_vector_space(one: list[float], two: list[float], factor: float) -> None:
    x, y = (Update.from_flat(SPEC, np.array(v, np.float32)) for v in (one, two))
    naive = np.array([a + b for a, b in zip(x.flat(), y.flat(), strict=True)], np.float32)
    assert np.array_equal((x + y).flat(), naive)
    assert np.array_equal((x + y).flat(), (y + x).flat())
    scaled = np.array([float(v) * factor for v in x.flat()], np.float32)
    assert np.array_equal((x * factor).flat(), scaled)
    assert np.array_equal((factor * x).flat(), scaled)
    assert x.l2() == pytest.approx(sum(float(v) ** 2 for v in x.flat()) ** 0.5, rel=1e-12)


def test_values_cannot_be_changed_through_any_door() -> None:
    source = np.ones(9, np.float32)
    update = Update.from_flat(SPEC, source)
    source[:] = 7
    assert update.flat().max() == 1
    for array in (update.flat(), update.parameters["a"], update.statistics["loss"]):
        with pytest.raises(ValueError, match=r"WRITEABLE|read-only"):
            array.setflags(write=True)
    with pytest.raises(TypeError):
        update.parameters["a"] = source  # type: ignore[index]
    # Without the buffer of `bytes`, a read-only flag alone would be lifted by its owner.
    owned = np.ones(9, np.float32)
    owned.setflags(write=False)
    owned.setflags(write=True)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_a_value_that_is_not_finite_is_refused_by_name(bad: float) -> None:
    flat = np.zeros(9)
    flat[7] = bad
    with pytest.raises(ConfigError, match="'a'"):
        Update.from_flat(SPEC, flat)


def test_an_overflowing_sum_is_refused() -> None:
    big = Update.from_flat(SPEC, np.full(9, 3e38, np.float32))
    with pytest.raises(ConfigError, match="not finite"):
        big + big
    with pytest.raises(ConfigError, match="not finite"):
        big * 10


@pytest.mark.parametrize(
    "other",
    [
        UpdateSpec((TensorSpec("b", (3, 2)), TensorSpec("a", (2,))), SPEC.statistics),
        UpdateSpec((TensorSpec("a", (2,)), TensorSpec("b", (2, 3))), SPEC.statistics),
        UpdateSpec((*SPEC.parameters, TensorSpec("loss", ()))),
        UpdateSpec((TensorSpec("c", (2, 3)), TensorSpec("a", (2,))), SPEC.statistics),
    ],
)
def test_shape_order_part_and_name_all_count(other: UpdateSpec) -> None:
    assert other.size == SPEC.size
    assert other.digest() != SPEC.digest()
    with pytest.raises(ConfigError, match="cannot be added"):
        ramp() + Update.from_flat(other, np.zeros(9, np.float32))


def test_digest_is_stable_across_versions() -> None:
    assert SPEC.digest().hex() == (
        "6266593021fdbacd4d1d2d3d873b77afbf1fc5063015cd47eeaf3664b3850309"
    )


def test_refused_specs() -> None:
    with pytest.raises(ConfigError, match="twice"):
        UpdateSpec((TensorSpec("a", (1,)), TensorSpec("a", (2,))))
    with pytest.raises(ConfigError, match="without a single array"):
        UpdateSpec(())
    with pytest.raises(ConfigError, match="positive"):
        TensorSpec("a", (0, 3))
    with pytest.raises(ConfigError, match="does not fill"):
        Update.from_flat(SPEC, np.zeros(8, np.float32))


def test_it_does_not_print_its_values() -> None:
    assert repr(ramp()) == "<update of 9 values>"
