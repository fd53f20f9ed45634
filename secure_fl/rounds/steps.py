"""What a coordinator is given, and what it says to do next."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from crypto.roster import Roster
    from privacy.update import UpdateSpec
    from secure_fl.config import Mechanism
    from secure_fl.rounds.messages import Joined, RefusalCode


class Phase(Enum):
    """Which replies the coordinator waits for."""

    HELLO = "hello"
    SHARE = "share"
    OPEN = "open"
    CONFIRM = "confirm"
    CLOSE = "close"


@dataclass(frozen=True)
class Exchange:
    """Requests that go out together: site name to bytes.

    Attributes:
        phase: which step of the protocol this is.
        requests: what each site is sent.
        to_all: whether all bytes are the same, so that names need not be known yet.
    """

    phase: Phase
    requests: Mapping[str, bytes]
    to_all: bool = False


@dataclass(frozen=True)
class OpenedRound:
    """A round whose sum was opened and whose rule was applied.

    Attributes:
        round: its number, from 0.
        parameters: the parameters after it, shape (d,).
        survivors: whose updates are in the sum.
        extracts: after the last round, each survivor's ledger extract in canonical JSON.
        memory: what the server's rule remembers for the next round; computed from opened sums.
    """

    round: int
    parameters: NDArray[np.float32]
    survivors: tuple[str, ...]
    extracts: Mapping[str, bytes]
    memory: bytes = b""


@dataclass(frozen=True)
class Step:
    """What to do next: keep `opened`, then send `exchange`; None of both is never returned."""

    exchange: Exchange | None
    opened: OpenedRound | None = None
    joined: Mapping[str, Joined] = field(default_factory=dict)
    refused: Mapping[str, RefusalCode] = field(default_factory=dict)


@dataclass(frozen=True)
class Proposal:
    """What a coordinator runs: the same for every site.

    `left_out` are sites that broke the protocol in an earlier attempt: nothing of theirs is taken.
    `memory` is what the server's rule remembers of the rounds before the first.
    """

    run_id: bytes
    attempt: int
    first_round: int
    mechanism: Mechanism
    roster: Roster
    spec: UpdateSpec
    left_out: frozenset[str] = frozenset()
    memory: bytes = b""
