"""Numbers as the report writes them. A bound is rounded up: none may read better than it is."""

from __future__ import annotations

import math
from datetime import datetime  # noqa: TC003 - part of public signatures that templates call
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal

GAP = "\u00a0"
"""A no-break space, between groups of digits and before a percent sign."""

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
# Digits enough for every float, so that rounding never fails for a large number.
_WIDE = Context(prec=800)
_MINUTE_SECONDS = 60
_HOUR_SECONDS = 3600
_Z_95 = 1.959963984540054


def thousands(whole: int) -> str:
    """Return a whole number with its digits in groups of three."""
    return f"{whole:,}".replace(",", GAP)


def decimal(value: float, *, places: int) -> str:
    """Return `value` rounded to the nearest with `places` decimals."""
    return str(Decimal(repr(value)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN, _WIDE))


def bound(value: float, *, places: int = 2) -> str:
    """Return an upper bound with `places` decimals, rounded up."""
    return str(Decimal(repr(value)).quantize(Decimal(1).scaleb(-places), ROUND_CEILING, _WIDE))


def percent(fraction: float, *, places: int = 1) -> str:
    """Return a fraction as a percentage, rounded to the nearest."""
    shifted = Decimal(repr(fraction)).scaleb(2)
    return f"{shifted.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN, _WIDE)}{GAP}%"


def percent_up(fraction: float, *, places: int = 1) -> str:
    """Return a fraction as a percentage, rounded up."""
    shifted = Decimal(repr(fraction)).scaleb(2)
    return f"{shifted.quantize(Decimal(1).scaleb(-places), ROUND_CEILING, _WIDE)}{GAP}%"


def plain(value: float) -> str:
    """Return a number in full, without an exponent, as short as it can be read back."""
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def significant(value: float, *, digits: int = 4) -> str:
    """Return a number with so many significant digits, without an exponent."""
    return plain(float(f"{value:.{digits}g}"))


def date(moment: datetime) -> str:
    """Return the day and minute of `moment` (UTC), independent of the locale."""
    return (
        f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}, "
        f"{moment.hour:02d}:{moment.minute:02d} UTC"
    )


def stamp(moment: datetime) -> str:
    """Return `moment` (UTC) in figures, for tables: year-month-day hour:minute:second."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float) -> str:
    """Return a length of time with its two largest units."""
    whole = round(seconds)
    if whole < _MINUTE_SECONDS:
        return f"{decimal(seconds, places=1)} s"
    if whole < _HOUR_SECONDS:
        return f"{whole // _MINUTE_SECONDS} min {whole % _MINUTE_SECONDS} s"
    minutes = whole // _MINUTE_SECONDS
    return f"{thousands(minutes // 60)} h {minutes % 60} min"


def groups(digest: str) -> tuple[str, ...]:
    """Return a hexadecimal digest in groups of eight, to be read aloud and to break lines at."""
    return tuple(digest[start : start + 8] for start in range(0, len(digest), 8))


def wilson_interval(fraction: float, count: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion of `count` independent trials.

    Formula: E. B. Wilson, Probable inference, the law of succession, and statistical inference,
    JASA 22 (1927), as in Brown, Cai and DasGupta (2001), equation 4.

    Raises:
        ValueError: there is no trial, or `fraction` is not in [0, 1].
    """
    if count < 1 or not 0.0 <= fraction <= 1.0:
        raise ValueError("an interval needs at least one trial and a fraction in [0, 1]")
    square = _Z_95 * _Z_95
    centre = (fraction + square / (2 * count)) / (1 + square / count)
    half = _Z_95 / (1 + square / count)
    half *= math.sqrt(fraction * (1 - fraction) / count + square / (4 * count * count))
    return max(0.0, min(fraction, centre - half)), min(1.0, max(fraction, centre + half))
