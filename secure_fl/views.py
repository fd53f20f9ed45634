"""How much of the cohort a server rule has to read, and how much a protection reveals."""

from __future__ import annotations

from enum import Enum, IntEnum


class View(IntEnum):
    """What can be seen of the updates of one round, from least to most."""

    SUM = 1
    """Only the sum over the survivors."""
    GROUPS = 2
    """Sums over groups of survivors."""
    EACH = 3
    """Every single update."""


class Protection(Enum):
    """How updates travel from the sites to the coordinator."""

    MASKED = "masked"
    """Pairwise and self masks: the coordinator learns the sum and nothing else."""
    HOMOMORPHIC = "homomorphic"
    """Encrypted under one key that all sites hold and the coordinator does not: it adds what it
    cannot read, and the sites decrypt the sum. Only against a coordinator that follows the
    protocol, and on an assumption that masks do not need: ONE SITE AND THE COORDINATOR TOGETHER
    READ EVERY SITE'S UPDATE."""
    PLAIN = "plain"
    """Every update in clear: the coordinator reads each one."""

    @property
    def reveals(self) -> View:
        """The most that the coordinator sees under this protection."""
        return View.EACH if self is Protection.PLAIN else View.SUM
