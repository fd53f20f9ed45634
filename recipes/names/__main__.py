"""`python -m recipes.names`: makes the names model anew and writes it into the package."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import itertools
import json
import random
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import safetensors.numpy
import torch

from privacy.scrubbing.names.artefact import FOLDER, GAZETTEER, PINNED, VOCABULARY, WEIGHTS
from privacy.scrubbing.names.gazetteer import Gazetteer
from privacy.scrubbing.names.tokens import plain, tokenise
from recipes.names.examples import ExampleMaker
from recipes.names.lists import collect, gazetteer_lines
from recipes.names.prose import sentences
from recipes.names.texts import TextMaker, note_texts
from recipes.names.training import TrainedNetwork, optimiser_for, steps_of, train_epoch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from recipes.names.filler import Piece

_SEED: Final = 20261125
_FEWEST: Final = 3
"""Times that a word has to stand outside of names to get weights of its own."""
_MOST_WORDS: Final = 9000


def main(arguments: Sequence[str] | None = None) -> None:
    """Make lists, texts and network, and write the files with their digests."""
    parser = argparse.ArgumentParser(prog="python -m recipes.names", description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder to write to")
    parser.add_argument("--texts", type=int, default=50_000, help="texts in each epoch")
    parser.add_argument("--notes", type=int, default=7_000, help="notes of each kind")
    parser.add_argument(
        "--leave-out", action="store_true", help="keep a sixth of the notes' templates unseen"
    )
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args(arguments)
    torch.manual_seed(_SEED)
    torch.set_num_threads(1)

    lists = collect()
    lines = list(gazetteer_lines(lists))
    gazetteer = Gazetteer(lines)
    texts = TextMaker(lists, _SEED, sentences(gazetteer))
    notes = list(note_texts(options.notes, _SEED, leave_out=options.leave_out))
    words = vocabulary([*texts.texts(options.texts // 2), *notes])
    maker = ExampleMaker({word: n for n, word in enumerate(words, start=1)}, gazetteer)
    network = TrainedNetwork(len(words))
    optimiser, schedule = optimiser_for(
        network, options.epochs * steps_of(options.texts + len(notes))
    )
    rng = random.Random(_SEED)
    for epoch in range(1, options.epochs + 1):
        drawn = itertools.chain(texts.texts(options.texts), notes)
        examples = list(maker.examples(drawn, rng))
        order = rng.sample(range(len(examples)), len(examples))
        loss = train_epoch(network, optimiser, schedule, examples, order)
        _say(f"epoch {epoch} of {options.epochs}: loss {loss:.4f}")
    write(options.out, network, words, lines)


def vocabulary(texts: Iterable[Sequence[Piece]]) -> tuple[str, ...]:
    """Return the words that stand outside of names often enough, sorted."""
    counts = Counter(
        plain(token)
        for text in texts
        for piece in text
        if not piece.kind and not piece.drawn
        for token in tokenise(piece.text)[0]
        if not token.isdigit()
    )
    frequent = [word for word, count in counts.most_common(_MOST_WORDS) if count >= _FEWEST]
    return tuple(sorted(set(frequent) - {"\n"}))


def write(
    folder: Path, network: TrainedNetwork, words: Sequence[str], lines: Sequence[str]
) -> None:
    """Write the three files and their digests; the old folder goes only when all are there."""
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    files = {
        WEIGHTS: safetensors.numpy.save(network.tensors()),
        VOCABULARY: "\n".join(words).encode(),
        GAZETTEER: gzip.compress("\n".join(lines).encode(), mtime=0),
    }
    for name, data in files.items():
        (new / name).write_bytes(data)
        _say(f"{name}: {len(data):,} bytes")
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    (new / PINNED).write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n", "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
