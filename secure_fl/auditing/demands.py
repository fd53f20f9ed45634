"""What a policy file demands of an audit: which gates have to have said what.

    schema = "secure-fl.audit-policy.v1"
    required = ["gradient-canaries", "noise-scale"]   # have to be "not refuted"
    largest_epsilon = 8.0                             # that the run may claim

A violated gate fails every policy, whether it is required or not.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from audits.findings import Verdict
from crypto.errors import ConfigError
from secure_fl.auditing.attacks import ATTACKS
from secure_fl.config import explain
from secure_fl.config_sections import Positive, Section

if TYPE_CHECKING:
    from pathlib import Path

    from audits.findings import AuditReport


class AuditPolicy(Section):
    """Demands of an audit."""

    schema_: Literal["secure-fl.audit-policy.v1"] = Field(alias="schema")
    required: tuple[str, ...] = ()
    """Gates that have to be not refuted: inconclusive and not run fail."""
    largest_epsilon: Positive | None = None
    """The most that the run may claim; a run without a guarantee claims more than any number."""

    def unmet(self, report: AuditReport) -> tuple[str, ...]:
        """Return what the audit falls short of, a sentence each; none if all is met."""
        problems = [
            f"{finding.gate} is violated: {finding.reason}"
            for finding in report.findings
            if finding.verdict is Verdict.VIOLATED
        ]
        for gate in self.required:
            found = report.finding(gate)
            if found is None:
                problems.append(f"{gate} is no gate of this audit: nobody looked.")
            elif found.verdict in {Verdict.INCONCLUSIVE, Verdict.NOT_RUN}:
                problems.append(f"{gate} is {found.verdict.value}: {found.reason}")
        claimed = report.claim.epsilon
        if self.largest_epsilon is not None and (claimed is None or claimed > self.largest_epsilon):
            said = "no guarantee" if claimed is None else f"epsilon {claimed:.4g}"
            problems.append(f"the run claims {said}, above {self.largest_epsilon:g}.")
        return tuple(problems)


NO_DEMANDS = AuditPolicy(schema="secure-fl.audit-policy.v1")
"""Only that nothing is violated."""


def load_audit_policy(path: Path) -> AuditPolicy:
    """Return the demands in `path`.

    Raises:
        ConfigError: it cannot be read, or names a gate that no attack has.
    """
    try:
        policy = AuditPolicy.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}): nothing was audited. Name a file that is "
            "there."
        ) from None
    except ValidationError as error:
        raise ConfigError(explain(error, str(path))) from None
    except ValueError as error:
        raise ConfigError(f"{path} is no TOML: {error}. Nothing was audited.") from None
    known = {gate.name for attack in ATTACKS for gate in attack.gates}
    for gate in policy.required:
        if gate not in known:
            raise ConfigError(
                f"{path} requires the gate {gate!r}, which no attack has: it could never be met. "
                f"There are: {', '.join(sorted(known))}."
            )
    return policy
