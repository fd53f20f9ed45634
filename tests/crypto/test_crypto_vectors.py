"""The published vectors of masked sums: the library gives every byte and refuses what is bad.

The good ones were computed by twins that share no code with the library; a second implementation
can be held against the same files (`vectors/README.md`).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import make_vectors
import numpy as np
import pytest

from crypto import errors
from crypto.codec import Message, decode, encode
from crypto.kem import KEM_PUBLIC_BYTES
from crypto.masked_sum import (
    Adversary,
    CipherSuite,
    CohortRisk,
    Confirmation,
    CulpritError,
    MaskingCoordinator,
    MaskingSite,
    Release,
    RoundBinding,
    Session,
    SiteKeys,
)
from crypto.masked_sum_graph import draw_neighbours
from crypto.masked_sum_messages import announced_digest
from crypto.masked_sum_session import SessionRecord
from crypto.masked_sum_shares import LARGEST_DEALT_BYTES, DealtShares
from crypto.masking import expand_mask
from crypto.ring import pack
from crypto.secrets import SecretBytes
from crypto.shamir import PRIME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from crypto.secrets import Entropy

M = TypeVar("M", bound=Message)
Tree = dict[str, Any]
FOLDER = Path(__file__).parent / "vectors"
RUNS = ("classical", "narrow", "hybrid")
LIMITS = {SiteKeys: 4096, DealtShares: 4096}
LARGEST_BYTES = 1 << 16
CASES: list[Tree] = json.loads((FOLDER / "masked_sum_bad.json").read_text("ascii"))["cases"]


@cache
def loaded(name: str) -> Tree:
    tree: Tree = json.loads((FOLDER / f"masked_sum_{name}.json").read_text("ascii"))
    return tree


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


def raw_each(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {name: raw(text) for name, text in texts.items()}


def read(kind: type[M], text: str) -> M:
    return decode(kind, raw(text), limit_bytes=LIMITS.get(kind, LARGEST_BYTES))


def scripted(*parts: bytes) -> Entropy:
    """A source that gives these bytes, each when as many are asked for."""
    left = list(parts)

    def entropy(length_bytes: int) -> bytes:
        part = left.pop(0)
        assert len(part) == length_bytes
        return part

    return entropy


class Replay:
    """The library's parties of one published round."""

    def __init__(self, name: str) -> None:
        tree = loaded(name)
        self.inputs: Tree = tree["inputs"]
        self.outputs: Tree = tree["outputs"]
        self.number: int = self.inputs["round"]
        self.survivors: tuple[str, ...] = tuple(self.inputs["survivors"])
        fields = self.inputs["session"]
        self.session = Session(
            **{name: raw(fields[name]) for name in ("run_id", "roster_digest", "config_digest")},
            attempt=fields["attempt"],
            suite=CipherSuite(fields["suite"]),
            adversary=Adversary(fields["adversary"]),
            sites=tuple(fields["sites"]),
            threshold=fields["threshold"],
            width_bits=fields["width_bits"],
        )
        self.announced = {
            site: read(SiteKeys, text) for site, text in self.outputs["announcements"].items()
        }
        self.dealt = {dealer: raw_each(to) for dealer, to in self.outputs["dealt"].items()}

    def binding(
        self,
        cohort: Iterable[str] | None = None,
        number: int | None = None,
        parameters: str | None = None,
    ) -> RoundBinding:
        return RoundBinding(
            self.number if number is None else number,
            raw(self.inputs["header_digest"]),
            self.session.sites if cohort is None else tuple(cohort),
            raw(self.inputs["parameter_digest"] if parameters is None else parameters),
        )

    def vector(self, site: str) -> NDArray[np.uint32]:
        return np.array(self.inputs["sites"][site]["vector"], dtype=np.uint32)

    # -- a site, as far as a step needs it -----------------------------------------------------

    def keyed(self, name: str) -> MaskingSite:
        secrets = self.inputs["sites"][name]
        site = MaskingSite.start(self.session, name, scripted(raw(secrets["channel_secret"])))
        fresh = scripted(raw(secrets["mask_secret"]), raw(secrets["self_mask_seed"]))
        assert encode(site.keys_for(self.number, fresh)) == raw(self.outputs["announcements"][name])
        return site

    def shares_of(self, site: MaskingSite) -> dict[str, bytes]:
        """What the site deals with the published coefficients and nonces."""
        secrets = self.inputs["sites"][site.site]
        polynomials = [
            b"".join(raw(text).rjust(48, b"\x00") for text in reversed(secrets[polynomial]))
            for polynomial in ("mask_polynomial", "seed_polynomial")
        ]
        nonces = [raw(secrets["nonces"][holder]) for holder in sorted(secrets["nonces"])]
        return site.shares_for(self.number, self.announced, scripted(*polynomials, *nonces))

    def dealing(self, name: str) -> MaskingSite:
        site = self.keyed(name)
        self.shares_of(site)
        return site

    def inbox(self, name: str, cohort: Iterable[str] | None = None) -> dict[str, bytes]:
        dealers = self.session.sites if cohort is None else cohort
        return {d: self.dealt[d][name] for d in dealers if d != name and d in self.dealt}

    def opened(self, name: str) -> MaskingSite:
        site = self.dealing(name)
        assert site.open_round(self.binding(), self.inbox(name)) == ()
        return site

    def masked(self, name: str) -> MaskingSite:
        site = self.opened(name)
        site.mask(self.vector(name))
        return site

    # -- the coordinator -------------------------------------------------------------------------

    def coordinator(self, dealers: Iterable[str] | None = None) -> MaskingCoordinator:
        """The coordinator with all announcements, and what `dealers` dealt."""
        coordinator = MaskingCoordinator(self.session, first_round=self.number)
        for keys in self.announced.values():
            coordinator.accept_keys(keys)
        for dealer in self.session.sites if dealers is None else dealers:
            coordinator.accept_shares(dealer, self.number, self.dealt[dealer])
        return coordinator

    def summing(self, uploaded: Iterable[str]) -> MaskingCoordinator:
        """The coordinator of the round under way, with the uploads of some sites."""
        coordinator = self.coordinator()
        size = len(self.vector(self.session.sites[0]))
        coordinator.begin(self.binding(), size)
        for site in uploaded:
            coordinator.add(site, raw(self.outputs["uploads"][site]))
        return coordinator


