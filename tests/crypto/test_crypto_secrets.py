from __future__ import annotations

import copy
import pickle

import pytest

from crypto.secrets import SecretBytes, system_entropy

MARK = b"PLAINLY-VISIBLE!"


def test_a_secret_shows_itself_to_nobody_who_prints_it() -> None:
    secret = SecretBytes(MARK)
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{[secret]}"):
        assert "PLAINLY" not in shown
        assert MARK.hex() not in shown
        assert "16 secret bytes" in shown


def test_a_secret_is_read_only_by_asking() -> None:
    secret = SecretBytes(MARK)
    assert secret.reveal() == MARK
    assert len(secret) == len(MARK)
    assert not hasattr(secret, "__dict__")


def test_a_secret_keeps_its_own_copy() -> None:
    buffer = bytearray(MARK)
    secret = SecretBytes(bytes(buffer))
    buffer[0] ^= 1
    assert secret.reveal() == MARK


def test_secrets_are_not_compared_hashed_pickled_or_copied() -> None:
    secret = SecretBytes(MARK)
    with pytest.raises(TypeError, match="not compared"):
        _ = secret == SecretBytes(MARK)
    with pytest.raises(TypeError, match="not compared"):
        _ = secret != MARK
    with pytest.raises(TypeError, match="unhashable"):
        hash(secret)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret, protocol)
    for duplicate in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled or copied"):
            duplicate(secret)


def test_only_bytes_become_a_secret() -> None:
    # bytes(5) is five zeros, which would be a key that everybody knows.
    for value in (5, "text", None, [1, 2]):
        with pytest.raises(TypeError, match="bytes"):
            SecretBytes(value)  # type: ignore[arg-type]


def test_system_entropy_gives_what_was_asked_and_never_twice() -> None:
    drawn = [system_entropy(32) for _ in range(100)]
    assert {len(each) for each in drawn} == {32}
    assert len(set(drawn)) == 100
    assert system_entropy(0) == b""
