"""What a server of Flower's SecAgg+ sees, and one that lies: the tools of the attacks.

Secrets are taken from messages by Flower's own functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from flwr.common import bytes_to_ndarray, ndarrays_to_parameters
from flwr.common.secure_aggregation.crypto.symmetric_encryption import (
    decrypt,
    encrypt,
    generate_shared_key,
)
from flwr.common.secure_aggregation.quantization import dequantize
from flwr.common.secure_aggregation.secaggplus_constants import Key, Stage
from flwr.common.secure_aggregation.secaggplus_utils import (
    pseudo_rand_gen,
    share_keys_plaintext_concat,
    share_keys_plaintext_separate,
)
from flwr.supercore.primitives.asymmetric import (
    bytes_to_private_key,
    bytes_to_public_key,
    generate_key_pairs,
    private_key_to_bytes,
    public_key_to_bytes,
)

from benchmarks.secagg_flower import (
    CLIP,
    MAX_WEIGHT,
    MODULUS,
    TARGET_RANGE,
    FlowerClient,
    FlowerRounds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from benchmarks.secagg_flower import Configs

    Masked = list[NDArray[np.int64]]

VICTIM: Final = 1
STEP: Final = 2 * CLIP / TARGET_RANGE
"""Of Flower's encoding: stochastic rounding moves no value further."""
_NO_SHARE: Final = bytes(20)


def vector_of(node_id: int, d: int) -> NDArray[np.float32]:
    """Return what a client's training gives, float32 of shape `(d,)`, in [-1, 1)."""
    return np.random.default_rng(node_id).uniform(-1, 1, d).astype(np.float32)


def rounds_of(n: int, d: int, threshold: int, **changes: Any) -> FlowerRounds:  # noqa: ANN401 - fields of the rounds
    """Return a server and `n` clients whose `fit` is parameters plus `vector_of`."""
    clients = tuple(FlowerClient(node_id, _fit(node_id)) for node_id in range(1, n + 1))
    return FlowerRounds(clients, d, threshold, **changes)


