"""Audits a finished run: attacks it, judges what they found, and signs the outcome into its folder.

An audit reads a run and never changes it: configuration, ledger and model stay as they were signed.
What it adds is a folder `audits/N` of its own, under a statement in the run's log.

- `subject`: what is audited.
- `attacks`: which attacks there are, and what each says where it cannot be run.
- `audit`: runs them in any order, goes on after a kill, and puts the report together.
- `binding`: signs the outcome, and verifies it.
- `demands`: what a policy file asks of an audit, for continuous integration.
"""
