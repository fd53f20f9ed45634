"""Canaries: texts of no meaning with labels at random, of which a fair coin chooses the members.

A model that writes answers may be asked for more than a label: a canary's answer is then a secret,
a number of eight digits that stands nowhere else.

A site draws them from a secret seed before the first round and commits itself to them; the members
are trained on like any record, each as often as its repetitions say. After the last round the seed
is opened: everything here follows from it, so that anybody can see that neither a text nor a coin
was chosen afterwards. What an attack tells of members and controls is then a measurement.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from crypto.digests import canonical_json
from crypto.errors import ConfigError
from crypto.keystream import KEY_BYTES, KeyStream
from crypto.merkle import MerkleLog
from privacy.streams import uniform_integers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crypto.digests import JsonValue
    from crypto.secrets import SecretBytes

_WORDS: Final = 8
SYLLABLES: Final = 3
"""Of each word."""
_ONSETS: Final = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "tr")
_VOWELS: Final = ("a", "e", "i", "o", "u", "ai", "eo", "ou")
_COIN, _LABEL, _SALT = 0, 1, 2
_FIRST_SYLLABLE: Final = 3
_DRAWS: Final = _FIRST_SYLLABLE + _WORDS * SYLLABLES
_LABEL_BITS: Final = 31
SECRETS: Final = 10**8
"""How many secrets there are. A draw of 53 bits is reduced to one: no two of them differ in chance
by more than a part in 9 * 10^7."""
_HALF: Final = 10**4
_MOST: Final = 1 << 14
"""What a plan asks for is drawn by whoever checks it, a stranger too: it takes a second."""


class Answers(StrEnum):
    """What a canary is answered by."""

    LABELS = "labels"
    """One of the data set's labels, at random."""
    SECRETS = "secrets"
    """A number of its own, which a model can only have learned by heart."""


def secret_of(number: int) -> str:
    """Return the secret of a number below `SECRETS`: four digits, a hyphen and four digits."""
    return f"{number // _HALF:04d}-{number % _HALF:04d}"


@dataclass(frozen=True)
class CanaryPlan:
    """How many canaries a site draws, and of which kind.

    Attributes:
        each: how many of each number of repetitions, members and controls together.
        repetitions: how often a member is among the records, in order, all different.
        answers: what each is answered by.

    Raises:
        ConfigError: a number is below 1, one is there twice, or there are more than 16 384 in all.
    """

    each: int
    repetitions: tuple[int, ...]
    answers: Answers = Answers.LABELS

    def __post_init__(self) -> None:
        if self.each < 1 or min(self.repetitions, default=0) < 1:
            raise ConfigError(
                f"{self.each} canaries of {self.repetitions} repetitions test nothing: ask for at "
                "least one of each, with at least one repetition."
            )
        if len(set(self.repetitions)) != len(self.repetitions):
            raise ConfigError("A number of repetitions is there twice: name each once.")
        if self.each * len(self.repetitions) > _MOST:
            raise ConfigError(
                f"{self.each} canaries of each of {len(self.repetitions)} numbers of repetitions "
                f"are more than anybody would check: ask for {_MOST} in all at most."
            )


@dataclass(frozen=True)
class Canary:
    """One canary.

    Attributes:
        index: its number among those of its site, from 0.
        repetitions: how often it is among the records, if it is a member.
        member: whether it is.
        text: what is read; not shown, as any record's.
        drawn_label: a uniform number below 2^31, whose remainder is the label; 0 beside a secret.
        salt: what keeps a commitment to it from being guessed.
        secret: what is answered in the place of a label; None where a label is. Not shown.
    """

    index: int
    repetitions: int
    member: bool
    text: str = field(repr=False)
    drawn_label: int
    salt: int = field(repr=False)
    secret: str | None = field(default=None, repr=False)

    def label(self, labels: int) -> int:
        """Return which of `labels` choices it has been given."""
        return self.drawn_label % labels

    def leaf(self) -> bytes:
        """Return what the commitment hashes."""
        content: dict[str, JsonValue] = {
            "schema": "secure-fl.canary.v1",
            "index": self.index,
            "repetitions": self.repetitions,
            "member": self.member,
            "text": self.text,
            "label": self.drawn_label,
            "salt": str(self.salt),
        }
        if self.secret is not None:
            content |= {"schema": "secure-fl.secret-canary.v1", "secret": self.secret}
        return canonical_json(content)


def canaries_of(seed: SecretBytes, plan: CanaryPlan) -> tuple[Canary, ...]:
    """Return the canaries that follow from `seed`, 32 bytes, in the order of the plan.

    Every draw is of an AES-256-CTR stream under the seed: the same on every machine.

    Raises:
        ConfigError: the seed has another length.
    """
    if len(seed) != KEY_BYTES:
        raise ConfigError(
            f"Canaries follow from a seed of {KEY_BYTES} bytes, and one of {len(seed)} was given."
        )
    kinds = [count for count in plan.repetitions for _ in range(plan.each)]
    drawn = uniform_integers(KeyStream(seed), len(kinds) * _DRAWS).reshape(len(kinds), _DRAWS)
    secret = plan.answers is Answers.SECRETS
    return tuple(
        Canary(
            index=index,
            repetitions=repetitions,
            member=bool(row[_COIN] & np.uint64(1)),
            text=_text(row[_FIRST_SYLLABLE:]),
            drawn_label=0 if secret else int(row[_LABEL]) & (2**_LABEL_BITS - 1),
            salt=int(row[_SALT]),
            secret=secret_of(int(row[_LABEL]) % SECRETS) if secret else None,
        )
        for index, (repetitions, row) in enumerate(zip(kinds, drawn, strict=True))
    )


def commitment(seed: SecretBytes, plan: CanaryPlan) -> bytes:
    """Return the Merkle root (RFC 6962) over the canaries of `seed`: 32 bytes."""
    return MerkleLog(canary.leaf() for canary in canaries_of(seed, plan)).root()


def invented_words(draws: NDArray[np.uint64]) -> list[str]:
    """Return words of three syllables each; `draws` are 53 uniform bits per syllable.

    The words of canaries are made so, of 128 syllables that are all as likely.
    """
    syllables = [
        _ONSETS[int(draw) % len(_ONSETS)] + _VOWELS[int(draw) // len(_ONSETS) % len(_VOWELS)]
        for draw in draws
    ]
    return ["".join(syllables[i : i + SYLLABLES]) for i in range(0, len(syllables), SYLLABLES)]


def _text(draws: NDArray[np.uint64]) -> str:
    """Return a sentence of the words that follow from `draws`."""
    words = invented_words(draws)
    return f"{words[0].capitalize()} {' '.join(words[1:])}."
