"""The transport of real deployments: Flower's message API. The only module that imports flwr.

One exchange is one message to each site and its reply. Flower runs a process per message at a
site and polls in between, so an exchange takes about five seconds however little it carries.

What a site answers is a record with its name and either the reply's bytes or a code from
`FailureCode`. No text of an exception gets in: Flower would send it to the server in clear.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from crypto.errors import ConfigError, PeerError, SecureFLError
from secure_fl.transport import FailureCode, failure_code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from secure_fl.transport import Handler, Transport

COORDINATOR_FOLDER = "SECURE_FL_COORDINATOR"
"""The environment variable of the SuperLink that names the coordinator's folder."""

_LOG = logging.getLogger(__name__)
_ARRAYS, _BYTES, _STATUS = "secure-fl.message", "bytes", "secure-fl.status"
_MESSAGE_TYPE = "query"
_POLL_SECONDS = 0.2


def pack(data: bytes) -> ArrayRecord:
    """Return a message's bytes as the record that Flower moves in pieces of 5 MiB.

    Raises:
        ValueError: there are no bytes, which no message of ours encodes to.
    """
    if not data:
        raise ValueError("a message is never empty")
    return ArrayRecord({_BYTES: Array("uint8", (len(data),), "secure-fl.bytes", data)})


def unpack(content: RecordDict) -> bytes:
    """Return the bytes that `pack` packed.

    Raises:
        PeerError: the content holds no such record.
    """
    record = content.get(_ARRAYS)
    if not isinstance(record, ArrayRecord) or set(record) != {_BYTES}:
        raise PeerError("A Flower message without our record came in: it was not used.")
    return record[_BYTES].data


def client_app_for(open_site: Callable[[Path], Handler]) -> ClientApp:
    """Return the app of a site, which `open_site` opens from its folder, once per message.

    The SuperNode's `--node-config` gives the site's name as `site` and its folder as `folder`.
    """
    app = ClientApp()

    @app.query()
    def query(message: Message, context: Context) -> Message:
        site = context.node_config.get("site", "")
        content = RecordDict()
        try:
            handler = open_site(_site_folder(context))
            content[_ARRAYS] = pack(handler(unpack(message.content)))
            status = "ok"
        except Exception as error:  # noqa: BLE001 - Flower would send its text to the server
            status = failure_code(error).value
            _note_failure(error)
        content[_STATUS] = ConfigRecord({"site": str(site), "status": status})
        return Message(content, reply_to=message)

    return app


def _site_folder(context: Context) -> Path:
    folder = context.node_config.get("folder")
    if not isinstance(folder, str) or not isinstance(context.node_config.get("site"), str):
        raise ConfigError(
            "This SuperNode knows no site, so nothing was answered: start it with "
            '--node-config \'site="NAME" folder="PATH"\'.'
        )
    return Path(folder)


def _note_failure(error: Exception) -> None:
    """Log what happened at this site, without the words of an exception that is not ours."""
    if isinstance(error, SecureFLError):
        _LOG.warning("No reply was sent: %s", error)
        return
    places = []
    step = error.__traceback__
    while step is not None:
        places.append(f"{step.tb_frame.f_code.co_filename}:{step.tb_lineno}")
        step = step.tb_next
    _LOG.error(
        "No reply was sent: %s at %s. Its text is not logged, as it may hold a record.",
        type(error).__name__,
        " > ".join(places),
    )


