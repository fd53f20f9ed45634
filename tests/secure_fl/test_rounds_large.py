"""More than 100 sites, 24 bits, hybrid keys: the sum is the same, and the drop-outs are borne."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from round_lies import changed_hello, request_for
from round_simulator import (
    LIMIT_BYTES,
    SPEC,
    code_of,
    expected_parameters,
    key_of,
    mechanism_of,
    opened_as,
    policy_of,
)

from crypto.codec import decode, encode
from crypto.errors import PeerError
from crypto.masked_sum import CipherSuite, CulpritError
from crypto.masked_sum_shares import DealtShares
from crypto.ring import packed_bytes
from crypto.signatures import sign_message
from secure_fl.rounds.messages import OpenReply, ShareReply, SharesSent
from secure_fl.rounds.reading import shares_digest
from secure_fl.rounds.steps import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from round_simulator import Consortium, Run

    from secure_fl.config import Mechanism

    Make = Callable[..., Consortium]

SITES = 104
BORNE = 6
"""Drop-outs that 104 sites bear at a rate of 0.05."""

HYBRID = CipherSuite.X25519_MLKEM768_HKDF_AES256CTR_Z32.value


def large(**changes: Any) -> Mechanism:  # noqa: ANN401 - values of a TOML file
    return mechanism_of(
        sites=SITES,
        cohort={"drop_out_rate": 0.05, "corrupted_share": 0.1},
        **{"training__rounds": 1, "adversary": "malicious"} | changes,
    )


def make_large(make_consortium: Make, **changes: Any) -> Consortium:  # noqa: ANN401 - as above
    policy = policy_of(smallest_corrupted_share=0.1)
    return make_consortium(large(**changes), policy=policy, members=SITES)


# -- width and suite ---------------------------------------------------------------------------


@pytest.mark.parametrize("adversary", ["semi-honest", "malicious"])
@pytest.mark.parametrize("suite", [suite.value for suite in CipherSuite])
def test_every_suite_opens_the_exact_sum(make_consortium: Make, suite: str, adversary: str) -> None:
    consortium = make_consortium(mechanism_of(cipher_suite=suite, adversary=adversary))
    run = consortium.run().until(Phase.OPEN, 1)
    run.exchange(absent=["site-2"])
    run.finish()

    shared = consortium.start
    for opened in run.opened:
        expected = expected_parameters(consortium, shared, opened.round, opened.survivors)
        assert opened.parameters.tobytes() == expected.tobytes()
        shared = opened.parameters
    assert [len(opened.survivors) for opened in run.opened] == [4, 3, 3]


def test_24_bits_are_three_quarters_of_the_bytes_and_the_same_sum(make_consortium: Make) -> None:
    """The same but for the coarser grid, which the plain protection has as well."""
    sums = {}
    for protection in ("masked", "plain"):
        consortium = make_consortium(mechanism_of(encoding__bits=24, protection=protection))
        run = consortium.run().until(Phase.OPEN)
        run.exchange()
        for reply in run.replies.values():
            assert len(opened_as(OpenReply, reply).vector) == packed_bytes(SPEC.size, 24)
        sums[protection] = run.finish().sum.parameters
    assert packed_bytes(SPEC.size, 24) * 4 == packed_bytes(SPEC.size, 32) * 3
    assert sums["masked"].tobytes() == sums["plain"].tobytes()
    fine = make_consortium().run().finish().sum.parameters
    assert abs(sums["masked"] - fine).max() < 3 * 4 * 4.0 / 2**22
    assert sums["masked"].tobytes() != fine.tobytes()


def test_24_bits_under_hybrid_keys(make_consortium: Make) -> None:
    coarse = mechanism_of(encoding__bits=24)
    hybrid = mechanism_of(encoding__bits=24, cipher_suite=HYBRID, adversary="malicious")

    one = make_consortium(coarse).run().finish()
    other = make_consortium(hybrid).run().finish()

    assert one.sum.parameters.tobytes() == other.sum.parameters.tobytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"suite": HYBRID}, "Cipher suite, adversary or width differ"),
        ({"adversary": "malicious"}, "Cipher suite, adversary or width differ"),
        ({"width_bits": 24}, "Cipher suite, adversary or width differ"),
        ({"width_bits": 16}, "elements of 16 bits, and this version has 24 and 32"),
        ({"suite": "rot13"}, "the cipher suite 'rot13', and this version has"),
        ({"adversary": "kind"}, "the adversary 'kind', and this version has"),
    ],
)
def test_a_session_other_than_the_configured_one(
    consortium: Consortium, change: dict[str, Any], said: str
) -> None:
    run = consortium.run()

    assert (
        code_of(consortium.parties["site-1"].site.handle(changed_hello(request_for(run), **change)))
        == "protocol"
    )
    assert said in consortium.parties["site-1"].notes[-1]
    assert consortium.parties["site-1"].store.saves == 0


# -- a large cohort ----------------------------------------------------------------------------


def test_a_large_cohort_deals_to_few_and_bears_its_drop_outs(make_consortium: Make) -> None:
    consortium = make_large(make_consortium)
    run = consortium.run().until(Phase.OPEN)
    dealt = [len(opened_as(ShareReply, reply).shares) for reply in run.replies.values()]
    degree = run.coordinator._session.degree
    assert degree is not None
    assert set(dealt) == {degree + 1}
    assert degree < SITES / 4
    gone = consortium.names[: BORNE // 2]
    run.exchange(absent=gone)
    run.exchange(lost=consortium.names[-1:])
    run.exchange(absent=consortium.names[-BORNE // 2 : -1])

    survivors = tuple(name for name in consortium.names if name not in gone)
    assert run.sum.survivors == survivors
    expected = expected_parameters(consortium, consortium.start, 0, survivors)
    assert run.sum.parameters.tobytes() == expected.tobytes()


def test_a_large_cohorts_dealer_of_garbage_is_named(make_consortium: Make) -> None:
    """More than the corrupted share of the sites say so, though all its holders are fewer."""
    liar = "site-7"
    run = make_large(make_consortium, adversary="semi-honest").run().until(Phase.SHARE)

    def deals_garbage(name: str, reply: bytes) -> bytes:
        if name != liar:
            return reply
        whole = opened_as(ShareReply, reply)
        shares = {
            holder: _altered(dealt) if holder != liar else dealt
            for holder, dealt in whole.shares.items()
        }
        sent = decode(SharesSent, whole.sent.body, limit_bytes=LIMIT_BYTES)
        signed = sign_message(
            key_of(liar), liar, replace(sent, shares_digest=shares_digest(shares))
        )
        return encode(replace(whole, sent=signed, shares=shares))

    run.exchange(on_reply=deals_garbage)
    run.exchange()
    with pytest.raises(CulpritError) as caught:
        run.exchange()

    assert caught.value.culprit == liar


def _altered(dealt: bytes) -> bytes:
    message = decode(DealtShares, dealt, limit_bytes=LIMIT_BYTES)
    return encode(replace(message, sealed=bytes(len(message.sealed))))


def test_more_drop_outs_than_a_quorum_bears(make_consortium: Make) -> None:
    consortium = make_large(make_consortium, adversary="semi-honest")
    run: Run = consortium.run().until(Phase.SHARE)
    needed = consortium.mechanism.needed_survivors()

    with pytest.raises(PeerError, match=f"Only {needed - 1} of {SITES} sites are left"):
        run.exchange(absent=consortium.names[needed - 1 :])


@pytest.mark.parametrize(
    "change",
    [{"threshold": 8}, {"degree": 12}, {"degree": None, "risk": None}, {"risk": (6, 6)}],
)
def test_a_weaker_graph_than_the_configured_risk_asks_for(
    make_consortium: Make, change: dict[str, Any]
) -> None:
    consortium = make_large(make_consortium)
    run = consortium.run()
    request = changed_hello(request_for(run), **change)
    party = consortium.parties["site-1"]

    assert code_of(party.site.handle(request)) == "protocol"
    assert party.store.saves == 0


def test_a_site_that_wants_more_corruption_borne_refuses(make_consortium: Make) -> None:
    consortium = make_consortium(
        large(), policy=policy_of(smallest_corrupted_share=0.2), members=SITES
    )
    run = consortium.run()
    party = consortium.parties["site-1"]

    assert code_of(party.site.handle(request_for(run))) == "policy"
    assert "bears a corrupted share of 0.1, and at least 0.2" in party.notes[-1]
