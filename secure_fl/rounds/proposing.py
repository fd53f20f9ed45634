"""The session that a coordinator proposes for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.kem import KemKey
from crypto.masked_sum import choose_neighbourhood
from crypto.secrets import system_entropy
from secure_fl.rounds.messages import Hello

if TYPE_CHECKING:
    from crypto.masked_sum import Neighbourhood
    from secure_fl.config import Mechanism
    from secure_fl.rounds.steps import Proposal


def neighbourhood_of(mechanism: Mechanism) -> Neighbourhood | None:
    """Return how many others each site deals shares to, or None where it deals to all.

    Raises:
        ConfigError: above 100 sites, no neighbourhood bears what the configuration assumes.
    """
    risk = mechanism.risk()
    return None if risk is None else choose_neighbourhood(mechanism.sites, risk)


def check_machine(mechanism: Mechanism) -> None:
    """Return if a session of `mechanism` can be proposed and joined on this machine.

    Raises:
        ConfigError: its cipher suite needs what this machine's OpenSSL lacks, or no neighbourhood
            bears what it assumes of a large cohort.
    """
    if mechanism.cipher_suite.is_hybrid:
        KemKey.generate(system_entropy)
    neighbourhood_of(mechanism)


def hello_of(proposal: Proposal, sites: tuple[str, ...]) -> Hello:
    """Return the statement that opens a session of `proposal` among `sites`, sorted.

    Raises:
        ConfigError: above 100 sites, no neighbourhood bears what the configuration assumes.
    """
    mechanism = proposal.mechanism
    risk, drawn = mechanism.risk(), neighbourhood_of(mechanism)
    return Hello(
        run_id=proposal.run_id,
        attempt=proposal.attempt,
        first_round=proposal.first_round,
        config_digest=mechanism.digest(),
        roster_digest=proposal.roster.digest(),
        suite=mechanism.cipher_suite.value,
        adversary=mechanism.adversary.value,
        width_bits=mechanism.encoding.bits,
        sites=sites,
        threshold=mechanism.needed_survivors() if drawn is None else drawn.threshold,
        degree=None if drawn is None else drawn.degree,
        risk=None if risk is None else (risk.drop_outs, risk.corrupted),
    )
