"""Takes what identifies people out of text before a model sees it, offline.

`Scrubber(profile)` refuses to exist where the profile requires an entity that nothing loaded can
find. Importing this package imports no Presidio; making a `Scrubber` does.
"""

from privacy.scrubbing.modes.modes import (
    SAFE_HARBOR_ENTITIES,
    SAFE_HARBOR_IDENTIFIERS,
    DateOrder,
    Document,
    Identifier,
    ScrubMode,
    entities_of,
)
from privacy.scrubbing.modes.replacing import (
    Draw,
    ExpertDetermination,
    Keyed,
    Placeholders,
    Replacement,
    SafeHarbor,
)
from privacy.scrubbing.profile import (
    DEFAULT_THRESHOLD,
    KNOWN_ENTITIES,
    OTHER_ENTITIES,
    PATTERN_ENTITIES,
    Coverage,
    ScrubProfile,
)
from privacy.scrubbing.recognizers import Provider, ProviderKind, Recognizer, Trigger
from privacy.scrubbing.scrubber import Scrubber
from privacy.scrubbing.spans import Scrubbed, Span
from privacy.scrubbing.tally import ScrubTally

__all__ = [
    "DEFAULT_THRESHOLD",
    "KNOWN_ENTITIES",
    "OTHER_ENTITIES",
    "PATTERN_ENTITIES",
    "SAFE_HARBOR_ENTITIES",
    "SAFE_HARBOR_IDENTIFIERS",
    "Coverage",
    "DateOrder",
    "Document",
    "Draw",
    "ExpertDetermination",
    "Identifier",
    "Keyed",
    "Placeholders",
    "Provider",
    "ProviderKind",
    "Recognizer",
    "Replacement",
    "SafeHarbor",
    "ScrubMode",
    "ScrubProfile",
    "ScrubTally",
    "Scrubbed",
    "Scrubber",
    "Span",
    "Trigger",
    "entities_of",
]
