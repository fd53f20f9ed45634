"""How records are shared out, as a value that a configuration can carry. Imports nothing heavy."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from crypto.errors import ConfigError

SMALLEST_ALPHA: Final = 1e-3
LARGEST_ALPHA: Final = 1e6
LARGEST_SIGMA: Final = 5.0


class PartitionKind(enum.StrEnum):
    """By what rule the sites of a simulation get their records."""

    EQUAL = "equal"
    """Shares of one size, drawn at random."""

    SIZE = "size"
    """Sizes are log-normal; within its size a share is drawn at random."""

    LABEL = "label"
    """Each label's records are spread over the sites by a Dirichlet draw."""

    KEY = "key"
    """All records with one value in a column are at one site."""


_PARAMETERS: Final = {
    PartitionKind.SIZE: "sigma",
    PartitionKind.LABEL: "alpha",
    PartitionKind.KEY: "key",
}


@dataclass(frozen=True, slots=True)
class Partition:
    """A rule with its parameter; `domains.partition.share_out` carries it out.

    Attributes:
        kind: the rule.
        sigma: of SIZE: the standard deviation of the logarithm of a site's size.
        alpha: of LABEL: the Dirichlet's concentration; small is skewed, large is alike.
        key: of KEY: the column of a record that says which records stay together.
        smallest_share: records that every site gets at least.

    Raises:
        ConfigError: a rule lacks its parameter or is given another's, or a number lies outside
            what is useful: sigma in [0, 5], alpha in [0.001, 1000000], smallest_share from 1.
    """

    kind: PartitionKind = PartitionKind.EQUAL
    sigma: float | None = None
    alpha: float | None = None
    key: str | None = None
    smallest_share: int = 1

    def __post_init__(self) -> None:
        own = _PARAMETERS.get(self.kind)
        for name in _PARAMETERS.values():
            given = getattr(self, name) is not None
            if given and name != own:
                raise ConfigError(
                    f"`{name}` has no meaning where records are shared out by the rule "
                    f"`{self.kind}`: it would promise a skew that is not there. Remove it, or "
                    "choose its rule."
                )
            if not given and name == own:
                raise ConfigError(
                    f"The rule `{self.kind}` needs `{name}`, which has no default: it decides how "
                    "different the sites are. Add it."
                )
        self._check_numbers()

    def _check_numbers(self) -> None:
        # Negated, so that NaN is refused too.
        if self.sigma is not None and not 0 <= self.sigma <= LARGEST_SIGMA:
            raise ConfigError(
                f"A `sigma` of {self.sigma} gives no sizes to work with: a site's size is the "
                f"exponential of it. Choose 0 to {LARGEST_SIGMA:g}; 1 is a strong skew."
            )
        if self.alpha is not None and not SMALLEST_ALPHA <= self.alpha <= LARGEST_ALPHA:
            raise ConfigError(
                f"An `alpha` of {self.alpha} cannot be drawn with: choose {SMALLEST_ALPHA:g} to "
                f"{LARGEST_ALPHA:g}; 0.1 is a strong skew, 100 hardly any."
            )
        if self.key is not None and not self.key:
            raise ConfigError("`key` names no column: nothing says which records stay together.")
        if self.smallest_share < 1:
            raise ConfigError(
                f"A smallest share of {self.smallest_share} lets a site hold nothing, and it could "
                "not train. Choose 1 or more."
            )
