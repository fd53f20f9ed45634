"""No input makes a decoder raise anything but its own error."""

from __future__ import annotations

import json

import pytest
from ciphertext_decoders import CIPHERTEXT_DECODERS
from crypto_decoders import CRYPTO_DECODERS
from fuzz_target import Decoder
from hostile_bytes import Form, aimed, hostile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from message_strategies import sample
from run_decoders import RUN_DECODERS
from site_decoders import SITE, SITE_DECODERS, moments

from crypto.errors import ConfigError

ALL = (*CRYPTO_DECODERS, *CIPHERTEXT_DECODERS, *RUN_DECODERS, *SITE_DECODERS)
DECODERS = {decoder.name: decoder for decoder in ALL}
HOSTILE = {name: hostile(decoder.valid, decoder.form) for name, decoder in DECODERS.items()}


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_reads_what_is_written_for_it(name: str) -> None:
    """One that refused everything would pass every other test here."""
    decoder = DECODERS[name]
    assert any(decoder.accepts(data) for data in sample(decoder.valid, 20))


@pytest.mark.parametrize("name", DECODERS)
def test_what_parsers_trip_over_is_refused_or_read(name: str) -> None:
    for data in aimed(DECODERS[name].form):
        DECODERS[name].accepts(data)


@pytest.mark.parametrize("name", DECODERS)
@settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(st.data())
def test_a_decoder_raises_its_own_error_alone(name: str, data: st.DataObject) -> None:
    DECODERS[name].accepts(data.draw(HOSTILE[name]))


def test_a_site_waits_for_each_exchange_and_answers_the_right_request() -> None:
    kinds = [moment.kind.__name__ for moment in moments()]
    assert kinds == ["HelloRequest", "ShareRequest", "OpenRequest", "CloseRequest"]
    refused = []
    for moment in moments():
        party = moment.consortium.parties[SITE]
        party.store.saved = dict(moment.stored)
        if b"refusal" in party.site.handle(moment.request)[:40]:
            refused.append(moment.kind.__name__)
    assert refused == ["OpenRequest"]  # it came before, and a ledger charges an attempt once


def _careless(data: bytes) -> None:
    """Reads a JSON object with a name in it, and forgets that it may have none."""
    try:
        value = json.loads(data)
    except ValueError as error:
        raise ConfigError("not JSON") from error
    if isinstance(value, dict):
        value["name"]


def test_a_decoder_that_raises_another_error_is_found() -> None:
    decoder = Decoder("careless", _careless, (ConfigError,), st.just(b'{"name":"x"}'), Form.JSON)

    @settings(deadline=None, database=None, report_multiple_bugs=False)
    @given(hostile(decoder.valid, decoder.form))
    def fuzz(data: bytes) -> None:
        decoder.accepts(data)

    with pytest.raises((KeyError, RecursionError)):
        fuzz()