def _fit(node_id: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    return lambda parameters: parameters + vector_of(node_id, parameters.size)


def masked_by(rounds: FlowerRounds, node_id: int) -> Masked:
    """Return what a client uploaded: its masked weight, and its masked parameters."""
    configs = rounds.grid.received[Stage.COLLECT_MASKED_VECTORS][node_id]
    return arrays_of(configs)


def arrays_of(configs: Configs) -> Masked:
    """Return the masked arrays of a client's reply."""
    return [bytes_to_ndarray(part) for part in cast("list[bytes]", configs[Key.MASKED_PARAMETERS])]


def mask_key_of(rounds: FlowerRounds, node_id: int) -> bytes:
    """Return the public key that a client announced for masks."""
    return cast("bytes", rounds.grid.received[Stage.SETUP][node_id][Key.PUBLIC_KEY_1])


def pair_key(secret: bytes, public: bytes) -> bytes:
    """Return what `pseudo_rand_gen` is seeded with for a pair, by Flower's own functions."""
    return generate_shared_key(bytes_to_private_key(secret), bytes_to_public_key(public))


def without(masked: Masked, node_id: int, seed: bytes, pairs: Mapping[int, bytes]) -> Masked:
    """Return a client's arrays without its self mask and without these pairs' masks.

    Args:
        masked: what the client uploaded.
        node_id: whose.
        seed: of its self mask.
        pairs: what the mask of each pair is seeded with, by the other's node id.
    """
    shapes = [part.shape for part in masked]
    left = _minus(masked, pseudo_rand_gen(seed, MODULUS, shapes))
    for peer, key in pairs.items():
        mask = pseudo_rand_gen(key, MODULUS, shapes)
        left = _minus(left, [part if node_id > peer else -part for part in mask])
    return [part % MODULUS for part in left]


def _minus(arrays: Masked, others: Iterable[NDArray[Any]]) -> Masked:
    return [one - other for one, other in zip(arrays, others, strict=True)]


def values_in(plain: Masked) -> NDArray[np.float64]:
    """Return the client's vector from its unmasked arrays; its weight is the largest there is."""
    return dequantize(plain[1:], CLIP, TARGET_RANGE)[0]


def is_plain(plain: Masked) -> bool:
    """Whether arrays look unmasked: the weight is the announced one, the rest within its range."""
    return int(plain[0][0]) == TARGET_RANGE and bool((plain[1] <= TARGET_RANGE).all())


def shares_of(replies: Iterable[Configs], owner: int, count: int = 0) -> list[bytes]:
    """Return the shares of `owner` in clients' replies; the `count`-th where there are several."""
    found = []
    for reply in replies:
        nids, shares = cast("list[int]", reply[Key.NODE_ID_LIST]), reply[Key.SHARE_LIST]
        own = [
            share
            for nid, share in zip(nids, cast("list[bytes]", shares), strict=True)
            if nid == owner
        ]
        found += own[count : count + 1]
    return found


class LyingServer:
    """A server that talks to one client of Flower's and keeps to no workflow.

    It asks for one stage after the other, with values of its own choice, and speaks for all of
    the client's peers.
    """

    def __init__(self, d: int) -> None:
        self._client = rounds_of(1, d, threshold=2)
        self._d = d
        self._victim_keys: list[bytes] = []
        self._secrets: dict[int, bytes] = {}

    def ask(self, configs: Configs) -> Configs:
        """Send one message; return the reply's configs, or raise what the mod raises."""
        parameters = ndarrays_to_parameters([np.zeros(self._d, np.float32)])
        return self._client.grid.ask(VICTIM, configs, parameters)

    def setup(self, **changes: float) -> None:
        """Propose these values, and Flower's defaults for a cohort of four in place of others."""
        proposed: Configs = {
            Key.STAGE: Stage.SETUP,
            Key.SAMPLE_NUMBER: 4,
            Key.SHARE_NUMBER: 4,
            Key.THRESHOLD: 3,
            Key.CLIPPING_RANGE: CLIP,
            Key.TARGET_RANGE: TARGET_RANGE,
            Key.MOD_RANGE: MODULUS,
            Key.MAX_WEIGHT: float(MAX_WEIGHT),
        }
        reply = self.ask(proposed | changes)
        self._victim_keys = [
            cast("bytes", reply[key]) for key in (Key.PUBLIC_KEY_1, Key.PUBLIC_KEY_2)
        ]

    def invented_keys(self, *peers: int) -> dict[int, list[bytes]]:
        """Return the client's own keys, and for each peer two that this server made."""
        keys = {VICTIM: self._victim_keys}
        for peer in peers:
            masks, channel = generate_key_pairs(), generate_key_pairs()
            self._secrets[peer] = private_key_to_bytes(channel[0])
            keys[peer] = [public_key_to_bytes(pair[1]) for pair in (masks, channel)]
        return keys

    def share(self, keys: Mapping[int, list[bytes]]) -> dict[int, bytes]:
        """Show the client these keys; return the shares that it seals, by whom they are for."""
        configs: Configs = {str(nid): pair for nid, pair in keys.items()}
        reply = self.ask({**configs, Key.STAGE: Stage.SHARE_KEYS})
        names = cast("list[int]", reply[Key.DESTINATION_LIST])
        return dict(zip(names, cast("list[bytes]", reply[Key.CIPHERTEXT_LIST]), strict=True))

    def opened_shares(self, sealed: Mapping[int, bytes], peer: int) -> tuple[bytes, bytes]:
        """Return the client's shares for an invented peer: of the self mask, and of the key."""
        plain = decrypt(self._channel(peer), sealed[peer])
        _, _, seed, secret = share_keys_plaintext_separate(plain)
        return seed, secret

    def collect(self) -> Masked:
        """Let the client train and mask among its invented peers; return what it uploads."""
        peers = list(self._secrets)
        sealed = [
            encrypt(
                self._channel(peer),
                share_keys_plaintext_concat(peer, VICTIM, _NO_SHARE, _NO_SHARE),
            )
            for peer in peers
        ]
        reply = self.ask(
            {
                Key.STAGE: Stage.COLLECT_MASKED_VECTORS,
                Key.CIPHERTEXT_LIST: sealed,
                Key.SOURCE_LIST: peers,
            }
        )
        return arrays_of(reply)

    def _channel(self, peer: int) -> bytes:
        return generate_shared_key(
            bytes_to_private_key(self._secrets[peer]), bytes_to_public_key(self._victim_keys[1])
        )
