"""The shared parameters of a run as one flat vector, its bytes and its digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crypto.digests import sha256
from crypto.errors import PeerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from privacy.update import UpdateSpec


def parameter_digest(spec: UpdateSpec, raw: bytes) -> bytes:
    """Return the digest that binds names, shapes, order and values: 32 bytes."""
    return sha256(b"secure-fl/parameters/v1\0" + spec.digest() + raw)


def vector_to_bytes(vector: NDArray[np.float32]) -> bytes:
    """Return the little-endian float32 bytes of `vector`, shape (d,)."""
    return vector.astype("<f4", copy=False).tobytes()


def vector_from_bytes(spec: UpdateSpec, raw: bytes) -> NDArray[np.float32]:
    """Return the read-only vector, shape (d,), that `raw` holds.

    Raises:
        PeerError: the length is not 4 d, or a value is not finite.
    """
    if len(raw) != 4 * spec.size:
        raise PeerError(
            f"{len(raw)} bytes of parameters came and the model shares {spec.size} numbers of 4 "
            "bytes: they were not loaded. The coordinator runs another model or method."
        )
    vector: NDArray[np.float32] = np.frombuffer(raw, "<f4").astype(np.float32, copy=False)
    if not np.isfinite(vector).all():
        raise PeerError(
            "The parameters hold a number that is not finite: they were not loaded, since every "
            "update computed from them would be one too."
        )
    return vector
