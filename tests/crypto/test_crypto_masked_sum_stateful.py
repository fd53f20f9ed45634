"""Masked sums over a network that loses, delays, repeats and reorders, with sites that restart.

The coordinator is honest; what carries its messages is not, sites come back with their newest
state or with an old one, and anybody may be asked for anything at any time. Whatever happens, an
opened sum is the plaintext sum of the vectors that were added, bit for bit, or an error that names
a party is raised; a refused call changes nothing.

An upload is bare bytes here. Rounds sign it together with the binding it was masked for, so one
for another binding does not reach the coordinator: the network below keeps to that.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from masked_sum_simulator import binding_of, entropy_of, session_of, sum_of

from crypto.errors import IntegrityError, PeerError
from crypto.masked_sum import (
    Adversary,
    CipherSuite,
    Confirmation,
    CulpritError,
    MaskingCoordinator,
    MaskingSite,
    Release,
    RoundBinding,
    Session,
    SiteKeys,
)
from crypto.masked_sum_state import Confirmed, Masked, Opened
from crypto.ring import pack
from crypto.secrets import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

T = TypeVar("T")
D = 3
REFUSALS = (PeerError, IntegrityError)
MOST_SITES = 6
FATES = st.lists(
    st.sampled_from(["here"] * 20 + ["absent", "late", "twice", "damaged"]),
    min_size=MOST_SITES,
    max_size=MOST_SITES,
)
PLACE = st.integers(0, MOST_SITES - 1)


@dataclass(frozen=True)
class Letter:
    """A message on its way to the coordinator; `vector` is what an upload masks."""

    sender: str
    body: SiteKeys | dict[str, bytes] | bytes | Confirmation | Release
    round: int
    binding: bytes = b""
    vector: NDArray[np.uint32] | None = None


class MaskedSums(RuleBasedStateMachine):
    """All parties of one session after another; a subclass says which."""

    fields: ClassVar[dict[str, Any]]
    seen: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.entropy = entropy_of("stateful")
        self.numbers = np.random.default_rng(0)
        self.mail: list[Letter] = []
        self.stored: dict[str, list[bytes]] = defaultdict(list)
        self.used: set[tuple[str, bytes]] = set()
        self.given: set[tuple[str, bytes, int]] = set()
        self.attempt = -1
        self.again()

    # -- the parties -------------------------------------------------------------------------

    @rule(dice=st.integers(0, 5))
    def the_run_is_begun_again(self, dice: int) -> None:
        """Begin a new attempt; letters and states of the old one are still about."""
        if dice == 0:
            self.again()

    def again(self) -> None:
        self.attempt += 1
        self.session: Session = session_of(attempt=self.attempt, **self.fields)
        self.coordinator = MaskingCoordinator(self.session, first_round=0)
        self.sites = {
            name: MaskingSite.start(self.session, name, self.entropy) for name in self.session.sites
        }
        for name, site in self.sites.items():
            self.stored[name].append(site.export_state().reveal())
        self.outdated: set[str] = set()
        self.round, self.step, self.rides = 0, "announce", False
        self.begun(None)

    def begun(self, binding: RoundBinding | None) -> None:
        self.binding = binding
        self.listed: dict[str, SiteKeys] = {}
        self.told: tuple[str, ...] = ()
        self.words: list[Confirmation] = []
        self.releases: dict[str, Release] = {}
        self.added: dict[str, NDArray[np.uint32]] = {}
        self.inboxes: dict[str, dict[str, bytes]] = {}

    def inbox(self, name: str) -> dict[str, bytes]:
        return dict(self.inboxes.get(name, {}))

    def digest(self) -> bytes:
        if self.binding is None:
            return b""
        return self.binding.record(self.session.digest()).digest()

    def ask(self, name: str, what: Callable[[MaskingSite], T]) -> T | None:
        """Ask a site; refused, it is as it was, and else it stores what it is before it answers."""
        site = self.sites[name]
        before = site.export_state().reveal()
        try:
            answer = what(site)
        except REFUSALS:
            self.seen["a site refused"] += 1
            assert site.export_state().reveal() == before
            return None
        self.stored[name].append(site.export_state().reveal())
        return answer

    def deliver(self, letter: Letter) -> None:
        try:
            self._take(letter)
        except REFUSALS as error:
            self.seen["the coordinator refused"] += 1
            self._blame(error)

    def _take(self, letter: Letter) -> None:
        match letter.body:
            case SiteKeys() as keys:
                self.coordinator.accept_keys(keys)
            case Confirmation() as word:
                self.coordinator.check_confirmation(word)
                self.words.append(word)
            case Release() as release:
                self.coordinator.check_release(release)
                self.releases[letter.sender] = release
            case dict() as dealt:
                self.coordinator.accept_shares(letter.sender, letter.round, dealt)
            case bytes() as upload if letter.binding == self.digest():
                assert letter.vector is not None
                self.coordinator.add(letter.sender, upload)
                self.added[letter.sender] = letter.vector

    def send(self, letter: Letter, fate: str) -> None:
        self.mail.append(letter)
        for _ in range({"late": 0, "twice": 2}.get(fate, 1)):
            self.deliver(letter)

    # -- what a site can be asked for, at any time ---------------------------------------------

    def announce(self, name: str, fate: str) -> None:
        self._announce(name, fate, self.round)

    def _announce(self, name: str, fate: str, number: int) -> None:
        keys = self.ask(name, lambda site: site.keys_for(number, self.entropy))
        if keys is not None:
            self.send(Letter(name, keys, number), fate)

    def deal(self, name: str, fate: str) -> None:
        self._deal(name, fate, self.round, self.listed)

    def _deal(self, name: str, fate: str, number: int, listed: dict[str, SiteKeys]) -> None:
        shares = self.ask(name, lambda site: site.shares_for(number, listed, self.entropy))
        if shares is not None:
            self.send(Letter(name, shares, number), fate)

    def open(self, name: str, fate: str) -> None:
        if self.binding is None:
            return
        binding, inbox = self.binding, self.inbox(name)
        if fate == "damaged" and inbox:
            inbox[min(inbox)] = inbox[min(inbox)][:-1] + b"?"
        self.ask(name, lambda site: site.open_round(binding, inbox))

    def mask(self, name: str, fate: str) -> None:
        phases = [p for p in self.sites[name]._rounds.values() if isinstance(p, Opened)]
        vector = self.numbers.integers(0, 2**32, size=D, dtype=np.uint32)
        masked = self.ask(name, lambda site: site.mask(vector.copy()))
        if masked is None:
            return
        key = (name, phases[0].keys.mask)
        assert key not in self.used or name in self.outdated, "two vectors under one key"
        if key in self.used:
            self.seen["an outdated site masked twice"] += 1
        self.used.add(key)
        upload = bytes(pack(masked, self.session.width_bits))
        binding = phases[0].binding.digest()
        self.send(Letter(name, upload, self.round, binding, vector), fate)

    def confirm(self, name: str, fate: str) -> None:
        word = self.ask(name, lambda site: site.confirm(self.told))
        if word is not None:
            self.send(Letter(name, word, self.round), fate)

    def release(self, name: str, fate: str) -> None:
        release = self.ask(name, lambda site: site.release(self.told, self.words))
        if release is not None:
            key = (name, release.session, release.round)
            assert key not in self.given or name in self.outdated, "shares for two lists"
            self.given.add(key)
            self.send(Letter(name, release, self.round), fate)

    # -- the run of a round ----------------------------------------------------------------------

    def _everybody(self, ask: Callable[[str, str], None], fates: Sequence[str]) -> None:
        for name, fate in zip(self.session.sites, fates, strict=False):
            if fate != "absent":
                ask(name, fate)

    @rule(fates=FATES)
    def go_on(self, fates: list[str]) -> None:
        """One exchange of the round, with everybody who is there."""
        match self.step:
            case "announce":
                self._everybody(self.announce, fates)
                self.step = "deal"
            case "deal":
                self.listed = dict(self.coordinator.keys(self.round))
                self._everybody(self.deal, fates)
                self.step = "open"
            case "open":
                self._begin(fates)
            case "mask":
                self._everybody(self.mask, fates)
                self.step = "close"
            case "close":
                self.told = self.coordinator.survivors()
                self.step = "release"
                if self.session.adversary is Adversary.MALICIOUS:
                    self._everybody(self.confirm, fates)
            case "release":
                self._everybody(self.release, fates)
                self.step = "unmask"
            case "unmask":
                self.unmask()
                self._to_the_next_round()

    @rule(fates=FATES)
    def go_on_too(self, fates: list[str]) -> None:
        """The same, so that rounds come to their end more often."""
        self.go_on(fates)

    @rule()
    def the_rest_of_the_round_goes_well(self) -> None:
        here = self.round
        while self.round == here:
            self.go_on(["here"] * MOST_SITES)

    @rule(fates=FATES)
    def the_next_round_rides_on_this_one(self, fates: list[str]) -> None:
        number, self.rides = self.round + 1, True
        self._everybody(lambda name, fate: self._announce(name, fate, number), fates)
        listed = dict(self.coordinator.keys(number))
        self._everybody(lambda name, fate: self._deal(name, fate, number, listed), fates)

    def _to_the_next_round(self) -> None:
        self.round, self.step = self.round + 1, "open" if self.rides else "announce"
        self.rides = False

    def _begin(self, fates: list[str]) -> None:
        binding = binding_of(self.coordinator.dealers(self.round), self.round)
        try:
            self.coordinator.begin(binding, D)
        except REFUSALS:
            self.seen["too few to begin"] += 1
            self._to_the_next_round()
            return
        self.begun(binding)
        self.inboxes = {name: self.coordinator.inbox(name) for name in self.session.sites}
        self._everybody(self.open, fates)
        self.step = "mask"

    @rule()
    def unmask(self) -> None:
        """Open the sum with what came so far: it is right, or it is not opened."""
        try:
            total = self.coordinator.unmask(self.releases)
        except REFUSALS as error:
            self.seen["not opened"] += 1
            self._blame(error)
            return
        width = self.session.width_bits
        expected = sum_of(self.added.values(), width)
        assert [word % 2**width for word in total.tolist()] == expected
        self.seen["opened"] += 1
        self.seen["opened after drop-outs"] += len(self.added) < len(self.session.sites)
        self.seen["opened among outdated sites"] += bool(self.outdated & self.added.keys())

    def _blame(self, error: Exception) -> None:
        if isinstance(error, CulpritError):
            self.seen["a culprit was named"] += 1
            assert error.culprit in self.outdated, "an honest site was named"

    # -- what goes wrong -------------------------------------------------------------------------

    @rule(place=st.integers(0, 10_000))
    def a_letter_comes_late_or_again(self, place: int) -> None:
        if self.mail:
            self.deliver(self.mail[-1 - place % len(self.mail)])

    @rule(place=PLACE)
    def a_site_restarts(self, place: int) -> None:
        name = self.session.sites[place % len(self.session.sites)]
        newest = SecretBytes(self.stored[name][-1])
        self.sites[name] = MaskingSite.import_state(newest)
        assert self.sites[name].export_state().reveal() == newest.reveal()

    @rule(place=PLACE, back=st.integers(-6, 6))
    def a_site_is_restored_from_a_backup(self, place: int, back: int) -> None:
        name = self.session.sites[place % len(self.session.sites)]
        states = self.stored[name]
        old = states[max(0, len(states) - 1 - max(back, 0))]
        if old == states[-1]:
            return
        self.sites[name] = MaskingSite.import_state(SecretBytes(old))
        self.stored[name].append(old)
        self.outdated.add(name)

    @rule(
        place=PLACE,
        what=st.sampled_from(["announce", "deal", "open", "mask", "confirm", "release"]),
        fate=st.sampled_from(["here", "late", "damaged"]),
    )
    def a_site_is_asked_out_of_order(self, place: int, what: str, fate: str) -> None:
        getattr(self, what)(self.session.sites[place % len(self.session.sites)], fate)

    @rule(place=PLACE)
    def a_site_is_told_of_other_parameters(self, place: int) -> None:
        if self.binding is None:
            return
        name = self.session.sites[place % len(self.session.sites)]
        other = binding_of(self.binding.cohort, self.binding.round, b"x" * 32)
        inbox = self.inbox(name)
        self.ask(name, lambda site: site.open_round(other, inbox))

    @rule(count=st.integers(0, MOST_SITES))
    def a_site_is_told_of_other_survivors(self, count: int) -> None:
        """Its word or its shares are of no use then, and it gives none for the right list."""
        name, told = self.session.sites[0], self.told
        self.told = self.session.sites[:count]
        self.confirm(name, "here")
        self.release(name, "here")
        self.told = told

    @rule()
    def the_coordinator_is_asked_out_of_order(self) -> None:
        before = (self.coordinator.dealers(self.round), dict(self.coordinator.keys(self.round)))
        for cohort in (self.session.sites[:1], ("stranger",)):
            with pytest.raises(PeerError):
                self.coordinator.begin(binding_of(cohort, self.round), D)
        with pytest.raises(PeerError):
            self.coordinator.unmask({})
        after = (self.coordinator.dealers(self.round), dict(self.coordinator.keys(self.round)))
        assert before == after

    def teardown(self) -> None:
        for site in self.sites.values():
            for phase in site._rounds.values():
                if isinstance(phase, Masked | Confirmed):
                    assert not hasattr(phase, "seed")


MALICIOUS, HYBRID = Adversary.MALICIOUS, CipherSuite.X25519_MLKEM768_HKDF_AES256CTR_Z32
SETTINGS: dict[str, tuple[int, dict[str, Any]]] = {
    # how many runs, and of which session
    "four sites": (30, {"n": 4}),
    "six sites, four rebuild": (20, {"n": 6, "threshold": 4}),
    "five sites, malicious": (30, {"n": 5, "adversary": MALICIOUS}),
    "24 bits": (20, {"n": 5, "threshold": 3, "width_bits": 24}),
    "hybrid, malicious": (15, {"n": 4, "suite": HYBRID, "adversary": MALICIOUS}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_sum_is_right_or_refused_whatever_the_network_and_the_disks_do(name: str) -> None:
    runs, fields = SETTINGS[name]
    machine = type("Run", (MaskedSums,), {"fields": fields, "seen": Counter()})
    chosen = settings(
        max_examples=runs,
        stateful_step_count=45,
        deadline=None,
        phases=[Phase.reuse, Phase.generate],  # a failing run is long to shrink, and prints
    )
    run_state_machine_as_test(machine, settings=chosen)
    assert machine.seen["opened"] >= runs // 10, machine.seen
    assert machine.seen["a site refused"] > runs, machine.seen
