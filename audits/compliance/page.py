"""Writes the compliance report as one HTML page that needs nothing else: no script, no other file.

The same document gives the same bytes. Every value is escaped; the markup is also well-formed XML.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from audits import numerals, scrubbing_wording
from audits.compliance import words
from audits.compliance.content import report_of

if TYPE_CHECKING:
    from audits.compliance.document import ComplianceDocument
    from audits.findings import Verdict

_HERE = Path(__file__).parent


def render_html(document: ComplianceDocument) -> str:
    """Return the compliance report as one self-contained HTML page."""
    template = _environment().get_template("compliance.html.j2")
    return template.render(report=report_of(document))


def _environment() -> Environment:
    environment = Environment(
        # The pieces and the style of the run's own report are this one's too.
        loader=FileSystemLoader([_HERE / "templates", _HERE.parent / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        entity=scrubbing_wording.entity_phrase,
        groups=numerals.groups,
        label=words.label,
        sign=words.sign,
        slug=_slug,
    )
    return environment


def _slug(verdict: Verdict) -> str:
    """Return a verdict as the name of a style."""
    return verdict.value.replace(" ", "-")
