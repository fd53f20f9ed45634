"""What a lying coordinator changes in its requests, for the tests of the rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from round_simulator import (
    SPEC,
    key_of,
    opened_as,
)

from crypto.codec import decode, encode
from crypto.signatures import Signed, sign_message
from secure_fl.parameters import parameter_digest
from secure_fl.rounds.messages import (
    CloseRequest,
    Hello,
    HelloRequest,
    OpenRequest,
    Refusal,
    RefusalCode,
    RoundClose,
    RoundHeader,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from round_simulator import Consortium, Run

    from crypto.codec import Message

    Make = Callable[..., Consortium]

ZEROS = bytes(32)
LIMIT = 1 << 24


def by_coordinator(message: Message) -> Signed:
    return sign_message(key_of("coordinator"), "coordinator", message)


def changed_hello(request: bytes, **changes: Any) -> bytes:  # noqa: ANN401 - a field's value
    whole = opened_as(HelloRequest, request)
    hello = replace(decode(Hello, whole.hello.body, limit_bytes=LIMIT), **changes)
    return encode(replace(whole, hello=by_coordinator(hello)))


def changed_header(request: bytes, **changes: Any) -> bytes:  # noqa: ANN401 - a field's value
    whole = opened_as(OpenRequest, request)
    header = replace(decode(RoundHeader, whole.header.body, limit_bytes=LIMIT), **changes)
    return encode(replace(whole, header=by_coordinator(header)))


def changed_close(request: bytes, **changes: Any) -> bytes:  # noqa: ANN401 - a field's value
    whole = opened_as(CloseRequest, request)
    close = replace(decode(RoundClose, whole.close.body, limit_bytes=LIMIT), **changes)
    return encode(replace(whole, close=by_coordinator(close)))


def other_parameters(request: bytes, parameters: bytes) -> bytes:
    """The same round over other parameters, with everything signed as it must be."""
    digest = parameter_digest(SPEC, parameters)
    whole = opened_as(OpenRequest, changed_header(request, parameter_digest=digest))
    return encode(replace(whole, parameters=parameters))


def request_for(run: Run, site: str = "site-1") -> bytes:
    assert run.step.exchange is not None
    return run.step.exchange.requests[site]


class Watched:
    """One site, and that nothing about it changes but its log."""

    def __init__(self, consortium: Consortium, site: str = "site-1") -> None:
        self.party = consortium.parties[site]
        self.head = self.party.parts.ledger.head()
        self.saves = self.party.store.saves
        self.trained = list(self.party.workbench.trained)

    def refuses(self, request: bytes, words: str, code: str = "protocol") -> None:
        reply = self.party.site.handle(request)

        assert reply == encode(Refusal(code=RefusalCode(code)))
        assert words in self.party.notes[-1]
        assert self.party.notes[-1].startswith("refused: ")
        assert self.party.parts.ledger.head() == self.head
        assert self.party.store.saves == self.saves
        assert self.party.workbench.trained == self.trained
