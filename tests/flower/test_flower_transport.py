from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity

from crypto.errors import BudgetError, ConfigError, IntegrityError, PeerError
from secure_fl.transport import FailureCode, Handler, Transport
from secure_fl.transport.flower import (
    COORDINATOR_FOLDER,
    FlowerTransport,
    Pace,
    client_app_for,
    pack,
    server_app_for,
    unpack,
)

if TYPE_CHECKING:
    from pathlib import Path

PATIENT = "the patient Ada Lovelace"
Node = Callable[[Message], Message | None]


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def pace(self, timeout_seconds: float = 10) -> Pace:
        return Pace(timeout_seconds, poll_seconds=1, now=self.now, sleep=self.sleep)


class Grid:
    """What the transport uses of Flower's grid, with nodes as functions."""

    def __init__(self, nodes: Mapping[int, Node]) -> None:
        self.nodes = dict(nodes)
        self.sent: list[Message] = []
        self.refuse: set[int] = set()

    def get_node_ids(self) -> Iterable[int]:
        return list(self.nodes)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str | None]:
        ids: list[str | None] = []
        for message in messages:
            id_ = f"message-{len(self.sent)}"
            message.metadata.__dict__["_message_id"] = id_
            self.sent.append(message)
            ids.append(None if message.metadata.dst_node_id in self.refuse else id_)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        wanted = set(message_ids)
        asked = [message for message in self.sent if message.metadata.message_id in wanted]
        replies = [self.nodes[message.metadata.dst_node_id](message) for message in asked]
        return [reply for reply in replies if reply is not None]


