"""The example of an audit policy is read and names gates that there are; the document knows all."""

from __future__ import annotations

from pathlib import Path

from secure_fl.auditing.attacks import ATTACKS, HEADLINE
from secure_fl.auditing.demands import load_audit_policy

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def test_the_example_demands_the_headline_and_every_gate_of_a_rehearsal() -> None:
    policy = load_audit_policy(EXAMPLES / "audit-policy.toml")
    assert HEADLINE in policy.required
    assert policy.largest_epsilon == 8.0
    (rehearsal,) = (attack for attack in ATTACKS if attack.name == "rehearsal")
    assert {gate.name for gate in rehearsal.gates} <= set(policy.required)


def test_the_document_says_of_every_gate_what_it_tests_and_where_it_ends() -> None:
    lines = (ROOT / "docs" / "audits.md").read_text("utf-8").splitlines()
    firsts = [line.split("|")[1] for line in lines if line.startswith("| `")]
    for attack in ATTACKS:
        for gate in attack.gates:
            rows = [first for first in firsts if f"`{gate.name}`" in first]
            assert len(rows) == 2, f"{gate.name} is not in both tables of docs/audits.md"
