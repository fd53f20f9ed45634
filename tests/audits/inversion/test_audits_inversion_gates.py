"""The gates reach each verdict on evidence made for it, and count pairs as a naive twin does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from low_rank_layers import LowRankLayer, low_rank_layer

from audits.findings import GATE_SIGNIFICANCE, Basis, Finding, SeriesKind, Verdict, Window
from audits.inversion.gates import (
    InversionEvidence,
    MeterEvidence,
    lora_inversion,
    row_space_meters,
)
from audits.inversion.meters import measure_round
from audits.inversion.pairs import PairCount, PairReading, TextPair, read_pair
from crypto.errors import ConfigError

NOTHING = PairReading(words=3, found=0, twin_found=0, others=0)
ALL = PairReading(words=3, found=3, twin_found=0, others=1)
OTHERS = PairReading(words=3, found=0, twin_found=2, others=0)

readings = st.builds(
    PairReading,
    words=st.just(3),
    found=st.integers(0, 3),
    twin_found=st.integers(0, 3),
    others=st.integers(0, 5),
)


def evidence(
    opened: list[PairReading],
    control: list[PairReading] | None = None,
    blind: list[PairReading] | None = None,
    *,
    promised: bool = True,
) -> InversionEvidence:
    return InversionEvidence(
        opened=PairCount.of(opened),
        control=PairCount.of([ALL] * 24 if control is None else control),
        blind=PairCount.of([NOTHING] * 24 if blind is None else blind),
        promised=promised,
        rank=8,
        inputs=5.5,
        texts=1 if promised else 640,
        tried=300,
        vocabulary=300,
    )


# -- words -----------------------------------------------------------------------------------------


def test_words_that_are_read_violate_the_claim() -> None:
    found = lora_inversion(evidence([ALL] * 24))
    assert (found.verdict, found.window, found.basis) == (
        Verdict.VIOLATED,
        Window.SERVER,
        Basis.REHEARSAL,
    )
    assert found.reason.startswith("72 of 72 words were read out of 24 sums")
    assert found.statistic is not None
    assert (found.samples, found.statistic.value) == (24, 1.0)


def test_what_noise_hides_is_not_refuted_since_the_control_lit_up() -> None:
    found = lora_inversion(evidence([NOTHING] * 24))
    assert found.verdict is Verdict.NOT_REFUTED
    assert "without noise 72 of 72 were" in found.reason
    assert Finding.model_validate_json(found.to_json()) == found


@pytest.mark.parametrize(("ahead", "violated"), [(13, False), (14, True)])
def test_fourteen_texts_ahead_and_none_behind_are_the_fewest_that_decide(
    ahead: int, *, violated: bool
) -> None:
    found = lora_inversion(evidence([ALL] * ahead + [NOTHING] * (24 - ahead)))
    assert (found.verdict is Verdict.VIOLATED) is violated


def test_texts_behind_weigh_against_those_ahead() -> None:
    assert lora_inversion(evidence([ALL] * 14 + [OTHERS] * 3)).verdict is Verdict.NOT_REFUTED


def test_words_are_not_counted_as_if_each_were_a_trial() -> None:
    """Sixty words of ten texts: as trials overwhelming, as texts too few."""
    long = PairReading(words=6, found=6, twin_found=0, others=0)
    count = PairCount.of([long] * 10)
    assert count.found == 60
    assert 0.5**60 < GATE_SIGNIFICANCE < count.p_value


def test_a_control_that_reads_nothing_leaves_it_inconclusive() -> None:
    found = lora_inversion(evidence([NOTHING] * 24, control=[NOTHING] * 24))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "texts of 5.5 tokens under a rank of 8" in found.reason


def test_too_few_pairs_leave_it_inconclusive() -> None:
    few = lora_inversion(evidence([NOTHING] * 13, control=[ALL] * 13))
    assert few.verdict is Verdict.INCONCLUSIVE
    none = lora_inversion(evidence([], control=[], blind=[]))
    assert (none.verdict, none.statistic) == (Verdict.INCONCLUSIVE, None)


def test_a_reader_who_reads_what_is_not_there_is_not_believed() -> None:
    found = lora_inversion(evidence([ALL] * 24, blind=[ALL] * 24))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "hold none of them" in found.reason


def test_a_run_that_claims_nothing_is_counted_and_not_judged() -> None:
    found = lora_inversion(evidence([ALL] * 20 + [NOTHING] * 4, promised=False))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.startswith(
        "The run claims nothing that could be refuted; 60 of 72 words were read out of 24 sums "
        "(texts in each: 640)"
    )


@given(st.lists(readings, max_size=30))
def test_the_p_value_is_the_sign_tests(each: list[PairReading]) -> None:
    count = PairCount.of(each)
    ahead = [one for one in each if one.found > one.twin_found]
    untied = [one for one in each if one.found != one.twin_found]
    tail = sum(math.comb(len(untied), k) for k in range(len(ahead), len(untied) + 1))
    assert count.p_value == pytest.approx(tail / 2 ** len(untied))
    assert count.found == sum(one.found for one in each)


# -- reading ---------------------------------------------------------------------------------------


def pair_in(layer: LowRankLayer) -> TextPair:
    """The layer's text, and one that shares its first token."""
    own = layer.tokens.tolist()
    other = [own[0], *(t for t in range(300) if t not in own)][: len(own)]
    return TextPair((frozenset(own),), (frozenset(other),))


