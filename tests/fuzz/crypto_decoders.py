"""The decoders of messages, signed files, keys, seals and proofs."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

from fuzz_target import (
    FOLDER,
    KEY,
    LIMIT_BYTES,
    NOW,
    ROOT_KEY,
    ROSTER,
    RUN_ID,
    SIGNER,
    Decoder,
    entropy,
    placed,
)
from hostile_bytes import Form
from hypothesis import strategies as st
from masked_sum_simulator import Simulation, binding_of, session_of, vectors_of
from message_strategies import instances, project_messages
from round_simulator import key_of

from crypto.agreement import AgreementKey
from crypto.checkpoint import Checkpoint, verify_extension
from crypto.codec import Message, decode, encode
from crypto.dsse import Envelope, sign_envelope, verify_envelope
from crypto.errors import ConfigError, IntegrityError, PeerError
from crypto.keyfiles import read_public, read_secret, write_public, write_secret
from crypto.masked_sum import MaskingSite
from crypto.merkle import MerkleLog, verify_inclusion
from crypto.root_rotation import PAYLOAD_TYPE as ROOT_TYPE
from crypto.root_rotation import TrustedRoot, accept_root, sign_root
from crypto.roster import PAYLOAD_TYPE, open_roster, read_unverified_roster, sign_roster
from crypto.roster_succession import accept_successor
from crypto.sealing import seal, unseal
from crypto.secrets import SecretBytes
from crypto.signatures import Signed, VerifyKey, open_signed, sign_message
from secure_fl.rounds.messages import LogProof
from secure_fl.rounds.reading import read_statement

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# -- messages -------------------------------------------------------------------------------------


def _read_message(kind: type[Message], data: bytes) -> None:
    message = decode(kind, data, limit_bytes=LIMIT_BYTES)
    assert encode(message) == data


def _read_body(body: bytes) -> None:
    """The coordinator signs any body as a checkpoint."""
    label = str(Checkpoint.__struct_config__.tag)
    signed = Signed(label, body, "coordinator", SIGNER.sign(label, b"coordinator\0" + body))
    assert encode(open_signed(signed, Checkpoint, SIGNER.public, LIMIT_BYTES)) == body


def _read_statement(data: bytes) -> None:
    signed = decode(Signed, data, limit_bytes=LIMIT_BYTES)
    read_statement(signed, Checkpoint, signed.signer, ROSTER)


@st.composite
def _statements(draw: st.DrawFn) -> bytes:
    signer = draw(st.sampled_from([member.name for member in ROSTER.members]))
    return encode(sign_message(key_of(signer), signer, draw(instances(Checkpoint))))


# -- proofs ---------------------------------------------------------------------------------------

_LOG = MerkleLog(bytes([number]) for number in range(7))


def _read_proof(data: bytes) -> None:
    """The log's proofs, each for the leaf that it names and for the log of four leaves."""
    proof = decode(LogProof, data, limit_bytes=LIMIT_BYTES)
    for index, path in proof.inclusion:
        verify_inclusion(index.to_bytes(8)[-1:], index, len(_LOG), path, _LOG.root())
    older = Checkpoint(RUN_ID, 4, _LOG.root_at(4))
    verify_extension(older, Checkpoint(RUN_ID, len(_LOG), _LOG.root()), proof.consistency)


@st.composite
def _proofs(draw: st.DrawFn) -> bytes:
    indices = draw(st.lists(st.integers(0, len(_LOG) - 1), max_size=3))
    inclusion = tuple((index, _LOG.inclusion_proof(index, len(_LOG))) for index in indices)
    return encode(LogProof(inclusion, _LOG.consistency_proof(4, len(_LOG))))


# -- signed files ---------------------------------------------------------------------------------


def _read_envelope(data: bytes) -> None:
    envelope = Envelope.parse(data)
    assert Envelope.parse(envelope.to_bytes()) == envelope
    verify_envelope(data, PAYLOAD_TYPE, [SIGNER.public], threshold=1)


def _read_roster(data: bytes) -> None:
    roster = open_roster(data, ROOT_KEY.public, NOW)
    assert read_unverified_roster(data) == roster


def _read_roster_payload(payload: bytes) -> None:
    """The consortium signs any payload."""
    data = sign_envelope(PAYLOAD_TYPE, payload, [ROOT_KEY])
    assert open_roster(data, ROOT_KEY.public, NOW).payload() == payload


def _read_root_payload(payload: bytes) -> None:
    """The consortium's root key, and a key that it may hand over to, sign any payload."""
    data = sign_envelope(ROOT_TYPE, payload, [ROOT_KEY, SIGNER])
    assert accept_root(TrustedRoot(ROOT_KEY.public), data).retired == (ROOT_KEY.public,)


def _read_successor(payload: bytes) -> None:
    """The consortium signs any payload as the next roster."""
    data = sign_envelope(PAYLOAD_TYPE, payload, [ROOT_KEY])
    accept_successor(ROSTER, data, ROOT_KEY.public, NOW)


def _root_payload() -> bytes:
    return Envelope.parse(sign_root(ROOT_KEY, SIGNER, 2)).unverified_payload


