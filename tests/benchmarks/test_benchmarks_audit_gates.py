"""The benchmark of the gates fails where correct code alarms, or a fault is missed."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from multiprocessing.pool import ThreadPool
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from audits.findings import Basis, Finding, Measure, Verdict, Window
from benchmarks import audit_gates
from benchmarks.audit_bugs import BUGS, COLLUDERS_UNPAID, SCRUBBING_OFF, bugs_of
from secure_fl.rehearsal import plan_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from secure_fl.rehearsal import Plan

GATES = ("gradient-canaries", "noise-scale", "noise-reuse", "clip-probe", "sampling")
COLLUDING = ("colluding-noise", "colluding-sites")
SHARES = "correct shares, two of eight collude"
SMALL = ("--modes", "record-distributed", "--epsilons", "8", "--json")


def finding(gate: str, *, violated: bool) -> Finding:
    return Finding(
        gate=gate,
        window=Window.SERVER,
        basis=Basis.REHEARSAL,
        threat="Somebody who looks.",
        claim="Nothing is to be seen.",
        verdict=Verdict.VIOLATED if violated else Verdict.NOT_REFUTED,
        reason="3.0.",
        samples=1,
        statistic=Measure(name="what was seen", value=3.0),
    )


@pytest.fixture
def saying(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let every rehearsal find the same gates violated, and scrubbing its own."""

    def says(*violated: str) -> None:
        def judged(_: Plan, __: object) -> tuple[Finding, ...]:
            return tuple(finding(gate, violated=gate in violated) for gate in GATES)

        monkeypatch.setattr(audit_gates, "rehearse_all", lambda _, __: None)
        monkeypatch.setattr(audit_gates, "judge", judged)
        monkeypatch.setattr(audit_gates, "rehearse_colluding", lambda *_: None)
        monkeypatch.setattr(
            audit_gates,
            "judge_colluding",
            lambda *_: tuple(finding(gate, violated=gate in violated) for gate in COLLUDING),
        )
        monkeypatch.setattr(
            audit_gates,
            "probe_scrubbing",
            lambda _: finding("scrubbing", violated="scrubbing" in violated),
        )

    return says


@pytest.mark.parametrize(
    ("words", "violated", "code"),
    [
        ("correct code", (), 0),
        ("correct code", ("noise-scale",), 1),
        (SHARES, (), 0),
        (SHARES, ("colluding-sites",), 1),
        (COLLUDERS_UNPAID.name, ("colluding-noise",), 0),
        (COLLUDERS_UNPAID.name, ("colluding-sites",), 1),
        ("correct scrubbing", (), 0),
        ("correct scrubbing", ("scrubbing",), 1),
        ("noise off", ("noise-scale",), 0),
        ("noise off", ("clip-probe",), 1),
        ("scrubbing off", ("scrubbing",), 0),
        ("scrubbing off", (), 1),
    ],
)
def test_a_false_alarm_and_a_missed_fault_fail(
    saying: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    words: str,
    violated: tuple[str, ...],
    code: int,
) -> None:
    saying(*violated)
    assert audit_gates.main([*SMALL, "--only", words]) == code
    (cell,) = json.loads(capsys.readouterr().out)["cells"]
    assert cell["name"] == words
    assert cell["any"] == (1 if violated else 0)


def test_every_fault_has_a_row_and_whole_sites_have_those_that_they_can_have(
    saying: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    saying(*GATES, *COLLUDING, "scrubbing")
    for mode in ("record-distributed", "site"):
        audit_gates.main(["--modes", mode, "--epsilons", "8", "--json"])
        names = [cell["name"] for cell in json.loads(capsys.readouterr().out)["cells"]]
        faults = [bug.name for bug in bugs_of(plan_of(audit_gates.mechanism_of(mode, 8.0), 8))]
        scrubbing = ["correct scrubbing", SCRUBBING_OFF.name]
        shares = [SHARES, COLLUDERS_UNPAID.name]
        assert names == ["correct code", *faults, *shares, *scrubbing]
    assert len(faults) < len(BUGS)


def test_rehearsals_side_by_side_are_added_up_and_scrubbing_is_looked_at_once(
    saying: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    saying("noise-scale", "scrubbing")
    # Threads see what was replaced for this test, and a pool of them has the same face.
    threads = SimpleNamespace(Pool=ThreadPool)
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: threads)
    rows = audit_gates.rows_of(["record-distributed"], [4.0, 8.0], "")
    assert [pickle.loads(pickle.dumps(row)) for row in rows] == rows  # noqa: S301 # our own
    chosen = [rows[0], next(row for row in rows if row.name == "noise off"), rows[-1]]
    correct, fault, scrubbing = audit_gates.counted(chosen, 3, 2)
    assert (correct.runs, correct.named, correct.any, correct.epsilon) == (3, None, 3, 4.0)
    assert (fault.runs, fault.named, fault.any, fault.gate) == (3, 3, 3, "noise-scale")
    assert (scrubbing.runs, scrubbing.named) == (1, 1)
    assert audit_gates.counted(chosen, 3, 1) == [correct, fault, scrubbing]
