"""`secure-fl scrub` with the toy instead of the real scrubber, as a process of its own."""

from __future__ import annotations

import sys

from scrub_workplace import ToyRecipe

from secure_fl.cli import main
from secure_fl.scrubbing_files import command, stream

if __name__ == "__main__":
    command.ScrubberRecipe = lambda *_: ToyRecipe()  # type: ignore[assignment, misc] # for speed
    stream._BATCH_ROWS = 3  # type: ignore[misc] # so that a few rows are many batches
    sys.exit(main())
