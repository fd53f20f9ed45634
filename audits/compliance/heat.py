"""The heat map of ranks: layers down, rounds across, darker where more directions are open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from audits import numerals
from audits.compliance.drawing import WIDTH, Ink, Mark, Picture, Words, box, chunks, shortened

if TYPE_CHECKING:
    from audits.findings import Finding, Series

_MOST_LAYERS = 28
_MOST_ROUNDS = 24
_LEFT = 190.0
_TOP = 52.0
_ROW = 19.0
_CELL = 46.0
"""The widest that a cell becomes."""
_NUMBER = 25.0
"""From this width on a cell has room for its number."""

SHADES: Final = (
    (0.25, "#edf2f7", "below 0.25"),
    (0.5, "#c6d6e5", "0.25 to 0.5"),
    (0.75, "#8fb0cd", "0.5 to 0.75"),
    (1.0, "#14406b", "0.75 and more"),
)
"""Up to which ratio which colour, lighter to darker; the last has no upper end."""


def rank_plots(finding: Finding, series: tuple[Series, ...]) -> list[Picture]:
    """Return the heat maps of one gate's layers, of at most 28 layers each."""
    pages = chunks(series, _MOST_LAYERS)
    return [_rank_plot(finding, layers, number) for number, layers in enumerate(pages)]


def _rank_plot(finding: Finding, layers: tuple[Series, ...], number: int) -> Picture:
    rounds = sorted({point.x for layer in layers for point in layer.points})
    shown = _thinned(rounds)
    cell = min(_CELL, (WIDTH - _LEFT) / len(shown))
    marks: list[Mark] = _key()
    for column, at in enumerate(shown):
        across = round(_LEFT + cell * (column + 0.5), 2)
        if cell >= _NUMBER or (len(shown) - column) % 2 == 1:
            marks.append(Words(across, _TOP - 6, numerals.plain(at), "middle", ink=Ink.SOFT))
    common = _common_beginning([layer.name for layer in layers])
    for row, layer in enumerate(layers):
        top = round(_TOP + _ROW * row, 2)
        marks.append(
            Words(
                _LEFT - 8,
                top + 14,
                shortened(layer.name[len(common) :], _LEFT - 12, middle=True),
                "end",
            )
        )
        values = {point.x: point.y for point in layer.points}
        for column, at in enumerate(shown):
            marks += _cell(round(_LEFT + cell * column, 2), top, cell, values.get(at))
    ratios = [point.y for layer in layers for point in layer.points]
    low, high = (numerals.significant(end, digits=3) for end in (min(ratios), max(ratios)))
    thinned = "" if shown == rounds else f" {len(shown)} of {len(rounds)} rounds are shown."
    return Picture(
        slug=f"ranks-{finding.gate}-{number}",
        title=f"{finding.gate}: rank of the opened sum over the adapter's rank, by layer and round",
        description=f"{len(layers)} layers over {len(rounds)} rounds; the ratios lie between {low} "
        f"and {high}.",
        caption="Each row is a layer, each column a round (its number above). 1 means that the "
        "opened sum has as many independent directions as the adapter's rank. "
        f"Evidence: {finding.basis.value}.{thinned}"
        + (f" All names begin with {common}" if common else ""),
        legend=(
            "The darker, the higher the ratio: "
            + ", ".join(f"{words}" for _, _, words in SHADES)
            + ". A dash: not measured in that round.",
        ),
        height=_TOP + _ROW * len(layers) + 6,
        marks=tuple(marks),
    )


def _common_beginning(names: list[str]) -> str:
    """Return with which whole parts all names begin, parts being divided by dots."""
    if len(names) == 1:
        return ""
    first, last = (name.split(".") for name in (min(names), max(names)))
    same = 0
    while same < min(len(first), len(last)) - 1 and first[same] == last[same]:
        same += 1
    return "".join(f"{part}." for part in first[:same])


def _thinned(rounds: list[float]) -> list[float]:
    """Return evenly many of the rounds, with the last."""
    every = -(-len(rounds) // _MOST_ROUNDS)
    return rounds[::-1][::every][::-1]


def _key() -> list[Mark]:
    marks: list[Mark] = [Words(4, 14, "layer \u00d7 round", ink=Ink.SOFT)]
    for place, (_, colour, words) in enumerate(SHADES):
        left = _LEFT + 118.0 * place
        marks += [box(left, 3, 14, 14, fill=colour), Words(left + 19, 14, words)]
    return marks


def _cell(left: float, top: float, width: float, value: float | None) -> list[Mark]:
    middle, baseline = round(left + width / 2, 2), top + 14
    if value is None:
        return [Words(middle, baseline, "\u2013", "middle", ink=Ink.SOFT)]
    shade = next((i for i, (end, _, _) in enumerate(SHADES) if value < end), len(SHADES) - 1)
    marks: list[Mark] = [box(left, top, width, _ROW, fill=SHADES[shade][1])]
    if width >= _NUMBER:
        ink = Ink.PAPER if shade == len(SHADES) - 1 else Ink.INK
        marks.append(Words(middle, baseline, numerals.decimal(value, places=2), "middle", ink=ink))
    return marks
