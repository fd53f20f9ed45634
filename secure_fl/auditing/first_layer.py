"""What enters the first low-rank layer for any token at any place: the candidates of an inversion.

They are taken from the model itself: it is run on rows of one token, and stopped where the layer is
reached. That is right only where a token and its place alone decide what enters; a real text,
whose neighbours differ, is run beside them and has to agree.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from crypto.errors import ConfigError
from secure_fl.methods.method import is_factor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from secure_fl.auditing.probe_texts import Place, Probes
    from secure_fl.sites.adapted_model import AdaptedModel

_ROWS: Final = 512
_TOLERANCE: Final = 1e-4
_LARGEST: Final = 1 << 24
"""Numbers that all candidates of a vocabulary may have; a part of it is tried where they are
more."""
_FEWEST: Final = 1000


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """The layer that is read.

    Attributes:
        parameter: the name of its factor B.
        module: that holds both factors.
        down: the factor A, (r, d).
    """

    parameter: str
    module: nn.Module = field(repr=False)
    down: NDArray[np.float32] = field(repr=False)

    @property
    def rank(self) -> int:
        """The rank r."""
        return int(self.down.shape[0])


@dataclass(frozen=True, eq=False)
class Candidates:
    """What factor B's gradient would be made of, for some tokens of the vocabulary.

    Attributes:
        tokens: which, ascending, int64 (V,).
        vocabulary: how many there are.
        places: at which.
        images: for each place what enters, under A: float32 (V, r).
    """

    tokens: NDArray[np.int64] = field(repr=False)
    vocabulary: int
    places: tuple[Place, ...]
    images: tuple[NDArray[np.float32], ...] = field(repr=False)

    def rows(self, inputs: frozenset[tuple[Place, int]]) -> tuple[frozenset[int], ...]:
        """Return for each place the rows of `images` that are a text's."""
        at: dict[Place, set[int]] = {place: set() for place in self.places}
        for place, token in inputs:
            at[place].add(int(np.searchsorted(self.tokens, token)))
        return tuple(frozenset(at[place]) for place in self.places)


def low_rank_factors(adapted: AdaptedModel) -> tuple[str, ...]:
    """Return the names of the factors B that are trained.

    Raises:
        ConfigError: there is none.
    """
    found = tuple(name for name in adapted.parameters if is_factor(name, "B"))
    if not found:
        raise ConfigError(
            "The run tunes no low-rank factors, whose gradients this reads: nothing was tried. "
            "What its updates show otherwise was not tested here."
        )
    return found


def first_layer(adapted: AdaptedModel, probes: Probes) -> FirstLayer:
    """Return the first low-rank layer whose input follows from a token and its place alone.

    Values show every token and are taken first; keys may show only differences (see
    `audits.inversion`), and are taken last.

    Raises:
        ConfigError: no low-rank factor is trained, or none of the first tuned layer is such.
    """
    names = low_rank_factors(adapted)
    if adapted.frozen_layers:
        raise ConfigError(
            f"The first tuned layer is number {adapted.frozen_layers}, counted from 0: what enters "
            "it is mixed from all tokens of a text, so that no vocabulary can be tried. Nothing "
            "was read; that this reader cannot, does not show that no other can."
        )
    for name in sorted(names, key=_preference):
        layer = _layer(adapted, name)
        if _is_local(adapted.model, layer, probes):
            return layer
    raise ConfigError(
        "What enters the tuned layers is mixed from all tokens of a text: no vocabulary can be "
        "tried, and nothing was read. That this reader cannot, does not show that no other can."
    )