def test_the_words_of_the_summed_text_are_read_and_its_twins_are_not() -> None:
    layer = low_rank_layer(np.random.default_rng(0), tokens=4, rank=8)
    of_a, of_b = layer.gradients()
    exact = PairReading(words=3, found=3, twin_found=0, others=0)
    assert read_pair(of_a, [layer.vocabulary], pair_in(layer)) == exact
    under = read_pair(of_b, [layer.images], pair_in(layer))
    assert (under.words, under.found, under.twin_found) == (3, 3, 0)


def test_exchanging_the_texts_exchanges_what_is_found() -> None:
    layer = low_rank_layer(np.random.default_rng(1), tokens=4, rank=8)
    pair = pair_in(layer)
    read = read_pair(layer.gradients()[1], [layer.images], pair)
    back = read_pair(layer.gradients()[1], [layer.images], TextPair(pair.outside, pair.inside))
    assert (read.found, read.twin_found, read.others) == (back.twin_found, back.found, back.others)


def test_noise_that_was_announced_and_forgotten_is_seen_through() -> None:
    layer = low_rank_layer(np.random.default_rng(2), tokens=4, rank=8)
    _, of_b = layer.gradients()
    assert read_pair(of_b, [layer.images], pair_in(layer), noise_deviation=1e6).found == 3


def test_little_noise_does_not_hide_and_much_does() -> None:
    rng = np.random.default_rng(3)
    layer = low_rank_layer(rng, tokens=4, rank=8)
    _, of_b = layer.gradients()
    length = float(np.linalg.norm(of_b))
    for scale, words in ((1e-9, 3), (1.0, 0)):
        noised = of_b + rng.normal(scale=scale * length, size=of_b.shape)
        read = read_pair(noised, [layer.images], pair_in(layer), noise_deviation=scale * length)
        assert read.found == words


def test_candidates_of_other_places_are_refused() -> None:
    layer = low_rank_layer(np.random.default_rng(4), tokens=4, rank=8)
    with pytest.raises(ConfigError, match="nothing was read"):
        read_pair(layer.gradients()[1], [layer.images] * 2, pair_in(layer))
    shown = repr(pair_in(layer))
    assert str(int(layer.tokens[1])) not in shown


# -- meters ----------------------------------------------------------------------------------------


def metered(tokens: int, *, noised: bool = False) -> MeterEvidence:
    layer = low_rank_layer(np.random.default_rng(5), tokens=min(tokens, 200), rank=8)
    opened = {"first": layer.gradients()[1], "second": layer.gradients()[0]}
    return MeterEvidence(measure_round(1, opened, tokens), noised=noised, summed=3)


def test_few_tokens_without_noise_are_inconclusive_and_never_a_violation() -> None:
    found = row_space_meters(metered(6))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "2 of 2 layers' sums do not fill the rank" in found.reason
    assert {(each.kind, each.name) for each in found.series} == {
        (SeriesKind.RANK_RATIO, "first"),
        (SeriesKind.RANK_RATIO, "second"),
    }
    assert found.series[0].points[0].y == pytest.approx(6 / 8)


@pytest.mark.parametrize(
    ("tokens", "verdict"), [(79, Verdict.INCONCLUSIVE), (80, Verdict.NOT_REFUTED)]
)
def test_ten_times_the_rank_is_far_above_it(tokens: int, verdict: Verdict) -> None:
    found = row_space_meters(metered(tokens))
    assert (found.verdict, found.samples) == (verdict, 2)


def test_noise_that_fills_every_opened_sum_is_enough_whatever_is_summed() -> None:
    few = metered(6, noised=True)
    full = replace(few.meters[0], numerical_rank=few.meters[0].rank)
    found = row_space_meters(replace(few, rounds=(full,)))
    assert found.verdict is Verdict.NOT_REFUTED
    assert found.reason.startswith("Noise is added")


def test_noise_that_nobody_saw_in_a_sum_is_no_pass() -> None:
    found = row_space_meters(metered(80, noised=True))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "read no rank" in found.reason


def test_no_sum_is_no_pass() -> None:
    found = row_space_meters(replace(metered(6, noised=True), meters=()))
    assert (found.verdict, found.statistic) == (Verdict.INCONCLUSIVE, None)


def test_what_the_run_read_of_its_own_sums_stands_beside_and_a_short_one_is_no_pass() -> None:
    quiet = metered(80)
    full = replace(quiet.meters[0], round=1)
    short = replace(full, round=2, numerical_rank=3)
    found = row_space_meters(replace(quiet, rounds=(full, short)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "1 of the 2 sums that the run opened" in found.reason
    assert "in round 2 (3 of 8)" in found.reason
    [series] = found.series
    assert [(point.x, point.y) for point in series.points] == [(1, 1.0), (2, 3 / 8)]
    assert row_space_meters(replace(quiet, rounds=(full,))).verdict is Verdict.NOT_REFUTED
    noised = replace(metered(80, noised=True), rounds=(full, short))
    found = row_space_meters(noised)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "a layer that holds noise fills it" in found.reason
    assert row_space_meters(replace(noised, rounds=(full,))).verdict is Verdict.NOT_REFUTED
