"""Attacks on Flower's SecAgg+ and the same on this platform's masked sums.

Every row is the outcome of code that ran just now: Flower's own mod and workflow on one side, the
machines of `crypto.masked_sum` on the other, and where the coordinator lies in what it signs, whole
sites of `secure_fl.rounds`. An attack `succeeds` if the attacker has what it set
out for, it is `refused` if a party raised (the error's name stands beside it, its words below the
table), and it `fails` if nobody refused and nothing was gained.

The search for a mask's seed looks at an interval of the 2^28 seeds in which the true one lies; the
time for all of them follows from the rate. With `--full` all are searched, wherever the seed is.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from cryptography.fernet import InvalidToken

from benchmarks import secagg_attacks_flower as flower
from benchmarks import secagg_attacks_ours as ours
from benchmarks.cells import Cell, write_cells
from benchmarks.secagg_seed_search import PAIR_SEED_BITS
from benchmarks.secagg_site import SiteRefusalError
from crypto.errors import SecureFLError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.secagg_outcome import Outcome

    Attack = Callable[[int], Outcome]

_D: Final = 1000
_SEARCH_BITS: Final = 20
_PAIR_SEARCH_BITS: Final = 16
_KEY_SEARCH_BITS: Final = 14
"""A key of ours takes microseconds, since its stream is begun for each."""
_REFUSALS: Final = (SecureFLError, InvalidToken, ValueError, KeyError)
"""What our parties raise, and what Flower's mod does."""


@dataclass(frozen=True)
class AttackCell(Cell):
    """One attack on one protocol.

    Attributes:
        against: which.
        outcome: succeeds, refused or fails.
        by: the class of the error that refused, or the code with which a site did.
        found: what was counted.
        seconds: by the clock on the wall, with everything that the attack needed.
        error: the words of the refusal.
    """

    against: str
    outcome: str
    by: str | None
    found: str | None
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class Pair:
    """One attack, as it is done to either protocol."""

    name: str
    on_flower: Attack
    on_ours: Attack


def attacks(search_bits: int) -> tuple[Pair, ...]:
    """Return every attack; the seed search looks at 2^search_bits seeds."""
    pair_bits = min(search_bits, _PAIR_SEARCH_BITS)
    key_bits = min(search_bits, _KEY_SEARCH_BITS)
    return (
        Pair(
            "search the seed of a mask",
            partial(flower.search_one_seed, search_bits=search_bits),
            partial(ours.search_one_seed, search_bits=key_bits),
        ),
        Pair(
            "search two seeds at once",
            partial(flower.search_two_seeds, search_bits=pair_bits),
            partial(ours.search_two_seeds, search_bits=key_bits),
        ),
        Pair("propose a modulus of 2", flower.modulus_of_two, ours.modulus_of_two),
        Pair("one site alive and dead", flower.both_lists, ours.both_lists),
        Pair("split lists of survivors", flower.split_survivors, ours.split_survivors),
        Pair("propose a threshold of 1", flower.threshold_of_one, ours.threshold_of_one),
        Pair("release a wrong share", flower.wrong_share, ours.wrong_share),
        Pair("replay a round's shares", flower.earlier_shares, ours.earlier_shares),
        Pair("substitute public keys", flower.substituted_keys, ours.substituted_keys),
        Pair("a cohort of one", flower.alone, ours.alone),
        Pair("made-up sites", flower.sybils, ours.sybils),
        Pair("ask for a round again", flower.asked_again, ours.asked_again),
        Pair("a model of its own each", flower.different_models, ours.different_models),
        Pair("replace the rule", flower.rule_replaced, ours.rule_replaced),
    )


def carry_out(name: str, against: str, attack: Attack, d: int) -> AttackCell:
    """Return what became of one attack over `d` coordinates."""
    began = time.perf_counter()
    try:
        outcome = attack(d)
    except _REFUSALS as error:
        seconds = time.perf_counter() - began
        by = error.code if isinstance(error, SiteRefusalError) else type(error).__name__
        return AttackCell(name, against, "refused", by, None, seconds, str(error) or None)
    seconds = time.perf_counter() - began
    verdict = "succeeds" if outcome.succeeded else "fails"
    return AttackCell(name, against, verdict, None, outcome.found, seconds)


def measure(pairs: Iterable[Pair], d: int) -> tuple[AttackCell, ...]:
    """Return two cells per attack, Flower's first."""
    return tuple(
        carry_out(pair.name, against, attack, d)
        for pair in pairs
        for against, attack in (("Flower", pair.on_flower), ("ours", pair.on_ours))
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the outcomes; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.secagg_attacks",
        description="Attacks on Flower's SecAgg+, and the same on masked sums.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--full", action="store_true", help="search all 2^28 seeds")
    options = parser.parse_args(arguments)
    bits = PAIR_SEED_BITS if options.full else _SEARCH_BITS
    cells = measure(attacks(bits), _D)
    title = "Attacks on Flower's SecAgg+ and on masked sums: what became of each"
    write_cells(title, cells, as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
