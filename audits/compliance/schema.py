"""Writes the published schema of the compliance document: `python -m audits.compliance.schema`.

The file is part of the package; a test compares it with what the code says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from audits.compliance.document import json_schema

PUBLISHED: Final = Path(__file__).with_name("compliance.schema.json")


def main() -> None:
    """Write the schema beside this module, in place of the last one."""
    PUBLISHED.write_bytes(json_schema())


if __name__ == "__main__":
    main()
