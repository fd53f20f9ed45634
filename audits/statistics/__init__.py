"""What scores of an attack show: rates with intervals, and lower bounds on epsilon.

An attack gives every canary a score; a higher one says "member". Which canaries are members was
decided by a fair coin before training. Everything here is a function of the two lists of scores and
of what was chosen before they were seen.

- `scores.CanaryScores`: the two lists.
- `rates`: true positives at a false-positive rate, area under the curve, each with its interval.
- `bounds`: lower bounds on epsilon (Clopper-Pearson, one run, one run under f-DP) and the
  Gaussian-DP estimate, which is none.
- `spread`: whether counts spread as those of independent trials.
- `power`: what a bound can show at best with so many canaries.
"""
