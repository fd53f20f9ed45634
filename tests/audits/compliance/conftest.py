from __future__ import annotations

import sys
from pathlib import Path

# The facts of runs that never were are shared with the tests of the run's own report.
sys.path.append(str(Path(__file__).parents[1]))
