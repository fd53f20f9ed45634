"""A rehearsal: the site's own clipping, noise and masks, on canaries whose gradients are known.

It runs the trainer, the encoding and the masked sum of a real round under the run's mechanism, on
a stand-in model of a few layers, in which every canary has its rows. What comes out goes to
`audits.server`, whose gates say whether the code does what the mechanism claims. Nothing of a run,
a ledger or a record is touched.

- `canary_layers`: where a canary's gradient lies, and what clipping leaves of it.
- `canary_model`: the stand-in for base model, adapter and task.
- `masked_round`: one masked sum among sites in this process.
- `noised_sums`: the sums of a whole plan, as evidence.
- `gates`: what every gate says of them.
- `colluding`: what is left of such sums when sites subtract all that they put in.
"""

from secure_fl.rehearsal.gates import Rehearsed, judge, rehearse_all
from secure_fl.rehearsal.noised_sums import Plan, plan_of

__all__ = ["Plan", "Rehearsed", "judge", "plan_of", "rehearse_all"]
