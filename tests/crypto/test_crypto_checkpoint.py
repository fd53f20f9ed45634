from __future__ import annotations

import msgspec
import pytest

from crypto.checkpoint import Checkpoint, verify_extension
from crypto.codec import decode, encode
from crypto.errors import IntegrityError, PeerError
from crypto.merkle import EMPTY_ROOT, MerkleLog
from crypto.secrets import SecretBytes
from crypto.signatures import SigningKey, open_signed, sign_message

RUN = bytes(range(16))
LOG = MerkleLog(b"leaf %d" % index for index in range(9))
KEY = SigningKey.from_seed(SecretBytes(bytes(range(32))))


def _at(size: int, log: MerkleLog = LOG) -> Checkpoint:
    return Checkpoint(run_id=RUN, size=size, root=log.root_at(size))


def test_a_checkpoint_travels_signed() -> None:
    signed = sign_message(KEY, "coordinator", _at(9))
    assert signed.label == "secure-fl.checkpoint.v1"
    assert open_signed(signed, Checkpoint, KEY.public, 256) == _at(9)


@pytest.mark.parametrize(
    "change",
    [{"run_id": RUN[::-1]}, {"size": 8}, {"size": 10}, {"root": EMPTY_ROOT}],
    ids=lambda change: next(iter(change)),
)
def test_every_field_is_under_the_signature(change: dict[str, object]) -> None:
    signed = sign_message(KEY, "coordinator", _at(9))
    other = encode(msgspec.structs.replace(_at(9), **change))
    with pytest.raises(PeerError, match="does not verify"):
        open_signed(msgspec.structs.replace(signed, body=other), Checkpoint, KEY.public, 256)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run_id", bytes(15)),
        ("run_id", bytes(17)),
        ("size", -1),
        ("size", 2**53),
        ("root", bytes(31)),
    ],
)
def test_a_checkpoint_with_a_wrong_field_does_not_decode(field: str, value: object) -> None:
    data = encode(msgspec.structs.replace(_at(9), **{field: value}))
    with pytest.raises(PeerError, match="not a Checkpoint"):
        decode(Checkpoint, data, limit_bytes=256)


@pytest.mark.parametrize("old", range(10))
def test_a_checkpoint_of_the_same_log_extends_every_earlier_one(old: int) -> None:
    verify_extension(_at(old), _at(9), LOG.consistency_proof(old, 9))


def test_a_split_a_shrunk_or_another_runs_log_is_found() -> None:
    other = MerkleLog([b"leaf 0", b"another", *(b"leaf %d" % index for index in range(2, 9))])
    with pytest.raises(IntegrityError, match="split"):
        verify_extension(_at(5), _at(9, other), other.consistency_proof(5, 9))
    with pytest.raises(IntegrityError, match="split"):
        verify_extension(_at(9), _at(5), ())
    elsewhere = msgspec.structs.replace(_at(9), run_id=RUN[::-1])
    with pytest.raises(IntegrityError, match="another run"):
        verify_extension(_at(5), elsewhere, LOG.consistency_proof(5, 9))


def test_two_roots_for_one_size_are_found() -> None:
    other = MerkleLog(b"other %d" % index for index in range(9))
    with pytest.raises(IntegrityError, match="split"):
        verify_extension(_at(9), _at(9, other), ())
