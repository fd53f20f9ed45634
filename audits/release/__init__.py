"""What a released model gives away: attacks on the final adapter, as functions of their evidence.

An attack sees arrays and callables: log-probabilities, token ids, texts. How a model computed them
is not its business, so the same attack runs against any model. A higher score says "member".

Membership:

- `token_evidence`: what one model says of each token of one text.
- `likelihood_scores`: loss, Min-K%, Min-K%++, zlib, and the difference that the adapter makes.
- `classifier_scores`: the same for classifiers of sequences.
- `reference_scores`: LiRA and RMIA, against models that were trained without the record.
- `blind`: what texts give away without any model; a split of members that it sees through makes
  every other number of this list worthless.

Content:

- `exposure`: how far up a planted secret ranks among its like, tested against its exact null.
- `extraction`: whether a prefix makes the model recite the rest.
- `candidates`: which of some candidates stood in the masked place.
- `attributes`: which label or attribute a record had, against the best constant guess.
- `chance`: the exact tests of these counts.
"""
