"""Texts that stand on both sides of a split: found, counted, and kept out of training."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from domains.records import Record

_KEY_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Separated:
    """Training records, and what a reader of a score has to know of the two sides."""

    train: tuple[Record, ...] = field(repr=False)
    notes: tuple[str, ...]


def same_words(text: str) -> str:
    """Return the text without what case and white space make of it."""
    return " ".join(text.casefold().split())


def separate(
    train: tuple[Record, ...],
    evaluation: tuple[Record, ...],
    *,
    drop_overlap: bool,
    key: Callable[[str], str] = same_words,
) -> Separated:
    """Return the training records whose text is not in the evaluation set, and the counts.

    Two texts are one where `key` gives one value, by a 128-bit digest: no text is held twice.

    Args:
        train: as published.
        evaluation: as published; nothing is taken from it.
        drop_overlap: False keeps all training records, and the notes say so.
        key: what of a text counts. One that leaves nothing of a text counts the whole of it.
    """
    held_out = [_digest(record.text, key) for record in evaluation]
    trained = [_digest(record.text, key) for record in train]
    unseen = set(held_out)
    kept = tuple(
        record for record, digest in zip(train, trained, strict=True) if digest not in unseen
    )
    shared = len(unseen.intersection(trained))
    fate = (
        "dropped from training" if drop_overlap else "kept in training, so the score is flattered"
    )
    left = [digest for digest in trained if not drop_overlap or digest not in unseen]
    overlap = (
        f"{shared} texts stand on both sides of the split; {len(train) - len(kept)} training rows "
        f"with them were {fate}."
    )
    repeats = (
        f"{_repeated(left)} training rows and {_repeated(held_out)} evaluation rows repeat the "
        "text of another on their side and were kept."
    )
    return Separated(kept if drop_overlap else train, (overlap, repeats))


def in_several(groups: Iterable[Iterable[str]]) -> int:
    """Return how many texts stand in more than one of the groups; see `same_words`."""
    seen: set[bytes] = set()
    shared: set[bytes] = set()
    for group in groups:
        digests = {_digest(text, same_words) for text in group}
        shared |= seen & digests
        seen |= digests
    return len(shared)


def _digest(text: str, key: Callable[[str], str]) -> bytes:
    words = key(text) or text
    return blake2b(words.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()


def _repeated(digests: Iterable[bytes]) -> int:
    listed = list(digests)
    return len(listed) - len(set(listed))