@pytest.fixture(params=RUNS)
def replay(request: pytest.FixtureRequest) -> Replay:
    return Replay(request.param)


# -- whole rounds ----------------------------------------------------------------------------


def test_the_files_are_what_the_twins_compute() -> None:
    for name, text in make_vectors.vectors().items():
        assert (FOLDER / name).read_text("ascii") == text, f"{name}: run make_vectors.py"
    published = {path.name for path in FOLDER.glob("masked_sum_*.json")}
    assert published == make_vectors.vectors().keys()


def test_the_rounds_differ_in_what_can_be_set() -> None:
    sessions = [Replay(name).session for name in RUNS]
    assert {session.width_bits for session in sessions} == {24, 32}
    assert {session.suite for session in sessions} == set(CipherSuite)
    assert {session.adversary for session in sessions} == set(Adversary)
    for name in RUNS:
        run = Replay(name)
        assert len(run.survivors) == len(run.session.sites) - 1, "one dropped out"


def test_digests_of_session_keys_and_round(replay: Replay) -> None:
    out = replay.outputs
    assert encode(replay.session.record()).hex() == out["session_record"]
    assert replay.session.digest().hex() == out["session_digest"]
    digests = {site: keys.digest().hex() for site, keys in replay.announced.items()}
    assert digests == out["announcement_digests"]
    assert announced_digest(replay.announced).hex() == out["announced_digest"]
    record = replay.binding().record(replay.session.digest())
    assert encode(record).hex() == out["binding_record"]
    assert record.digest().hex() == out["binding_digest"]


def test_keys_and_shares_are_the_published_bytes(replay: Replay) -> None:
    hybrid = replay.session.suite.is_hybrid
    for name in replay.session.sites:
        keys = replay.announced[name]
        assert len(keys.mask_kem) == (KEM_PUBLIC_BYTES if hybrid else 0)
        made = replay.shares_of(replay.keyed(name))
        if not hybrid:  # OpenSSL draws the randomness of an encapsulation itself
            assert made == replay.dealt[name]
        assert {h: commitments(data) for h, data in made.items()} == {
            h: commitments(data) for h, data in replay.dealt[name].items()
        }


def commitments(data: bytes) -> tuple[bytes, bytes]:
    message = decode(DealtShares, data, limit_bytes=LARGEST_DEALT_BYTES)
    return message.mask_key, message.self_mask