def candidates_of(
    adapted: AdaptedModel, layer: FirstLayer, probes: Probes, rng: np.random.Generator
) -> Candidates:
    """Return what every token, or a random part of the vocabulary with the probes', would bring."""
    vocabulary = int(adapted.model.get_input_embeddings().weight.shape[0])
    places = probes.places
    affordable = max(_FEWEST, _LARGEST // (len(places) * max(layer.rank, _ROWS // 8)))
    tokens = np.arange(vocabulary, dtype=np.int64)
    if affordable < vocabulary:
        drawn = rng.choice(vocabulary, size=affordable, replace=False)
        tokens = np.union1d(drawn, np.array(sorted(probes.tokens))).astype(np.int64)
    down = torch.from_numpy(layer.down)
    images = {place: np.empty((tokens.size, layer.rank), np.float32) for place in places}
    for start in range(0, tokens.size, _ROWS):
        part = tokens[start : start + _ROWS]
        for type_ in {type_ for _, type_ in places}:
            entered = _entered(adapted.model, layer, part, type_, 1 + max(p for p, _ in places))
            under = (entered @ down.T).numpy()
            for place in places:
                if place[1] == type_:
                    images[place][start : start + part.size] = under[:, place[0]]
    return Candidates(tokens, vocabulary, places, tuple(images[place] for place in places))


def _preference(name: str) -> tuple[int, str]:
    own = name.split(".lora_B.", maxsplit=1)[0].rsplit(".", 1)[-1]
    return ("vqk".find(own[0]) if own[0] in "vqk" else 1), name


def _layer(adapted: AdaptedModel, name: str) -> FirstLayer:
    path = name.split(".lora_B.", maxsplit=1)[0]
    down = adapted.model.get_parameter(name.replace(".lora_B.", ".lora_A."))
    return FirstLayer(name, adapted.model.get_submodule(path), down.detach().cpu().numpy())


def _is_local(model: nn.Module, layer: FirstLayer, probes: Probes) -> bool:
    """Return whether real texts bring to the layer what rows of one token do."""
    encoded = probes.records
    checked = min(4, len(encoded.token_ids))
    for row in range(checked):
        tokens = encoded.token_ids[row]
        types = encoded.token_types[row] if encoded.token_types else np.zeros_like(tokens)
        ids = torch.from_numpy(tokens).unsqueeze(0)
        real = _input_of(model, layer, ids, torch.from_numpy(types).unsqueeze(0))
        if real is None or real.shape[:2] != ids.shape:
            return False
        for type_ in np.unique(types).tolist():
            alone = _entered(model, layer, tokens, type_, tokens.size)
            own = torch.from_numpy(np.flatnonzero(types == type_))
            apart = (real[0, own] - alone[own, own]).norm(dim=-1)
            if not bool((apart <= _TOLERANCE * real[0, own].norm(dim=-1)).all()):
                return False
    return True


def _entered(
    model: nn.Module, layer: FirstLayer, tokens: NDArray[np.int64], type_: int, length: int
) -> Tensor:
    """Return what enters the layer in rows of one token each, (V, length, d)."""
    ids = torch.from_numpy(tokens).unsqueeze(1).expand(-1, length).contiguous()
    found = _input_of(model, layer, ids, torch.full_like(ids, type_))
    if found is None:
        raise ConfigError(f"{layer.parameter} is never reached: nothing enters it, nor was read.")
    return found


class _ReachedError(Exception):
    """The layer was reached: the rest of the model need not be run."""


def _input_of(model: nn.Module, layer: FirstLayer, ids: Tensor, types: Tensor) -> Tensor | None:
    """Return what enters the layer, (B, T, d); None if it is not reached."""
    told = {"token_type_ids": types} if bool(types.any()) else {}
    with torch.inference_mode(), _watched(layer.module) as seen:
        try:
            model(input_ids=ids, attention_mask=torch.ones_like(ids), **told)
        except _ReachedError:
            return seen[0].float().cpu()
    return None


@contextmanager
def _watched(module: nn.Module) -> Iterator[list[Tensor]]:
    seen: list[Tensor] = []

    def stop(_: nn.Module, entering: tuple[Tensor, ...]) -> None:
        seen.append(entering[0])
        raise _ReachedError

    hook = module.register_forward_pre_hook(stop)
    try:
        yield seen
    finally:
        hook.remove()
