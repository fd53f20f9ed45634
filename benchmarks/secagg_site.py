"""A consortium in memory whose coordinator lies: real sites, signatures, policy and ledgers.

What a site of this platform answers is `secure_fl.rounds.site.Site.handle`, as in a deployment;
only training is made up, and states are kept in memory. The coordinator holds no site's key.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec.structs import replace

from crypto.codec import Message, decode, encode
from crypto.errors import SecureFLError
from crypto.roster import Member, Role, Roster
from crypto.secrets import system_entropy
from crypto.signatures import Signed, SigningKey, sign_message
from privacy.ledger import Ledger
from privacy.scrubbing import Coverage
from privacy.update import TensorSpec, Update, UpdateSpec
from secure_fl.config import Mechanism
from secure_fl.parameters import parameter_digest
from secure_fl.policy import SitePolicy
from secure_fl.rounds.coordinator import Coordinator
from secure_fl.rounds.messages import (
    Hello,
    HelloRequest,
    OpenRequest,
    Refusal,
    RoundHeader,
    ShareRequest,
)
from secure_fl.rounds.site import Site
from secure_fl.rounds.site_parts import SiteParts
from secure_fl.rounds.site_state import SiteState
from secure_fl.rounds.steps import Phase, Proposal
from secure_fl.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from numpy.typing import NDArray

    from secure_fl.rounds.site_parts import Tap
    from secure_fl.rounds.steps import Step

COORDINATOR: Final = "coordinator"
VICTIM: Final = "site-1"
_SITES: Final = 4
_LIMIT_BYTES: Final = 1 << 26
_WEIGHTS: Final = "ab" * 32


class SiteRefusalError(SecureFLError):
    """A site answered with a refusal; its own log has the words.

    Attributes:
        code: all that it tells the coordinator.
    """

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


class _Workbench:
    """Trains nothing: the update is the shared parameters."""

    def __init__(self, spec: UpdateSpec) -> None:
        self._spec = spec

    def prepare(self, mechanism: Mechanism) -> bytes:
        """Return a version of records that there are not."""
        return hashlib.sha256(mechanism.data.dataset.encode()).digest()

    def record_digests(self) -> frozenset[bytes]:
        """Return nothing: the records of a benchmark are invented anew."""
        return frozenset()

    def coverage(self) -> Coverage:
        """Return that nothing was looked for."""
        return Coverage(looked_for=(), not_looked_for=())

    def canary_seed(self, mechanism: Mechanism) -> None:
        """Return nothing: there are no canaries."""
        del mechanism

    def spec(self, mechanism: Mechanism) -> UpdateSpec:
        """Return the one tensor."""
        del mechanism
        return self._spec

    def units(self, mechanism: Mechanism) -> int:
        """Return that there is one."""
        del mechanism
        return 1

    def train(
        self,
        mechanism: Mechanism,
        shared: NDArray[np.float32],
        round_: int,
        tap: Tap | None = None,
    ) -> Update:
        """Return the parameters as they came."""
        del mechanism, round_, tap
        return Update.from_flat(self._spec, shared)


class _MemoryStore:
    """Keeps encoded states."""

    def __init__(self) -> None:
        self._saved: dict[bytes, bytes] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else is there."""
        yield

    def load(self, run_id: bytes) -> SiteState | None:
        """Return what was saved."""
        data = self._saved.get(run_id)
        return None if data is None else decode(SiteState, data, limit_bytes=_LIMIT_BYTES)

    def save(self, run_id: bytes, state: SiteState) -> None:
        """Keep it."""
        self._saved[run_id] = encode(state)


