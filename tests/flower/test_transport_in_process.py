from __future__ import annotations

import threading

import pytest

from crypto.errors import BudgetError, ConfigError, IntegrityError, PeerError, SecureFLError
from secure_fl.transport import FailureCode, Handler, failure_code
from secure_fl.transport.in_process import InProcessTransport


def echo(request: bytes) -> bytes:
    return request[::-1]


def broken(error: Exception) -> Handler:
    def handler(_request: bytes) -> bytes:
        raise error

    return handler


def test_every_site_gets_its_own_bytes_and_answers_under_its_own_name() -> None:
    transport = InProcessTransport({"site-1": echo, "site-2": echo}, workers=2)
    assert transport.broadcast(b"abc") == {"site-1": b"cba", "site-2": b"cba"}
    answers = transport.exchange({"site-2": b"xy", "site-1": b"ab"})
    assert answers == {"site-1": b"ba", "site-2": b"yx"}
    assert transport.failures == {}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("a"), FailureCode.CONFIG),
        (BudgetError("a"), FailureCode.BUDGET),
        (PeerError("a"), FailureCode.PEER),
        (IntegrityError("a"), FailureCode.INTEGRITY),
        (SecureFLError("a"), FailureCode.INTERNAL),
        (ZeroDivisionError("a"), FailureCode.INTERNAL),
    ],
)
def test_each_error_has_its_code(error: Exception, code: FailureCode) -> None:
    assert failure_code(error) is code


def test_a_site_that_fails_as_sites_fail_is_absent_and_the_others_answer() -> None:
    handlers = {"site-1": broken(BudgetError("spent")), "site-2": echo}
    transport = InProcessTransport(handlers, workers=1)
    assert transport.broadcast(b"abc") == {"site-2": b"cba"}
    assert transport.failures == {"site-1": FailureCode.BUDGET}
    assert transport.exchange({"site-2": b"q"}) == {"site-2": b"q"}
    assert transport.failures == {}, "failures are those of the latest exchange"


def test_a_defect_is_raised_again_after_every_site_has_ended() -> None:
    ended = threading.Event()

    def slow(request: bytes) -> bytes:
        threading.Event().wait(0.05)
        ended.set()
        return request

    handlers = {"site-1": broken(ZeroDivisionError("a defect")), "site-2": slow}
    with pytest.raises(ZeroDivisionError, match="a defect"):
        InProcessTransport(handlers, workers=2).broadcast(b"abc")
    assert ended.is_set()


def test_an_unknown_site_is_lost_and_not_an_error() -> None:
    transport = InProcessTransport({"site-1": echo}, workers=1)
    assert transport.exchange({"site-9": b"abc"}) == {}
    assert transport.failures == {"site-9": FailureCode.LOST}


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_sites_run_at_once_than_there_are_workers(workers: int) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def counting(request: bytes) -> bytes:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.02)
        with lock:
            running -= 1
        return request

    handlers = {f"site-{i}": counting for i in range(6)}
    assert len(InProcessTransport(handlers, workers=workers).broadcast(b"abc")) == 6
    assert most == workers


def test_sites_really_run_at_the_same_time() -> None:
    barrier = threading.Barrier(3, timeout=10)

    def meeting(request: bytes) -> bytes:
        barrier.wait()
        return request

    handlers = {f"site-{i}": meeting for i in range(3)}
    assert len(InProcessTransport(handlers, workers=3).broadcast(b"abc")) == 3


def test_nothing_to_run_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        InProcessTransport({}, workers=1)
    with pytest.raises(ConfigError, match="at least one"):
        InProcessTransport({"site-1": echo}, workers=0)
