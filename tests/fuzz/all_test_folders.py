"""Importing this puts the helpers of every test folder on the path, outside of pytest too."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]

for folder in (TESTS, *(TESTS / room for room in ("audits", "crypto", "secure_fl"))):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
