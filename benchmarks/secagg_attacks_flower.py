"""Attacks on Flower's SecAgg+: each one runs Flower's own mod, and most of its own workflow.

The attacker is the server, or whoever it shares what it sees with. What it takes from a client
is what came in a message; the truth is only looked at to count what was recovered.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, cast, final

import numpy as np
from flwr.common import (
    Code,
    FitIns,
    FitRes,
    Parameters,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.common.secure_aggregation.crypto.shamir import combine_shares
from flwr.common.secure_aggregation.secaggplus_constants import Key, Stage
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen
from flwr.server.strategy import Krum
from flwr.server.workflow import SecAggPlusWorkflow

from benchmarks.secagg_flower import (
    CLIP,
    MAX_WEIGHT,
    MODULUS,
    TARGET_RANGE,
    FlowerClient,
    FlowerRounds,
    SumOnly,
    in_flower,
)
from benchmarks.secagg_flower_view import (
    STEP,
    VICTIM,
    LyingServer,
    is_plain,
    mask_key_of,
    masked_by,
    pair_key,
    rounds_of,
    shares_of,
    values_in,
    vector_of,
    without,
)
from benchmarks.secagg_outcome import Outcome, recovered
from benchmarks.secagg_seed_search import (
    PAIR_SEED_BITS,
    folded,
    number_of,
    pairs_giving,
    seeds_giving,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flwr.server.client_manager import ClientManager
    from flwr.server.client_proxy import ClientProxy
    from numpy.typing import NDArray

    from benchmarks.secagg_flower import Configs
    from benchmarks.secagg_flower_view import Masked

_TRAIN_SCALE: Final = np.float32(0.25)
_LIAR: Final = 2
_ROUNDS: Final = 2


# -- attacks on the masks --------------------------------------------------------------------------


def search_one_seed(d: int, search_bits: int) -> Outcome:
    """Search the one pairwise mask that a drop-out leaves; nobody lies and nobody is corrupted.

    Three clients, a threshold of two, one drop-out: the protocol itself gives the server both
    survivors' self masks and every mask of the drop-out. What hides the two survivors from it is
    one mask of 2^28. Its first element hides the client's weight, which stands in clear beside it.
    """
    rounds = rounds_of(3, d, threshold=2)
    rounds.drop(3)
    rounds.run()
    left = without_what_is_known(rounds, dropped=(3,))
    start, count = _interval(rounds, 2, search_bits)
    began = time.perf_counter()
    word = (TARGET_RANGE - int(left[0][0])) % MODULUS  # the lesser node id subtracts
    plain = None
    for seed in seeds_giving(word, start, count):
        tried = _with_pair_mask(left, seed)
        plain = tried if is_plain(tried) else plain
    seconds = time.perf_counter() - began
    whole = seconds / count * 2**PAIR_SEED_BITS
    rate = f"{count} seeds in {seconds:.2f} s, so all 2^{PAIR_SEED_BITS} in {whole:.0f} s"
    return _searched(plain, d, rate)


def search_two_seeds(d: int, search_bits: int) -> Outcome:
    """Search the two masks that hide one of three clients, without any drop-out, from both ends."""
    rounds = rounds_of(3, d, threshold=2)
    rounds.run()
    left = without_what_is_known(rounds, dropped=())
    began = time.perf_counter()
    word = (TARGET_RANGE - int(left[0][0])) % MODULUS
    one, two = (_interval(rounds, peer, search_bits) for peer in (2, 3))
    plain = None
    for first, second in pairs_giving(word, one, two):
        tried = _with_pair_mask(_with_pair_mask(left, first), second)
        plain = tried if is_plain(tried) else plain
    seconds = time.perf_counter() - began
    # 2^56 pairs, of which one in 2^32 has the right first element by chance.
    whole = f"all: twice 2^{PAIR_SEED_BITS} words and about 2^24 pairs to confirm"
    return _searched(plain, d, f"twice {one[1]} seeds in {seconds:.2f} s; {whole}")


def without_what_is_known(rounds: FlowerRounds, dropped: Sequence[int]) -> Masked:
    """Return the victim's arrays without all that an honest run tells the server."""
    replies = list(rounds.grid.received[Stage.UNMASK].values())
    seed = combine_shares(shares_of(replies, VICTIM))
    public = mask_key_of(rounds, VICTIM)
    pairs = {peer: pair_key(combine_shares(shares_of(replies, peer)), public) for peer in dropped}
    return without(masked_by(rounds, VICTIM), VICTIM, seed, pairs)


