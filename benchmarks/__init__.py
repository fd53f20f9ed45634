"""Measurements of the platform: `python -m benchmarks.NAME` prints a table, `--json` one object."""
