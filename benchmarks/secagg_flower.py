"""Flower's SecAgg+ in one process: its own client mod and its own server workflow, in memory.

Nothing of the protocol is written again here. `secaggplus_mod` answers for every client and
`SecAggPlusWorkflow` runs the server; between them stands a grid that hands messages over, loses
those of drop-outs, and lets an attacker read or change what passes. What Flower itself would
add on a real deployment (gRPC, a process per message) is left out.

Where the masks come from, in flwr 1.41: `generate_shared_key` in
`flwr/common/secure_aggregation/crypto/symmetric_encryption.py` returns 44 characters of base64,
of seven bits each, and `pseudo_rand_gen` in
`flwr/common/secure_aggregation/secaggplus_utils.py` folds them by exclusive or into one 32-bit
word for numpy's RandomState (a Mersenne twister): the top bit of each of its four bytes is always
zero, so a pairwise mask is one of 2^28. The self mask's 32 random bytes fold into 32 bits.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast, final

import numpy as np
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.secure_aggregation.secaggplus_constants import (
    RECORD_KEY_CONFIGS,
    RECORD_KEY_STATE,
    Key,
    Stage,
)
from flwr.compat.common import recorddict_compat
from flwr.server import SimpleClientManager
from flwr.server.compat.grid_client_proxy import GridClientProxy
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.strategy import FedAvg
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from flwr.serverapp.grid import Grid
from flwr.supercore.task_identity import TaskIdentity

from benchmarks.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from flwr.app.typing import ConfigRecordValues
    from flwr.common import Parameters
    from flwr.server.client_proxy import ClientProxy
    from flwr.server.strategy import Strategy
    from flwr.supercore.run import Run
    from numpy.typing import NDArray

    Configs = dict[str, ConfigRecordValues]
    Tap = Callable[[int, Configs], Configs]
    Fit = Callable[[NDArray[np.float32]], NDArray[np.float32]]

MAX_WEIGHT: Final = 1000
"""Flower's default: the weight at which a vector is quantised in full."""
CLIP: Final = 8.0
TARGET_RANGE: Final = 1 << 22
MODULUS: Final = 1 << 32
"""Flower's defaults for the encoding."""
_DROPPED_OUT: Final = 0
_NPY_HEADER_BYTES: Final = 128


@final
class FlowerClient:
    """One client: Flower's mod around a `fit` that returns what the benchmark says.

    Attributes:
        node_id: as in Flower.
        weight: `num_examples`.
        masking: process time within the mod, `fit` left out.
        uploaded_bytes: of the masked arrays of the latest round.
    """

    def __init__(self, node_id: int, fit: Fit, weight: int = MAX_WEIGHT) -> None:
        self.node_id = node_id
        self.weight = weight
        self.masking = Stopwatch()
        self.fitting = Stopwatch()
        self.uploaded_bytes = 0
        self.fits = 0
        self._fit = fit
        self._context = Context(1, node_id, {}, RecordDict(), {})

    @property
    def state(self) -> Mapping[str, ConfigRecordValues]:
        """What the mod keeps in the client's context, secrets included."""
        return self._context.state.config_records[RECORD_KEY_STATE]

    @property
    def seconds(self) -> float:
        """Process time of SecAgg+ at this client, training left out."""
        return self.masking.seconds - self.fitting.seconds

    def handle(self, message: Message) -> Message:
        """Answer as a ClientApp with this mod does; what the mod raises is raised here."""
        with self.masking.running():
            reply = secaggplus_mod(message, self._context, self._train)
        configs = reply.content.config_records[RECORD_KEY_CONFIGS]
        masked = cast("list[bytes]", configs.get(Key.MASKED_PARAMETERS, []))
        self.uploaded_bytes = sum(len(part) for part in masked) or self.uploaded_bytes
        return reply

    def _train(self, message: Message, context: Context) -> Message:
        del context
        with self.fitting.running():
            self.fits += 1
            ins = recorddict_compat.recorddict_to_fitins(message.content, keep_input=True)
            fitted = self._fit(parameters_to_ndarrays(ins.parameters)[0])
            parameters = ndarrays_to_parameters([fitted])
            result = FitRes(Status(Code.OK, ""), parameters, self.weight, {})
            content = recorddict_compat.fitres_to_recorddict(result, keep_input=False)
            return Message(content, reply_to=message)


