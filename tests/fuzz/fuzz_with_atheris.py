"""Coverage-guided fuzzing of every decoder, with atheris: `make fuzz`.

Each target runs in a process of its own, from a corpus that starts with valid encodings and that
later runs go on from. An input that raises anything but the decoder's own error, takes more than
ten seconds or four GiB is kept beside the corpus, and its traceback is printed:

    python tests/fuzz/fuzz_with_atheris.py mechanism build/fuzz/mechanism/crash-...

runs the decoder on it once more.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import subprocess
import sys
import time
from pathlib import Path

import atheris

GUIDED = "--libfuzzer" in sys.argv
ROOMS = ["audits", "crypto", "privacy", "secure_fl"]

with atheris.instrument_imports(include=ROOMS) if GUIDED else contextlib.nullcontext():
    from ciphertext_decoders import CIPHERTEXT_DECODERS
    from crypto_decoders import CRYPTO_DECODERS, MESSAGE_DECODERS
    from fuzz_target import Decoder
    from hostile_bytes import aimed
    from hypothesis import strategies as st
    from message_strategies import sample
    from run_decoders import RUN_DECODERS
    from site_decoders import SITE_DECODERS

    from crypto.errors import PeerError

KEPT = Path(__file__).resolve().parents[2] / "build" / "fuzz"
SEEDS = 20
LONGEST_SECONDS = 10
MEMORY_MIB = 4096


def _read_any_message(data: bytes) -> None:
    """Every message type looks at the same bytes, and at most one of them reads it."""
    if sum(decoder.accepts(data) for decoder in MESSAGE_DECODERS) == 0:
        raise PeerError("no message")


_MESSAGES = Decoder(
    "messages",
    _read_any_message,
    (PeerError,),
    st.one_of([decoder.valid for decoder in MESSAGE_DECODERS]),
    MESSAGE_DECODERS[0].form,
)
ALL = (_MESSAGES, *CRYPTO_DECODERS, *CIPHERTEXT_DECODERS, *RUN_DECODERS, *SITE_DECODERS)
TARGETS = {decoder.name: decoder for decoder in ALL}


def write_seeds(decoder: Decoder, corpus: Path) -> None:
    """Put valid encodings, and what parsers trip over, into the folder `corpus`."""
    corpus.mkdir(parents=True, exist_ok=True)
    count = SEEDS * len(MESSAGE_DECODERS) if decoder is _MESSAGES else SEEDS
    for data in (*sample(decoder.valid, count), *aimed(decoder.form)):
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def fuzz(decoder: Decoder, arguments: list[str]) -> None:
    """Fuzz until libFuzzer ends the process; it never returns."""

    def once(data: bytes) -> None:
        decoder.accepts(data)

    atheris.Setup([sys.argv[0], *arguments], once)
    atheris.Fuzz()


def run_target(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own, and return whether nothing was found."""
    folder = KEPT / name
    write_seeds(TARGETS[name], folder / "corpus")
    arguments = [
        f"-max_total_time={seconds}",
        f"-timeout={LONGEST_SECONDS}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        "-verbosity=0",
        str(folder / "corpus"),
    ]
    command = [sys.executable, __file__, "--libfuzzer", name, *arguments]
    began = time.monotonic()
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    runs = _number_after(ended.stderr, "stat::number_of_executed_units:")
    found = "nothing found" if ended.returncode == 0 else "FOUND SOMETHING"
    print(f"{name:24} {runs:>9} runs {time.monotonic() - began:6.0f} s  {found}", flush=True)
    if ended.returncode:
        print(ended.stdout[-4000:] + ended.stderr[-4000:], flush=True)
    return ended.returncode == 0


def _number_after(text: str, label: str) -> str:
    return next((line.split()[-1] for line in text.splitlines() if line.startswith(label)), "?")


def main(arguments: list[str]) -> int:
    """Fuzz the named targets, or all of them; return 1 if one of them raised what it must not."""
    if GUIDED:
        fuzz(TARGETS[arguments[1]], arguments[2:])
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument(
        "targets", nargs="*", help=f"some of {', '.join(TARGETS)}; or one and files"
    )
    options = parser.parse_args(arguments)
    chosen = [name for name in options.targets if name in TARGETS]
    inputs = [Path(name) for name in options.targets if name not in TARGETS]
    if inputs:
        return run_inputs(TARGETS[chosen[0]], inputs)
    results = [run_target(name, options.seconds) for name in chosen or TARGETS]
    return 0 if all(results) else 1


def run_inputs(decoder: Decoder, inputs: list[Path]) -> int:
    """Run one decoder on stored inputs; what it must not raise goes up."""
    for path in inputs:
        read = "is read" if decoder.accepts(path.read_bytes()) else "is refused"
        print(f"{path} {read} by {decoder.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
