"""The decoders of ledgers, numbers, configuration, run folders and bundles."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import all_test_folders
import msgspec
import numpy as np
import report_samples
import tomli_w
from fuzz_target import (
    FOLDER,
    LIMIT_BYTES,
    MECHANISM,
    ROSTER,
    RUN_ID,
    SIGNER,
    Decoder,
    entropy,
    placed,
)
from hostile_bytes import Form
from hypothesis import strategies as st
from message_strategies import instances, sample
from round_simulator import SPEC, key_of, mechanism_of

from audits.facts import ReportFacts
from audits.site_facts import SiteFacts
from crypto.codec import decode, encode
from crypto.digests import canonical_json, sha256
from crypto.dsse import sign_envelope
from crypto.errors import BudgetError, ConfigError, IntegrityError, PeerError
from crypto.masked_sum import SiteKeys
from crypto.sealing import seal
from crypto.signatures import sign_message
from privacy.events import NoGuarantee, Relation, SubsampledGaussian, Unit, from_json, to_json
from privacy.fixed_point import Grid
from privacy.ledger_acts import Declaration, LostCharge, Restoration, parse_line
from privacy.ledger_entries import Draw, Entry, ExtractEntry
from privacy.ledger_terms import Adaptive, Planned, Terms
from privacy.update import Update
from secure_fl import deployment
from secure_fl.config import load_config, parse_mechanism
from secure_fl.manifest import PAYLOAD_TYPE, open_manifest
from secure_fl.parameters import vector_from_bytes, vector_to_bytes
from secure_fl.policy import load_policy
from secure_fl.reporting import extract_entries
from secure_fl.rounds import messages
from secure_fl.rounds.coordinator import Coordinator
from secure_fl.rounds.reading import session_of
from secure_fl.rounds.reply_checks import Plan, check_extract
from secure_fl.rounds.site_state import SiteState
from secure_fl.rounds.steps import Proposal
from secure_fl.runfolder import RunFolder
from secure_fl.sites import store as store_module
from secure_fl.transcript import Transcript
from secure_fl.transcript_check import read_transcript
from secure_fl.transport.bundle import COMPONENTS, check_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from secure_fl.config import Mechanism

_TIME = "2026-03-01T00:00:00Z"


# -- a ledger -------------------------------------------------------------------------------------

_EVENTS = st.just(NoGuarantee()) | st.builds(
    SubsampledGaussian, st.floats(0.1, 1e3), st.floats(1e-6, 1.0), st.integers(1, 2**31)
)
_TERMS = st.builds(Terms, st.sampled_from(Unit), st.sampled_from(Relation), st.floats(1e-9, 0.1))
_DRAWS = st.none() | st.builds(Draw, st.integers(0, 99), st.integers(0, 3))
_ENTRIES = st.builds(
    Entry,
    sequence=st.integers(1, 99),
    time=st.just(_TIME),
    dataset=st.just("records"),
    version=st.binary(min_size=32, max_size=32),
    run=st.just(RUN_ID.hex()),
    event=_EVENTS,
    terms=_TERMS,
    draw=_DRAWS,
)
_ACTS = st.builds(
    Declaration,
    sequence=st.integers(1, 99),
    time=st.just(_TIME),
    dataset=st.just("records"),
    terms=_TERMS,
    composition=st.sampled_from([Planned(), Adaptive(8.0)]),
    shares_people_with=st.sampled_from([(), ("others",)]),
) | st.builds(
    Restoration,
    sequence=st.integers(1, 99),
    time=st.just(_TIME),
    lost_head=st.none() | st.binary(min_size=32, max_size=32),
    charges=st.tuples(st.builds(LostCharge, st.just("records"), st.tuples(_EVENTS))),
)
_LINES = _ENTRIES | _ACTS
_EXTRACT_ENTRIES = st.builds(
    ExtractEntry,
    time=st.just(_TIME),
    dataset=st.just("ab" * 32),
    version=st.just("cd" * 32),
    run=st.just(RUN_ID.hex()),
    event=_EVENTS,
    terms=_TERMS,
    draw=_DRAWS,
)


def _read_event(data: bytes) -> None:
    event = from_json(_parsed(data))
    assert from_json(json.loads(canonical_json(to_json(event)))) == event


def _parsed(data: bytes) -> object:
    """What a decoder of parsed JSON is given; what is no JSON never comes that far."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError("no JSON") from error


