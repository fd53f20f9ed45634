"""A coordinator that may do anything: no share is released before a quorum signed one list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from round_lies import (
    Watched,
)
from round_simulator import (
    RUN_ID,
    key_of,
    mechanism_of,
    opened_as,
)

from crypto.codec import decode, encode
from crypto.masked_sum import Confirmation
from crypto.signatures import Signed, sign_message
from secure_fl.rounds.messages import (
    CloseRequest,
    ConfirmReply,
    ConfirmRequest,
)
from secure_fl.rounds.steps import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from round_simulator import Consortium, Run

    Make = Callable[..., Consortium]

LIMIT = 1 << 24


def malicious(make_consortium: Make, **changes: object) -> Consortium:
    return make_consortium(mechanism_of(adversary="malicious", **changes))


def confirmed(run: Run) -> dict[str, Signed]:
    """Every survivor's signed word of the round, as the coordinator got it."""
    return {name: opened_as(ConfirmReply, reply).confirmed for name, reply in run.ask().items()}


def close_with(run: Run, words: list[Signed], site: str = "site-1") -> bytes:
    """The request for shares, with the given confirmations under it."""
    confirm = opened_as(ConfirmRequest, run.requests[site])
    return encode(
        CloseRequest(run_id=RUN_ID, close=confirm.close, confirmations=tuple(words), next_keys=())
    )


# -- confirmations that are not what they must be ----------------------------------------------


@pytest.mark.parametrize("signer", ["site-2", "coordinator"])
def test_nobody_confirms_in_the_name_of_another(make_consortium: Make, signer: str) -> None:
    """One key would be enough for a whole quorum if the name in a word were not its signer's."""
    run = malicious(make_consortium, training__rounds=1).run().until(Phase.CONFIRM)
    honest = confirmed(run)
    forged = []
    for name in ("site-2", "site-3", "site-4"):
        word = decode(Confirmation, honest[name].body, limit_bytes=LIMIT)
        forged.append(sign_message(key_of(signer), signer, word))

    Watched(run.consortium).refuses(
        close_with(run, [honest["site-1"], *forged]), "in the name of another"
    )
