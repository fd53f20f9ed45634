"""The specification's numbered steps and the code that cites them do not drift apart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPECIFICATIONS = {"MS": "docs/secure-aggregation.md", "HE": "docs/homomorphic-sums.md"}
UNCITED = {
    "MS.2",  # a channel key is made with the machine
    "MS.11",  # what is not done
}


def cited(prefix: str) -> set[str]:
    rooms = (ROOT / room for room in ("crypto", "secure_fl"))
    text = "".join(path.read_text("utf-8") for room in rooms for path in room.rglob("*.py"))
    return set(re.findall(rf"\b{prefix}\.\d+", text))


@pytest.mark.parametrize("prefix", SPECIFICATIONS)
def test_each_step_that_the_code_cites_is_specified_and_the_other_way_round(prefix: str) -> None:
    text = (ROOT / SPECIFICATIONS[prefix]).read_text("utf-8")
    specified = set(re.findall(rf"\*\*({prefix}\.\d+) ", text))
    assert len(specified) >= 7
    assert cited(prefix) == specified - UNCITED
