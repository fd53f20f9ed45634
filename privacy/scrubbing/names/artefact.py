"""The files of the names model, and the digests that they must have."""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import safetensors.numpy

from crypto.errors import IntegrityError
from privacy.scrubbing.names.gazetteer import Gazetteer
from privacy.scrubbing.names.network import Network

if TYPE_CHECKING:
    from collections.abc import Mapping

WEIGHTS: Final = "names.safetensors"
VOCABULARY: Final = "vocabulary.txt"
GAZETTEER: Final = "gazetteer.txt.gz"
PINNED: Final = "digests.json"
FOLDER: Final = Path(__file__).with_name("model")


@dataclass(frozen=True, slots=True)
class Artefact:
    """What `make ner` makes: weights, the words that have weights of their own, and the lists."""

    network: Network
    vocabulary: Mapping[str, int]
    gazetteer: Gazetteer


def pinned_digest(folder: Path = FOLDER) -> str:
    """Return the SHA-256 of the file of digests, which names this model in a report.

    Raises:
        IntegrityError: the file is missing.
    """
    return hashlib.sha256(_read(folder, PINNED)).hexdigest()


@functools.cache
def load_artefact(folder: Path = FOLDER) -> Artefact:
    """Return the model in `folder`, read once per process.

    Raises:
        IntegrityError: a file is missing or is not the one whose digest is pinned.
    """
    expected: Mapping[str, str] = json.loads(_read(folder, PINNED))
    files = {name: _read(folder, name) for name in (WEIGHTS, VOCABULARY, GAZETTEER)}
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != expected.get(name):
            raise IntegrityError(
                f"{name} of the names model is not the one that was pinned: names could stay in "
                "every record. Install secure-fl again, or run `make ner` to build it anew."
            )
    words = files[VOCABULARY].decode("utf-8").split("\n")
    return Artefact(
        network=Network.of(safetensors.numpy.load(files[WEIGHTS])),
        vocabulary={word: number for number, word in enumerate(words, start=1) if word},
        gazetteer=Gazetteer(gzip.decompress(files[GAZETTEER]).decode("utf-8").splitlines()),
    )


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise IntegrityError(
            f"{name} of the names model could not be read ({error.strerror}): names could stay in "
            "every record. Install secure-fl again, or run `make ner` to build it anew."
        ) from None
