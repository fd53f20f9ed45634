"""The site's half of a homomorphic sum: the shared key, encryption and decryption by blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn, final

import msgspec
import numpy as np

from crypto.codec import Digest, Message, decode, encode
from crypto.digests import sha256
from crypto.errors import PeerError
from crypto.homomorphic_keys import LARGEST_EXPORTED_BYTES
from crypto.homomorphic_messages import PublicContext, SumBlock, UploadBlock, read_block
from crypto.homomorphic_plan import Scheme, SumPlan, join, split
from crypto.homomorphic_seal import SealKey, keyless_context
from crypto.secrets import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from crypto.homomorphic_messages import SumTerms
    from crypto.homomorphic_plan import SealParameters
    from crypto.masked_sum_messages import RoundBinding

_VECTOR_TYPES = frozenset({np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.uint32)})


class KeyRecord(Message, frozen=True, tag="secure-fl.homomorphic-key.v1"):
    """The encoding of a `SumKey`: one SEAL secret key per modulus. It does not print."""

    parameters: Digest
    secrets: Annotated[tuple[bytes, ...], msgspec.Meta(min_length=1, max_length=2)]

    def __repr__(self) -> str:
        return "<encoded homomorphic key>"


@final
class SumKey:
    """The secret key of a homomorphic sum, which all its sites hold and nobody else.

    One site makes it with SEAL's own generator (TenSEAL lets no `Entropy` in), exports it, and
    sends it to each other site sealed under their pairwise channel; the coordinator relays what it
    cannot open. It does not print, compare, hash, pickle or copy.

    Trust: whoever holds this key reads every ciphertext that reaches it. Sites see nothing but
    sums, and the coordinator has no key; but ONE SITE AND THE COORDINATOR TOGETHER READ EVERY
    SITE'S VECTOR. Against that, use masked sums, where it takes a threshold of the sites.
    """

    __slots__ = ("_digest", "_parts", "_record")

    def __init__(self, parts: tuple[SealKey, ...], record: SecretBytes) -> None:
        """Hold a key; `generate` and `restore` are the ways to one."""
        self._parts = parts
        self._record = record
        # The record holds uniform ternary coefficients: its digest shows nothing that helps.
        self._digest = sha256(b"secure-fl.homomorphic-key-digest.v1\x00" + record.reveal())

    @classmethod
    def generate(cls, plan: SumPlan) -> SumKey:
        """Make a new key for the parameters of `plan` (HE.1)."""
        parts = tuple(SealKey.generate(part) for part in plan.parameters)
        secrets = tuple(part.export().reveal() for part in parts)
        return cls(parts, SecretBytes(encode(KeyRecord(_parameters_digest(plan), secrets))))

    @classmethod
    def restore(cls, plan: SumPlan, exported: SecretBytes) -> SumKey:
        """Return the key that a site exported (HE.2).

        Raises:
            PeerError: the bytes are no key, or one for other parameters than those of `plan`.
        """
        record = decode(KeyRecord, exported.reveal(), limit_bytes=LARGEST_EXPORTED_BYTES)
        if record.parameters != _parameters_digest(plan) or len(record.secrets) != len(
            plan.parameters
        ):
            raise PeerError(
                "A homomorphic key came for other parameters than this run's: it was not used. "
                "The site that made it runs another configuration."
            )
        parts = zip(plan.parameters, record.secrets, strict=True)
        keys = tuple(SealKey(part, SecretBytes(secret)) for part, secret in parts)
        return cls(keys, exported)

    def export(self) -> SecretBytes:
        """Return the key's encoding: seal it before it leaves or is stored."""
        return self._record

    @property
    def digest(self) -> bytes:
        """What every block binds, so that blocks of different keys are never added; 32 bytes."""
        return self._digest

    @property
    def parts(self) -> tuple[SealKey, ...]:
        """The key of each modulus."""
        return self._parts

    def __repr__(self) -> str:
        return "<secret key of a homomorphic sum>"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("Secrets are not compared with ==, which leaks by its timing.")

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("Secrets are not pickled or copied: seal them for a store instead.")


