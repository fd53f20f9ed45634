"""The words of an audit: verdicts, windows, bases and measured numbers, in plain English.

Three verdicts are written in capitals. The fourth is not a pass, and is not written as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from audits import numerals
from audits.findings import Basis, Verdict, Window

if TYPE_CHECKING:
    from audits.findings import Finding, Measure

_LABELS = {
    Verdict.VIOLATED: "VIOLATED",
    Verdict.INCONCLUSIVE: "INCONCLUSIVE",
    Verdict.NOT_RUN: "NOT RUN",
    Verdict.NOT_REFUTED: "not refuted",
}
_SIGNS = {
    Verdict.VIOLATED: "\u00d7",
    Verdict.INCONCLUSIVE: "?",
    Verdict.NOT_RUN: "\u2013",
    Verdict.NOT_REFUTED: "\u25cb",
}
_MEANINGS = {
    Verdict.VIOLATED: "The claim is refuted by what was measured.",
    Verdict.INCONCLUSIVE: "What was measured could not have refuted the claim. Not a pass.",
    Verdict.NOT_RUN: "Nothing was measured. Not a pass.",
    Verdict.NOT_REFUTED: "Could have been refuted, and was not. No proof.",
}
_WHOLE = {
    Verdict.VIOLATED: "At least one claim is refuted by what was measured. Do not rely on the "
    "promise before it is explained.",
    Verdict.INCONCLUSIVE: "No claim is refuted, but not every claim was tested in a way that could "
    "have refuted it. This is not a pass.",
    Verdict.NOT_RUN: "Nothing was measured: no claim was tested. This is not a pass.",
    Verdict.NOT_REFUTED: "Every claim was tested in a way that could have refuted it, and none "
    "was. That is no proof that the claims hold.",
}
_WINDOWS = {
    Window.RELEASE: "The release",
    Window.SERVER: "The server",
    Window.SITE: "A site",
}
_SEEN = {
    Window.RELEASE: "The attacker has the final adapter and the base model: anybody to whom the "
    "model is given, or who gets hold of it.",
    Window.SERVER: "The attacker reads the sums that were opened, round by round: the coordinator, "
    "or whoever gets hold of its records.",
    Window.SITE: "The attacker is, or watches, one of the sites: it reads the parameters that were "
    "broadcast, or a site's own noised steps before they leave it.",
}
_BASES = {
    Basis.RUN: "what this run released, or leaves in its folder",
    Basis.REHEARSAL: "the same code under the same mechanism, on canaries that the audit made; not "
    "this run itself",
}
ORDER: Final = (
    Verdict.VIOLATED,
    Verdict.INCONCLUSIVE,
    Verdict.NOT_RUN,
    Verdict.NOT_REFUTED,
)
"""The verdicts as they are listed: what needs attention first."""

_SMALL = 1e-3
_LARGE = 1e7
_SUPERSCRIPT = str.maketrans(
    "-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)


def label(verdict: Verdict) -> str:
    """Return a verdict as it is written everywhere."""
    return _LABELS[verdict]


def sign(verdict: Verdict) -> str:
    """Return the sign that stands before a verdict, so that it needs no colour."""
    return _SIGNS[verdict]


def meaning(verdict: Verdict) -> str:
    """Return what a verdict on one claim means."""
    return _MEANINGS[verdict]


def whole(verdict: Verdict) -> str:
    """Return what the verdict on the whole audit means."""
    return _WHOLE[verdict]


def window_title(window: Window) -> str:
    """Return a window's name."""
    return _WINDOWS[window]


def window_sentence(window: Window) -> str:
    """Return what somebody sees through a window, and who that could be."""
    return _SEEN[window]


def basis_sentence(basis: Basis) -> str:
    """Return what the evidence is from."""
    return f"{basis.value}: {_BASES[basis]}"


def number(value: float) -> str:
    """Return a number with four significant digits, as a power of ten where it is very small."""
    if value == 0.0 or _SMALL <= abs(value) < _LARGE:
        return numerals.significant(value)
    digits, exponent = f"{value:.3e}".split("e")
    power = str(int(exponent)).translate(_SUPERSCRIPT)
    return f"{digits.rstrip('0').rstrip('.')} \u00d7 10{power}"


def measured(measure: Measure) -> str:
    """Return the value of a measure, with its unit."""
    if measure.value is None:
        return "not finite"
    unit = "" if measure.unit is None else f" {measure.unit}"
    return f"{number(measure.value)}{unit}"


def interval(measure: Measure) -> str:
    """Return both ends of a measure's interval; a dash where it has none."""
    if measure.interval is None:
        return "\u2013"
    low, high = measure.interval
    return f"{number(low)} to {number(high)}"


def limit(measure: Measure) -> str:
    """Return what a measure is compared with; a dash where that is nothing."""
    return "\u2013" if measure.limit is None else number(measure.limit)


def statistic_lines(finding: Finding) -> tuple[str, ...]:
    """Return the deciding number of a finding, with its interval, its limit and n, a line each."""
    count = f"n = {numerals.thousands(finding.samples)}"
    found = finding.statistic
    if found is None:
        return ("nothing was measured", count)
    lines = [f"{found.name}: {measured(found)}"]
    if found.interval is not None:
        lines.append(f"interval: {interval(found)}")
    if found.limit is not None:
        lines.append(f"limit: {limit(found)}")
    return (*lines, count)


def ceiling(finding: Finding) -> str:
    """Return the largest epsilon that a gate could refute; a dash where it bounds none."""
    return "\u2013" if finding.ceiling is None else numerals.decimal(finding.ceiling, places=2)
