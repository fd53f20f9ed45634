"""The attack that reads words out of the span of opened low-rank updates, and the meters beside it.

It rehearses one step at the run's start, with the run's own base model, adapter, clip and noise, on
invented texts. There B is zero, so that the gradient of A is too: that of B shows the texts' inputs
under A, which everybody knows. In a private mode an opened sum is of one short text alone, with one
site's noise: the reader's best case, which sampling allows. Without privacy it is of that text
among as many whole ones as the run sums.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from audits.inversion.gates import (
    INVERSION,
    METERS,
    InversionEvidence,
    MeterEvidence,
    lora_inversion,
    row_space_meters,
)
from audits.inversion.meters import LayerMeter, measure_round
from audits.inversion.pairs import PairCount, PairReading, TextPair, read_pair
from secure_fl.auditing.first_layer import candidates_of, first_layer, low_rank_factors
from secure_fl.auditing.gradient_contrast import contrast_of
from secure_fl.auditing.gradient_sums import GradientSums, added, matrix, texts_in_a_sum
from secure_fl.auditing.probe_texts import short_texts, whole_texts
from secure_fl.sites.workbench import build_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from audits.findings import Finding
    from domains.tasks import Task
    from secure_fl.auditing.first_layer import Candidates, FirstLayer
    from secure_fl.auditing.gradient_sums import Gradients
    from secure_fl.auditing.probe_texts import Probes
    from secure_fl.auditing.subject import Subject
    from secure_fl.config import Mechanism
    from secure_fl.sites.adapted_model import AdaptedModel

    Note = Callable[[int, int], None]

__all__ = ["INVERSION", "METERS", "invert", "meter", "run_inversion", "run_meters"]

PAIRS: Final = 24
"""Of which 14 have to be ahead and none behind, or 22 of all, to be below the significance."""
_MOST_INPUTS: Final = 8
_BESIDE: Final = 16
"""Whole texts of which those are drawn that are summed with the probed one."""
_METERED: Final = 32


def run_inversion(subject: Subject, note: Note) -> tuple[Finding, ...]:
    """Return whether words are read out of the sums of the run's mechanism.

    Raises:
        ConfigError: no low-rank factors are tuned, or none whose input follows from a single token;
            the base model is not here.
    """
    mechanism = subject.config.mechanism
    task, adapted = build_task(mechanism, subject.facts.data.labels, subject.config.runtime)
    return (lora_inversion(invert(mechanism, task, adapted, note)),)


def run_meters(subject: Subject, note: Note) -> tuple[Finding, ...]:
    """Return how near a sum of the run's expected batch comes to being readable.

    Raises:
        ConfigError: no low-rank factors are tuned, or the base model is not here.
    """
    mechanism = subject.config.mechanism
    task, adapted = build_task(mechanism, subject.facts.data.labels, subject.config.runtime)
    evidence = meter(mechanism, task, adapted, note)
    rounds = _of_rounds(subject, max(each.tokens for each in evidence.meters))
    return (row_space_meters(replace(evidence, rounds=rounds)),)


def _of_rounds(subject: Subject, tokens: int) -> tuple[LayerMeter, ...]:
    """Return what the run read of its own sums: of each layer and round the lesser factor's."""
    found: dict[tuple[int, str], LayerMeter] = {}
    for row in subject.folder.metrics():
        for each in row.opened:
            layer = each.factor.split(".lora_", maxsplit=1)[0]
            meter = LayerMeter(
                round=row.round,
                layer=layer,
                columns=each.columns,
                rank=each.rank,
                tokens=tokens,
                numerical_rank=each.numerical_rank,
                stable_rank=each.stable_rank,
            )
            known = found.setdefault((row.round, layer), meter)
            if meter.rank_ratio < known.rank_ratio:
                found[row.round, layer] = meter
    return tuple(found.values())


