"""Which attacks there are, and what is said of their gates where one cannot be run.

An attack gives a finding for each of its gates, always: one that failed is reported as not run,
with the reason, and never left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from audits.findings import Basis, Finding, Verdict, Window
from audits.inversion import gates as inversion_gates
from audits.release import canary_gates, inference_gates, secret_gates
from audits.server import clip_probe, distinguish, noise_reuse, noise_scale, sampling
from audits.site import collusion, round_delta_gates
from secure_fl.auditing import (
    colluding_sites,
    lora_inversion,
    records_apart,
    rehearsing,
    release_canaries,
    release_inference,
    release_secrets,
    round_deltas,
    scrubbing_probe,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from secure_fl.auditing.subject import Subject

    Note = Callable[[int, int], None]


@dataclass(frozen=True)
class Gate:
    """A gate as it stands in a report where it was not run.

    Attributes:
        name: of the gate.
        window: what its attacker looks at.
        basis: where its evidence would be from.
        claim: what it would test.
    """

    name: str
    window: Window
    basis: Basis
    claim: str

    def not_run(self, reason: str) -> Finding:
        """Return the finding that says so."""
        return Finding(
            gate=self.name,
            window=self.window,
            basis=self.basis,
            threat="Nothing was tried, so that nothing is known of this threat.",
            claim=self.claim,
            verdict=Verdict.NOT_RUN,
            reason=reason,
            samples=0,
            statistic=None,
        )


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        name: on the command line and in messages.
        about: what it does, as a phrase for a progress display.
        gates: what it gives findings for, in order.
        run: gives them; is told whom to tell how many of how many steps are done.
    """

    name: str
    about: str
    gates: tuple[Gate, ...]
    run: Callable[[Subject, Note], tuple[Finding, ...]]

    def not_run(self, reason: str) -> tuple[Finding, ...]:
        """Return a finding for each gate that says why it was not run."""
        return tuple(gate.not_run(reason) for gate in self.gates)


def _rehearsed(name: str, claim: str) -> Gate:
    return Gate(name, Window.SERVER, Basis.REHEARSAL, claim)


ATTACKS: Final = (
    Attack(
        "rehearsal",
        "rehearsing clip, noise and masks with gradient canaries",
        (
            _rehearsed(distinguish.GATE, distinguish.CLAIM),
            _rehearsed(noise_scale.GATE, noise_scale.CLAIM),
            _rehearsed(noise_reuse.GATE, noise_reuse.CLAIM),
            _rehearsed(clip_probe.GATE, clip_probe.CLAIM),
            _rehearsed(sampling.GATE, sampling.CLAIM),
        ),
        rehearsing.run,
    ),
    Attack(
        "colluders",
        "subtracting what colluding sites put into the opened sums",
        (
            Gate(collusion.NOISE, Window.SITE, Basis.REHEARSAL, collusion.NOISE_CLAIM),
            Gate(collusion.SITES, Window.SITE, Basis.REHEARSAL, collusion.SITES_CLAIM),
        ),
        colluding_sites.run,
    ),
    Attack(
        "canaries",
        "asking the released adapter for the run's canaries",
        (
            Gate(canary_gates.ONCE, Window.RELEASE, Basis.RUN, canary_gates.CLAIM_ONCE),
            Gate(canary_gates.REPEATED, Window.RELEASE, Basis.RUN, canary_gates.CLAIM_REPEATED),
        ),
        release_canaries.run,
    ),
    Attack(
        "inference",
        "guessing labels and words of the run's canaries by the released adapter",
        (
            Gate(inference_gates.LABELS, Window.RELEASE, Basis.RUN, inference_gates.LABELS_CLAIM),
            Gate(
                inference_gates.ATTRIBUTES,
                Window.RELEASE,
                Basis.RUN,
                inference_gates.ATTRIBUTES_CLAIM,
            ),
        ),
        release_inference.run,
    ),
    Attack(
        "secrets",
        "asking the released adapter for the secrets of the run's canaries",
        (
            Gate(secret_gates.ONCE, Window.RELEASE, Basis.RUN, secret_gates.CLAIM_ONCE),
            Gate(secret_gates.REPEATED, Window.RELEASE, Basis.RUN, secret_gates.CLAIM_REPEATED),
        ),
        release_secrets.run,
    ),
    Attack(
        "round-deltas",
        "asking the parameters of every round for the run's canaries",
        (Gate(round_delta_gates.GATE, Window.SITE, Basis.RUN, round_delta_gates.CLAIM),),
        round_deltas.run,
    ),
    Attack(
        "records-apart",
        "changing one record and watching its neighbours",
        (_rehearsed(records_apart.GATE, records_apart.CLAIM),),
        records_apart.run,
    ),
    Attack(
        "lora-inversion",
        "reading words out of the span of low-rank updates",
        (_rehearsed(inversion_gates.INVERSION, inversion_gates.INVERSION_CLAIM),),
        lora_inversion.run_inversion,
    ),
    Attack(
        "row-space-meters",
        "counting tokens in a sum against the adapter's rank",
        (_rehearsed(inversion_gates.METERS, inversion_gates.METERS_CLAIM),),
        lora_inversion.run_meters,
    ),
    Attack(
        "scrubbing",
        "scrubbing invented notes whose personal data is known",
        (Gate(scrubbing_probe.GATE, Window.RELEASE, Basis.REHEARSAL, scrubbing_probe.CLAIM),),
        scrubbing_probe.run,
    ),
)
HEADLINE: Final = distinguish.GATE
"""Named here, before any run: the gate that an audit's first line speaks of."""
