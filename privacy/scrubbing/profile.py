"""What a site wants scrubbed, and what can be said about what was not looked for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from crypto.errors import ConfigError

PATTERN_ENTITIES = (
    "ABA_ROUTING_NUMBER",
    "ACCOUNT_NUMBER",
    "AGE_OVER_89",
    "BIC_CODE",
    "BIOMETRIC_ID",
    "CREDIT_CARD",
    "CRYPTO",
    "CUSIP",
    "DATE_TIME",
    "DEVICE_ID",
    "EMAIL_ADDRESS",
    "HEALTH_PLAN_NUMBER",
    "IBAN_CODE",
    "IP_ADDRESS",
    "ISIN",
    "LEI",
    "LICENCE_PLATE",
    "MEDICAL_LICENSE",
    "MEDICAL_RECORD_NUMBER",
    "NRP",
    "PHONE_NUMBER",
    "POSTAL_CODE",
    "SEDOL",
    "STREET_ADDRESS",
    "TAX_ID",
    "UNIQUE_ID",
    "URL",
    "US_BANK_NUMBER",
    "US_DRIVER_LICENSE",
    "US_EIN",
    "US_ITIN",
    "US_PASSPORT",
    "US_SSN",
    "VEHICLE_ID",
)
"""Entities that the built-in recognisers find by their form or by a label, with no model.

A street address without a street word, and a number that nothing announces, have neither.
`US_PASSPORT` and `US_DRIVER_LICENSE` are those of any country; the names are Presidio's.
`NRP` is a nationality, a religion or a political group.
"""

OTHER_ENTITIES = (
    "LOCATION",
    "ORGANIZATION",
    "PERSON",
)
"""Entities without a form: a rule finds the names that something announces, no more."""

KNOWN_ENTITIES = tuple(sorted(PATTERN_ENTITIES + OTHER_ENTITIES))

DEFAULT_THRESHOLD = 0.4

_ENTITY_NAME = re.compile("[A-Z][A-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class ScrubProfile:
    """The entities to scrub.

    `required`: without a provider for each of them, the site refuses to train.
    `optional`: scrubbed where a provider is loaded, listed as not looked for where none is.
    `score_threshold`: in (0, 1]; a finding below it stays in the text. At the default, a number
    without a checksum is scrubbed only beside a context word.

    Raises:
        ConfigError: an entity's name is malformed or given twice, none is given, or the threshold
            is not in (0, 1].
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    score_threshold: float = DEFAULT_THRESHOLD

    def __post_init__(self) -> None:
        # Sorted, so that two profiles that mean the same are equal and digest alike.
        object.__setattr__(self, "required", tuple(sorted(self.required)))
        object.__setattr__(self, "optional", tuple(sorted(self.optional)))
        if not self.entities:
            raise ConfigError(
                "The scrub profile names no entity: the report would speak of scrubbing that "
                "never happened. Name the entities that must be scrubbed."
            )
        for entity in self.entities:
            if not _ENTITY_NAME.fullmatch(entity):
                raise ConfigError(
                    f"The scrub profile names {entity!r}: it cannot stand as a placeholder in a "
                    "text. An entity's name is capitals, digits and underscores."
                )
            if self.entities.count(entity) > 1:
                raise ConfigError(
                    f"The scrub profile names {entity} more than once: whether it is required "
                    "cannot be told. Name it once, as required or as optional."
                )
        if not 0 < self.score_threshold <= 1:
            raise ConfigError(
                f"The scrub profile's score threshold {self.score_threshold} is not in (0, 1]: "
                "everything or nothing would be scrubbed. The default is "
                f"{DEFAULT_THRESHOLD}."
            )

    @property
    def entities(self) -> tuple[str, ...]:
        """Every entity that the profile names, sorted."""
        return tuple(sorted(self.required + self.optional))


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a scrubber looks for, and which identifying entities it does not.

    `not_looked_for` names every known entity that stays in the text, whether no provider is
    loaded for it or the profile did not ask. Neither list says that what is looked for is found.
    """

    looked_for: tuple[str, ...]
    not_looked_for: tuple[str, ...]
