"""The error tree of the whole platform, by who must act.

    SecureFLError
    |-- ConfigError      the person who wrote the run's or the site's files
    |-- BudgetError      the site's policy says no
    |-- PeerError        another party broke the protocol: drop it and go on
    `-- IntegrityError   our own record does not verify: stop

A message names the consequence and the mend, and never holds a secret or a record's text.
"""

from __future__ import annotations


class SecureFLError(Exception):
    """Base of every error that the platform raises on purpose."""


class ConfigError(SecureFLError):
    """A file or option that a person wrote cannot be honoured."""


class BudgetError(SecureFLError):
    """A site's policy forbids what was asked for; nothing was spent."""


class PeerError(SecureFLError):
    """Another party broke the protocol."""


class IntegrityError(SecureFLError):
    """A record of our own does not verify; going on would build on it."""