def _stage_of(message: Message) -> str:
    return str(message.content.config_records[RECORD_KEY_CONFIGS][Key.STAGE])


def _nothing() -> None:
    """What happens after the uploads where nobody looks."""


def _as_is(node_id: int, configs: Configs) -> Configs:
    del node_id
    return configs


@final
class MemoryGrid(Grid):
    """Hands messages to clients in this process, in the order of their node ids.

    Attributes:
        clients: by node id.
        absent: node ids that are not reached, by stage.
        failures: what a client's mod raised, by node id; its reply is Flower's error then.
        sent: what was delivered, by stage and node id; `received`: what came back.
        on_request, on_reply: what an attacker makes of a message's configs on the way.
        uploaded: called when the server has all masked vectors in memory.
        delivering: process time within the grid and the clients.
    """

    def __init__(self, clients: Iterable[FlowerClient]) -> None:
        self.clients = {client.node_id: client for client in clients}
        self.absent: dict[str, frozenset[int]] = {}
        self.failures: dict[int, Exception] = {}
        self.sent: dict[str, dict[int, Configs]] = {}
        self.received: dict[str, dict[int, Configs]] = {}
        self.keep_uploads = True
        self.on_request: Tap = _as_is
        self.on_reply: Tap = _as_is
        self.uploaded: Callable[[], None] = _nothing
        self.delivering = Stopwatch()

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Return each client's reply, an error for drop-outs and for a mod that raised."""
        del timeout
        with self.delivering.running():
            ordered = sorted(messages, key=lambda message: message.metadata.dst_node_id)
            replies = [self._deliver(message) for message in ordered]
        if any(_stage_of(message) == Stage.COLLECT_MASKED_VECTORS for message in ordered):
            self.uploaded()
        return replies

    def ask(self, node_id: int, configs: Configs, parameters: Parameters | None = None) -> Configs:
        """Send one message of a server that keeps to no workflow; return the reply's configs.

        Raises:
            Exception: whatever the mod raises: it refused.
        """
        content = RecordDict({RECORD_KEY_CONFIGS: ConfigRecord(configs)})
        if parameters is not None:
            record = recorddict_compat.parameters_to_arrayrecord(parameters, keep_input=True)
            content.array_records["fitins.parameters"] = record
            content.config_records["fitins.config"] = ConfigRecord({})
        with in_flower():
            reply = self.clients[node_id].handle(Message(content, node_id, "train"))
        return dict(reply.content.config_records[RECORD_KEY_CONFIGS])

    def _deliver(self, message: Message) -> Message:
        node_id = message.metadata.dst_node_id
        configs = dict(message.content.config_records[RECORD_KEY_CONFIGS])
        stage = _stage_of(message)
        if node_id in self.absent.get(stage, ()):
            return Message(Error(_DROPPED_OUT, "dropped out"), reply_to=message)
        configs = self.on_request(node_id, configs)
        self.sent.setdefault(stage, {})[node_id] = dict(configs)
        # A real grid serialises: no two clients are handed the same record.
        content = RecordDict(dict(message.content))
        content.config_records[RECORD_KEY_CONFIGS] = ConfigRecord(configs)
        delivered = Message(content, metadata=message.metadata)  # type: ignore[call-overload] # as Flower's own grids do
        try:
            reply = self.clients[node_id].handle(delivered)
        except Exception as error:  # noqa: BLE001 - Flower's client turns any into an error reply
            self.failures[node_id] = error
            return Message(Error(_DROPPED_OUT, str(error)), reply_to=message)
        answer = self.on_reply(node_id, dict(reply.content.config_records[RECORD_KEY_CONFIGS]))
        reply.content.config_records[RECORD_KEY_CONFIGS] = ConfigRecord(answer)
        if self.keep_uploads:
            self.received.setdefault(stage, {})[node_id] = answer
        return reply

    def get_node_ids(self) -> Iterable[int]:
        """Return every client's node id."""
        return list(self.clients)

    @property
    def run(self) -> Run:
        """Nothing asks for it."""
        raise NotImplementedError

    def set_run(self, run: Run) -> None:
        """Nothing calls it."""
        raise NotImplementedError

    def create_message(self, *args: Any, **kwargs: Any) -> Message:  # noqa: ANN401 - as Flower's
        """Nothing calls it."""
        raise NotImplementedError

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Nothing calls it."""
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Nothing calls it."""
        raise NotImplementedError


