"""The session that a coordinator proposes for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.masked_sum import choose_neighbourhood
from secure_fl.rounds.messages import Hello

if TYPE_CHECKING:
    from secure_fl.rounds.steps import Proposal


def hello_of(proposal: Proposal, sites: tuple[str, ...]) -> Hello:
    """Return the statement that opens a session of `proposal` among `sites`, sorted.

    Raises:
        ConfigError: above 100 sites, no neighbourhood bears what the configuration assumes.
    """
    mechanism = proposal.mechanism
    risk = mechanism.risk()
    drawn = None if risk is None else choose_neighbourhood(len(sites), risk)
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
