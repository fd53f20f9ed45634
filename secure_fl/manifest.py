"""The signed manifest of a run folder: an in-toto statement in a DSSE envelope.

Its subjects are the digests of every file; its predicate says which run, under which roster, and
when it was signed. See https://in-toto.io/Statement/v1 and the DSSE specification v1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from crypto.digests import canonical_json, digest_file
from crypto.dsse import sign_envelope, verify_envelope
from crypto.errors import IntegrityError

if TYPE_CHECKING:
    from crypto.signatures import SigningKey, VerifyKey
    from secure_fl.runfolder import RunFolder

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://secure-fl.org/run/v1"

Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Digest(_Strict):
    sha256: Hex32


class _Subject(_Strict):
    name: str
    digest: _Digest


class RunPredicate(_Strict):
    """What the statement says of the run beside its files."""

    run_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    config_digest: Hex32
    roster_digest: Hex32
    transcript_root: Hex32
    transcript_size: int
    signed_at: str


class _Statement(_Strict):
    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[_Subject, ...]
    predicate_type: Literal["https://secure-fl.org/run/v1"] = Field(alias="predicateType")
    predicate: RunPredicate


@dataclass(frozen=True)
class Manifest:
    """A manifest that verified: the files' digests by name, and the predicate."""

    files: dict[str, str]
    predicate: RunPredicate


def sign_manifest(folder: RunFolder, predicate: RunPredicate, key: SigningKey) -> bytes:
    """Return the signed manifest over every result that is in `folder` now."""
    statement = _Statement(
        _type=STATEMENT_TYPE,
        subject=tuple(
            _Subject(name=name, digest=_Digest(sha256=digest_file(folder.path / name).hex()))
            for name in folder.results()
        ),
        predicateType=PREDICATE_TYPE,
        predicate=predicate,
    )
    payload = canonical_json(statement.model_dump(mode="json", by_alias=True))
    return sign_envelope(PAYLOAD_TYPE, payload, [key])


def open_manifest(data: bytes, key: VerifyKey) -> Manifest:
    """Return the manifest in `data`, if `key` signed it.

    Raises:
        IntegrityError: it was signed by another key, altered, or is no manifest of a run.
    """
    payload = verify_envelope(data, PAYLOAD_TYPE, [key], threshold=1)
    try:
        statement = _Statement.model_validate(json.loads(payload))
    except (ValueError, RecursionError) as error:  # pydantic's errors are ValueErrors
        raise IntegrityError(
            "The manifest is signed and is no run's manifest: this is not a run folder of this "
            "version."
        ) from error
    files = {subject.name: subject.digest.sha256 for subject in statement.subject}
    if len(files) != len(statement.subject):
        raise IntegrityError("The manifest names a file twice: which digest holds is not said.")
    return Manifest(files, statement.predicate)


def signed_at(moment: datetime) -> str:
    """Return `moment` as the manifest writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