def _interval(rounds: FlowerRounds, peer: int, search_bits: int) -> tuple[int, int]:
    """Return the interval of 2^search_bits seeds in which the true one lies.

    The only place where a secret of a client is looked at: so that a short search can be shown to
    find it. With all 28 bits, the interval is the whole space, whatever the secret is.
    """
    secret = cast("bytes", rounds.clients[VICTIM - 1].state["sk1"])
    number = number_of(folded(pair_key(secret, mask_key_of(rounds, peer))))
    return number >> search_bits << search_bits, 1 << search_bits


def _with_pair_mask(arrays: Masked, seed: int) -> Masked:
    mask = pseudo_rand_gen(seed.to_bytes(4, "little"), MODULUS, [part.shape for part in arrays])
    return [(part + other) % MODULUS for part, other in zip(arrays, mask, strict=True)]


def _searched(plain: Masked | None, d: int, effort: str) -> Outcome:
    if plain is None:
        return Outcome(succeeded=False, found=f"nothing among {effort}")
    found = recovered(values_in(plain), vector_of(VICTIM, d), STEP)
    return Outcome(found.succeeded, f"{found.found}; {effort}")


def modulus_of_two(d: int) -> Outcome:
    """Propose a modulus of 2: every mask is zero, and an upload is the sign of each coordinate.

    The masks are drawn from [0, modulus - 1), without its end, and the workflow takes the values.
    """
    rounds = rounds_of(4, d, threshold=3)
    rounds.workflow = SecAggPlusWorkflow(
        1.0,
        3,
        max_weight=float(MAX_WEIGHT),
        clipping_range=1e-9,
        quantization_range=1,
        modulus_range=2,
    )
    rounds.grid.absent[Stage.UNMASK] = frozenset(rounds.grid.clients)
    rounds.run()
    signs = masked_by(rounds, VICTIM)[1]
    right = int(np.count_nonzero((signs == 1) == (vector_of(VICTIM, d) > 0)))
    return Outcome(right == d, f"the signs of {right} of {d} coordinates, of every client")


# -- attacks on the shares -------------------------------------------------------------------------


def both_lists(d: int) -> Outcome:
    """Name one client as active and as dead in the same message: everybody gives both shares."""
    rounds = _uploaded(4, d, threshold=3)
    everybody = [client.node_id for client in rounds.clients]
    replies = [_ask_shares(rounds, nid, everybody, [VICTIM]) for nid in everybody]
    return _opened(rounds, shares_of(replies, VICTIM, 0), shares_of(replies, VICTIM, 1), d)


def split_survivors(d: int) -> Outcome:
    """Tell one half that a client survived and the other that it dropped out, at a threshold of 2.

    Nobody sees a contradiction: each client gives one share. Flower takes any threshold.
    """
    rounds = _uploaded(4, d, threshold=2)
    alive = [_ask_shares(rounds, nid, [1, 2, 3, 4], []) for nid in (1, 2)]
    dead = [_ask_shares(rounds, nid, [2, 3, 4], [VICTIM]) for nid in (3, 4)]
    return _opened(rounds, shares_of(alive, VICTIM), shares_of(dead, VICTIM), d)


def threshold_of_one(d: int) -> Outcome:
    """Propose a threshold of 1: any one neighbour's share is the secret."""
    server = LyingServer(d)
    server.setup(**{Key.THRESHOLD: 1, Key.SHARE_NUMBER: 2})
    keys = server.invented_keys(2)
    seed, secret = server.opened_shares(server.share(keys), 2)
    masked = server.collect()
    pairs = {2: pair_key(combine_shares([secret]), keys[2][0])}
    plain = without(masked, VICTIM, combine_shares([seed]), pairs)
    return recovered(values_in(plain), vector_of(VICTIM, d), STEP)