class SumOnly(FedAvg):
    """Takes the workflow's average as it is: what a strategy adds to it is no secure sum.

    FedAvg would average n copies of the average, at a cost that is Flower's, but not SecAgg+'s.
    """

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Any]]:
        """Return the parameters that every result holds by now."""
        del server_round, failures
        return results[0][1].parameters, {}


@dataclass
class FlowerRounds:
    """A server of SecAgg+ and its clients; every call of `run` is one round.

    Attributes:
        clients: of the one round.
        d: how many parameters.
        threshold: shares that rebuild a secret.
        strategy: what the workflow hands its average to.
        start: the parameters that clients are sent, float32 of shape `(d,)`; zeros if not given.
        server: process time within the workflow, the grid included.
    """

    clients: tuple[FlowerClient, ...]
    d: int
    threshold: int
    strategy: Strategy = field(default_factory=SumOnly)
    start: NDArray[np.float32] | None = None
    server: Stopwatch = field(default_factory=Stopwatch)

    def __post_init__(self) -> None:
        self.grid = MemoryGrid(self.clients)
        manager = SimpleClientManager()
        for client in self.clients:
            manager.register(GridClientProxy(client.node_id, self.grid, run_id=1))
        self.context = LegacyContext(
            Context(1, 0, {}, RecordDict(), {}), strategy=self.strategy, client_manager=manager
        )
        # 1.0 is every client: the complete graph, as ours.
        self.workflow = SecAggPlusWorkflow(1.0, self.threshold, max_weight=float(MAX_WEIGHT))

    @property
    def server_seconds(self) -> float:
        """Process time of the workflow, without the grid and the clients."""
        return self.server.seconds - self.grid.delivering.seconds

    def run(self, number: int = 1) -> NDArray[np.float64] | None:
        """Return what the round gave, shape `(d,)`; None where the workflow gave up."""
        start = np.zeros(self.d, np.float32) if self.start is None else self.start
        record = recorddict_compat.parameters_to_arrayrecord(
            ndarrays_to_parameters([start]), keep_input=False
        )
        self.context.state.array_records[MAIN_PARAMS_RECORD] = record
        self.context.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord(
            {WorkflowKey.CURRENT_ROUND: number}
        )
        with in_flower(), self.server.running():
            self.workflow(self.grid, self.context)
        after = self.context.state.array_records[MAIN_PARAMS_RECORD]
        if after is record:
            return None
        parameters = recorddict_compat.arrayrecord_to_parameters(after, keep_input=True)
        return parameters_to_ndarrays(parameters)[0]

    def drop(self, *node_ids: int) -> None:
        """Let these clients deal shares and then upload nothing."""
        self.grid.absent[Stage.COLLECT_MASKED_VECTORS] = frozenset(node_ids)


@contextmanager
def in_flower() -> Iterator[None]:
    """Be a ServerApp's process, which has an identity, and keep Flower's log off the screen."""
    logger = logging.getLogger("flwr")
    level = logger.level
    names = ("_task_id", "_run_id", "_node_id")
    before = {name: vars(TaskIdentity)[name] for name in names}
    logger.setLevel(logging.CRITICAL)
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, SUPERLINK_NODE_ID
    try:
        yield
    finally:
        logger.setLevel(level)
        for name in names:
            setattr(TaskIdentity, name, before[name])
