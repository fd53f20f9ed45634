"""What a coordinator's own log says about a round that it attempts again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.codec import decode
from crypto.errors import PeerError
from crypto.signatures import Signed, schema_of
from secure_fl.rounds.messages import STATEMENT_LIMIT_BYTES, RoundClose

if TYPE_CHECKING:
    from collections.abc import Iterable


def survivors_named(leaves: Iterable[bytes], round_: int) -> tuple[str, ...] | None:
    """Return the survivors that the last close of `round_` named; None if it was never closed.

    `leaves` are this run's statements, which the caller's own log holds: no signature is checked.
    """
    named: tuple[str, ...] | None = None
    for leaf in leaves:
        signed = decode(Signed, leaf, limit_bytes=2 * STATEMENT_LIMIT_BYTES)
        if signed.label != schema_of(RoundClose):
            continue
        close = decode(RoundClose, signed.body, limit_bytes=STATEMENT_LIMIT_BYTES)
        if close.round == round_:
            named = close.survivors
    return named


def repeatable_cohort(
    leaves: Iterable[bytes], round_: int, senders: tuple[str, ...]
) -> tuple[str, ...]:
    """Return those of `senders` whose masked sum without noise sites will open in `round_`.

    Raises:
        PeerError: a site is missing without which the others open nothing.
    """
    named = survivors_named(leaves, round_)
    if named is None:
        return senders
    missing = sorted(set(named) - set(senders))
    if missing:
        raise PeerError(
            f"Round {round_} was closed before, for {', '.join(named)}, and {', '.join(missing)} "
            "did not come back. Without noise a site opens one round for the same sites alone, "
            "since two sums would differ by single updates: resume the run when they are back, or "
            "start a new one."
        )
    return named