def wrong_share(d: int) -> Outcome:
    """Let one client answer with one altered share: the sum is wrong, and nobody learns of it."""
    rounds = rounds_of(4, d, threshold=3)
    rounds.grid.on_reply = _spoil_share
    average = rounds.run()
    wanted = np.mean([vector_of(nid, d) for nid in range(1, 5)], axis=0)
    if average is None or rounds.grid.failures:
        return Outcome(succeeded=False, found="the round was given up")
    off = float(np.abs(average - wanted).max())
    return Outcome(off > 1, f"no failure reported, the average is off by up to {off:.0f}")


def _spoil_share(node_id: int, configs: Configs) -> Configs:
    shares = configs.get(Key.SHARE_LIST)
    if node_id != _LIAR or shares is None:
        return configs
    first, *others = cast("list[bytes]", shares)
    spoiled = first[:4] + bytes([first[4] ^ 1]) + first[5:]  # four bytes of index, then the share
    return {**configs, Key.SHARE_LIST: [spoiled, *others]}


def earlier_shares(d: int) -> Outcome:
    """Hand the shares of the round before to everybody again."""
    rounds = rounds_of(4, d, threshold=3)
    rounds.run(1)
    before = dict(rounds.grid.sent[Stage.COLLECT_MASKED_VECTORS])
    rounds.grid.on_request = lambda nid, configs: (
        before[nid] if configs[Key.STAGE] == Stage.COLLECT_MASKED_VECTORS else configs
    )
    opened = rounds.run(2)
    for failure in rounds.grid.failures.values():
        raise failure
    return Outcome(opened is not None, "the second round opened with the first one's shares")


def _uploaded(n: int, d: int, threshold: int) -> FlowerRounds:
    """Return a round in which everybody has uploaded and nobody was asked for shares yet."""
    rounds = rounds_of(n, d, threshold)
    rounds.grid.absent[Stage.UNMASK] = frozenset(rounds.grid.clients)
    rounds.run()
    return rounds


def _ask_shares(rounds: FlowerRounds, node_id: int, active: list[int], dead: list[int]) -> Configs:
    return rounds.grid.ask(
        node_id,
        {
            Key.STAGE: Stage.UNMASK,
            Key.ACTIVE_NODE_ID_LIST: active,
            Key.DEAD_NODE_ID_LIST: dead,
        },
    )


def _opened(rounds: FlowerRounds, seeds: list[bytes], secrets: list[bytes], d: int) -> Outcome:
    """Open the victim's upload with shares of both its secrets."""
    secret = combine_shares(secrets)
    others = [nid for nid in rounds.grid.clients if nid != VICTIM]
    pairs = {nid: pair_key(secret, mask_key_of(rounds, nid)) for nid in others}
    plain = without(masked_by(rounds, VICTIM), VICTIM, combine_shares(seeds), pairs)
    return recovered(values_in(plain), vector_of(VICTIM, d), STEP)


# -- attacks on who takes part ---------------------------------------------------------------------


def substituted_keys(d: int) -> Outcome:
    """Give a client keys of the server's own for each of its peers: no key is signed."""
    server = LyingServer(d)
    server.setup(**{Key.THRESHOLD: 3, Key.SHARE_NUMBER: 4})
    keys = server.invented_keys(2, 3, 4)
    sealed = server.share(keys)
    opened = [server.opened_shares(sealed, nid) for nid in keys if nid != VICTIM]
    secret = combine_shares([part for _, part in opened])
    seed = combine_shares([part for part, _ in opened])
    masked = server.collect()
    pairs = {nid: pair_key(secret, keys[nid][0]) for nid in keys if nid != VICTIM}
    return recovered(values_in(without(masked, VICTIM, seed, pairs)), vector_of(VICTIM, d), STEP)


def alone(d: int) -> Outcome:
    """Show a client a cohort of itself alone: it masks with its self mask, and opens it."""
    server = LyingServer(d)
    server.setup(**{Key.THRESHOLD: 1, Key.SHARE_NUMBER: 1, Key.SAMPLE_NUMBER: 1})
    server.share(server.invented_keys())
    masked = server.collect()
    reply = server.ask(
        {Key.STAGE: Stage.UNMASK, Key.ACTIVE_NODE_ID_LIST: [VICTIM], Key.DEAD_NODE_ID_LIST: []}
    )
    plain = without(masked, VICTIM, combine_shares(shares_of([reply], VICTIM)), {})
    return recovered(values_in(plain), vector_of(VICTIM, d), STEP)


