"""The compliance report of an audit: what a run says, and what an audit of it found.

One value (`document`) holds both, checked against each other; `page` writes it as HTML and `pdf` as
PDF, from the same parts in the same order (`content`).
"""
