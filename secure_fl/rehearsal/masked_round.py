"""One masked sum among sites in this process, by the machines that a real round uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.digests import sha256
from crypto.masked_sum import (
    Adversary,
    MaskingCoordinator,
    MaskingSite,
    RoundBinding,
    Session,
    default_threshold,
)
from crypto.ring import pack
from crypto.secrets import system_entropy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from secure_fl.config import Mechanism
    from secure_fl.rounds.encoding import Encoded


def masked_sum(
    mechanism: Mechanism, round_: int, uploads: Sequence[Encoded], missing: int = 0
) -> NDArray[np.uint32]:
    """Return the opened sum of `uploads`, one per site, with the noise that goes under the masks.

    Args:
        mechanism: whose cipher suite and ring are used.
        round_: the round's number, which masks are bound to.
        uploads: each of d ring elements, of the sites that survive.
        missing: how many further sites drop out when they have dealt their shares; two sites at
            least there are in all.

    Returns:
        Ring elements, uint32 of shape (d,).
    """
    sites = tuple(f"site-{place:04d}" for place in range(len(uploads) + missing))
    session = Session(
        run_id=system_entropy(16),
        attempt=0,
        roster_digest=sha256(b"rehearsal"),
        config_digest=mechanism.digest(),
        suite=mechanism.cipher_suite,
        # What a malicious coordinator adds is signed lists of survivors; the masks are the same.
        adversary=Adversary.SEMI_HONEST,
        sites=sites,
        threshold=min(default_threshold(len(sites)), len(uploads)),
        width_bits=mechanism.encoding.bits,
    )
    coordinator = MaskingCoordinator(session, first_round=round_)
    machines = {name: MaskingSite.start(session, name, system_entropy) for name in sites}
    for machine in machines.values():
        coordinator.accept_keys(machine.keys_for(round_, system_entropy))
    announced = dict(coordinator.keys(round_))
    for name, machine in machines.items():
        dealt = machine.shares_for(round_, announced, system_entropy)
        coordinator.accept_shares(name, round_, dealt)
    binding = RoundBinding(round_, sha256(b"rehearsal"), sites, sha256(b"parameters"))
    coordinator.begin(binding, uploads[0].vector.size)
    # Sites that drop out come last, and masks against them are rebuilt from their shares.
    for (name, machine), upload in zip(machines.items(), uploads, strict=False):
        machine.open_round(binding, coordinator.inbox(name))
        masked = machine.mask(upload.vector, upload.noise)
        coordinator.add(name, pack(masked, session.width_bits))
    survivors = coordinator.survivors()
    return coordinator.unmask({name: machines[name].release(survivors) for name in survivors})
