"""The folder of a site's own model: what must be in it, what must not, and its digest."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crypto.digests import digest_file, digest_json
from crypto.errors import ConfigError, IntegrityError
from privacy.scrubbing.own_models.description import OwnModelKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crypto.digests import JsonValue
    from privacy.scrubbing.own_models.description import OwnModel

_SAFETENSORS: Final = "*.safetensors"
_GLINER_CONFIG: Final = "gliner_config.json"
_NEEDED: Final = {
    OwnModelKind.SPACY: ("config.cfg", "meta.json"),
    OwnModelKind.HUGGING_FACE: ("config.json", "tokenizer.json", _SAFETENSORS),
    OwnModelKind.GLINER: (_GLINER_CONFIG, "tokenizer_config.json", _SAFETENSORS),
}
_PICKLES: Final = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})
_SPACY_TABLES: Final = "lookups.bin"
"""spaCy's tables of words: MessagePack, whatever the ending says."""
_RUNS_CODE: Final = frozenset({"auto_map", "custom_pipelines", "trust_remote_code"})
"""Keys of a Hugging Face configuration that name Python to import."""
_ELSEWHERE: Final = "adapter_config.json"
"""Makes Hugging Face load another model, named in it, first."""


def digest_folder(model: OwnModel) -> str:
    """Return the digest of a model's folder in hexadecimal, if nothing speaks against loading it.

    It is the SHA-256 of the canonical JSON that maps each file's path in the folder, with slashes,
    to the SHA-256 of its content.

    Raises:
        ConfigError: it is no folder, lacks a file that such a model has, or holds something that
            runs code when it is loaded.
        IntegrityError: it is not the one whose digest the site wrote down.
    """
    files = tuple(_files(model))
    names = [path.relative_to(model.folder).as_posix() for path in files]
    _refuse_incomplete(model, names)
    _refuse_code(model, names)
    if model.kind is not OwnModelKind.SPACY:
        for name in names:
            if name.endswith("config.json"):
                _refuse_code_by_name(model, name)
    if model.kind is OwnModelKind.GLINER:
        _refuse_encoder_elsewhere(model)
    try:
        digests = {name: digest_file(path).hex() for name, path in zip(names, files, strict=True)}
    except OSError as error:
        raise _refused(model, f"cannot be read ({error.strerror})", "Mend that") from None
    found = digest_json(digests).hex()
    if model.sha256 not in {None, found}:
        raise IntegrityError(
            f"The folder of the model {model.name} has the digest {found}, and the site wrote down "
            f"{model.sha256}: it was changed, so the site refuses to train. Restore the folder, "
            "or examine what changed and write the new digest down."
        )
    return found


def _files(model: OwnModel) -> Iterator[Path]:
    """Yield every file in the folder, in a fixed order."""
    if not model.folder.is_dir():
        raise _refused(
            model, "is not there", "Give the path of the folder; a model is never downloaded"
        )
    for parent, folders, files in os.walk(model.folder, onerror=_raise):
        folders.sort()
        for name in folders:
            if (Path(parent) / name).is_symlink():
                raise _refused(
                    model, f"has a link to another folder ({name})", "Copy that folder into it"
                )
        for name in sorted(files):
            path = Path(parent) / name
            try:
                regular = stat.S_ISREG(path.stat().st_mode)
            except OSError:
                regular = False
            if not regular:
                raise _refused(model, f"holds {name}, which is no file", "Remove it")
            yield path


def _raise(error: OSError) -> None:
    raise ConfigError(
        f"The folder {error.filename} of a model cannot be read ({error.strerror}), so the site "
        "refuses to train. Mend that."
    ) from None


def _refuse_incomplete(model: OwnModel, names: Sequence[str]) -> None:
    missing = [
        needed
        for needed in _NEEDED[model.kind]
        if needed not in names
        and not (needed == _SAFETENSORS and any(n.endswith(".safetensors") for n in names))
    ]
    if missing:
        mend = {
            OwnModelKind.SPACY: "Name the folder that `nlp.to_disk` wrote; in a package it is the "
            "inner one",
            OwnModelKind.HUGGING_FACE: "Save model and tokenizer with `save_pretrained` of the "
            "transformers library",
            OwnModelKind.GLINER: "Save the model with `save_pretrained`, and its tokenizer too",
        }[model.kind]
        raise _refused(model, f"lacks {', '.join(missing)}", mend)


def _refuse_code(model: OwnModel, names: Sequence[str]) -> None:
    for name in names:
        path = Path(name)
        if model.kind is OwnModelKind.SPACY and path.name == _SPACY_TABLES:
            continue
        if path.suffix.lower() in _PICKLES:
            raise _refused(
                model,
                f"holds {name}, and such a file may run any code when it is loaded",
                "Convert weights to safetensors, and remove the file",
            )
        if path.suffix.lower() in {".py", ".pyc", ".so"}:
            raise _refused(
                model,
                f"holds code ({name})",
                "Use a model that needs none of its own, and remove the file",
            )
        if path.name == _ELSEWHERE:
            raise _refused(
                model,
                "is an adapter, whose base model lies elsewhere",
                "Merge the adapter into its base model, and save that",
            )


def _refuse_code_by_name(model: OwnModel, name: str) -> None:
    content = _json(model, name)
    found = sorted(_keys(content) & _RUNS_CODE)
    if found:
        raise _refused(
            model,
            f"names code of its own ({found[0]} in {name})",
            "Use a model that the library itself can build",
        )


def _refuse_encoder_elsewhere(model: OwnModel) -> None:
    """GLiNER (read in 0.2.29) asks the hub, or another folder, for what its configuration lacks."""
    content = _json(model, _GLINER_CONFIG)
    config = content if isinstance(content, dict) else {}
    for key in ("encoder", "labels_encoder"):
        named = key == "encoder" or config.get(key) is not None
        if named and not isinstance(config.get(f"{key}_config"), dict):
            raise _refused(
                model,
                f"does not hold what its encoder is ({key}_config in {_GLINER_CONFIG})",
                "Put the content of the encoder's own config.json there",
            )


def _json(model: OwnModel, name: str) -> JsonValue:
    try:
        content: JsonValue = json.loads((model.folder / name).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        raise _refused(model, f"holds {name}, which is no JSON", "Copy the model again") from None
    return content


def _keys(value: JsonValue) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    if isinstance(value, list):
        return set().union(*map(_keys, value))
    return set()


def _refused(model: OwnModel, what: str, mend: str) -> ConfigError:
    return ConfigError(
        f"The folder {model.folder} of the model {model.name} {what}, so the site refuses to "
        f"train. {mend}."
    )
