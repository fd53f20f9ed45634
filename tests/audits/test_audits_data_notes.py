"""What a report notes of the data: shown and escaped, and nothing counted of sites' own files."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError
from report_samples import parse, report, text_of

from audits.data_facts import OWN_FILES_NOTE, DataFacts, Source
from audits.facts import ReportFacts
from audits.report import render_report
from crypto.errors import IntegrityError

OVERLAP = "69 texts stand on both sides of the split; 69 training rows were dropped."
REPEATS = "70 training rows repeat the text of another on their side and were kept."
HEADING = "What was noted of the data"


def noting(*notes: str, source: Source = Source.PUBLISHED) -> ReportFacts:
    facts = report()
    stated = json.loads(facts.data.model_dump_json()) | {"notes": notes, "source": source.value}
    data = DataFacts.model_validate_json(json.dumps(stated))
    return facts.model_copy(update={"data": data})


def test_every_note_is_on_the_page_with_whose_word_it_is() -> None:
    page = render_report(noting(OVERLAP, REPEATS))
    section = page[page.index(HEADING) : page.index("What was looked for")]
    (listed,) = parse(page).findall(".//section[@aria-labelledby='data']/ul")
    assert [item.text for item in listed] == [OVERLAP, REPEATS]
    assert "No site claims these notes" in section


def test_a_note_cannot_become_markup() -> None:
    page = render_report(noting("<script>alert(1)</script> {{ 7*7 }}"))
    assert "<script>alert(1)</script> {{ 7*7 }}" in text_of(page)
    assert "<script>" not in page


def test_a_report_of_before_there_were_notes_is_read_and_shown_as_it_was() -> None:
    facts = report()
    assert '"notes"' not in facts.to_json().decode()
    again = ReportFacts.from_json(facts.to_json())
    assert again.to_json() == facts.to_json()
    assert HEADING not in render_report(again)
    noted = noting(OVERLAP)
    assert ReportFacts.from_json(noted.to_json()) == noted
    assert noted.sha256() != facts.sha256()


def test_of_sites_own_files_nothing_is_counted_and_the_report_says_where_the_counts_are() -> None:
    own = noting(OWN_FILES_NOTE, source=Source.SITES_OWN)
    assert OWN_FILES_NOTE in text_of(render_report(own))
    assert not any(character.isdigit() for character in OWN_FILES_NOTE)
    for notes in ((OVERLAP,), (OWN_FILES_NOTE, OVERLAP), ("2 of 62 rows of a.csv were dropped.",)):
        with pytest.raises(ValidationError, match="stay at the sites"):
            noting(*notes, source=Source.SITES_OWN)
    stated = json.loads(own.to_json())
    stated["data"]["notes"].append(OVERLAP)
    with pytest.raises(IntegrityError, match="no report was made"):
        ReportFacts.from_json(json.dumps(stated).encode())
