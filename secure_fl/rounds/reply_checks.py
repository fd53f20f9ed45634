"""What a coordinator checks of a site's reply before it uses it; PeerError drops the sender."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto.codec import decode
from crypto.digests import canonical_json, sha256
from crypto.errors import IntegrityError, PeerError
from crypto.masked_sum import Release
from privacy.events import to_json as event_to_json
from privacy.ledger import ExtractEntry
from secure_fl.guarantee import planned_event, round_event
from secure_fl.parameters import parameter_digest
from secure_fl.rounds.messages import STATEMENT_LIMIT_BYTES
from secure_fl.rounds.reading import expect, shares_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from privacy.events import Event
    from privacy.update import UpdateSpec
    from secure_fl.config import Mechanism
    from secure_fl.rounds.messages import (
        Applied,
        CloseReply,
        ExtractSent,
        Joined,
        KeyMade,
        OpenReply,
        Released,
        SharesSent,
        Uploaded,
    )


@dataclass(frozen=True)
class Plan:
    """What every site has to charge and to scrub: functions of the configuration alone.

    Attributes:
        whole: the run's event in canonical JSON.
        round: one round's, likewise.
        scrub: the PII entities that every site looks for.
        canaries: whether every site draws some.
    """

    whole: bytes
    round: bytes
    scrub: tuple[str, ...]
    canaries: bool

    @classmethod
    def of(cls, mechanism: Mechanism) -> Plan:
        """Return the plan of `mechanism`.

        Raises:
            ConfigError: it has no sigma yet.
        """
        whole, round_ = planned_event(mechanism), round_event(mechanism)
        drawn = mechanism.canaries is not None
        return cls(_encoded(whole), _encoded(round_), mechanism.data.scrub, drawn)


@dataclass(frozen=True)
class Awaited:
    """The open round that replies must be about.

    Attributes:
        round: its number.
        header_digest: of its signed header.
        survivors: the sites that the close names; empty before it.
    """

    round: int
    header_digest: bytes
    survivors: tuple[str, ...] = ()


def check_joined(joined: Joined, plan: Plan, log_size: int) -> None:
    """Return if the site reserved and scrubbed as planned, and saw no more log than there is."""
    expect(joined.event == plan.whole, "The site reserved another plan.")
    expect(
        set(plan.scrub) <= set(joined.looked_for),
        "The site did not look for everything that the run takes out of records.",
    )
    expect(
        bool(joined.canaries) is plan.canaries,
        "The site is committed to canaries in a run without, or to none in a run with them.",
    )
    # A proof from beyond the log's end cannot be made: asking for one must not stop the run.
    expect(joined.checkpoint_size <= log_size, "The site saw a longer log than this one.")


def check_shares(sent: SharesSent | KeyMade, shares: Mapping[str, bytes], round_: int) -> None:
    """Return if `shares` are what was signed for round `round_`."""
    expect(sent.round == round_, "The shares are for another round.")
    expect(sent.shares_digest == shares_digest(shares), "The shares are not the signed ones.")


def check_upload(
    uploaded: Uploaded, reply: OpenReply, awaited: Awaited, plan: Plan, length_bytes: int | None
) -> None:
    """Return if the upload is the signed one, of the open round, and was charged for.

    `length_bytes` is None where the length differs from upload to upload, as ciphertexts' does.
    """
    expect(length_bytes in {None, len(reply.vector)}, "The vector has another length.")
    expect(
        uploaded.header_digest == awaited.header_digest and uploaded.round == awaited.round,
        "The upload is of another round.",
    )
    expect(uploaded.event == plan.round, "The site charged another event than the round's.")
    expect(uploaded.vector_digest == sha256(reply.vector), "The vector is not the signed one.")


def check_released(released: Released, reply: CloseReply, awaited: Awaited) -> None:
    """Return if the release is the signed one, for the survivors of the open round."""
    expect(
        released.header_digest == awaited.header_digest
        and released.round == awaited.round
        and released.survivors == awaited.survivors,
        "The shares were released for another round, or for other survivors.",
    )
    expect(released.shares_digest == sha256(reply.release), "The release is not the signed one.")


def check_applied(applied: Applied, reply: CloseReply, awaited: Awaited, spec: UpdateSpec) -> None:
    """Return if the parameters are the signed ones, for the survivors of the open round."""
    expect(
        applied.header_digest == awaited.header_digest
        and applied.round == awaited.round
        and applied.survivors == awaited.survivors,
        "The sum was decrypted for another round, or for other survivors.",
    )
    expect(
        applied.parameter_digest == parameter_digest(spec, reply.release),
        "The parameters are not the signed ones.",
    )


def open_release(reply: CloseReply, site: str) -> Release:
    """Return the masked sum's release of `site`."""
    release = decode(Release, reply.release, limit_bytes=STATEMENT_LIMIT_BYTES)
    expect(release.site == site, "The release is another site's.")
    return release


def check_extract(
    sent: ExtractSent, extract: bytes, plan: Plan, drawn: Collection[tuple[int, int]], run: str
) -> None:
    """Return if the ledger's extract is the signed one, and says what this run must have cost.

    Args:
        sent: the site's signed statement.
        extract: the entries in canonical JSON.
        plan: what had to be reserved, and drawn each time.
        drawn: the (round, attempt) pairs in which the site's uploads were taken.
        run: the run's name in a ledger.
    """
    expect(sent.extract_digest == sha256(extract), "The extract is not the signed one.")
    try:
        entries = [ExtractEntry.from_json(value) for value in json.loads(extract)]
        canonical = canonical_json([entry.to_json() for entry in entries])
    except (ValueError, TypeError, RecursionError, IntegrityError) as error:
        raise PeerError("The extract is no list of ledger entries.") from error
    expect(canonical == extract, "The extract is not in its one encoding.")
    expect(all(entry.run == run for entry in entries), "The extract is of another run.")
    reserved = [_encoded(entry.event) for entry in entries if entry.draw is None]
    expect(reserved == [plan.whole], "The extract does not reserve the run's plan.")
    draws = [entry for entry in entries if entry.draw is not None]
    expect(
        all(_encoded(entry.event) == plan.round for entry in draws),
        "The extract draws something else than the configuration says.",
    )
    charged = {(entry.draw.round, entry.draw.attempt) for entry in draws if entry.draw is not None}
    expect(set(drawn) <= charged, "The extract lacks a draw that an upload was made of.")


def _encoded(event: Event) -> bytes:
    return canonical_json(event_to_json(event))
