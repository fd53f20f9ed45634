"""A consortium in memory: real keys, roster, ledgers, policy and masks; small made-up updates.

Each exchange is one call, and requests and replies can be changed on the way, so that a hostile
coordinator or site is a few lines. Only tests use it.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from crypto.codec import decode, encode
from crypto.errors import ConfigError
from crypto.roster import Member, Role, Roster
from crypto.secrets import SecretBytes, system_entropy
from crypto.signatures import SigningKey
from privacy.ledger import Ledger
from privacy.scrubbing import Coverage
from privacy.update import TensorSpec, Update, UpdateSpec
from secure_fl import canaries
from secure_fl.config import Mechanism
from secure_fl.policy import SitePolicy
from secure_fl.rounds.coordinator import Coordinator
from secure_fl.rounds.grids import grid_of
from secure_fl.rounds.messages import (
    CloseReply,
    CloseRequest,
    ConfirmReply,
    ConfirmRequest,
    HelloReply,
    HelloRequest,
    OpenReply,
    OpenRequest,
    Refusal,
    ShareReply,
    ShareRequest,
)
from secure_fl.rounds.site import Site
from secure_fl.rounds.site_parts import SiteParts
from secure_fl.rounds.site_state import SiteState
from secure_fl.rounds.steps import OpenedRound, Phase, Proposal, Step
from secure_fl.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from crypto.codec import Message
    from secure_fl.rounds.encoding import Encoded
    from secure_fl.rounds.messages import RoundHeader
    from secure_fl.rounds.site_parts import Tap

RUN_ID = b"run-of-the-tests"
LIMIT_BYTES = 1 << 24
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SPEC = UpdateSpec((TensorSpec("head.weight", (2, 3)), TensorSpec("head.bias", (5,))))
WEIGHTS = "ab" * 32
RECORD_PRIVACY = {
    "mode": "record",
    "unit": "record",
    "delta": 1e-5,
    "sigma": 4.0,
    "sampling_rate": 0.1,
    "clip": 1.0,
    "divisor": 10.0,
}
REQUESTS: dict[Phase, type[Message]] = {
    Phase.HELLO: HelloRequest,
    Phase.SHARE: ShareRequest,
    Phase.OPEN: OpenRequest,
    Phase.CONFIRM: ConfirmRequest,
    Phase.CLOSE: CloseRequest,
}
REPLIES: dict[Phase, type[Message]] = {
    Phase.HELLO: HelloReply,
    Phase.SHARE: ShareReply,
    Phase.OPEN: OpenReply,
    Phase.CONFIRM: ConfirmReply,
    Phase.CLOSE: CloseReply,
}

M = TypeVar("M", bound="Message")


def mechanism_of(**changes: Any) -> Mechanism:  # noqa: ANN401 - values of a TOML file
    """A mechanism of four sites and three rounds in mode none; `a__b=x` changes `a.b`."""
    tables: dict[str, Any] = {
        "method": "fedit",
        "sites": 4,
        "adversary": "semi-honest",
        "data": {"dataset": "finance.generated"},
        "model": {"name": "tiny", "weights_sha256": WEIGHTS},
        "adapter": {"target_modules": ["query"]},
        "training": {"rounds": 3, "local_steps": 2, "learning_rate": 0.1, "batch_size": 8},
        "privacy": {"mode": "none"},
    }
    for path, value in changes.items():
        *outer, last = path.split("__")
        table = tables
        for key in outer:
            table = table.setdefault(key, {})
        table[last] = value
    return Mechanism.model_validate(tables)


def private_mechanism(**changes: Any) -> Mechanism:  # noqa: ANN401 - as above
    """The same in mode record."""
    return mechanism_of(privacy=dict(RECORD_PRIVACY), training__batch_size=None, **changes)


def policy_of(**changes: Any) -> SitePolicy:  # noqa: ANN401 - as above
    """A policy that allows what the mechanisms above ask for."""
    return SitePolicy.model_validate(
        {
            "schema": "secure-fl.site-policy.v1",
            "smallest_cohort": 3,
            "smallest_threshold": 3,
            "allowed_methods": ["fedit", "ffa-lora", "linear-head", "fedit-median"],
            "allowed_protections": ["masked", "homomorphic", "plain"],
            "allow_no_privacy": True,
            "allowed_base_models": [WEIGHTS],
            "largest_rank": 8,
            "largest_clip": 1.0,
            "largest_sampling_rate": 0.2,
            "required_scrubbing": [],
            "datasets": [
                {
                    "name": "records",
                    "dataset": "finance.generated",
                    "epsilon": 10.0,
                    "delta": 1e-5,
                    "unit": "record",
                }
            ],
        }
        | changes
    )


def key_of(name: str) -> SigningKey:
    """A repeatable identity; a deployed party's comes from the operating system."""
    return SigningKey(SecretBytes(hashlib.sha256(f"identity/{name}".encode()).digest()))


