"""The plain protection: every update in clear, for methods that read each one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.ring import unpack

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from crypto.masked_sum import RoundBinding
    from crypto.ring import WidthBits
    from privacy.fixed_point import Grid


class PlainSum:
    """Collects the ring vectors of one round as they came; hides nothing from anybody."""

    def __init__(self, grid: Grid, width_bits: WidthBits) -> None:
        self._grid = grid
        self._width_bits = width_bits
        self._vectors: dict[str, NDArray[np.float64]] = {}

    def begin(self, binding: RoundBinding, size: int) -> None:
        """Forget the last round's vectors."""
        del binding, size  # the plain sum binds nothing: statements bind vectors by digest
        self._vectors = {}

    def add(self, site: str, data: bytes) -> None:
        """Keep the packed vector of one site.

        Raises:
            PeerError: what no honest site sends can be traced to its sender, in clear.
        """
        vector = unpack(data, self._width_bits)
        self._vectors[site] = self._grid.decode_sum(vector, 1)

    def vectors(self) -> list[NDArray[np.float64]]:
        """Return the decoded vectors, each of shape (d,), in the order of the sites' names."""
        return [self._vectors[site] for site in sorted(self._vectors)]
