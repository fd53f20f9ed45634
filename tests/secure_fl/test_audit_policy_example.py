"""The example of an audit policy is read, and names gates that there are."""

from __future__ import annotations

from pathlib import Path

from secure_fl.auditing.attacks import ATTACKS, HEADLINE
from secure_fl.auditing.demands import load_audit_policy

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_the_example_demands_the_headline_and_every_gate_of_a_rehearsal() -> None:
    policy = load_audit_policy(EXAMPLES / "audit-policy.toml")
    assert HEADLINE in policy.required
    assert policy.largest_epsilon == 8.0
    (rehearsal,) = (attack for attack in ATTACKS if attack.name == "rehearsal")
    assert {gate.name for gate in rehearsal.gates} <= set(policy.required)
