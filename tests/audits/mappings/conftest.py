from __future__ import annotations

import sys
from pathlib import Path

# The facts and audits that never were are shared with the tests of both reports.
_AUDITS = Path(__file__).parents[1]
sys.path += [str(_AUDITS), str(_AUDITS / "compliance")]
