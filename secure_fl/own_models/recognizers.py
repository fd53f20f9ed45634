"""A site's own models and functions as recognisers of a scrubber."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from privacy.scrubbing.own_models import OwnModel
from privacy.scrubbing.own_models.description import seconds_for
from privacy.scrubbing.own_models.folders import digest_folder
from privacy.scrubbing.recognizers import ProviderKind, Recognizer, RecognizerFailedError
from privacy.scrubbing.spans import Span
from secure_fl.own_models.messages import Ask, Begin, Begun, Found, Raised, Refused
from secure_fl.own_models.process import ChildProcess, LostError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from privacy.scrubbing.own_models.description import Own
    from secure_fl.own_models.messages import Known

START_SECONDS: Final = 600.0
"""A model may take minutes to load from a slow disk."""

_ANSWER_BYTES: Final = 2**20
_ANSWER_BYTES_PER_CHARACTER: Final = 64
_LONGEST_NAME: Final = 80


class OwnRecognizers:
    """A site's own models and functions, loaded in one process that ends with this object.

    Formal guarantees: an answer or `RecognizerFailedError` comes within the recogniser's seconds;
    whatever happens in its process, nothing of it reaches this one but spans, entities and the
    names of errors; nothing that it prints or logs is written anywhere; it looks no name up and
    opens no connection through Python's sockets. A failure never passes as "nothing found".

    | what a recogniser does | what becomes of it |
    |---|---|
    | raises | the failure names what it raised; the next text is asked as usual |
    | hangs, also where no Python runs | its process is killed, and no text is answered any more |
    | ends its process, or takes too much memory | the same |
    | returns a span that is none | the scrubber refuses it |

    Args:
        own: what to load; where it is empty, there is no process.
        start_seconds: what loading all of them may take.

    Raises:
        ConfigError: one cannot be loaded.
        IntegrityError: a folder is not the one whose digest the site wrote down.
    """

    def __init__(self, own: Sequence[Own], *, start_seconds: float = START_SECONDS) -> None:
        _refuse_twins(own)
        self.recognizers: tuple[Recognizer, ...] = ()
        """For a `Scrubber`, in the order in which they were given."""
        self._child: ChildProcess | None = None
        if not own:
            return
        digests = [digest_folder(one) if isinstance(one, OwnModel) else None for one in own]
        self._child = ChildProcess()
        known = _begun(self._child, tuple(own), start_seconds)
        self.recognizers = tuple(
            Recognizer(
                one.name,
                loaded.entities,
                partial(_find, self._child, one, number),
                best_score=loaded.best_score,
                kind=ProviderKind.OWN,
                digest=digest or loaded.digest,
            )
            for number, (one, loaded, digest) in enumerate(zip(own, known, digests, strict=True))
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; the recognisers refuse every text from then on."""
        if self._child is not None:
            self._child.end()


def _begun(child: ChildProcess, own: tuple[Own, ...], seconds: float) -> tuple[Known, ...]:
    """Return what is known of each recogniser once all are loaded.

    Raises:
        ConfigError: one cannot be loaded; the process is ended.
    """
    said = "their process left some of them out"
    try:
        told = child.exchange(
            Begin.of(own, seconds), (Begun, Refused), seconds=seconds, limit_bytes=_ANSWER_BYTES
        )
    except LostError as lost:
        said = lost.reason
    else:
        if isinstance(told, Begun) and len(told.own) == len(own):
            return told.own
        child.end()
        if isinstance(told, Refused):
            raise ConfigError(told.reason)
    names = ", ".join(one.name for one in own)
    raise ConfigError(
        f"The site's own recognisers ({names}) could not be loaded: {said}. What they look for "
        "would stay in every record, so the site refuses to train. Load them one by one to see "
        "which it is."
    )


def _find(child: ChildProcess, own: Own, number: int, text: str) -> tuple[Span, ...]:
    """Return what one recogniser finds in a text.

    Raises:
        RecognizerFailedError: it did not answer, or raised.
    """
    failure = ""
    seconds = seconds_for(own, text)
    try:
        answer = child.exchange(
            Ask(number, float(seconds), text.encode("utf-8", "surrogatepass")),
            (Found, Raised),
            seconds=seconds,
            limit_bytes=_ANSWER_BYTES + _ANSWER_BYTES_PER_CHARACTER * len(text),
        )
    except LostError as lost:
        failure = lost.reason
    else:
        if isinstance(answer, Found):
            return tuple(Span(*span) for span in answer.spans)
        failure = _only_a_name(answer.failure) if isinstance(answer, Raised) else ""
    raise RecognizerFailedError(own.name, failure)


def _only_a_name(failure: str) -> str:
    """Return the name of what a recogniser raised, if it is a name: a text cannot pass as one."""
    name = failure.isascii() and failure.isidentifier() and len(failure) <= _LONGEST_NAME
    return failure if name else "an error without a name"


def _refuse_twins(own: Sequence[Own]) -> None:
    names = [one.name for one in own]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"Two of the site's own recognisers are called {twice[0]}: no report could tell them "
            "apart, so the site refuses to train. Name each once, or rename a folder."
        )
