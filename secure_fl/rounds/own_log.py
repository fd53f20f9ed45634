"""What a coordinator's own log says of earlier rounds and attempts.

The leaves are this run's statements, whose signatures were checked when they were logged.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

from crypto.codec import Message, decode
from crypto.errors import PeerError
from crypto.signatures import Signed, schema_of
from secure_fl.rounds.journal import headed
from secure_fl.rounds.messages import (
    STATEMENT_LIMIT_BYTES,
    Hello,
    Joined,
    RoundClose,
    RoundHeader,
    Uploaded,
)
from secure_fl.rounds.reading import session_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

M = TypeVar("M", bound=Message)


def survivors_named(leaves: Iterable[bytes], round_: int) -> tuple[str, ...] | None:
    """Return the survivors that the last close of `round_` named; None if it was never closed."""
    named: tuple[str, ...] | None = None
    for close in _statements(leaves, RoundClose):
        if close.round == round_:
            named = close.survivors
    return named


def times_opened(leaves: Iterable[bytes], round_: int) -> int:
    """Return how many headers opened `round_`, in all attempts."""
    return sum(header.round == round_ for header in _statements(leaves, RoundHeader))


def uploads_taken(leaves: Iterable[bytes]) -> Mapping[str, set[tuple[int, int]]]:
    """Return, by site, the (round, attempt) pairs in which an upload of it was taken."""
    kept = tuple(leaves)
    attempts = {session_of(hello).digest(): hello.attempt for hello in _statements(kept, Hello)}
    taken: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for uploaded in _statements(kept, Uploaded):
        taken[uploaded.site].add((uploaded.round, attempts[uploaded.session]))
    return taken


def last_headed(leaves: Iterable[bytes]) -> tuple[Signed, ...]:
    """Return each site's last statement in which its heads stand, in the order of their names."""
    last: dict[str, Signed] = {}
    for leaf in leaves:
        signed = decode(Signed, leaf, limit_bytes=2 * STATEMENT_LIMIT_BYTES)
        if headed(signed) is not None:
            last[signed.signer] = signed
    return tuple(last[site] for site in sorted(last))


def canaries_committed(leaves: Iterable[bytes]) -> dict[str, bytes]:
    """Return, by site, what it is committed to since it joined first."""
    committed: dict[str, bytes] = {}
    for joined in _statements(leaves, Joined):
        committed.setdefault(joined.site, joined.canaries)
    return committed


def _statements(leaves: Iterable[bytes], kind: type[M]) -> Iterator[M]:
    for leaf in leaves:
        signed = decode(Signed, leaf, limit_bytes=2 * STATEMENT_LIMIT_BYTES)
        if signed.label == schema_of(kind):
            yield decode(kind, signed.body, limit_bytes=STATEMENT_LIMIT_BYTES)


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