@dataclass(frozen=True)
class Pace:
    """How long to wait, in seconds, and by which clock."""

    timeout_seconds: float
    poll_seconds: float = _POLL_SECONDS
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class FlowerTransport:
    """Reaches the sites through a Flower grid; see `Transport`.

    Nodes have numbers until they have answered a broadcast. A name that two nodes claim belongs
    to neither: which one is the site, only a signature can tell.
    """

    def __init__(self, grid: Grid, *, sites: int, pace: Pace) -> None:
        self._grid = grid
        self._sites = sites
        self._pace = pace
        self._nodes: dict[str, int] = {}
        self._failures: dict[str, FailureCode] = {}

    @property
    def failures(self) -> Mapping[str, FailureCode]:
        """Why sites are absent from the latest result, by site name where it is known."""
        return dict(self._failures)

    def broadcast(self, request: bytes) -> Mapping[str, bytes]:
        """Wait for the expected number of nodes, and send the same bytes to each of them.

        Raises:
            PeerError: two nodes claim the same name.
        """
        self._failures = {}
        claims: dict[str, int] = {}
        replies = {}
        for node, content in self._send(dict.fromkeys(self._await_nodes(), request)).items():
            name, data = self._read(content)
            if name in claims:
                raise PeerError(
                    f"The nodes {claims[name]} and {node} both call themselves {name!r}: the run "
                    "cannot tell which one is the site. Remove the other from the federation."
                )
            if not name:
                _LOG.warning("Node %s gave no name: its reply was not used", node)
                continue
            claims[name] = node
            if data is not None:
                replies[name] = data
        self._nodes = claims
        return replies

    def exchange(self, requests: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Send each named site its own bytes, to the node that answered the last broadcast."""
        self._failures = {}
        online = set(self._grid.get_node_ids())
        nodes = {name: node for name, node in self._nodes.items() if node in online}
        contents = self._send(
            {nodes[name]: data for name, data in requests.items() if name in nodes}
        )
        replies = {}
        for name in sorted(requests):
            content = contents.get(nodes[name]) if name in nodes else None
            if content is None:
                self._failures[name] = FailureCode.LOST
                continue
            claimed, data = self._read(content)
            if claimed != name:
                self._failures[name] = FailureCode.PEER
            elif data is not None:
                replies[name] = data
        return replies

    def _await_nodes(self) -> list[int]:
        deadline = self._pace.now() + self._pace.timeout_seconds
        while True:
            nodes = sorted(self._grid.get_node_ids())
            if len(nodes) >= self._sites or self._pace.now() >= deadline:
                return nodes
            self._pace.sleep(self._pace.poll_seconds)

    def _send(self, requests: Mapping[int, bytes]) -> dict[int, RecordDict]:
        """Return what each node answered within the time; a node that failed is absent."""
        if not requests:
            return {}
        nodes = list(requests)
        ids = self._grid.push_messages([self._message(node, requests[node]) for node in nodes])
        # Flower gives None in the place of a message that it could not take.
        waiting = {id_: node for id_, node in zip(ids, nodes, strict=True) if id_}
        answered: dict[int, RecordDict] = {}
        deadline = self._pace.now() + self._pace.timeout_seconds
        while waiting:
            for reply in self._grid.pull_messages(list(waiting)):
                node = waiting.pop(reply.metadata.reply_to_message_id, None)
                if node is not None and not reply.has_error():
                    answered[node] = reply.content
                elif node is not None:
                    _LOG.warning("Node %s failed with Flower's code %s", node, reply.error.code)
            if not waiting or self._pace.now() >= deadline:
                break
            self._pace.sleep(self._pace.poll_seconds)
        return answered

    def _message(self, node: int, data: bytes) -> Message:
        content = RecordDict({_ARRAYS: pack(data)})
        return Message(content, node, _MESSAGE_TYPE, ttl=self._pace.timeout_seconds)

    def _read(self, content: RecordDict) -> tuple[str, bytes | None]:
        """Return the name that a node claims, and its reply unless it failed."""
        record = content.get(_STATUS)
        values = dict(record) if isinstance(record, ConfigRecord) else {}
        name, status = values.get("site"), values.get("status")
        if not isinstance(name, str) or not isinstance(status, str):
            return "", None
        try:
            if status == "ok":
                return name, unpack(content)
            code = FailureCode(status)
        except (PeerError, ValueError):
            code = FailureCode.PEER
        self._failures[name] = code
        return name, None


def server_app_for(coordinate: Callable[[Transport, Path], None]) -> ServerApp:
    """Return the app of the coordinator, which `coordinate` runs from the coordinator's folder.

    The bundle's configuration says how many sites to wait for and for how many seconds; the
    folder comes from the environment of the SuperLink, never from who submitted the run.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        folder = os.environ.get(COORDINATOR_FOLDER)
        if not folder:
            raise ConfigError(
                f"No coordinator was started: set {COORDINATOR_FOLDER} to its folder in the "
                "environment of the SuperLink."
            )
        transport = FlowerTransport(
            grid,
            sites=_positive(context, "sites"),
            pace=Pace(timeout_seconds=_positive(context, "timeout-seconds")),
        )
        coordinate(transport, Path(folder))

    return app


def _positive(context: Context, key: str) -> int:
    value = context.run_config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(
            f"The bundle's setting {key!r} is {value!r}: the run was not started. Give a whole "
            "number of at least 1."
        )
    return value
