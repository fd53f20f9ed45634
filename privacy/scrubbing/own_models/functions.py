"""A function of the site's own as a recogniser."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from crypto.digests import digest_file
from crypto.errors import ConfigError
from privacy.scrubbing.own_models.loading import Loaded
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from privacy.scrubbing.own_models.description import OwnFunction
    from privacy.scrubbing.recognizers import Find


def load_function(own: OwnFunction) -> Loaded:
    """Import a function; its digest is that of the file of its module, not of what that imports.

    Raises:
        ConfigError: it cannot be imported, or is none.
    """
    if own.folder is not None:
        if not own.folder.is_dir():
            raise ConfigError(
                f"The folder {own.folder} of the recogniser {own.name} is not there, so the site "
                "refuses to train. Give its path."
            )
        # Last, so that nothing in it stands in for a library.
        sys.path.append(str(own.folder.absolute()))
    module_name, _, name = own.function.partition(":")
    said = None
    try:
        module = importlib.import_module(module_name)
        find = getattr(module, name, None)
        if callable(find):
            return Loaded(tuple(sorted(own.entities)), _only_spans(find), digest=_digest(module))
        said = f"it has no function {name}"
    except Exception as error:  # noqa: BLE001 - a module may fail in any manner
        said = f"{type(error).__name__}: {error}"
    # No record was read yet, so what the module says quotes none.
    raise ConfigError(
        f"The recogniser {own.name} cannot be imported ({said}), so the site refuses to train. "
        "Install its package where secure-fl is installed, or name its folder."
    )


def _only_spans(find: Find) -> Find:
    def checked(text: str) -> Iterator[Span]:
        for span in find(text):
            if not isinstance(span, Span):
                raise TypeError("a recogniser has to return privacy.scrubbing.Span")
            yield span

    return checked


def _digest(module: ModuleType) -> str | None:
    return None if module.__file__ is None else digest_file(Path(module.__file__)).hex()
