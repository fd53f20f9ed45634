"""Months, weekdays and the small words of dates, in six languages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class DateWords:
    """How one language writes dates. Twelve months, seven weekdays from Monday on, lower case."""

    months: tuple[str, ...]
    short_months: tuple[str, ...]
    weekdays: tuple[str, ...]
    short_weekdays: tuple[str, ...]
    other_months: tuple[tuple[str, int], ...] = ()
    """Further ways to write a month, with its index: read, and written back as the usual way."""
    other_weekdays: tuple[tuple[str, int], ...] = ()
    """The same of weekdays."""
    small: frozenset[str] = frozenset()
    """Words that may stand in a date and mean nothing by themselves."""


def _words(line: str) -> tuple[str, ...]:
    return tuple(line.split())


ENGLISH: Final = DateWords(
    _words("january february march april may june july august september october november december"),
    _words("jan feb mar apr may jun jul aug sep oct nov dec"),
    _words("monday tuesday wednesday thursday friday saturday sunday"),
    _words("mon tue wed thu fri sat sun"),
    (("sept", 8),),
    (("tues", 1), ("thur", 3), ("thurs", 3)),
    frozenset({"of", "the", "on", "at", "day", "to", "and"}),
)
GERMAN: Final = DateWords(
    _words("januar februar märz april mai juni juli august september oktober november dezember"),
    _words("jan feb mär apr mai jun jul aug sep okt nov dez"),
    _words("montag dienstag mittwoch donnerstag freitag samstag sonntag"),
    _words("mo di mi do fr sa so"),
    (("jänner", 0), ("feber", 1), ("mrz", 2), ("maerz", 2), ("sept", 8)),
    (("sonnabend", 5),),
    frozenset({"der", "den", "dem", "am", "um", "vom", "bis", "und"}),
)
FRENCH: Final = DateWords(
    _words("janvier février mars avril mai juin juillet août septembre octobre novembre décembre"),
    _words("janv févr mars avr mai juin juil août sept oct nov déc"),
    _words("lundi mardi mercredi jeudi vendredi samedi dimanche"),
    _words("lun mar mer jeu ven sam dim"),
    (("fevrier", 1), ("aout", 7), ("decembre", 11)),
    (),
    frozenset({"le", "du", "à", "d", "au", "et"}),
)
SPANISH: Final = DateWords(
    _words(
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"
    ),
    _words("ene feb mar abr may jun jul ago sep oct nov dic"),
    _words("lunes martes miércoles jueves viernes sábado domingo"),
    _words("lun mar mié jue vie sáb dom"),
    (("setiembre", 8), ("sept", 8)),
    (),
    frozenset({"de", "del", "el", "a", "al", "y"}),
)
ITALIAN: Final = DateWords(
    _words(
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre "
        "dicembre"
    ),
    _words("gen feb mar apr mag giu lug ago set ott nov dic"),
    _words("lunedì martedì mercoledì giovedì venerdì sabato domenica"),
    _words("lun mar mer gio ven sab dom"),
    (),
    (),
    frozenset({"il", "di", "del", "al", "l", "d", "e"}),
)
DUTCH: Final = DateWords(
    _words(
        "januari februari maart april mei juni juli augustus september oktober november december"
    ),
    _words("jan feb mrt apr mei jun jul aug sep okt nov dec"),
    _words("maandag dinsdag woensdag donderdag vrijdag zaterdag zondag"),
    _words("ma di wo do vr za zo"),
    (),
    (),
    frozenset({"de", "op", "van", "om", "tot", "en"}),
)

LANGUAGES: Final = (ENGLISH, GERMAN, FRENCH, SPANISH, ITALIAN, DUTCH)
"""In the order in which a word that several of them have is read."""
