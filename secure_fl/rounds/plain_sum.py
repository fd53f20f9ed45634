"""The plain protection: every update in clear, for methods that read each one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crypto.masked_sum import RoundBinding


class PlainSum:
    """Collects the ring vectors of one round as they came; hides nothing from anybody."""

    def __init__(self) -> None:
        self._vectors: dict[str, NDArray[np.uint32]] = {}

    def begin(self, binding: RoundBinding, size: int) -> None:
        """Forget the last round's vectors."""
        del binding, size  # the plain sum binds nothing: statements bind vectors by digest
        self._vectors = {}

    def add(self, site: str, vector: NDArray[np.uint32]) -> None:
        """Keep the vector of one site, shape (d,)."""
        self._vectors[site] = vector.astype(np.uint32, copy=False)

    def vectors(self) -> list[NDArray[np.uint32]]:
        """Return the vectors in the order of the sites' names."""
        return [self._vectors[site] for site in sorted(self._vectors)]