def test_what_was_dealt_opens_to_the_published_shares_and_halves(replay: Replay) -> None:
    for name in replay.session.sites:
        phase = replay.opened(name)._rounds[replay.number]
        for dealer in replay.session.sites:
            expected = replay.outputs["shares"][dealer][name]
            held = phase.held[dealer]
            assert held.mask_key.reveal().hex() == expected["mask-key"]
            assert held.self_mask.reveal().hex() == expected["self-mask"]
        if replay.session.suite.is_hybrid:
            halves = {peer.keys.site: peer.half.reveal().hex() for peer in phase.peers}
            sent = replay.outputs["pair_halves"]
            assert halves == {peer: sent[f"{peer} to {name}"] for peer in halves}
            assert len(halves) == len(replay.session.sites) - 1


def test_mask_keys_and_words_are_the_published_ones(replay: Replay) -> None:
    out = replay.outputs
    for name in replay.session.sites:
        site = replay.opened(name)
        own, *pairs = site._terms(site._rounds[replay.number])
        assert own.key.reveal().hex() == out["self_mask_keys"][name]
        assert expand_mask(own.key, 4).tolist() == out["self_mask_words"][name]
        peers = [peer for peer in replay.session.sites if peer != name]
        for peer, term in zip(peers, pairs, strict=True):
            pair = " and ".join(sorted((name, peer)))
            assert term.key.reveal().hex() == out["pair_keys"][pair]
            assert expand_mask(term.key, 4).tolist() == out["pair_words"][pair]
            assert term.negative is (name > peer)


def test_uploads_confirmations_and_releases_are_the_published_bytes(replay: Replay) -> None:
    out = replay.outputs
    words = [read(Confirmation, text) for text in out["confirmations"].values()]
    assert bool(words) is (replay.session.adversary is Adversary.MALICIOUS)
    for name in replay.survivors:
        site = replay.opened(name)
        masked = site.mask(replay.vector(name))
        assert pack(masked, replay.session.width_bits).hex() == out["uploads"][name]
        if words:
            assert encode(site.confirm(replay.survivors)).hex() == out["confirmations"][name]
        assert encode(site.release(replay.survivors, words)).hex() == out["releases"][name]


def test_the_coordinator_opens_the_published_sum_from_the_published_bytes(replay: Replay) -> None:
    coordinator = replay.summing(replay.survivors)
    assert coordinator.survivors() == replay.survivors
    for text in replay.outputs["confirmations"].values():
        coordinator.check_confirmation(read(Confirmation, text))
    releases = {site: read(Release, text) for site, text in replay.outputs["releases"].items()}
    ring = 2**replay.session.width_bits
    total = [word % ring for word in coordinator.unmask(releases).tolist()]
    vectors = [replay.vector(site).tolist() for site in replay.survivors]
    assert total == replay.outputs["sum"]
    assert total == [sum(column) % ring for column in zip(*vectors, strict=True)]


def test_the_polynomials_are_field_elements() -> None:
    for name in RUNS:
        for secrets in loaded(name)["inputs"]["sites"].values():
            for text in (*secrets["mask_polynomial"], *secrets["seed_polynomial"]):
                assert int(text, 16) < PRIME


def test_neighbours_above_a_hundred_sites_are_the_published_ones() -> None:
    tree = loaded("neighbours")
    fields = tree["session"]
    session = Session(
        **{name: raw(fields[name]) for name in ("run_id", "roster_digest", "config_digest")},
        attempt=0,
        suite=CipherSuite.X25519_HKDF_AES256CTR_Z32,
        adversary=Adversary.SEMI_HONEST,
        sites=tuple(fields["sites"]),
        threshold=fields["threshold"],
        degree=fields["degree"],
        risk=CohortRisk(fields["drop_outs"], fields["corrupted"]),
    )
    assert encode(session.record()).hex() == tree["session_record"]
    assert session.digest().hex() == tree["session_digest"]
    for draw in tree["draws"]:
        drawn = draw_neighbours(raw(draw["seed"]), draw["site"], session.sites, draw["degree"])
        assert list(drawn) == draw["drawn"]


# -- messages that have to be refused ----------------------------------------------------------


def a_session(_run: Replay, case: Tree) -> None:
    Session.from_record(read(SessionRecord, case["message"]))


def an_announcement(run: Replay, case: Tree) -> None:
    coordinator = MaskingCoordinator(run.session, first_round=run.number)
    for text in case.get("before", []):
        coordinator.accept_keys(read(SiteKeys, text))
    coordinator.accept_keys(read(SiteKeys, case["message"]))


def a_list(run: Replay, case: Tree) -> None:
    listed = {name: read(SiteKeys, text) for name, text in case["messages"].items()}
    run.keyed(case["receiver"]).shares_for(run.number, listed, scripted())