def invert(
    mechanism: Mechanism, task: Task, adapted: AdaptedModel, note: Note
) -> InversionEvidence:
    """Return what is read of pairs of invented texts.

    Args:
        mechanism: of the run, sigma resolved.
        task: of the run.
        adapted: the model that the run starts with.
        note: is told how many of how many pairs are done.

    Raises:
        ConfigError: as `run_inversion`.
    """
    low_rank_factors(adapted)
    most = max(1, min(mechanism.adapter.rank - 1, _MOST_INPUTS))
    probes = short_texts(task, 2 * PAIRS, most)
    layer = first_layer(adapted, probes)
    rng = np.random.default_rng()
    candidates = candidates_of(adapted, layer, probes, rng)
    with GradientSums(task, adapted, mechanism) as sums:
        reader = _Reader(layer, candidates, probes)
        texts = 1 if sums.private else texts_in_a_sum(mechanism)
        beside = _Beside(sums, task, texts - 1, rng)
        control, opened, blind = [], [], []
        for pair in range(PAIRS):
            note(pair, PAIRS)
            inside, outside = (2 * pair + int(side) for side in rng.permutation(2))
            alone = sums.of_text(probes.records, inside)
            control.append(reader.read(alone, inside, outside, 0.0))
            noise = sums.noise_deviation
            seen = sums.opened(added(alone, beside.drawn()))
            opened.append(reader.read(seen, inside, outside, noise))
            seen = sums.opened(beside.drawn())
            blind.append(reader.read(seen, inside, outside, noise))
        contrast = contrast_of(task, adapted, sums, probes, beside.drawn)
        note(PAIRS, PAIRS)
        return InversionEvidence(
            opened=PairCount.of(opened),
            control=PairCount.of(control),
            blind=PairCount.of(blind),
            promised=sums.private,
            rank=layer.rank,
            inputs=float(np.mean([len(own) for own in probes.inputs])),
            texts=texts,
            tried=int(candidates.tokens.size),
            vocabulary=candidates.vocabulary,
            contrast=contrast,
        )


def meter(mechanism: Mechanism, task: Task, adapted: AdaptedModel, note: Note) -> MeterEvidence:
    """Return the meters of one sum over whole invented texts, of every factor B.

    Tokens are counted for the run's expected batch; of a large one only a part is summed.

    Raises:
        ConfigError: as `run_meters`.
    """
    names = low_rank_factors(adapted)
    texts = texts_in_a_sum(mechanism)
    summed = min(texts, _METERED)
    probes = whole_texts(task, summed)
    with GradientSums(task, adapted, mechanism) as sums:
        total = sums.nothing()
        for record in range(summed):
            note(record, summed)
            total = added(total, sums.of_text(probes.records, record))
        seen = sums.opened(total)
        noised = sums.private
    note(summed, summed)
    each = float(np.mean([len(own) for own in probes.inputs]))
    layers = {_said(name): matrix(seen, name) for name in names}
    return MeterEvidence(measure_round(1, layers, max(1, round(texts * each))), noised, summed)


class _Reader:
    """Reads pairs of the probes out of one layer's part of a sum."""

    def __init__(self, layer: FirstLayer, candidates: Candidates, probes: Probes) -> None:
        self._layer, self._candidates = layer, candidates
        self._rows = [candidates.rows(own) for own in probes.inputs]

    def read(self, seen: Gradients, inside: int, outside: int, noise: float) -> PairReading:
        return read_pair(
            matrix(seen, self._layer.parameter),
            self._candidates.images,
            TextPair(self._rows[inside], self._rows[outside]),
            noise,
        )


class _Beside:
    """Sums of whole texts that are summed with the probed one."""

    def __init__(
        self, sums: GradientSums, task: Task, count: int, rng: np.random.Generator
    ) -> None:
        self._nothing, self._count, self._rng = sums.nothing(), count, rng
        self._each: list[Gradients] = []
        if count:
            probes = whole_texts(task, _BESIDE)
            self._each = [sums.of_text(probes.records, record) for record in range(_BESIDE)]

    def drawn(self) -> Gradients:
        """Return a sum of so many texts, drawn anew; of none where none is beside."""
        total = dict(self._nothing)
        if not self._each:
            return total
        times = self._rng.multinomial(self._count, [1 / _BESIDE] * _BESIDE)
        for often, each in zip(times.tolist(), self._each, strict=True):
            total = added(total, {name: often * part for name, part in each.items()})
        return total


def _said(name: str) -> str:
    """Return a layer's name without what PEFT wraps around it."""
    return name.removeprefix("base_model.model.").split(".lora_B.", maxsplit=1)[0]