def sybils(d: int) -> Outcome:
    """Let four clients of the server's own join, and take their vectors off the honest sum."""
    rounds = rounds_of(5, d, threshold=4)
    average = rounds.run()
    if average is None:
        return Outcome(succeeded=False, found="the round was given up")
    rest = average * 5 - sum(vector_of(nid, d).astype(np.float64) for nid in range(2, 6))
    return recovered(rest, vector_of(VICTIM, d), 5 * STEP)


# -- attacks on the rounds -------------------------------------------------------------------------


def asked_again(d: int) -> Outcome:
    """Start the same round over, with other parameters: the client trains and masks again."""
    rounds = rounds_of(4, d, threshold=3)
    first = rounds.run(1)
    rounds.start = np.ones(d, np.float32)
    second = rounds.run(1)
    fits = rounds.clients[0].fits
    opened = sum(total is not None for total in (first, second))
    return Outcome(fits == opened == _ROUNDS, f"round 1 trained {fits} times, {opened} sums opened")


def different_models(d: int) -> Outcome:
    """Send all but one client parameters under which nothing is trained: the sum is the one's.

    Pasquini et al., "Eluding Secure Aggregation in Federated Learning via Model Inconsistency"
    (CCS 2022): a model whose units are dead has no gradient.
    """
    dead = np.full(d, -1e3, np.float32)
    clients = tuple(FlowerClient(nid, _fit_unless(nid, dead)) for nid in range(1, 5))
    average = FlowerRounds(clients, d, 3, OneModelEach(dead)).run()
    if average is None:
        return Outcome(succeeded=False, found="the round was given up")
    return recovered(average * 4, vector_of(VICTIM, d), 4 * STEP)


@final
class OneModelEach(SumOnly):
    """Sends the victim the round's parameters, and everybody else others."""

    def __init__(self, others: NDArray[np.float32]) -> None:
        super().__init__()
        self._others = ndarrays_to_parameters([others])

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Return as FedAvg does, but for the parameters."""
        chosen = super().configure_fit(server_round, parameters, client_manager)
        return [
            (proxy, ins if proxy.node_id == VICTIM else FitIns(self._others, {}))
            for proxy, ins in chosen
        ]


def _fit_unless(
    node_id: int, dead: NDArray[np.float32]
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    def fit(parameters: NDArray[np.float32]) -> NDArray[np.float32]:
        if np.array_equal(parameters, dead):
            return np.zeros_like(parameters)
        return parameters + vector_of(node_id, parameters.size)

    return fit


def _fit_to(vector: NDArray[np.float32]) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    return lambda parameters: parameters + vector


def rule_replaced(d: int) -> Outcome:
    """Run Krum behind the workflow: the mean comes out, outlier included, and nobody is told."""
    strategy = Krum(num_malicious_clients=1, num_clients_to_keep=1)
    outlier = np.full(d, CLIP, np.float32)
    vectors = [outlier, *(vector_of(nid, d) * _TRAIN_SCALE for nid in range(2, 6))]
    clients = tuple(FlowerClient(nid + 1, _fit_to(one)) for nid, one in enumerate(vectors))
    average = FlowerRounds(clients, d, 4, strategy).run()
    if average is None:
        return Outcome(succeeded=False, found="the round was given up")
    results: list[Any] = [
        (None, FitRes(Status(Code.OK, ""), ndarrays_to_parameters([one]), MAX_WEIGHT, {}))
        for one in vectors
    ]
    with in_flower():
        chosen, _ = strategy.aggregate_fit(1, results, [])
    krum = None if chosen is None else parameters_to_ndarrays(chosen)[0]
    is_mean = bool(np.abs(average - np.mean(vectors, axis=0)).max() <= STEP)
    differs = krum is not None and bool(np.abs(average - krum).max() > 1)
    found = f"the result is the mean: {is_mean}; it is not Krum's of the same vectors: {differs}"
    return Outcome(is_mean and differs, found)
