"""What a site's machine is built from: its records and model, its key, its files, its generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from crypto.roster import Roster
    from crypto.secrets import Entropy, SecretBytes
    from crypto.signatures import SigningKey
    from privacy.ledger import Ledger
    from privacy.scrubbing import Coverage
    from privacy.update import Update, UpdateSpec
    from secure_fl.config import Mechanism
    from secure_fl.policy import SitePolicy
    from secure_fl.rounds.site_state import SiteStore

    Tap = Callable[[Mapping[str, Tensor]], None]


class Workbench(Protocol):
    """What a site's machine asks of the site's records and model."""

    def prepare(self, mechanism: Mechanism) -> bytes:
        """Return the 32-byte version digest of the records that a run would train on.

        Raises:
            ConfigError: the site cannot do what the mechanism asks (base model, PII providers).
        """

    def record_digests(self) -> frozenset[bytes]:
        """Return what each record is known by (`ledger_fingerprints.record_digest`)."""

    def coverage(self) -> Coverage:
        """Return which PII entities were looked for, after `prepare`."""

    def canary_seed(self, mechanism: Mechanism) -> SecretBytes | None:
        """Return what the site's canaries in the run follow from; None where it has none."""

    def spec(self, mechanism: Mechanism) -> UpdateSpec:
        """Return names, shapes and order of what is shared."""

    def units(self, mechanism: Mechanism) -> int:
        """Return how many units of privacy a step can sample: records, or persons."""

    def train(
        self,
        mechanism: Mechanism,
        shared: NDArray[np.float32],
        round_: int,
        tap: Tap | None = None,
    ) -> Update:
        """Return how the site's records moved the shared parameters, shape (d,), in a round.

        Args:
            mechanism: of the run.
            shared: the parameters, shape (d,).
            round_: the round's number.
            tap: sees every step's noised mean where steps are noised one by one, and may raise.
        """


@dataclass(frozen=True)
class SiteParts:
    """What a site's machine is built from."""

    name: str
    key: SigningKey
    roster: Roster
    policy: SitePolicy
    ledger: Ledger
    workbench: Workbench
    store: SiteStore
    entropy: Entropy
    note: Callable[[str], None]
    """Writes a line to the site's own log; nothing of it is sent."""