@pytest.fixture(autouse=True)
def _as_a_flower_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower numbers its messages from what its runner set for the process."""
    for name, number in (("_run_id", 1), ("_node_id", 2), ("_task_id", 3)):
        monkeypatch.setattr(TaskIdentity, name, number)


def context(site: str | None = "site-1", **run_config: Any) -> Context:  # noqa: ANN401 - as Flower's
    node = {"site": site, "folder": f"/sites/{site}"} if site else {}
    return Context(1, 2, node, RecordDict(), run_config)


def node_of(app: ClientApp, site: str) -> Node:
    return lambda message: app(message, context(site))


def echo_app() -> ClientApp:
    return client_app_for(lambda folder: lambda request: folder.name.encode() + b" " + request)


def transport_over(nodes: Mapping[int, Node], sites: int | None = None) -> FlowerTransport:
    count = len(nodes) if sites is None else sites
    return FlowerTransport(Grid(nodes), sites=count, pace=Clock().pace())


def failing_app(error: Exception) -> ClientApp:
    def open_site(_folder: Path) -> Handler:
        raise error

    return client_app_for(open_site)


def question(data: bytes = b"question") -> Message:
    message = Message(RecordDict({"secure-fl.message": pack(data)}), 7, "query")
    message.metadata.__dict__["_message_id"] = "a-message"
    return message


def test_a_broadcast_finds_who_is_where_and_an_exchange_reaches_them() -> None:
    transport = transport_over({11: node_of(echo_app(), "site-2"), 12: node_of(echo_app(), "a")})
    assert transport.broadcast(b"hello") == {"site-2": b"site-2 hello", "a": b"a hello"}
    answers = transport.exchange({"site-2": b"for two", "a": b"for a"})
    assert answers == {"site-2": b"site-2 for two", "a": b"a for a"}
    assert transport.failures == {}


def test_before_a_broadcast_nobody_is_known() -> None:
    transport = transport_over({11: node_of(echo_app(), "site-1")})
    assert transport.exchange({"site-1": b"hello"}) == {}
    assert transport.failures == {"site-1": FailureCode.LOST}


def test_packing_keeps_every_byte_and_refuses_what_is_not_ours() -> None:
    data = bytes(range(256)) * 3
    assert unpack(RecordDict({"secure-fl.message": pack(data)})) == data
    with pytest.raises(ValueError, match="never empty"):
        pack(b"")
    for content in (RecordDict(), RecordDict({"secure-fl.message": ConfigRecord({"bytes": b"a"})})):
        with pytest.raises(PeerError, match="without our record"):
            unpack(content)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError(PATIENT), FailureCode.INTERNAL),
        (ConfigError(PATIENT), FailureCode.CONFIG),
        (BudgetError(PATIENT), FailureCode.BUDGET),
        (PeerError(PATIENT), FailureCode.PEER),
        (IntegrityError(PATIENT), FailureCode.INTEGRITY),
    ],
)
def test_of_a_failure_a_code_leaves_the_site_and_no_word(
    error: Exception, code: FailureCode
) -> None:
    reply = failing_app(error)(question(), context())
    assert not reply.has_error()
    assert dict(reply.content["secure-fl.status"]) == {"site": "site-1", "status": code.value}
    assert list(reply.content) == ["secure-fl.status"]
    transport = transport_over({11: node_of(failing_app(error), "site-1")})
    assert transport.broadcast(b"hello") == {}
    assert transport.failures == {"site-1": code}


def test_without_the_defence_the_words_would_leave() -> None:
    """Flower answers an exception with its text, which is why none may get out of our app."""
    app = ClientApp()

    @app.query()
    def query(_message: Message, _context: Context) -> Message:
        raise ValueError(PATIENT)

    with pytest.raises(ValueError, match=PATIENT):
        app(question(), context())


def test_a_sites_own_log_has_no_word_of_a_foreign_exception(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        failing_app(ValueError(PATIENT))(question(), context())
    assert PATIENT not in caplog.text
    assert "ValueError" in caplog.text
    assert "test_flower_transport.py" in caplog.text


def test_a_handler_that_answers_nothing_or_a_stranger_s_message_is_a_failure() -> None:
    silent = client_app_for(lambda _folder: lambda _request: b"")
    assert silent(question(), context()).content["secure-fl.status"]["status"] == "internal"
    strange = Message(RecordDict(), 7, "query")
    strange.metadata.__dict__["_message_id"] = "a-message"
    assert echo_app()(strange, context()).content["secure-fl.status"]["status"] == "peer"


def test_a_node_without_a_site_answers_a_code_and_is_not_counted() -> None:
    app = echo_app()
    reply = app(question(), context(None))
    assert reply.content["secure-fl.status"]["status"] == "config"
    transport = transport_over({11: lambda message: app(message, context(None))})
    assert transport.broadcast(b"hello") == {}


def test_two_nodes_with_one_name_stop_the_run() -> None:
    nodes = {11: node_of(echo_app(), "site-1"), 12: node_of(echo_app(), "site-1")}
    with pytest.raises(PeerError, match="both call themselves 'site-1'"):
        transport_over(nodes).broadcast(b"hello")


def test_a_node_that_changes_its_name_is_not_believed() -> None:
    names = iter(["site-1", "site-2"])
    app = echo_app()
    transport = transport_over({11: lambda message: app(message, context(next(names)))})
    assert set(transport.broadcast(b"hello")) == {"site-1"}
    assert transport.exchange({"site-1": b"again"}) == {}
    assert transport.failures == {"site-1": FailureCode.PEER}


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"secure-fl.status": ConfigRecord({"site": 3, "status": "ok"})}),
        RecordDict({"secure-fl.status": ConfigRecord({"site": "site-1"})}),
    ],
)
def test_a_reply_without_our_status_is_nobodys(content: RecordDict) -> None:
    transport = transport_over({11: lambda message: Message(content, reply_to=message)})
    assert transport.broadcast(b"hello") == {}
    assert transport.failures == {}


@pytest.mark.parametrize("status", ["ok", "no such code"])
def test_a_reply_that_says_something_else_than_it_holds_is_a_peers_fault(status: str) -> None:
    content = RecordDict({"secure-fl.status": ConfigRecord({"site": "site-1", "status": status})})
    transport = transport_over({11: lambda message: Message(content, reply_to=message)})
    assert transport.broadcast(b"hello") == {}
    assert transport.failures == {"site-1": FailureCode.PEER}


def test_flowers_own_error_and_silence_are_lost_and_the_rest_goes_on() -> None:
    app = echo_app()
    grid = Grid({11: node_of(app, "site-1"), 12: node_of(app, "site-2"), 13: node_of(app, "c")})
    clock = Clock()
    transport = FlowerTransport(grid, sites=3, pace=clock.pace(timeout_seconds=10))
    assert len(transport.broadcast(b"hello")) == 3
    assert clock.seconds == 0, "nothing waits once everybody has answered"
    grid.nodes[11] = lambda message: Message(Error(3, PATIENT), reply_to=message)
    grid.nodes[12] = lambda _message: None
    assert transport.exchange(dict.fromkeys(("site-1", "site-2", "c"), b"x")) == {"c": b"c x"}
    assert transport.failures == {"site-1": FailureCode.LOST, "site-2": FailureCode.LOST}
    assert clock.seconds == 10


def test_a_node_that_left_or_that_flower_refuses_is_lost() -> None:
    app = echo_app()
    grid = Grid({11: node_of(app, "site-1"), 12: node_of(app, "site-2"), 13: node_of(app, "c")})
    transport = FlowerTransport(grid, sites=3, pace=Clock().pace())
    transport.broadcast(b"hello")
    del grid.nodes[11]
    grid.refuse.add(12)
    assert transport.exchange(dict.fromkeys(("site-1", "site-2", "c"), b"x")) == {"c": b"c x"}
    assert transport.failures == {"site-1": FailureCode.LOST, "site-2": FailureCode.LOST}


def test_a_returning_site_is_found_by_the_next_broadcast() -> None:
    grid = Grid({11: node_of(echo_app(), "site-1")})
    transport = FlowerTransport(grid, sites=1, pace=Clock().pace())
    transport.broadcast(b"hello")
    grid.nodes = {21: node_of(echo_app(), "site-1")}
    assert transport.exchange({"site-1": b"x"}) == {}
    assert transport.broadcast(b"again") == {"site-1": b"site-1 again"}
    assert transport.exchange({"site-1": b"x"}) == {"site-1": b"site-1 x"}


def test_the_first_exchange_waits_for_the_sites_but_not_for_ever() -> None:
    clock = Clock()
    grid = Grid({11: node_of(echo_app(), "site-1")})
    transport = FlowerTransport(grid, sites=2, pace=clock.pace(timeout_seconds=10))
    assert set(transport.broadcast(b"hello")) == {"site-1"}
    assert clock.seconds == 10


def server_context(**run_config: Any) -> Context:  # noqa: ANN401 - as Flower's
    return context(None, **run_config)


def test_the_coordinator_gets_its_folder_from_its_own_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[tuple[Transport, Path]] = []
    app = server_app_for(lambda transport, folder: seen.append((transport, folder)))
    grid: Any = SimpleNamespace()
    settings: dict[str, Any] = {"sites": 2, "timeout-seconds": 30}
    monkeypatch.delenv(COORDINATOR_FOLDER, raising=False)
    with pytest.raises(ConfigError, match=COORDINATOR_FOLDER):
        app(grid, server_context(**settings, coordinator="/somewhere/else"))
    monkeypatch.setenv(COORDINATOR_FOLDER, str(tmp_path))
    app(grid, server_context(**settings))
    assert [folder for _, folder in seen] == [tmp_path]
    assert isinstance(seen[0][0], FlowerTransport)


@pytest.mark.parametrize("wrong", [None, 0, -1, True, "2", 1.5])
def test_settings_that_are_no_whole_numbers_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: object
) -> None:
    monkeypatch.setenv(COORDINATOR_FOLDER, str(tmp_path))
    app = server_app_for(lambda _transport, _folder: None)
    for key in ("sites", "timeout-seconds"):
        settings: dict[str, Any] = {"sites": 2, "timeout-seconds": 30, key: wrong}
        grid: Any = SimpleNamespace()
        with pytest.raises(ConfigError, match=key):
            app(grid, server_context(**settings))
