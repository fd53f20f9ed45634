from __future__ import annotations

import math

import compliance_samples as samples
import pytest
import report_samples
from hypothesis import given
from hypothesis import strategies as st

from audits.compliance import heat, plots, styles
from audits.compliance.drawing import (
    WIDTH,
    Disc,
    Ink,
    Stroke,
    Words,
    chunks,
    linear_scale,
    rate_scale,
    shortened,
)
from audits.findings import Point, Series, SeriesKind, Verdict


def ends_of(mark: Stroke | Disc | Words) -> list[tuple[float, float]]:
    return list(mark.points) if isinstance(mark, Stroke) else [(mark.x, mark.y)]


def words_of(picture: plots.Picture) -> list[str]:
    return [mark.text for mark in picture.marks if isinstance(mark, Words)]


def test_each_kind_of_series_has_its_plot_and_the_same_findings_the_same() -> None:
    pictures = plots.plots_of(samples.document())
    assert [picture.slug for picture in pictures] == [
        "roc-gradient-canaries-0",
        "roc-canary-exposure-0",
        "exposure-canary-exposure-0",
        "epsilon-0",
        "ranks-update-inversion-0",
        "power-0",
    ]
    assert pictures == plots.plots_of(samples.document())


def test_every_mark_lies_within_its_picture() -> None:
    for picture in plots.plots_of(samples.document()):
        for mark in picture.marks:
            for x, y in ends_of(mark):
                assert 0 <= x <= WIDTH
                assert 0 <= y <= picture.height


def test_every_plot_is_told_in_words_and_names_each_of_its_lines() -> None:
    for picture in plots.plots_of(samples.document()):
        assert picture.title
        assert picture.description.endswith(".")
        assert picture.legend
    roc, exposure = plots.plots_of(samples.document())[1:3]
    assert "loss of the released adapter" in words_of(roc)
    assert "guessing" in words_of(roc)
    assert any(line.startswith("loss less the base model's: dashed line") for line in roc.legend)
    assert "null: secrets of nobody" in words_of(exposure)


def test_no_two_lines_of_a_plot_look_alike_without_colour() -> None:
    looks = {(style.dash, style.marker) for style in styles.STYLES}
    assert len(looks) == len(styles.STYLES)
    assert len({style.words for style in styles.STYLES}) == len(styles.STYLES)
    assert len({style.dash for style in styles.STYLES}) == len(styles.STYLES)


def test_more_lines_than_can_be_told_apart_go_into_another_plot() -> None:
    many = tuple(samples.roc(f"attack {number}") for number in range(8))
    finding = samples.distinguish().model_copy(update={"series": many})
    rocs = [p for p in plots.plots_of(samples.document(finding)) if p.slug.startswith("roc")]
    assert [picture.slug[-1] for picture in rocs] == ["0", "1"]
    shown = [line.split(":")[0] for picture in rocs for line in picture.legend]
    assert {f"attack {number}" for number in range(8)} <= set(shown)


def test_what_is_measured_of_epsilon_stands_beside_what_was_claimed() -> None:
    picture = next(p for p in plots.plots_of(samples.document()) if p.slug == "epsilon-0")
    assert "gradient-canaries: Gaussian DP" in " ".join(picture.legend)
    assert "The claimed epsilon rises to 8.00" in picture.description
    assert "about 6.2 was measured" in picture.description
    assert any("estimate and its 95 % interval" in each for each in picture.legend)


def test_a_measured_epsilon_without_an_interval_is_a_lower_bound() -> None:
    series = samples.measured(6.2)
    [point] = series.points
    bare = point.model_copy(update={"low": None, "high": None})
    bound = series.model_copy(update={"points": (bare,)})
    found = samples.distinguish().model_copy(update={"series": (bound,)})
    pictures = plots.plots_of(samples.document(found))
    picture = next(each for each in pictures if each.slug == "epsilon-0")
    assert "at least 6.2 was measured" in picture.description
    assert any("measured lower bound" in each for each in picture.legend)


def test_without_a_measured_epsilon_the_plot_says_so() -> None:
    document = samples.document(samples.noise_scale())
    (picture,) = plots.plots_of(document)
    assert "No gate measured an epsilon." in picture.legend


def test_a_run_without_promise_or_measure_has_no_plot_of_epsilon() -> None:
    facts = report_samples.report(private=False)
    assert plots.plots_of(samples.document(samples.noise_scale(), facts=facts)) == ()