def a_dealing(run: Replay, case: Tree) -> None:
    coordinator = run.coordinator(case["before"])
    coordinator.accept_shares(case["sender"], run.number, raw_each(case["messages"]))


def an_inbox(run: Replay, case: Tree) -> tuple[str, ...]:
    name = case["receiver"]
    inbox = {**run.inbox(name), **raw_each(case["messages"])}
    return run.dealing(name).open_round(run.binding(), inbox)


def a_cohort(run: Replay, case: Tree) -> None:
    binding = run.binding(case["cohort"], case.get("round"), case.get("parameters"))
    run.dealing(case["receiver"]).open_round(binding, run.inbox(case["receiver"], case["cohort"]))


def an_upload(run: Replay, case: Tree) -> None:
    run.summing(case["before"]).add(case["sender"], raw(case["message"]))


def survivors(run: Replay, case: Tree) -> None:
    run.masked(case["receiver"]).release(tuple(case["survivors"]))


def a_confirmation(run: Replay, case: Tree) -> None:
    coordinator = run.summing(run.survivors)
    coordinator.check_confirmation(read(Confirmation, case["message"]))


def words(run: Replay, case: Tree) -> None:
    site = run.masked(case["receiver"])
    site.confirm(run.survivors)
    shown = [read(Confirmation, text) for text in case["messages"]]
    site.release(tuple(case["survivors"]), shown)


def a_release(run: Replay, case: Tree) -> None:
    run.summing(run.survivors).check_release(read(Release, case["message"]))


def an_opening(run: Replay, case: Tree) -> None:
    releases = {site: read(Release, text) for site, text in case["messages"].items()}
    run.summing(run.survivors).unmask(releases)


def a_state(_run: Replay, case: Tree) -> None:
    MaskingSite.import_state(SecretBytes(raw(case["message"])))


STEPS: dict[str, Callable[[Replay, Tree], object]] = {
    "session": a_session,
    "announce": an_announcement,
    "list": a_list,
    "deal": a_dealing,
    "inbox": an_inbox,
    "open": a_cohort,
    "upload": an_upload,
    "survivors": survivors,
    "confirm": a_confirmation,
    "words": words,
    "release": a_release,
    "unmask": an_opening,
    "state": a_state,
}


def kind_of(error: str) -> type[Exception]:
    kind: type[Exception] = CulpritError if error == "CulpritError" else getattr(errors, error)
    return kind


@pytest.mark.parametrize(
    "case", [case for case in CASES if "error" in case], ids=lambda case: case["name"]
)
def test_a_bad_message_is_refused_in_the_words_it_names(case: Tree) -> None:
    with pytest.raises(kind_of(case["error"])) as refused:
        STEPS[case["step"]](Replay(case["run"]), case)
    assert type(refused.value) is kind_of(case["error"])
    assert case["says"] in str(refused.value)


@pytest.mark.parametrize(
    "case", [case for case in CASES if "unusable" in case], ids=lambda case: case["name"]
)
def test_a_bad_bundle_is_left_out_and_its_dealer_named(case: Tree) -> None:
    assert an_inbox(Replay(case["run"]), case) == tuple(case["unusable"])


def test_there_is_a_bad_message_for_every_step_and_error() -> None:
    assert {case["step"] for case in CASES} == STEPS.keys()
    named = {case["error"] for case in CASES if "error" in case}
    assert named == {"ConfigError", "PeerError", "CulpritError", "IntegrityError"}
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("name", RUNS)
def test_at_each_step_the_good_message_is_accepted(name: str) -> None:
    """So that a bad one is refused for what is bad in it."""
    run = Replay(name)
    out, sites = run.outputs, run.session.sites
    a, b = run.survivors[:2]
    a_session(run, {"message": out["session_record"]})
    an_announcement(run, {"before": [], "message": out["announcements"][b]})
    run.shares_of(run.keyed(a))
    a_dealing(run, {"before": [], "sender": b, "messages": out["dealt"][b]})
    assert an_inbox(run, {"receiver": a, "messages": {}}) == ()
    a_cohort(run, {"receiver": a, "cohort": sites})
    an_upload(run, {"before": [], "sender": b, "message": out["uploads"][b]})
    a_release(run, {"message": out["releases"][b]})
    an_opening(run, {"messages": out["releases"]})
    if run.session.adversary is Adversary.MALICIOUS:
        said = out["confirmations"]
        a_confirmation(run, {"message": said[b]})
        words(run, {"receiver": a, "survivors": run.survivors, "messages": said.values()})
    else:
        survivors(run, {"receiver": a, "survivors": run.survivors})