# -- keys and seals -------------------------------------------------------------------------------


def _read_secret(data: bytes) -> None:
    assert read_secret(placed("fuzzed.key", data)).reveal().hex().encode() in data


def _read_public(data: bytes) -> None:
    assert read_public(placed("fuzzed.pub", data, 0o644)).raw.hex().encode() in data


def _written(write: Callable[[Path], None]) -> bytes:
    path = FOLDER / "written"
    path.unlink(missing_ok=True)
    write(path)
    return path.read_bytes()


def _read_verify_key(data: bytes) -> None:
    key = VerifyKey(data)
    try:
        key.verify("label", b"body", data + data)
    except PeerError:
        return
    raise AssertionError(f"{key} accepts a signature that nobody made")


def _read_agreement_key(data: bytes) -> None:
    assert any(AgreementKey.generate(entropy).shared(data).reveal())


def _read_sealed(data: bytes) -> None:
    plain = unseal(KEY, "fuzz", data)
    assert seal(KEY, "fuzz", plain, lambda _: data[20:32]) == data


# -- a site's masking state -----------------------------------------------------------------------


def _read_masking_state(data: bytes) -> None:
    assert MaskingSite.import_state(SecretBytes(data)).export_state().reveal() == data


@cache
def _masking_states() -> tuple[bytes, ...]:
    """One site's state before and after each of its steps."""
    run = Simulation(session_of(3))
    name = run.session.sites[0]
    states = [run.sites[name].export_state().reveal()]
    run.announce()
    states.append(run.sites[name].export_state().reveal())
    run.deal()
    states.append(run.sites[name].export_state().reveal())
    run.open(binding_of(run.session.sites), 5)
    states.append(run.sites[name].export_state().reveal())
    for site, vector in vectors_of(run.session.sites, 5).items():
        run.upload(site, vector)
    states.append(run.sites[name].export_state().reveal())
    run.announce(1)
    states.append(run.sites[name].export_state().reveal())
    return tuple(states)


def _one(make: Callable[[], bytes]) -> st.SearchStrategy[bytes]:
    """Return a strategy for the bytes that `make` gives, made when they are first needed."""
    return st.builds(cache(make))


MESSAGE_DECODERS = tuple(
    Decoder(
        f"message-{kind.__struct_config__.tag}",
        partial(_read_message, kind),
        (PeerError,),
        instances(kind).map(encode),
        Form.MESSAGE_PACK,
    )
    for kind in project_messages()
)
CRYPTO_DECODERS = (
    Decoder(
        "signed-body",
        _read_body,
        (PeerError,),
        instances(Checkpoint).map(encode),
        Form.MESSAGE_PACK,
    ),
    Decoder("statement", _read_statement, (PeerError,), _statements(), Form.MESSAGE_PACK),
    Decoder("log-proof", _read_proof, (PeerError, IntegrityError), _proofs(), Form.MESSAGE_PACK),
    Decoder(
        "envelope",
        _read_envelope,
        (IntegrityError,),
        _one(lambda: sign_envelope(PAYLOAD_TYPE, b"payload", [SIGNER, ROOT_KEY])),
        Form.JSON,
    ),
    Decoder(
        "roster",
        _read_roster,
        (IntegrityError, ConfigError),
        _one(lambda: sign_roster(ROOT_KEY, ROSTER)),
        Form.JSON,
    ),
    Decoder(
        "roster-payload", _read_roster_payload, (ConfigError,), _one(ROSTER.payload), Form.JSON
    ),
    Decoder(
        "root-payload",
        _read_root_payload,
        (ConfigError, IntegrityError),
        _one(_root_payload),
        Form.JSON,
    ),
    Decoder(
        "roster-successor",
        _read_successor,
        (ConfigError, IntegrityError),
        _one(ROSTER.payload),
        Form.JSON,
    ),
    Decoder(
        "secret-key-file",
        _read_secret,
        (ConfigError, IntegrityError),
        _one(lambda: _written(lambda path: write_secret(path, KEY))),
        Form.BYTES,
    ),
    Decoder(
        "public-key-file",
        _read_public,
        (ConfigError, IntegrityError),
        _one(lambda: _written(lambda path: write_public(path, SIGNER.public))),
        Form.BYTES,
    ),
    Decoder(
        "verify-key", _read_verify_key, (ConfigError,), _one(lambda: SIGNER.public.raw), Form.BYTES
    ),
    Decoder(
        "agreement-key",
        _read_agreement_key,
        (PeerError,),
        _one(lambda: AgreementKey(KEY).public),
        Form.BYTES,
    ),
    Decoder(
        "sealed",
        _read_sealed,
        (IntegrityError,),
        st.binary(max_size=40).map(lambda plain: seal(KEY, "fuzz", plain, entropy)),
        Form.BYTES,
    ),
    Decoder(
        "masking-state",
        _read_masking_state,
        (IntegrityError,),
        st.deferred(lambda: st.sampled_from(_masking_states())),
        Form.MESSAGE_PACK,
    ),
)
