"""The edges of what a site checks; no value of a masked sum changes, no secret is compared."""

from __future__ import annotations

import dataclasses
import inspect
from importlib import import_module
from typing import Any

import msgspec
import pytest

from crypto.codec import decode, encode
from crypto.errors import PeerError
from crypto.masked_sum import ReleasedShare, ShareKind
from crypto.masked_sum_checks import check_neighbourhoods
from crypto.masked_sum_shares import LARGEST_DEALT_BYTES, DealtShares, ShareBundle

MODULES = (
    *("dealing", "graph", "keys", "messages", "opening", "session", "shares", "state"),
    *("checks", "coordinator", "site"),
)
HOLD_SECRETS = {
    *("HeldShares", "Dealer", "Peer", "SiteState", "MaskTerm"),
    *("Keyed", "Dealt", "Opened", "Masked", "Confirmed"),
}


def values() -> list[type[Any]]:
    """Every dataclass and message that the masked sum's modules define."""
    found = []
    for name in (*(f"crypto.masked_sum_{part}" for part in MODULES), "crypto.masking"):
        module = import_module(name)
        found += [
            kind
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if kind.__module__ == name
            and (dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct))
        ]
    return found


@pytest.mark.parametrize("kind", values(), ids=lambda kind: kind.__name__)
def test_no_value_can_be_changed(kind: type[Any]) -> None:
    if dataclasses.is_dataclass(kind):
        assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
        return
    assert kind.__struct_config__.frozen
    assert kind.__struct_config__.array_like
    assert kind.__struct_config__.forbid_unknown_fields


def test_what_holds_secrets_is_not_compared() -> None:
    kinds = {kind.__name__: kind for kind in values()}
    for name in HOLD_SECRETS:
        kind = kinds[name]
        if dataclasses.is_dataclass(kind):
            assert not kind.__dataclass_params__.eq, name  # type: ignore[attr-defined]
        else:
            assert not kind.__struct_config__.eq, name


def test_a_threshold_of_drawn_survivors_is_enough_and_one_fewer_is_not() -> None:
    drawn = {"a": ("b", "c", "d"), "b": ("c", "d", "e")}
    check_neighbourhoods(2, ("a", "b", "c", "d"), drawn)
    check_neighbourhoods(3, ("a", "b", "c", "d", "e"), drawn)
    with pytest.raises(
        PeerError, match=r"Only 2 of the neighbours that b drew .* and 3 are needed"
    ):
        check_neighbourhoods(3, ("a", "b", "c", "d"), drawn)


LARGEST = {"sealed": 512, "channel_ciphertext": 1088, "pair_half": 1136}


@pytest.mark.parametrize("field", LARGEST)
def test_a_part_of_what_is_dealt_has_a_largest_length(field: str) -> None:
    parts = {name: bytes(size) for name, size in LARGEST.items()}
    fitting = DealtShares(bytes(32), bytes(32), **parts)
    assert decode(DealtShares, encode(fitting), limit_bytes=LARGEST_DEALT_BYTES) == fitting
    longer = msgspec.structs.replace(fitting, **{field: bytes(LARGEST[field] + 1)})
    with pytest.raises(PeerError, match="not a DealtShares"):
        decode(DealtShares, encode(longer), limit_bytes=LARGEST_DEALT_BYTES)


def test_a_bundle_and_a_released_share_do_not_print_their_values() -> None:
    value = bytes(range(1, 34))
    bundle = ShareBundle(value, value, b"")
    share = ReleasedShare("site-a", ShareKind.MASK_KEY, value)
    assert (repr(bundle), str(bundle)) == ("<share bundle>", "<share bundle>")
    assert repr(share) == "<share of site-a's mask-key>"
