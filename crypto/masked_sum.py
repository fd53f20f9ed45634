"""Masked sums: the coordinator learns the sum of the sites' vectors and nothing else.

Double masking after Bonawitz et al., "Practical Secure Aggregation" (CCS 2017), and Bell et al.
(CCS 2020), over a complete graph: two pure state machines that know no network, no clock and no
signature. A run in exchanges:

    keys_for(r) -> accept_keys              each site announces a fresh mask key for round r
    keys(r)     -> shares_for(r)            each site deals shares of its two secrets to its peers
    binding     -> open_round, mask -> add  the cohort uploads masked vectors
    survivors   -> release -> unmask        each survivor releases one share per site

The first two ride on the messages of round r - 1, so a site holds secrets of two rounds at once.
Guarantee: against a coordinator and fewer than `threshold` colluding sites that follow the
protocol, only the sum over the survivors becomes known. What is not covered: a site can upload
garbage (found when the opened sum leaves its range), and with two sites each knows the other's
vector from the sum.
"""

from crypto.masked_sum_coordinator import MaskingCoordinator
from crypto.masked_sum_messages import (
    LARGEST_COHORT,
    CipherSuite,
    Release,
    ReleasedShare,
    RoundBinding,
    Session,
    ShareKind,
    SiteKeys,
    default_threshold,
)
from crypto.masked_sum_site import MaskingSite

__all__ = [
    "LARGEST_COHORT",
    "CipherSuite",
    "MaskingCoordinator",
    "MaskingSite",
    "Release",
    "ReleasedShare",
    "RoundBinding",
    "Session",
    "ShareKind",
    "SiteKeys",
    "default_threshold",
]
