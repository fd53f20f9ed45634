"""What the labels of a site's own model stand for: every one is known, or the model is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from privacy.scrubbing.own_models.description import OwnModelKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from privacy.scrubbing.own_models.description import OwnModel

USUAL: Final[Mapping[str, str]] = {
    **dict.fromkeys(("PER", "PERSON", "PATIENT", "STAFF", "HCW", "DOCTOR"), "PERSON"),
    **dict.fromkeys(("LOC", "LOCATION", "GPE", "FAC"), "LOCATION"),
    **dict.fromkeys(("ORG", "ORGANIZATION", "HOSP", "HOSPITAL", "PATORG"), "ORGANIZATION"),
    **dict.fromkeys(("DATE", "TIME", "DATE_TIME"), "DATE_TIME"),
    **dict.fromkeys(("NORP", "NRP"), "NRP"),
    **dict.fromkeys(("EMAIL", "EMAIL_ADDRESS"), "EMAIL_ADDRESS"),
    **dict.fromkeys(("PHONE", "PHONE_NUMBER"), "PHONE_NUMBER"),
    "ADDRESS": "STREET_ADDRESS",
    "URL": "URL",
}
"""Labels of CoNLL, OntoNotes and de-identification models; Presidio's table, to our entities."""

IDENTIFY_NOBODY: Final = frozenset(
    {"CARDINAL", "EVENT", "LANGUAGE", "LAW", "MONEY", "ORDINAL", "PERCENT", "PRODUCT", "QUANTITY"}
    | {"WORK_OF_ART"}
)
"""OntoNotes' other labels: their findings stay in the text."""

OUTSIDE: Final = "O"
"""What a token classifier says of a token that is part of nothing."""


def without_prefix(label: str) -> str:
    """Return a label without what says whether it begins, continues or ends an entity.

    It is what transformers (read in 5.23, `group_sub_entities`) calls a finding: what follows the
    first hyphen, whatever stands before it.
    """
    return label.split("-", 1)[-1]


def meaning(model: OwnModel, labels: Iterable[str]) -> dict[str, str | None]:
    """Return what each of a model's `labels` stands for; None for what identifies nobody.

    Raises:
        ConfigError: it is not known of every label, the site speaks of one that the model does not
            have, or nothing of what the model finds stands for anything.
    """
    own = set(labels)
    said: dict[str, str | None] = dict.fromkeys(model.ignored)
    said.update(model.labels)
    absent = sorted(set(said) - own)
    if absent:
        raise ConfigError(
            f"The model {model.name} has no label {', '.join(absent)}: what was said of it would "
            f"be without effect, so the site refuses to train. It has {', '.join(sorted(own))}."
        )
    known = {**dict.fromkeys(IDENTIFY_NOBODY), **USUAL}
    if model.kind is OwnModelKind.GLINER:
        known = {}
    found = {**{label: known[label] for label in own if label in known}, **said}
    unknown = sorted(own - set(found))
    if unknown:
        raise ConfigError(
            f"The model {model.name} has labels of which nobody said what they stand for: "
            f"{', '.join(unknown)}. Their findings would stay in the text, so the site refuses to "
            "train. Map each to an entity (`labels`), or say that it identifies nobody (`ignored`)."
        )
    if not any(found.values()):
        raise ConfigError(
            f"The model {model.name} has no label that stands for an entity: it would find "
            "nothing, so the site refuses to train. Map its labels to entities (`labels`)."
        )
    return found
