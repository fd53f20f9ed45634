"""Recommendation: what a person chooses next, from the titles of what they chose before."""
