"""Writes the draft of a registry entry as YAML, the same document always in the same bytes."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import yaml

from audits.mappings.deployment import (
    OPEN,
    SCHEMA_COMMIT,
    SCHEMA_DATE,
    SCHEMA_SOURCE,
    registry_entry,
)

if TYPE_CHECKING:
    from audits.compliance.document import ComplianceDocument

_HEAD = f"""\
# Draft of an entry for the registry of differential privacy deployments. Nobody submitted it.
# Fields and fixed values follow {SCHEMA_SOURCE},
# as of {SCHEMA_DATE} (commit {SCHEMA_COMMIT});
# this file was not validated against it when it was written.
# What begins with "{OPEN}" no run can know.
"""
_NO_BREAK = 1_000_000
"""A width at which no text is broken into lines."""


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML ships no types
    """Plain values only, and text of several lines as a block."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Return a block for text of several lines, and else what PyYAML chooses."""
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _list(dumper: yaml.SafeDumper, items: tuple[object, ...]) -> yaml.SequenceNode:
    return dumper.represent_list(items)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(tuple, _list)


def render_yaml(document: ComplianceDocument) -> bytes:
    """Return the draft of a registry entry for the run of `document`, in UTF-8.

    Raises:
        ConfigError: the run promises no differential privacy.
    """
    entry = asdict(registry_entry(document))
    body = yaml.dump(entry, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_NO_BREAK)
    return f"{_HEAD}{body}".encode()
