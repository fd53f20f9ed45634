"""Valid values of any message type, built from its annotations alone."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

import msgspec.inspect as types
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import crypto
import secure_fl
import secure_fl.own_models
import secure_fl.rounds
import secure_fl.sites
from crypto.codec import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOST_PARTS = 3
_MOST_BYTES = 40
_SMALLEST, _BEYOND = -(2**63), 2**64  # what MessagePack's integers hold


def project_messages() -> tuple[type[Message], ...]:
    """Return every message type that the project defines, in the order of their schemas."""
    for package in (crypto, secure_fl, secure_fl.own_models, secure_fl.rounds, secure_fl.sites):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    rooms = ("crypto.", "privacy.", "domains.", "audits.", "secure_fl.")
    found = {kind for kind in _below(Message) if kind.__module__.startswith(rooms)}
    return tuple(sorted(found, key=lambda kind: str(kind.__struct_config__.tag)))


def _below(kind: type[Message]) -> Iterator[type[Message]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def instances(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of `kind` that its annotations and bounds allow.

    Raises:
        TypeError: a field is of a type that no message had so far; it needs a line in `_BUILDERS`.
    """
    return _of(types.type_info(kind))


def _of(kind: types.Type) -> st.SearchStrategy[Any]:
    builder = _BUILDERS.get(type(kind))
    if builder is None:
        raise TypeError(f"No strategy for {kind}: add one, or messages with it are not fuzzed.")
    return builder(kind)


def _struct(kind: types.StructType) -> st.SearchStrategy[Any]:
    return st.builds(kind.cls, **{field.name: _of(field.type) for field in kind.fields})


def _integer(kind: types.IntType) -> st.SearchStrategy[int]:
    least = kind.ge if kind.ge is not None else _after(kind.gt)
    most = kind.le if kind.le is not None else _before(kind.lt)
    return st.integers(int(least), int(most))


def _bytes(kind: types.BytesType) -> st.SearchStrategy[bytes]:
    return st.binary(**_sizes(kind.min_length, kind.max_length, _MOST_BYTES))


def _tuple(kind: types.VarTupleType) -> st.SearchStrategy[tuple[Any, ...]]:
    sizes = _sizes(kind.min_length, kind.max_length, _MOST_PARTS)
    return st.lists(_of(kind.item_type), **sizes).map(tuple)


def _dictionary(kind: types.DictType) -> st.SearchStrategy[dict[Any, Any]]:
    sizes = _sizes(kind.min_length, kind.max_length, _MOST_PARTS)
    return st.dictionaries(_of(kind.key_type), _of(kind.value_type), **sizes)


def _text(kind: types.StrType) -> st.SearchStrategy[str]:
    least, most = kind.min_length or 0, kind.max_length
    if kind.pattern is None:
        return st.text(**_sizes(least, most, _MOST_BYTES))
    fits = st.from_regex(kind.pattern, alphabet=st.characters(max_codepoint=127))
    return fits.filter(lambda text: least <= len(text) <= (len(text) if most is None else most))


def _sizes(least: int | None, most: int | None, usual: int) -> dict[str, Any]:
    low = least or 0
    return {"min_size": low, "max_size": max(low, usual if most is None else min(most, usual))}


def _after(bound: float | None) -> int:
    return _SMALLEST if bound is None else int(bound) + 1


def _before(bound: float | None) -> int:
    return _BEYOND - 1 if bound is None else int(bound) - 1


_BUILDERS: dict[type[types.Type], Callable[[Any], st.SearchStrategy[Any]]] = {
    types.StructType: _struct,
    types.IntType: _integer,
    types.BytesType: _bytes,
    types.StrType: _text,
    types.VarTupleType: _tuple,
    types.DictType: _dictionary,
    types.BoolType: lambda _: st.booleans(),
    types.FloatType: lambda _: st.floats(allow_nan=False),
    types.NoneType: lambda _: st.none(),
    types.EnumType: lambda kind: st.sampled_from(kind.cls),
    types.LiteralType: lambda kind: st.sampled_from(kind.values),
    types.UnionType: lambda kind: st.one_of([_of(each) for each in kind.types]),
    types.TupleType: lambda kind: st.tuples(*(_of(each) for each in kind.item_types)),
}


def sample(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """Return `count` values of `strategy`, the same ones each time."""
    found: list[Any] = []

    @settings(
        database=None,
        derandomize=True,
        deadline=None,
        max_examples=count,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Any) -> None:  # noqa: ANN401 - whatever the strategy gives
        found.append(value)

    collect()
    return found
