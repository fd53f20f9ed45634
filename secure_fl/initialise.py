"""Writes a configuration and a site policy to begin with, and never over anything."""

from __future__ import annotations

import shlex
from importlib import resources
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.catalogue import ENTRIES
from secure_fl.domain_start import advice, changed, changes_for
from secure_fl.storage import refused

if TYPE_CHECKING:
    from pathlib import Path

NAMES: Final = ("run.toml", "policy.toml")


def initialise(folder: Path, dataset: str | None = None) -> tuple[str, ...]:
    """Write `run.toml` and `policy.toml` into `folder`, and return what to say of it.

    Args:
        folder: made where it is absent.
        dataset: as the catalogue lists it; None for the generated sentences.

    Raises:
        ConfigError: one of them is there already, no data set is called so, or the disk refuses;
            nothing was changed.
    """
    changes = {} if dataset is None else changes_for(dataset)
    texts = {name: changed(_template(name), changes.get(name, ())) for name in NAMES}
    paths = [folder / name for name in NAMES]
    there = [str(path) for path in paths if path.exists() or path.is_symlink()]
    if there:
        raise ConfigError(
            f"{' and '.join(there)} would be overwritten: nothing was written. Give another "
            "folder, as in `secure-fl init trial`."
        )
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            # "x": a file that came to be since the check above is not overwritten either.
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(texts[path.name])
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise refused(folder, error) from error
    run = shlex.quote(str(paths[0]))
    data = " --data DIR" if dataset is not None and ENTRIES[dataset].files else ""
    return (
        f"Wrote {paths[0]} (what is run) and {paths[1]} (what every site allows).",
        *(() if dataset is None else (advice(dataset),)),
        "Read both, then:",
        f"  secure-fl doctor {run}",
        f"  secure-fl run {run}{data}",
    )


def _template(name: str) -> str:
    return (resources.files("secure_fl") / "templates" / name).read_text("utf-8")