def test_rates_of_zero_lie_at_the_end_of_the_axis() -> None:
    points = (Point(x=0.0, y=0.0), Point(x=0.05, y=0.2), Point(x=1.0, y=1.0))
    series = Series(kind=SeriesKind.ROC, name="attack", points=points)
    finding = samples.distinguish().model_copy(update={"series": (series,)})
    picture = plots.plots_of(samples.document(finding))[0]
    line = next(mark for mark in picture.marks if isinstance(mark, Stroke) and mark.width == 2.2)
    assert line.points[0] == (54.0, 268.0)


@given(
    st.floats(1e-6, 1.0),
    st.lists(st.floats(1e-9, 1.0), min_size=2, max_size=9),
)
def test_a_logarithmic_axis_keeps_the_order_and_its_ends(
    smallest: float, values: list[float]
) -> None:
    scale = rate_scale(smallest, start=10.0, stop=110.0)
    placed = [scale.at(value) for value in sorted(values)]
    assert placed == sorted(placed)
    assert all(10.0 <= at <= 110.0 for at in placed)
    assert scale.at(1.0) == 110.0
    assert scale.low <= max(smallest, 1e-6) * (1 + 1e-9) or scale.low == 0.01
    for value in values:
        inside = max(value, scale.low)
        share = 1 - math.log10(inside) / math.log10(scale.low)
        assert scale.at(value) == pytest.approx(10.0 + 100.0 * share, abs=0.0051)


@given(st.floats(0.0, 1e6), st.floats(0.0, 1.0))
def test_a_linear_axis_holds_its_values(high: float, share: float) -> None:
    scale = linear_scale(0.0, high, start=200.0, stop=20.0)
    assert scale.low <= 0.0
    assert scale.high >= high * (1 - 1e-9)
    value = share * high
    naive = 200.0 - 180.0 * value / scale.high
    assert scale.at(value) == pytest.approx(naive, abs=0.0051)


def test_chunks_lose_nothing() -> None:
    assert list(chunks(range(7), 3)) == [(0, 1, 2), (3, 4, 5), (6,)]
    assert list(chunks((), 3)) == []


@pytest.mark.parametrize(
    ("middle", "expected"), [(False, "abcdefghi\u2026"), (True, "abcde\u2026wxyz")]
)
def test_a_long_name_is_cut_where_it_is_told(*, middle: bool, expected: str) -> None:
    text = "abcdefghijklmnopqrstuvwxyz"
    assert shortened(text, 66.5, middle=middle) == expected
    assert shortened("short", 66.5) == "short"


# The heat map.


def test_a_cell_shows_its_number_and_a_missing_one_a_dash() -> None:
    (picture,) = heat.rank_plots(samples.inversion(), samples.ranks())
    words = words_of(picture)
    assert "0.29" in words
    assert words.count("\u2013") == 1
    assert "0.attention.self.query" in words
    assert "All names begin with encoder.layer." in picture.caption


def test_numbers_in_cells_can_be_read_on_their_shade() -> None:
    for shade, (end, colour, _) in enumerate(heat.SHADES):
        marks = heat._cell(0.0, 0.0, 40.0, end - 0.1)
        number = next(mark for mark in marks if isinstance(mark, Words))
        assert contrast(number.ink.value, colour) >= 4.5, shade


def test_many_rounds_are_thinned_evenly_with_the_last() -> None:
    (picture,) = heat.rank_plots(samples.inversion(), samples.ranks(layers=2, rounds=100))
    assert "20 of 100 rounds are shown" in picture.caption
    assert heat._thinned([float(n) for n in range(1, 101)])[-2:] == [95.0, 100.0]
    assert "100" in words_of(picture)


def test_more_layers_than_fit_go_into_another_map() -> None:
    maps = heat.rank_plots(samples.inversion(), samples.ranks(layers=60))
    assert len(maps) == 3


# Colours.


def luminance(colour: str) -> float:
    """Relative luminance of a hexadecimal colour (WCAG 2.2)."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_lines_and_badges_have_the_contrast_of_text() -> None:
    inks = [style.ink for style in styles.STYLES] + [Ink.SOFT, Ink.INK]
    inks += [ink for ink in styles.VERDICT_INKS.values() if ink is not None]
    for ink in inks:
        assert contrast(ink.value, Ink.PAPER.value) >= 4.5
        assert contrast(ink.value, Ink.TINT.value) >= 4.5
    assert styles.VERDICT_INKS[Verdict.NOT_REFUTED] is None
    assert None not in {styles.VERDICT_INKS[v] for v in Verdict if v is not Verdict.NOT_REFUTED}