def _read_line(data: bytes) -> None:
    assert parse_line(data).body() == data


def _read_extract(data: bytes) -> None:
    entries = extract_entries(data)
    assert extract_entries(canonical_json([entry.to_json() for entry in entries])) == entries


_ANY_SENT = sample(instances(messages.ExtractSent), 1)[0]


def _check_extract(data: bytes) -> None:
    """A site signs any extract as its own."""
    sent = msgspec.structs.replace(_ANY_SENT, extract_digest=sha256(data))
    check_extract(sent, data, Plan.of(MECHANISM), set(), RUN_ID.hex())


def _right_extract() -> bytes:
    event = from_json(json.loads(Plan.of(MECHANISM).whole))
    terms = Terms(Unit.RECORD, Relation.ADD_REMOVE, 1e-5)
    entry = ExtractEntry(_TIME, "ab" * 32, "cd" * 32, RUN_ID.hex(), event, terms, None)
    return canonical_json([entry.to_json()])


# -- numbers --------------------------------------------------------------------------------------


def _read_vector(data: bytes) -> None:
    assert vector_to_bytes(vector_from_bytes(SPEC, data)) == data


def _read_update(data: bytes) -> None:
    values = np.frombuffer(data[: len(data) // 8 * 8], "<f8")
    with np.errstate(over="ignore"):
        expected = values.astype(np.float32).tobytes()
    assert Update.from_flat(SPEC, values).flat().tobytes() == expected


def _read_sum(data: bytes) -> None:
    grid = Grid(4.0, 5)
    decoded = grid.decode_sum(np.frombuffer(data[: len(data) // 4 * 4], "<u4"), 3)
    assert (np.abs(decoded) <= 3 * grid.outermost * grid.step).all()


# -- what a coordinator and its transcript say ----------------------------------------------------


def _ignore(_: object) -> None:
    """What was read is another test's to look at."""


def _hello(run_id: bytes, mechanism: Mechanism) -> messages.Hello:
    """Return what the coordinator says first."""
    proposal = Proposal(run_id, 0, 0, mechanism, ROSTER, SPEC)
    start = np.zeros(SPEC.size, np.float32)
    return Coordinator(proposal, start, SIGNER, Transcript(run_id, "coordinator", SIGNER))._hello


def _read_hello(data: bytes) -> None:
    session_of(decode(messages.Hello, data, limit_bytes=LIMIT_BYTES)).digest()


_STATED = (
    messages.Hello,
    messages.Joined,
    messages.SharesSent,
    messages.RoundHeader,
    messages.Uploaded,
    messages.RoundClose,
    messages.Released,
    messages.ExtractSent,
    SiteKeys,
)


def _read_transcript(data: bytes) -> None:
    """A transcript of one statement, read as an auditor reads it."""
    try:
        read_transcript([data], ROSTER, MECHANISM, RUN_ID)
    except IntegrityError as error:
        if "does not show that round 1 was opened" not in str(error):
            raise


@st.composite
def _leaves(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(_STATED))
    statement = draw(instances(kind))
    if isinstance(statement, messages.Hello):
        # Bound to this run, so that its session is looked at.
        right = _hello(RUN_ID, MECHANISM)
        bound = {
            name: getattr(right, name) for name in ("run_id", "config_digest", "roster_digest")
        }
        statement = draw(st.sampled_from([right, msgspec.structs.replace(statement, **bound)]))
    signer = getattr(statement, "site", "coordinator")
    return encode(sign_message(key_of(signer), signer, statement))


# -- files that a person wrote, bundles, and a site's store ---------------------------------------


def _read_mechanism(data: bytes) -> None:
    assert parse_mechanism(data).to_json() == data


def _read_bundle_folder(data: bytes) -> None:
    placed("bundle/pyproject.toml", data, 0o644)
    _check_bundle(FOLDER / "bundle")


def _check_bundle(path: Path) -> None:
    with contextlib.suppress(BudgetError):  # read, and on no list
        check_bundle(path, [])


_BUNDLE = tomli_w.dumps({"tool": {"flwr": {"app": {"components": COMPONENTS}}}}).encode()


def _archive(compression: int) -> bytes:
    with io.BytesIO() as stream:
        with zipfile.ZipFile(stream, "w", compression) as archive:
            archive.writestr("pyproject.toml", _BUNDLE)
            archive.writestr(".info/CONTENT", b"made by the packer")
        return stream.getvalue()


def _read_stored_state(plain: bytes) -> None:
    """Whoever holds the site's key seals what it likes."""
    store = store_module.FileSiteStore(FOLDER / "store", key_of("site-1"), entropy)
    sealed = seal(store._key, store_module._label(RUN_ID), plain, entropy)
    placed(f"store/{store._path(RUN_ID).name}", sealed)
    state = store.load(RUN_ID)
    assert state is not None
    assert encode(state) == plain


# -- a run folder ---------------------------------------------------------------------------------

_RUN = RunFolder(FOLDER / "run")
_METRICS: dict[str, Any] = {
    "schema": "secure-fl.round-metrics.v1",
    "round": 1,
    "attempts": 1,
    "survivors": ["site-1"],
    "accuracy": 0.5,
    "macro_f1": 0.5,
    "weighted_f1": 0.5,
    "epsilon": 1.0,
    "seconds": 2.0,
}
_PROGRESS: dict[str, Any] = {
    "schema": "secure-fl.progress.v1",
    "run_id": "ab" * 16,
    "started": _TIME,
    "attempt": 0,
    "tries": 0,
    "rounds_done": 1,
    "parameters_sha256": None,
    "kept_sha256": None,
    "before": _METRICS,
    "extracts": {"site-1": "W10="},
    "budget_carried": True,
}
_REPORTS = [
    facts.to_json()
    for facts in (
        report_samples.report(),
        report_samples.report(privacy=report_samples.distributed_privacy(), every=3),
        report_samples.report(privacy=report_samples.site_privacy()),
    )
]
_CHECKPOINT = {
    "schema": "secure-fl.signed-checkpoint.v1",
    "label": "secure-fl.checkpoint.v1",
    "body": "AAAA",
    "signer": "coordinator",
    "signature": "A" * 86 + "==",
}
_MANIFEST: dict[str, Any] = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [
        {"name": name, "digest": {"sha256": "ab" * 32}} for name in ("config.toml", "facts.json")
    ],
    "predicateType": "https://secure-fl.org/run/v1",
    "predicate": {
        "run_id": "ab" * 16,
        "config_digest": "ab" * 32,
        "roster_digest": "ab" * 32,
        "transcript_root": "ab" * 32,
        "transcript_size": 3,
        "signed_at": _TIME,
    },
}


def _read_manifest(payload: bytes) -> None:
    """The coordinator signs any payload."""
    open_manifest(sign_envelope(PAYLOAD_TYPE, payload, [SIGNER]), SIGNER.public)


def _read_ledger_file(data: bytes) -> None:
    placed("run/ledger.json", data, 0o644)
    for extract in _RUN.ledger().values():
        extract_entries(extract)


def _in_folder(name: str, read: Callable[[], object]) -> Callable[[bytes], None]:
    def read_placed(data: bytes) -> None:
        placed(f"run/{name}", data, 0o644)
        read()

    return read_placed


def _examples(*names: str) -> st.SearchStrategy[bytes]:
    root = all_test_folders.TESTS.parent / "examples"
    return st.sampled_from([(root / name).read_bytes() for name in names])


def _json(*values: Any) -> st.SearchStrategy[bytes]:  # noqa: ANN401 - any JSON
    return st.sampled_from([json.dumps(value).encode() for value in values])


def _arrays(count: int, kind: str) -> st.SearchStrategy[bytes]:
    numbers = st.lists(st.integers(-1000, 1000), min_size=count, max_size=count)
    return numbers.map(lambda drawn: np.array(drawn).astype(kind).tobytes())


_SITE_FILE = tomli_w.dumps(
    {"schema": "secure-fl.site.v1", "data": {"dataset": "finance.generated", "part": 2, "parts": 3}}
).encode()

PEER, DISK, PERSON = (PeerError,), (IntegrityError,), (ConfigError,)

RUN_DECODERS = (
    Decoder("event", _read_event, PERSON, _EVENTS.map(to_json).map(canonical_json), Form.JSON),
    Decoder("ledger-entry", _read_line, DISK, _LINES.map(lambda line: line.body()), Form.JSON),
    Decoder(
        "ledger-extract",
        _read_extract,
        DISK,
        st.lists(_EXTRACT_ENTRIES.map(ExtractEntry.to_json), max_size=3).map(canonical_json),
        Form.JSON,
    ),
    Decoder("signed-extract", _check_extract, PEER, st.builds(_right_extract), Form.JSON),
    Decoder("parameters", _read_vector, PEER, _arrays(SPEC.size, "<f4"), Form.BYTES),
    Decoder("update", _read_update, PERSON, _arrays(SPEC.size, "<f8"), Form.BYTES),
    Decoder("opened-sum", _read_sum, PEER, _arrays(SPEC.size, "<i4"), Form.BYTES),
    Decoder(
        "hello",
        _read_hello,
        (PeerError, ConfigError),
        st.builds(lambda: encode(_hello(RUN_ID, MECHANISM))),
        Form.MESSAGE_PACK,
    ),
    Decoder("transcript", _read_transcript, DISK, _leaves(), Form.MESSAGE_PACK),
    Decoder(
        "mechanism",
        _read_mechanism,
        PERSON,
        st.sampled_from([MECHANISM.to_json(), mechanism_of().to_json()]),
        Form.JSON,
    ),
    Decoder(
        "run-file",
        lambda data: _ignore(load_config(placed("run.toml", data))),
        PERSON,
        _examples("finance.toml", "finance-fpb.toml"),
        Form.TOML,
    ),
    Decoder(
        "policy-file",
        lambda data: _ignore(load_policy(placed("policy.toml", data))),
        PERSON,
        _examples("policy.toml"),
        Form.TOML,
    ),
    Decoder(
        "site-file",
        lambda data: _ignore(deployment._read(placed("site.toml", data), deployment.SiteFile)),
        PERSON,
        st.just(_SITE_FILE),
        Form.TOML,
    ),
    Decoder("bundle-folder", _read_bundle_folder, PEER, st.just(_BUNDLE), Form.TOML),
    Decoder(
        "bundle-archive",
        lambda data: _check_bundle(placed("bundle.fab", data)),
        PEER,
        st.sampled_from([_archive(way) for way in (0, 8, 12, 14)]),
        Form.BYTES,
    ),
    Decoder(
        "stored-state",
        _read_stored_state,
        DISK,
        instances(SiteState).map(encode),
        Form.MESSAGE_PACK,
    ),
    Decoder("manifest", _read_manifest, DISK, _json(_MANIFEST), Form.JSON),
    Decoder(
        "run-config",
        _in_folder("config.toml", _RUN.config),
        DISK,
        _examples("finance.toml"),
        Form.TOML,
    ),
    Decoder(
        "run-progress",
        _in_folder("progress/progress.json", _RUN.progress),
        DISK,
        _json(_PROGRESS),
        Form.JSON,
    ),
    Decoder(
        "run-metrics", _in_folder("metrics.jsonl", _RUN.metrics), DISK, _json(_METRICS), Form.JSON
    ),
    Decoder(
        "run-leaves",
        _in_folder("transcript/leaves.b64", _RUN.leaves),
        DISK,
        st.just(b"AAAA\nAAA=\n"),
        Form.BYTES,
    ),
    Decoder(
        "run-checkpoint",
        _in_folder("transcript/checkpoint.json", _RUN.checkpoint),
        DISK,
        _json(_CHECKPOINT),
        Form.JSON,
    ),
    Decoder(
        "run-ledger",
        _read_ledger_file,
        DISK,
        _json({"schema": "s", "sites": {"site-1": json.loads(_right_extract())}}),
        Form.JSON,
    ),
    Decoder(
        "report-facts",
        lambda data: _ignore(ReportFacts.from_json(data)),
        DISK,
        st.sampled_from(_REPORTS),
        Form.JSON,
    ),
    Decoder(
        "site-facts",
        lambda data: _ignore(SiteFacts.from_json(data)),
        DISK,
        st.just(report_samples.site_report().to_json()),
        Form.JSON,
    ),
)
