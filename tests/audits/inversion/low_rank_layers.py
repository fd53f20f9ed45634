"""A LoRA layer in the open: what enters it, what comes back, and its gradients by autograd."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from audits.inversion.token_inversion import Recovery

_OUTPUTS = 40


@dataclass(frozen=True, eq=False)
class LowRankLayer:
    """y = W x + scale B A x over `tokens` inputs out of a vocabulary (V, d)."""

    vocabulary: np.ndarray
    tokens: np.ndarray
    down: np.ndarray
    up: np.ndarray
    deltas: np.ndarray
    scale: float

    @property
    def truth(self) -> tuple[set[int], ...]:
        return (set(self.tokens.tolist()),)

    @property
    def images(self) -> np.ndarray:
        """What grad B is made of: the vocabulary under A, (V, r)."""
        return self.vocabulary @ self.down.T

    def gradients(self) -> tuple[np.ndarray, np.ndarray]:
        """Return grad A (r, d) and grad B (o, r) of a loss whose gradients at y are `deltas`."""
        inputs = torch.from_numpy(self.vocabulary[self.tokens])
        down = torch.from_numpy(self.down).requires_grad_()
        up = torch.from_numpy(self.up).requires_grad_()
        outputs = self.scale * inputs @ down.T @ up.T
        loss = (outputs * torch.from_numpy(self.deltas)).sum()
        return tuple(part.numpy() for part in torch.autograd.grad(loss, [down, up]))


def low_rank_layer(
    rng: np.random.Generator,
    *,
    tokens: int,
    rank: int,
    width: int = 48,
    vocabulary: int = 300,
) -> LowRankLayer:
    """Return a layer over `tokens` distinct tokens, or with repetitions beyond the vocabulary."""
    return LowRankLayer(
        vocabulary=rng.normal(size=(vocabulary, width)),
        tokens=rng.choice(vocabulary, size=tokens, replace=tokens > vocabulary),
        down=rng.normal(size=(rank, width)),
        up=rng.normal(size=(_OUTPUTS, rank)),
        deltas=rng.normal(size=(tokens, _OUTPUTS)),
        scale=2.0,
    )


def privatised(gradient: np.ndarray, rng: np.random.Generator, sigma: float = 1.0) -> np.ndarray:
    """Return the gradient clipped to norm 1, with normal noise of deviation `sigma` per entry."""
    clipped = gradient / max(1.0, float(np.linalg.norm(gradient)))
    return clipped + rng.normal(scale=sigma, size=gradient.shape)


def together(recoveries: list[Recovery]) -> Recovery:
    """Return the counts of all, summed."""
    names = ("members", "controls", "true_positives", "false_positives")
    return Recovery(*(sum(getattr(one, name) for one in recoveries) for name in names))
