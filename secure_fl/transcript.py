"""The append-only log of a run: every signed statement, under signed checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.checkpoint import Checkpoint
from crypto.merkle import MerkleLog
from crypto.signatures import Signed, SigningKey, sign_message
from secure_fl.rounds.messages import LogProof
from secure_fl.rounds.reading import leaf_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Transcript:
    """Signed statements in the order in which the coordinator took them.

    A leaf is the one encoding of a signed statement; statements hold digests, never a vector
    or a share, so the whole log may be published with the run.
    """

    def __init__(self, run_id: bytes, signer: str, key: SigningKey) -> None:
        self._run_id = run_id
        self._signer = signer
        self._key = key
        self._log = MerkleLog()
        self._leaves: list[bytes] = []
        self._index: dict[bytes, int] = {}

    @property
    def leaves(self) -> Sequence[bytes]:
        """Every leaf so far, in order."""
        return self._leaves

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._leaves)

    def append(self, signed: Signed) -> None:
        """Append one statement."""
        self.restore([leaf_of(signed)])

    def restore(self, leaves: Iterable[bytes]) -> None:
        """Append leaves as they stood in a stored transcript."""
        for leaf in leaves:
            self._index[leaf] = self._log.append(leaf)
            self._leaves.append(leaf)

    def checkpoint(self) -> Signed:
        """Return the signed root over all leaves so far."""
        checkpoint = Checkpoint(run_id=self._run_id, size=self.size, root=self._log.root())
        return sign_message(self._key, self._signer, checkpoint)

    def root(self) -> bytes:
        """Return the Merkle root over all leaves so far: 32 bytes."""
        return self._log.root()

    def proof(self, leaves: Iterable[bytes], seen: int) -> LogProof:
        """Return proofs that `leaves` are in the log and that it extends its first `seen`."""
        inclusion = []
        for leaf in leaves:
            index = self._index[leaf]
            inclusion.append((index, tuple(self._log.inclusion_proof(index, self.size))))
        consistency = tuple(self._log.consistency_proof(seen, self.size))
        return LogProof(inclusion=tuple(inclusion), consistency=consistency)
