"""What a site of a masked sum remembers between messages, and its one serialised form.

A round goes through four phases at a site, each a type of its own that holds no more than what
the next step needs: a secret that is not needed any more is not in the next phase.

    Keyed -> Dealt -> Opened -> Masked [-> Confirmed] -> (forgotten)

Against a malicious coordinator a site confirms the survivors before it releases anything.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec

from crypto.agreement import SECRET_BYTES
from crypto.codec import Name  # noqa: TC001 - msgspec resolves it
from crypto.errors import ConfigError, IntegrityError
from crypto.masked_sum_messages import (  # noqa: TC001 - msgspec resolves them
    BindingRecord,
    SiteKeys,
)
from crypto.masked_sum_session import Session, SessionRecord
from crypto.masked_sum_shares import HeldShares  # noqa: TC001 - msgspec resolves it
from crypto.secrets import SecretBytes
from crypto.shamir import SHARE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGEST_STATE_BYTES = 1 << 25
"""Two rounds of 100 sites take about 80 KB, of 4096 in the hybrid suite 21 MB."""

_HALVES = frozenset({0, SECRET_BYTES})
"""The lengths of a half of a pair's secret: none came, or it is whole."""


class _Phase(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    array_like=True,
    eq=False,
    tag_field="phase",
):
    """Base of the phases."""


class Keyed(_Phase, frozen=True, tag="keyed"):
    """Keys were announced; shares were not dealt."""

    keys: SiteKeys
    mask_secret: SecretBytes
    seed: SecretBytes


class Dealt(_Phase, frozen=True, tag="dealt"):
    """Shares were dealt; `others` are the announced keys in name order, without the site's own.

    `drawn` are the sites that shares were dealt to; all others in a complete graph.
    """

    keys: SiteKeys
    mask_secret: SecretBytes
    seed: SecretBytes
    others: tuple[SiteKeys, ...]
    drawn: tuple[Name, ...]
    own: HeldShares


class Peer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True, eq=False):
    """A site of the cohort with which a pairwise mask is shared.

    `is_sent` says whether this site sent it its half of the pair's secret, and `half` is what came
    from it: empty if nothing did.
    """

    keys: SiteKeys
    is_sent: bool
    half: SecretBytes


class Opened(_Phase, frozen=True, tag="opened"):
    """The cohort is known, and the shares for this site are here.

    `peers` are the neighbours in the cohort, `held` what could be opened, `announced` the names
    that neighbours were drawn from (empty in a complete graph).
    """

    keys: SiteKeys
    mask_secret: SecretBytes
    seed: SecretBytes
    peers: tuple[Peer, ...]
    binding: BindingRecord
    held: dict[Name, HeldShares]
    announced: tuple[Name, ...]


class Masked(_Phase, frozen=True, tag="masked"):
    """The vector was masked: the site's own secrets are gone, the cohort's shares remain."""

    keys: SiteKeys
    binding: BindingRecord
    held: dict[Name, HeldShares]
    announced: tuple[Name, ...]


class Confirmed(_Phase, frozen=True, tag="confirmed"):
    """The survivors were confirmed: shares are released for no others."""

    keys: SiteKeys
    binding: BindingRecord
    held: dict[Name, HeldShares]
    survivors: tuple[Name, ...]


Phase: TypeAlias = Keyed | Dealt | Opened | Masked | Confirmed


class SiteState(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    array_like=True,
    eq=False,
    tag_field="schema",
    tag="secure-fl.masking-site.v2",
):
    """Everything a `MaskingSite` is. `rounds` is in rising order; `latest` is -1 at the start."""

    session: SessionRecord
    site: Name
    channel: SecretBytes
    latest: Annotated[int, msgspec.Meta(ge=-1, lt=2**32)]
    rounds: tuple[Phase, ...]


def export(state: SiteState) -> SecretBytes:
    """Return the one encoding of `state`; it holds secrets, so seal it before it is stored."""
    return SecretBytes(
        msgspec.msgpack.encode(state, enc_hook=_reveal_secret, order="deterministic")
    )


def restore(data: SecretBytes) -> tuple[SiteState, Session]:
    """Return the state that `data` encodes, and its session.

    Raises:
        IntegrityError: `data` is not the one encoding of a consistent state.
    """
    raw = data.reveal()
    refused = (
        "The masking state of this site does not decode: nothing was masked or released with it. "
        "Re-key this site; it counts as dropped until then."
    )
    if len(raw) > LARGEST_STATE_BYTES:
        raise IntegrityError(refused)
    try:
        state = msgspec.msgpack.decode(raw, type=SiteState, dec_hook=_hide_secret)
        session = Session.from_record(state.session)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ConfigError) as error:
        raise IntegrityError(refused) from error
    if not hmac.compare_digest(export(state).reveal(), raw) or not _is_consistent(state, session):
        raise IntegrityError(refused)
    return state, session


def _reveal_secret(value: object) -> bytes:
    if not isinstance(value, SecretBytes):
        raise TypeError(f"A masking state holds no {type(value).__name__}.")
    return value.reveal()


def _hide_secret(kind: type, value: object) -> SecretBytes:
    if kind is not SecretBytes or not isinstance(value, bytes):
        raise TypeError(f"A masking state holds no {kind.__name__}.")
    return SecretBytes(value)


def _is_consistent(state: SiteState, session: Session) -> bool:
    numbers = [phase.keys.round for phase in state.rounds]
    return (
        state.site in session.sites
        and len(state.channel) == SECRET_BYTES
        and numbers == sorted(set(numbers))
        and all(number <= state.latest for number in numbers)
        and all(_fits(phase, state.site, session.digest()) for phase in state.rounds)
    )


def _fits(phase: Phase, site: str, session: bytes) -> bool:
    """Whether the phase is this site's, of this session, and its parts agree with each other."""
    if phase.keys.site != site or phase.keys.session != session:
        return False
    if not isinstance(phase, Masked | Confirmed) and {len(phase.mask_secret), len(phase.seed)} != {
        SECRET_BYTES
    }:
        return False
    if isinstance(phase, Keyed):
        return True
    if isinstance(phase, Dealt):
        return _are_whole([phase.own]) and set(phase.drawn) <= {keys.site for keys in phase.others}
    if isinstance(phase, Opened) and any(len(peer.half) not in _HALVES for peer in phase.peers):
        return False
    return _are_whole(phase.held.values()) and _is_of_cohort(phase, site, session)


def _are_whole(held: Iterable[HeldShares]) -> bool:
    return all({len(part.mask_key), len(part.self_mask)} == {SHARE_BYTES} for part in held)


def _is_of_cohort(phase: Opened | Masked | Confirmed, site: str, session: bytes) -> bool:
    binding = phase.binding
    return (
        (binding.session, binding.round) == (session, phase.keys.round)
        and site in binding.cohort
        and {site} <= phase.held.keys() <= set(binding.cohort)
        and list(phase.held) == sorted(phase.held)
    )
