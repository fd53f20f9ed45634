"""Homomorphic sums: the sites learn the sum of their vectors, the coordinator learns nothing.

Two pure machines that know no network, no clock and no signature; docs/homomorphic-sums.md has the
steps HE.1 to HE.7. A run in exchanges:

    SumKey.generate -> export           one site makes the key; sealed, it goes to the other sites
    restore, public_context             the sites hold the key, the coordinator only parameters
    encrypt -> add                      each site uploads its vector as encrypted blocks
    close -> decrypt                    every site gets the same summed blocks and decrypts them

Trust, and the reason why masked sums are the default: ONE SITE AND THE COORDINATOR TOGETHER READ
EVERY SITE'S VECTOR, and a coordinator that lies can hand the sites one site's ciphertext as the
sum. So these sums fit an adversary that is semi-honest, and no other.
"""

from crypto.homomorphic_coordinator import HomomorphicCoordinator
from crypto.homomorphic_messages import SumTerms
from crypto.homomorphic_plan import Scheme, SealParameters, SumPlan
from crypto.homomorphic_site import HomomorphicSite, SumKey, public_context
from crypto.masked_sum_messages import RoundBinding

__all__ = [
    "HomomorphicCoordinator",
    "HomomorphicSite",
    "RoundBinding",
    "Scheme",
    "SealParameters",
    "SumKey",
    "SumPlan",
    "SumTerms",
    "public_context",
]