@final
class HomomorphicSite:
    """The machine of one site for the homomorphic sums of one session.

    Formal guarantees: against a coordinator that follows the protocol and colludes with no site,
    the coordinator learns nothing of any vector (RLWE), and each site learns the sum. Memory is
    one block beside the caller's vector.

    Not covered, and therefore only for an adversary that is semi-honest (docs/homomorphic-sums.md):

    - ONE SITE AND THE COORDINATOR TOGETHER READ EVERY VECTOR: all sites hold one key.
    - A coordinator that lies can hand one site's ciphertext to the sites as if it were a sum.
    - The ciphertexts are malleable; whether a site accepts a changed one is itself an answer.
    - The sum's noise depends on the addends' rounding: who holds the key and can name whole
      candidate vectors can test them (no circuit privacy).
    """

    __slots__ = ("_key", "_name", "_next", "_terms")

    def __init__(self, name: str, terms: SumTerms, key: SumKey, *, first_round: int) -> None:
        """Take the site's name, what was agreed, the key, and the round it begins with.

        Raises:
            PeerError: the key is another one than `terms` names.
        """
        if key.digest != terms.key:
            raise PeerError(
                "The homomorphic key is another one than the session's: it was not used. Restore "
                "the key that the session's opening delivered, or open the session again."
            )
        self._name = name
        self._terms = terms
        self._key = key
        self._next = first_round

    def encrypt(
        self, binding: RoundBinding, vector: NDArray[np.int32 | np.int64 | np.uint32]
    ) -> Iterator[bytes]:
        """Return the blocks of the site's vector, encrypted one at a time as they are read (HE.4).

        Args:
            binding: the round's.
            vector: shape `(d,)`; int64, int32, or uint32 residues modulo 2^32, which stand for
                the integers in [-2^31, 2^31).

        Raises:
            ValueError: another type or shape, or a value beyond the plan's largest, which could
                make the sum wrap.
            PeerError: the site is not in the cohort, or the cohort exceeds the plan.
        """
        bound = self._terms.bind(binding)
        if self._name not in binding.cohort:
            raise PeerError(f"{self._name} is not in this round's cohort: it encrypted nothing.")
        return self._encrypted(bound, _signed(vector, self._terms.plan))

    def decrypt(
        self, binding: RoundBinding, survivors: tuple[str, ...], blocks: Iterable[bytes]
    ) -> NDArray[np.int64]:
        """Return the sum over `survivors`, int64 of shape `(d,)`, from its blocks (HE.7).

        A round is decrypted once, whether it succeeds or not: two sums over different survivors
        would show the difference, and repeated tries would answer questions.

        Raises:
            PeerError: the round was decrypted before; the survivors do not fit the cohort; a
                block is missing, too many, malformed, out of place, of another round or key; or
                the sum is beyond what the survivors' vectors can reach.
        """
        if binding.round < self._next:
            raise PeerError(
                f"A homomorphic sum of round {binding.round} was decrypted before: another one "
                "was refused, since their difference would show single sites. Start a new round."
            )
        bound = self._terms.bind_sum(binding, survivors)
        self._next = binding.round + 1
        plan = self._terms.plan
        reach = len(survivors) * plan.largest
        total = np.empty(plan.values, dtype=np.int64)
        count = 0
        for data in blocks:
            if count == plan.blocks:
                raise PeerError(f"A homomorphic sum has more than {plan.blocks} blocks: not used.")
            block = read_block(SumBlock, data, plan, (bound, count))
            part = total[count * plan.slots : (count + 1) * plan.slots]
            part[:] = self._opened(block.ciphertexts, part.size, reach)
            count += 1
        if count != plan.blocks:
            raise PeerError(
                f"A homomorphic sum ended after {count} of {plan.blocks} blocks: it was not used."
            )
        return total

    def __repr__(self) -> str:
        return f"<homomorphic site {self._name}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A homomorphic site is not pickled: seal its key for a store instead.")

    def _encrypted(self, bound: bytes, vector: NDArray[np.int32 | np.int64]) -> Iterator[bytes]:
        plan = self._terms.plan
        values = np.empty(plan.slots, dtype=np.int64)
        for index in range(plan.blocks):
            part = vector[index * plan.slots : (index + 1) * plan.slots]
            values[: part.size] = part
            values[part.size :] = 0
            ciphertexts = tuple(
                key.encrypt(_residues(values, parameters))
                for key, parameters in zip(self._key.parts, plan.parameters, strict=True)
            )
            yield encode(UploadBlock(bound, self._name, index, ciphertexts))

    def _opened(self, ciphertexts: tuple[bytes, ...], used: int, reach: int) -> NDArray[np.int64]:
        """Return one block's sums, shape `(used,)`, if every slot is what honest sites can make."""
        keys = self._key.parts
        residues = [key.decrypt(data) for key, data in zip(keys, ciphertexts, strict=True)]
        values: NDArray[np.int64] | None = residues[0]
        if len(residues) > 1:
            first, second = (part.plain_modulus for part in self._terms.plan.parameters)
            values = join(residues[0], residues[1], (first, second), reach)
        if values is None or np.abs(values).max() > reach or values[used:].any():
            raise PeerError(
                f"A decrypted sum is beyond {reach}, what its sites can reach: it was not used. "
                "A site sent garbage or encrypted under another key, or the sum was altered; "
                "start the round again."
            )
        return values[:used]


def public_context(plan: SumPlan) -> bytes:
    """Return what the coordinator is given (HE.3): about 100 bytes per modulus, without a key."""
    return encode(PublicContext(tuple(keyless_context(part) for part in plan.parameters)))


def _parameters_digest(plan: SumPlan) -> bytes:
    return sha256(public_context(plan))


def _residues(values: NDArray[np.int64], parameters: SealParameters) -> NDArray[np.int64]:
    if parameters.scheme is Scheme.CKKS:
        return values
    return split(values, parameters.plain_modulus)


def _signed(
    vector: NDArray[np.int32 | np.int64 | np.uint32], plan: SumPlan
) -> NDArray[np.int32 | np.int64]:
    """Return the integers that `vector` stands for, without a copy, if all may be sent."""
    if vector.dtype not in _VECTOR_TYPES or vector.shape != (plan.values,):
        raise ValueError(
            f"A homomorphic sum takes int64, int32 or uint32 of shape ({plan.values},), not "
            f"{vector.dtype} of shape {vector.shape}."
        )
    signed: NDArray[np.int32 | np.int64] = vector.view(f"i{vector.dtype.itemsize}")
    # Not by np.abs, of which the lowest integer has none.
    if int(signed.max()) > plan.largest or int(signed.min()) < -plan.largest:
        raise ValueError(
            f"A value is beyond {plan.largest}, the largest that a site may send: nothing was "
            "encrypted, since the sum could wrap. The clip or the plan is wrong."
        )
    return signed
