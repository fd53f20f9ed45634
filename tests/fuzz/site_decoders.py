"""A site's door: whatever comes in, a reply goes out, and nothing is raised."""

from __future__ import annotations

import atexit
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from fuzz_target import Decoder
from hostile_bytes import Form
from hypothesis import strategies as st
from round_simulator import LIMIT_BYTES, REPLIES, REQUESTS, Consortium, key_of

from crypto.codec import Message, decode, decode_one_of, encode
from crypto.signatures import Signed
from secure_fl.rounds.messages import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

SITE = "site-1"
KINDS = tuple(REPLIES.values())


@dataclass(frozen=True)
class Moment:
    """A site that waits for a request: what its store holds, and the request that comes."""

    consortium: Consortium
    stored: Mapping[bytes, bytes]
    kind: type[Message]
    request: bytes

    def answer(self, request: bytes) -> None:
        """Have the site answer `request` at this moment."""
        party = self.consortium.parties[SITE]
        party.store.saved = dict(self.stored)
        decode_one_of((*KINDS, Refusal), party.site.handle(request), limit_bytes=LIMIT_BYTES)
        party.notes.clear()


@cache
def moments() -> tuple[Moment, ...]:
    """Return one moment for each exchange of a run's first round, in mode none."""
    folder = tempfile.TemporaryDirectory(prefix="fuzzed-site-")
    atexit.register(folder.cleanup)
    consortium = Consortium(Path(folder.name))
    atexit.register(consortium.close)
    run, found = consortium.run(), []
    while run.round == 0 and run.step.exchange is not None:
        stored = dict(consortium.parties[SITE].store.saved)
        request = run.step.exchange.requests[SITE]
        found.append(Moment(consortium, stored, REQUESTS[run.step.exchange.phase], request))
        run.exchange()
    return tuple(found)


def _read_request(data: bytes) -> None:
    """The same bytes before each exchange."""
    for moment in moments():
        moment.answer(data)


def _read_statement(body: bytes) -> None:
    """The coordinator signs any body as whatever each request holds first."""
    for moment in moments():
        request = decode(moment.kind, moment.request, limit_bytes=LIMIT_BYTES)
        held = {name: getattr(request, name) for name in request.__struct_fields__}
        for name, value in held.items():
            if isinstance(value, Signed):
                moment.answer(
                    encode(msgspec.structs.replace(request, **{name: _signed(value, body)}))
                )


def _signed(like: Signed, body: bytes) -> Signed:
    signature = key_of("coordinator").sign(like.label, b"coordinator\0" + body)
    return Signed(like.label, body, "coordinator", signature)


def _bodies() -> list[bytes]:
    found = []
    for moment in moments():
        request = decode(moment.kind, moment.request, limit_bytes=LIMIT_BYTES)
        values = [getattr(request, name) for name in request.__struct_fields__]
        found += [value.body for value in values if isinstance(value, Signed)]
    return found


SITE_DECODERS = (
    Decoder(
        "site-requests",
        _read_request,
        (),
        st.deferred(lambda: st.sampled_from([moment.request for moment in moments()])),
        Form.MESSAGE_PACK,
    ),
    Decoder(
        "site-statements",
        _read_statement,
        (),
        st.deferred(lambda: st.sampled_from(_bodies())),
        Form.MESSAGE_PACK,
    ),
)
