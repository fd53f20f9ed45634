"""Attacks on what the server saw: noised sums, with gradient canaries in them.

- `evidence.NoisedSums`: the sums, and where which canary is in them.
- `noise_scale`: whether the noise is as large as the mechanism says.
- `noise_reuse`: whether it is fresh in every sum.
- `clip_probe`: whether one record's part is its clipped gradient and no more.
- `sampling`: whether members are sampled independently at the stated rate.
- `distinguish`: how well members are told from controls, against the claimed epsilon.
"""