class LyingCoordinator:
    """A coordinator and four sites, one of which is told something else; close it."""

    def __init__(self, d: int) -> None:
        self.spec = UpdateSpec((TensorSpec("head.weight", (d,)),))
        self.key = SigningKey.generate(system_entropy)
        self.mechanism = _mechanism()
        self._folder = tempfile.TemporaryDirectory(prefix="secure-fl-attacks-")
        self._ledgers: list[Ledger] = []
        self._notes: list[str] = []
        keys = {f"site-{place}": SigningKey.generate(system_entropy) for place in range(1, 5)}
        self.roster = _roster(self.key, keys)
        self.sites = {name: self._site(name, key) for name, key in keys.items()}
        run_id = system_entropy(16)
        coordinator = Coordinator(
            Proposal(run_id, 1, 0, self.mechanism, self.roster, self.spec),
            np.zeros(d, np.float32),
            self.key,
            Transcript(run_id, COORDINATOR, self.key),
        )
        self._coordinator = coordinator
        self._step: Step = coordinator.begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        del exception
        for ledger in self._ledgers:
            ledger.close()
        self._folder.cleanup()

    def until(self, phase: Phase) -> bytes:
        """Go on honestly until `phase` is next; return what the victim would be sent then."""
        while self._step.exchange is not None and self._step.exchange.phase is not phase:
            requests = self._step.exchange.requests
            replies = {name: self.sites[name].handle(data) for name, data in requests.items()}
            self._step = self._coordinator.advance(replies)
        if self._step.exchange is None:
            raise RuntimeError(f"The run ended before {phase.value}.")
        return self._step.exchange.requests[VICTIM]

    def tell(self, request: bytes) -> bytes:
        """Send the victim a request; return its reply.

        Raises:
            SiteRefusalError: it refused.
        """
        reply = self.sites[VICTIM].handle(request)
        try:
            refusal = decode(Refusal, reply, limit_bytes=_LIMIT_BYTES)
        except SecureFLError:
            return reply
        raise SiteRefusalError(refusal.code.value, self._notes[-1])

    def sign(self, message: Message) -> Signed:
        """Return a statement of the coordinator's."""
        return sign_message(self.key, COORDINATOR, message)

    def _site(self, name: str, key: SigningKey) -> Site:
        ledger = Ledger.open(Path(self._folder.name) / f"{name}.sqlite", clock=_now)
        self._ledgers.append(ledger)
        return Site(
            SiteParts(
                name=name,
                key=key,
                roster=self.roster,
                policy=_policy(),
                ledger=ledger,
                workbench=_Workbench(self.spec),
                store=_MemoryStore(),
                entropy=system_entropy,
                note=self._notes.append,
            )
        )


def changed_hello(lying: LyingCoordinator, request: bytes, **changes: object) -> bytes:
    """Return a hello with other values, signed as it must be."""
    whole = decode(HelloRequest, request, limit_bytes=_LIMIT_BYTES)
    hello = decode(Hello, whole.hello.body, limit_bytes=_LIMIT_BYTES)
    return encode(replace(whole, hello=lying.sign(replace(hello, **changes))))


def other_keys(request: bytes, keys: dict[str, Signed], *, alone: bool = False) -> bytes:
    """Return the list of the sites' keys with some exchanged, or with the victim's alone."""
    whole = decode(ShareRequest, request, limit_bytes=_LIMIT_BYTES)
    listed = tuple(
        keys.get(signed.signer, signed)
        for signed in whole.keys
        if not alone or signed.signer == VICTIM
    )
    return encode(replace(whole, keys=listed))


def keys_in(request: bytes) -> dict[str, Signed]:
    """Return every site's signed keys."""
    whole = decode(ShareRequest, request, limit_bytes=_LIMIT_BYTES)
    return {signed.signer: signed for signed in whole.keys}


def other_parameters(lying: LyingCoordinator, request: bytes) -> bytes:
    """Return the opening of the same round over other parameters, signed as it must be."""
    whole = decode(OpenRequest, request, limit_bytes=_LIMIT_BYTES)
    parameters = np.ones(lying.spec.size, "<f4").tobytes()
    header = decode(RoundHeader, whole.header.body, limit_bytes=_LIMIT_BYTES)
    header = replace(header, parameter_digest=parameter_digest(lying.spec, parameters))
    return encode(replace(whole, header=lying.sign(header), parameters=parameters))


def _now() -> datetime:
    return datetime.now(UTC)


def _roster(coordinator: SigningKey, sites: dict[str, SigningKey]) -> Roster:
    return Roster(
        consortium="attacks",
        members=(
            Member(COORDINATOR, Role.COORDINATOR, coordinator.public),
            *(Member(name, Role.SITE, key.public) for name, key in sites.items()),
        ),
        not_before="2026-01-01T00:00:00Z",
        not_after="2027-01-01T00:00:00Z",
        serial=1,
    )


def _mechanism() -> Mechanism:
    return Mechanism.model_validate(
        {
            "method": "fedit",
            "sites": _SITES,
            "adversary": "semi-honest",
            "data": {"dataset": "finance.generated"},
            "model": {"name": "made-up", "weights_sha256": _WEIGHTS},
            "adapter": {"target_modules": ["query"]},
            "training": {"rounds": 2, "local_steps": 1, "learning_rate": 0.1, "batch_size": 8},
            "privacy": {"mode": "none"},
        }
    )


def _policy() -> SitePolicy:
    return SitePolicy.model_validate(
        {
            "schema": "secure-fl.site-policy.v1",
            "smallest_cohort": 3,
            "smallest_threshold": 3,
            "allowed_methods": ["fedit"],
            "allow_no_privacy": True,
            "allowed_base_models": [_WEIGHTS],
            "largest_rank": 8,
            "largest_clip": 1.0,
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
    )
