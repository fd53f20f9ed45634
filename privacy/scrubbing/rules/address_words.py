"""Words of which street addresses are made, in several languages, and the states of the US."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


STREET_WORDS = _words(
    """
    Street St Avenue Ave Av Road Rd Lane Ln Boulevard Blvd Drive Dr Way Court Ct Place Pl Terrace
    Ter Square Sq Parkway Pkwy Highway Hwy Circle Cir Close Crescent Cres Cr Grove Gardens Gdns
    Row Walk Mews Hill Rise Park Trail Trl Loop Alley Aly Plaza Pike Turnpike Expressway Freeway
    Fwy Crossing Mount View Green Parade Esplanade Quay Wharf Vale Run Path Ridge Bend Cove Cv
    Route Rte STREET AVENUE AVE ROAD RD LANE LN BOULEVARD BLVD DRIVE WAY COURT PLACE TERRACE
    SQUARE
    """
)
"""What ends the name of a street in English, after a number and the name."""

RARE_STREET_WORDS = _words(
    """
    Bridge Brook Bypass Camp Canyon Cape Causeway Center Cliff Cliffs Club Common Corner Corners
    Course Creek Crest Curve Dale Dam Divide Estate Estates Extension Fall Falls Ferry Field
    Fields Flats Ford Forest Forge Fork Forks Fort Garden Gateway Glen Glens Harbor Haven
    Heights Highlands Hollow Inlet Island Islands Isle Junction Key Keys Knoll Knolls Lake Lakes
    Land Landing Light Lock Locks Lodge Manor Meadow Meadows Mill Mills Mission Motorway
    Mountain Neck Orchard Oval Overpass Pass Passage Pine Pines Plain Plains Point Points Port
    Ports Prairie Radial Ramp Ranch Rapid Rapids Rest Ridges River Roads Shoal Shoals Shore
    Shores Skyway Spring Springs Spur Station Stravenue Stream Streets Summit Throughway Trace
    Track Trafficway Tunnel Union Unions Valley Valleys Viaduct Views Village Ville Vista Walks
    Walkway Wall Ways Well Wells Squares Junctions Burgs Groves Hills Mews Terraces
    """
)
"""The other street words of US Postal Service Publication 28, after a number of three digits on."""

STREET_SUFFIXES = (
    "stra\u00dfe", "strasse", "str.", "gasse", "platz", "allee", "damm", "ufer", "chaussee",
    "weg", "steig", "bulevardi", "puistikko", "graben", "katu", "polku", "kuja", "penger",
    "raitti", "gatan", "v\u00e4gen", "gata", "v\u00e4g", "gr\u00e4nd", "stigen", "vej",
    "all\u00e9", "str\u00e6de", "gaten", "veien", "vegen", "straat", "laan", "plein", "gracht",
    "singel", "dreef", "steenweg", "kade", "dijk", "markt", "hof", "stra\u00df", "katu.",
    "gade",
)  # fmt: skip
"""What ends a one-word name of a street before its number, lower case."""

NOT_STREETS = frozenset(("brigade", "bahnhof", "hof", "markt", "weg", "norweg", "gerichtshof"))

STREET_PREFIXES = (
    "Rue", "rue", "Avenue", "avenue", "Boulevard", "boulevard", "Bd", "Chemin", "chemin", "Place",
    "All\u00e9e", "all\u00e9e", "Impasse", "impasse", "Quai", "quai", "Route de",
    "route de", "Via", "Viale", "Piazza", "Piazzale", "Corso", "Vicolo", "Largo", "Calle",
    "calle", "C/", "Avenida", "Avda.", "Av.", "Paseo", "Plaza", "Carrer", "Rua", "rua",
    "Travessa", "Pra\u00e7a", "Estrada", "Rodovia", "ulica", "ulice", "ul.", "Ulica", "Aleja",
    "al.", "Strada", "Carretera", "Camino", "Ronda", "Stra\u00dfe", "Stra\u00dfe des",
    "Am", "An der", "Auf dem", "Im", "Zum", "Zur", "Unter den",
)  # fmt: skip
"""What starts the name of a street that has its number before or after."""

PREFIXES_BEFORE_SMALL_WORDS = (
    "de la", "de l'", "de", "du", "des", "la", "le", "les", "l'", "d'", "della", "dello", "delle",
    "degli", "dei", "di", "del", "dal", "do", "da", "dos", "das", "e", "y", "et", "los", "las",
    "el",
)  # fmt: skip

ROOM_WORDS = (
    "Apt", "apt", "APT", "Apartment", "apartment", "Suite", "suite", "Ste", "Unit", "unit",
    "Flat", "flat", "Floor", "floor", "Fl", "Room", "Rm", "Bldg", "Building", "Level", "Door",
    "Top", "Wohnung", "Whg", "Stiege", "\u00c9tage", "Bte", "Appt", "Piso", "piso", "Interno",
    "Int", "Lokal", "lok", "m",
)  # fmt: skip

STATES = _words(
    """
    AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM
    NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR VI GU AS MP AA AE AP PW FM MH
    """
)
STATE_NAMES = (
    "Alabama", "Alaska", "Arizona", "Arkansas", "California", "Colorado", "Connecticut",
    "Delaware", "Florida", "Georgia", "Hawaii", "Idaho", "Illinois", "Indiana", "Iowa", "Kansas",
    "Kentucky", "Louisiana", "Maine", "Maryland", "Massachusetts", "Michigan", "Minnesota",
    "Mississippi", "Missouri", "Montana", "Nebraska", "Nevada", "New Hampshire", "New Jersey",
    "New Mexico", "New York", "North Carolina", "North Dakota", "Ohio", "Oklahoma", "Oregon",
    "Pennsylvania", "Rhode Island", "South Carolina", "South Dakota", "Tennessee", "Texas",
    "Utah", "Vermont", "Virginia", "Washington", "West Virginia", "Wisconsin", "Wyoming",
    "Puerto Rico",
)  # fmt: skip

NOT_IN_STREETS = frozenset((
    "That", "With", "For", "Should", "And", "In", "On", "From", "As", "To", "Is", "Are", "At", "By",
    "Will", "Could", "May", "Stocks", "Patients", "Shares", "Companies", "Reasons", "Ways", "Who",
    "Top", "Things", "Business", "Cases", "January", "February", "March", "April", "June", "July",
    "August", "September", "October", "November", "December",
))  # fmt: skip
"""Capitalised words that tell a heading or a date from the name of a street."""
