"""The coordinator's half of a homomorphic sum: it adds ciphertexts and can read none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, final

from crypto.codec import decode, encode
from crypto.errors import PeerError
from crypto.homomorphic_messages import PublicContext, SumBlock, UploadBlock, read_block
from crypto.homomorphic_seal import SealAdder, check_keyless_context

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crypto.homomorphic_messages import SumTerms
    from crypto.homomorphic_seal import Ciphertext
    from crypto.masked_sum_messages import RoundBinding

_LARGEST_CONTEXT_BYTES = 1 << 21
"""The largest set of keys that somebody may send by mistake, so that it is refused by its name."""


@final
class HomomorphicCoordinator:
    """The machine of the coordinator for the homomorphic sums of one session.

    It cannot hold a secret key: it takes encryption parameters that it compares byte for byte
    with those of its own plan, and builds its contexts from the plan. It learns the lengths, who
    took part, and nothing else.

    ONE SITE AND THE COORDINATOR TOGETHER READ EVERY SITE'S VECTOR: the sites share one key, and
    the coordinator holds every upload while a round lasts.

    Memory: the running sum (`SumPlan.running_bytes`: 16 bytes per value and modulus for BFV, 64
    for CKKS) and one block; an upload is read once and not kept.
    """

    __slots__ = ("_adders", "_next", "_running", "_terms")

    def __init__(self, terms: SumTerms, context: bytes, *, first_round: int) -> None:
        """Take what was agreed, the sites' keyless context, and the round it begins with (HE.3).

        Raises:
            IntegrityError: `context` holds a key.
            PeerError: it has other parameters than the plan.
        """
        contexts = decode(PublicContext, context, limit_bytes=_LARGEST_CONTEXT_BYTES).contexts
        parameters = terms.plan.parameters
        for place, data in enumerate(contexts):
            check_keyless_context(parameters[min(place, len(parameters) - 1)], data)
        if len(contexts) != len(parameters):
            raise PeerError(
                f"A homomorphic context has {len(contexts)} moduli where the plan has "
                f"{len(parameters)}: it was not used. Its sender runs another configuration."
            )
        self._terms = terms
        self._adders = tuple(SealAdder(part) for part in parameters)
        self._next = first_round
        self._running: _Running | None = None

    def begin(self, binding: RoundBinding) -> None:
        """Begin the sum of a round; an unfinished one is given up.

        Raises:
            PeerError: the round is an earlier one, or its cohort exceeds the plan.
        """
        if binding.round < self._next:
            raise PeerError(
                f"Round {binding.round} was summed before: it was not begun again, since sites "
                "decrypt a round once. Start the next one."
            )
        self._running = _Running(self._terms, self._adders, binding)
        self._next = binding.round + 1

    def add(self, site: str, blocks: Sequence[bytes]) -> None:
        """Add a site's upload, block by block (HE.5); no reference to it is kept.

        An upload is added as a whole or not at all: when a block is refused, those before it are
        read again and taken away, which modular arithmetic does exactly. That is why it is a
        sequence and not an iterator.

        Raises:
            PeerError: no round is under way, the site is not in the cohort or was added before,
                a block is missing or too many, too long, malformed, of another round, key, plan,
                site or place, or cancels the sum's secret part.
        """
        self._current().add(site, blocks)

    def survivors(self) -> tuple[str, ...]:
        """Return the sites whose uploads were added so far, sorted.

        Raises:
            PeerError: no round is under way.
        """
        return tuple(sorted(self._current().added))

    def close(self) -> Iterator[bytes]:
        """End the round and return the blocks of its sum (HE.6), each dropped as it is read.

        Every site gets the same bytes.

        Raises:
            PeerError: no round is under way, or fewer than two uploads were added.
        """
        running = self._current()
        blocks = running.close(self.survivors())
        self._running = None
        return blocks

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A homomorphic coordinator is not pickled: begin the round again instead.")

    def _current(self) -> _Running:
        if self._running is None:
            raise PeerError("No round is under way: the message came early, late or twice.")
        return self._running


class _Running:
    """The sum of one round so far."""

    def __init__(
        self, terms: SumTerms, adders: tuple[SealAdder, ...], binding: RoundBinding
    ) -> None:
        self._terms = terms
        self._adders = adders
        self._binding = binding
        self._bound = terms.bind(binding)
        self._totals: list[list[Ciphertext]] = []
        self.added: set[str] = set()

    def add(self, site: str, blocks: Sequence[bytes]) -> None:
        if site not in self._binding.cohort:
            raise PeerError(f"{site} is not in this round's cohort: its upload was not added.")
        if site in self.added:
            raise PeerError(f"{site} uploaded twice: the second upload was not added.")
        if len(blocks) != self._terms.plan.blocks:
            raise PeerError(
                f"{site} uploaded {len(blocks)} blocks where the round has "
                f"{self._terms.plan.blocks}: its upload was not added."
            )
        for index, data in enumerate(blocks):
            try:
                self._add_block(index, self._loaded(site, index, data))
            except PeerError as error:
                self._undo(site, blocks[:index])
                raise PeerError(f"{site}'s upload was not added. {error}") from error
        self.added.add(site)

    def close(self, survivors: tuple[str, ...]) -> Iterator[bytes]:
        bound = self._terms.bind_sum(self._binding, survivors)
        return self._summed(bound)

    def _summed(self, bound: bytes) -> Iterator[bytes]:
        totals = self._totals[::-1]
        self._totals = []
        for index in range(len(totals)):
            parts = zip(self._adders, totals.pop(), strict=True)
            yield encode(SumBlock(bound, index, tuple(adder.dump(part) for adder, part in parts)))

    def _loaded(self, site: str, index: int, data: bytes) -> list[Ciphertext]:
        block = read_block(UploadBlock, data, self._terms.plan, (self._bound, index))
        if block.site != site:
            raise PeerError(f"Block {index} is {block.site}'s: a copied upload is not added.")
        loaded = zip(self._adders, block.ciphertexts, strict=True)
        return [adder.load(ciphertext) for adder, ciphertext in loaded]

    def _add_block(self, index: int, parts: list[Ciphertext]) -> None:
        if not self.added:
            self._totals.append(parts)
            return
        done: list[tuple[SealAdder, Ciphertext, Ciphertext]] = []
        for adder, total, part in zip(self._adders, self._totals[index], parts, strict=True):
            try:
                adder.add(total, part)
            except PeerError:
                for earlier, whole, piece in done:
                    earlier.subtract(whole, piece)
                raise
            done.append((adder, total, part))

    def _undo(self, site: str, blocks: Sequence[bytes]) -> None:
        """Take an upload's first blocks away again."""
        if not self.added:
            self._totals = []
            return
        for index, data in enumerate(blocks):
            parts = self._loaded(site, index, data)
            for adder, total, part in zip(self._adders, self._totals[index], parts, strict=True):
                adder.subtract(total, part)
