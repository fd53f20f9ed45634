"""What stock transformers call the head of a token classifier. Imports nothing heavy."""

from __future__ import annotations

from typing import Final

HEAD_NAMES: Final = ("classifier", "score")
"""Of encoders, of decoders."""