def roster_of(sites: int, *, serial: int = 1) -> Roster:
    names = [f"site-{index + 1}" for index in range(sites)]
    return Roster(
        consortium="tests",
        members=(
            Member("coordinator", Role.COORDINATOR, key_of("coordinator").public),
            *(Member(name, Role.SITE, key_of(name).public) for name in names),
        ),
        not_before="2026-01-01T00:00:00Z",
        not_after="2027-01-01T00:00:00Z",
        serial=serial,
    )


def update_of(site: str, round_: int, shared: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a site's made-up training gives: a function of site, round and parameters."""
    seed = int.from_bytes(hashlib.sha256(f"{site}/{round_}".encode()).digest()[:8], "big")
    drawn = np.random.default_rng(seed).uniform(-1.0, 1.0, shared.size)
    return (drawn + 0.25 * shared).astype(np.float32)


class FakeWorkbench:
    """Trains by `update_of`, and can be told to fail."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.spec_ = SPEC
        self.trained: list[int] = []
        self.fails_with: BaseException | None = None
        self.prepare_fails_with: BaseException | None = None
        self.looked_for: tuple[str, ...] = ("IBAN_CODE",)
        self.canary_key = canaries.key_of(key_of(site))

    def prepare(self, mechanism: Mechanism) -> bytes:
        del mechanism
        if self.prepare_fails_with is not None:
            raise self.prepare_fails_with
        return hashlib.sha256(self.site.encode()).digest()

    def record_digests(self) -> frozenset[bytes]:
        return frozenset({hashlib.sha256(self.site.encode()).digest()})

    def coverage(self) -> Coverage:
        return Coverage(looked_for=self.looked_for, not_looked_for=("PERSON",))

    def canary_seed(self, mechanism: Mechanism) -> SecretBytes | None:
        return canaries.seed_of(mechanism, self.canary_key)

    def spec(self, mechanism: Mechanism) -> UpdateSpec:
        del mechanism
        return SPEC

    def units(self, mechanism: Mechanism) -> int:
        del mechanism
        return 100

    def train(
        self,
        mechanism: Mechanism,
        shared: NDArray[np.float32],
        round_: int,
        tap: Tap | None = None,
    ) -> Update:
        del mechanism, tap
        self.trained.append(round_)
        if self.fails_with is not None:
            raise self.fails_with
        return Update.from_flat(self.spec_, update_of(self.site, round_, shared))


class StoreCrashError(BaseException):
    """The machine died at this point; nothing of the program may catch it."""


class MemoryStore:
    """Keeps encoded states; `crash` = "before" or "after" lets the next save die there."""

    def __init__(self) -> None:
        self.saved: dict[bytes, bytes] = {}
        self.saves = 0
        self.crash: str | None = None
        self._held = False

    @contextmanager
    def locked(self) -> Iterator[None]:
        if self._held:
            raise ConfigError("Another process answers for this site.")
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def load(self, run_id: bytes) -> SiteState | None:
        data = self.saved.get(run_id)
        return None if data is None else decode(SiteState, data, limit_bytes=LIMIT_BYTES)

    def save(self, run_id: bytes, state: SiteState) -> None:
        crash, self.crash = self.crash, None
        if crash == "before":
            raise StoreCrashError
        self.saved[run_id] = encode(state)
        self.saves += 1
        if crash == "after":
            raise StoreCrashError


class TappedSite(Site):
    """A site that lets the test see its plaintext ring vectors; nothing else is changed."""

    def __init__(self, parts: SiteParts) -> None:
        super().__init__(parts)
        self.plaintexts: dict[int, NDArray[np.uint32]] = {}

    def _train_and_encode(
        self, mechanism: Mechanism, header: RoundHeader, shared: NDArray[np.float32], tap: Tap
    ) -> Encoded:
        encoded = super()._train_and_encode(mechanism, header, shared, tap)
        self.plaintexts[header.round] = encoded.vector.copy()
        return encoded


@dataclass
class Party:
    """One site and what it is built from."""

    parts: SiteParts
    workbench: FakeWorkbench
    store: MemoryStore
    notes: list[str]
    site: TappedSite

    def restart(self, **changes: Any) -> None:  # noqa: ANN401 - the parts that changed
        """A new process of the same site, perhaps with another policy or roster."""
        self.parts = replace(self.parts, **changes)
        self.site = TappedSite(self.parts)

    def state(self, run_id: bytes = RUN_ID) -> SiteState:
        state = self.store.load(run_id)
        assert state is not None
        return state


class Consortium:
    """The parties of a run. Close it, so that the ledgers' files are closed."""

    def __init__(
        self,
        folder: Path,
        mechanism: Mechanism | None = None,
        *,
        policy: SitePolicy | None = None,
        members: int = 4,
    ) -> None:
        self.mechanism = mechanism_of() if mechanism is None else mechanism
        self.roster = roster_of(members)
        self.names = tuple(member.name for member in self.roster.sites())
        self.start = np.linspace(-1, 1, SPEC.size).astype(np.float32)
        self.transcript = self.new_transcript()
        allowed = policy_of() if policy is None else policy
        self.parties = {name: self._party(folder / name, name, allowed) for name in self.names}

    def _party(self, folder: Path, name: str, policy: SitePolicy) -> Party:
        folder.mkdir(mode=0o700)
        workbench, store, notes = FakeWorkbench(name), MemoryStore(), list[str]()
        parts = SiteParts(
            name=name,
            key=key_of(name),
            roster=self.roster,
            policy=policy,
            ledger=Ledger.open(folder / "ledger.sqlite", clock=lambda: NOW),
            workbench=workbench,
            store=store,
            entropy=system_entropy,
            note=notes.append,
        )
        return Party(parts, workbench, store, notes, TappedSite(parts))

    def close(self) -> None:
        for party in self.parties.values():
            party.parts.ledger.close()

    def new_transcript(self, run_id: bytes = RUN_ID) -> Transcript:
        return Transcript(run_id, "coordinator", key_of("coordinator"))

    def proposal(self, *, attempt: int = 1, first_round: int = 0) -> Proposal:
        return Proposal(
            run_id=RUN_ID,
            attempt=attempt,
            first_round=first_round,
            mechanism=self.mechanism,
            roster=self.roster,
            spec=SPEC,
        )

    def run(
        self,
        *,
        attempt: int = 1,
        first_round: int = 0,
        parameters: NDArray[np.float32] | None = None,
        **of_proposal: Any,  # noqa: ANN401 - fields of the proposal
    ) -> Run:
        proposal = replace(self.proposal(attempt=attempt, first_round=first_round), **of_proposal)
        coordinator = Coordinator(
            proposal,
            self.start if parameters is None else parameters,
            key_of("coordinator"),
            self.transcript,
        )
        return Run(self, coordinator, coordinator.begin())

    def heads(self) -> dict[str, bytes]:
        return {name: party.parts.ledger.head() for name, party in self.parties.items()}


def unchanged(site: str, data: bytes) -> bytes | None:
    """Pass bytes on; a replacement returns None to lose them."""
    del site
    return data


@dataclass
class Run:
    """One attempt at a run, exchange by exchange."""

    consortium: Consortium
    coordinator: Coordinator
    step: Step
    phases: list[Phase] = field(default_factory=list)
    requests: dict[str, bytes] = field(default_factory=dict)
    replies: dict[str, bytes] = field(default_factory=dict)
    opened: list[OpenedRound] = field(default_factory=list)

    @property
    def phase(self) -> Phase | None:
        """Which exchange is next; None when the run is over."""
        return None if self.step.exchange is None else self.step.exchange.phase

    @property
    def sum(self) -> OpenedRound:
        """The round that was opened last."""
        return self.opened[-1]

    def ask(
        self,
        *,
        absent: Collection[str] = (),
        on_request: Callable[[str, bytes], bytes | None] = unchanged,
    ) -> dict[str, bytes]:
        """Deliver the requests of the next exchange and return the replies."""
        assert self.step.exchange is not None
        self.phases.append(self.step.exchange.phase)
        self.requests = dict(self.step.exchange.requests)
        self.replies = {}
        for name in sorted(self.requests):
            request = None if name in absent else on_request(name, self.requests[name])
            if request is not None:
                self.replies[name] = self.consortium.parties[name].site.handle(request)
        return self.replies

    def advance(self, replies: Mapping[str, bytes]) -> Step:
        """Give `replies` to the coordinator."""
        self.step = self.coordinator.advance(replies)
        if self.step.opened is not None:
            self.opened.append(self.step.opened)
        return self.step

    def exchange(
        self,
        *,
        absent: Collection[str] = (),
        lost: Collection[str] = (),
        on_request: Callable[[str, bytes], bytes | None] = unchanged,
        on_reply: Callable[[str, bytes], bytes | None] = unchanged,
    ) -> Step:
        """One exchange; `absent` sites are not reached, of `lost` ones the reply is lost."""
        changed = {
            name: on_reply(name, reply)
            for name, reply in self.ask(absent=absent, on_request=on_request).items()
        }
        return self.advance(
            {name: data for name, data in changed.items() if data is not None and name not in lost}
        )

    def until(self, phase: Phase, round_: int = 0) -> Run:
        """Go on until the exchange `phase` of round `round_` is next."""
        while self.phase is not phase or self.round != round_:
            self.exchange()
        return self

    def finish(self) -> Run:
        while self.step.exchange is not None:
            self.exchange()
        return self

    @property
    def round(self) -> int:
        return self.coordinator._round_number


def code_of(reply: bytes) -> str:
    """The code of a refusal; fails where the reply is none."""
    return decode(Refusal, reply, limit_bytes=LIMIT_BYTES).code.value


def opened_as(kind: type[M], data: bytes) -> M:
    return decode(kind, data, limit_bytes=LIMIT_BYTES)


def expected_parameters(
    consortium: Consortium, shared: NDArray[np.float32], round_: int, survivors: Collection[str]
) -> NDArray[np.float32]:
    """The parameters after a round of mode none, by exact fractions: no mask, no ring."""
    mechanism = consortium.mechanism
    step = Fraction(grid_of(mechanism).step)
    total = [Fraction(0)] * shared.size
    for site in survivors:
        for place, value in enumerate(update_of(site, round_, shared).tolist()):
            # round() of a Fraction takes ties to even, as rounding to nearest does.
            total[place] += round(Fraction(value) / step) * step
    moved = [
        float(value) + float(summed) / len(survivors)
        for value, summed in zip(shared.tolist(), total, strict=True)
    ]
    return np.array(moved, np.float64).astype(np.float32)
