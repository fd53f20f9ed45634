"""Masked sums: the coordinator learns the sum of the sites' vectors and nothing else.

Double masking after Bonawitz et al., "Practical Secure Aggregation" (CCS 2017), and Bell et al.
(CCS 2020): two pure state machines that know no network, no clock and no signature. A run in
exchanges (the numbers are those of `docs/secure-aggregation.md`):

    MS.3  keys_for(r) -> accept_keys              each site announces fresh keys for round r
    MS.4  keys(r)     -> shares_for(r)            each site deals shares of its two secrets
                      -> accept_shares
    MS.6  binding     -> open_round, mask -> add  the cohort uploads masked vectors
    MS.8  survivors   -> confirm                  (malicious) survivors sign one list
    MS.9  survivors   -> release -> unmask        each survivor releases one share per site

The first two ride on the messages of round r - 1, so a site holds secrets of two rounds at once.
Guarantee: against a coordinator and colluding sites, fewer than `threshold` of any site's holders,
only the sum over the survivors becomes known; in a `semi-honest` session they follow the protocol,
in a `malicious` one they do as they like. `docs/secure-aggregation.md` has the argument. What is
not covered: a site can upload garbage (found when the opened sum leaves its range), and with two
sites each knows the other's vector from the sum.
"""

from crypto.masked_sum_coordinator import MaskingCoordinator
from crypto.masked_sum_graph import (
    LARGEST_COHORT,
    LARGEST_COMPLETE,
    CohortRisk,
    Neighbourhood,
    choose_neighbourhood,
    default_threshold,
)
from crypto.masked_sum_messages import (
    Confirmation,
    CulpritError,
    Release,
    ReleasedShare,
    RoundBinding,
    ShareKind,
    SiteKeys,
)
from crypto.masked_sum_session import Adversary, CipherSuite, Session
from crypto.masked_sum_site import MaskingSite

__all__ = [
    "LARGEST_COHORT",
    "LARGEST_COMPLETE",
    "Adversary",
    "CipherSuite",
    "CohortRisk",
    "Confirmation",
    "CulpritError",
    "MaskingCoordinator",
    "MaskingSite",
    "Neighbourhood",
    "Release",
    "ReleasedShare",
    "RoundBinding",
    "Session",
    "ShareKind",
    "SiteKeys",
    "choose_neighbourhood",
    "default_threshold",
]
