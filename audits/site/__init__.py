"""Attacks by sites that take part: what they know of their own, and what is broadcast to them.

- `collusion`: what is left of an opened sum when sites subtract what they put into it.
- `round_delta_gates`: what the change of the parameters in every round tells of a run's canaries.
- `veto`: what a site sees of its own noised sum before it sends it; no attack, and in every run.
"""
