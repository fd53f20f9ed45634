"""A site's own recognisers where they are asked: training, `secure-fl scrub`, `doctor`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_workplace import Outcome
from own_models_to_test import spacy_pipeline
from own_workplace import CANARY, TEXT, function, write_module
from round_simulator import mechanism_of
from tiny_run import RECORD, Setting, Watcher, tiny_config

import secure_fl
from audits.site_facts import SiteFacts
from crypto.digests import sha256
from crypto.errors import ConfigError, IntegrityError
from domains.classification import SentenceClassification
from domains.records import Record
from privacy.scrubbing import ProviderKind
from privacy.scrubbing.own_models import OwnFunction, OwnModel, OwnModelKind
from privacy.scrubbing.own_models.folders import digest_folder
from privacy.scrubbing.own_models.labels import IDENTIFY_NOBODY, USUAL
from secure_fl import run_checks
from secure_fl.cli import main
from secure_fl.doctor import examine
from secure_fl.embedded import start_run
from secure_fl.findings import Health, checked
from secure_fl.own_models import OwnRecognizers
from secure_fl.policy import load_policy
from secure_fl.site_home import SiteHome
from secure_fl.sites.scrubbing import RecordFacts, scrub_records
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiny_model import TinyModel

    from domains.encoding import EncodedRecords

    Call = Callable[..., Outcome]

PAGE = Path(secure_fl.__file__).parents[1] / "docs" / "scrubbing-own-models.md"
TEMPLATES = Path(secure_fl.__file__).parent / "templates"
BADGE = "Badge-Zulu"


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs the command line in this process."""

    def run(*words: str | Path) -> Outcome:
        capfd.readouterr()
        code = main([str(word) for word in words])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def policy_with(folder: Path, tables: str, name: str = "policy.toml") -> Path:
    """Write the policy that `init` writes, with tables of the site's own after it."""
    path = folder / name
    path.write_text((TEMPLATES / "policy.toml").read_text("utf-8") + tables, encoding="utf-8")
    return path


FUNCTION = """
[[own_functions]]
function = "site_recognizers:find"
entities = ["PERSON"]
folder = "recognizers"
"""


def site_with_function(folder: Path) -> Path:
    (folder / "recognizers").mkdir()
    write_module(folder / "recognizers")
    return policy_with(folder, FUNCTION)


# The policy.


def test_a_policy_names_models_and_functions(tmp_path: Path) -> None:
    policy = load_policy(
        policy_with(
            tmp_path,
            f"""
[[own_models]]
kind = "spacy"
folder = "/opt/models/de_core"
labels = {{ PER = "PERSON", MISC = "NRP" }}
ignored = ["EVENT"]
seconds = 60.0
sha256 = "{"0" * 64}"

[[own_models]]
kind = "gliner"
folder = "gliner"
labels = {{ person = "PERSON" }}
threshold = 0.3
{FUNCTION}""",
        )
    )
    labels = (("PER", "PERSON"), ("MISC", "NRP"))
    assert policy.own_recognizers(tmp_path) == (
        OwnModel(
            OwnModelKind.SPACY,
            Path("/opt/models/de_core"),
            labels,
            ("EVENT",),
            seconds=60.0,
            sha256="0" * 64,
        ),
        OwnModel(OwnModelKind.GLINER, tmp_path / "gliner", (("person", "PERSON"),), (), 0.3),
        OwnFunction("site_recognizers:find", ("PERSON",), tmp_path / "recognizers"),
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[[own_models]]\nkind = "onnx"\nfolder = "x"', r"own_models.*kind"),
        ('[[own_models]]\nkind = "spacy"', r"own_models.*folder"),
        ('[[own_models]]\nkind = "spacy"\nfolder = "x"\ncode = true', r"own_models.*code"),
        (
            '[[own_models]]\nkind = "spacy"\nfolder = "x"\nthreshold = 0.5',
            "does not say how likely",
        ),
        ('[[own_models]]\nkind = "gliner"\nfolder = "x"', "asked for nothing"),
        ('[[own_functions]]\nfunction = "x"\nentities = ["PERSON"]', "package.module:function"),
        ('[[own_functions]]\nfunction = "x:y"\nentities = []', "of no entity"),
    ],
)
def test_a_policy_that_cannot_be_honoured_is_refused_with_its_path(
    tmp_path: Path, table: str, message: str
) -> None:
    path = policy_with(tmp_path, f"\n{table}\n")
    with pytest.raises(ConfigError, match=message) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)


def test_the_examples_in_the_templates_policy_can_be_honoured(tmp_path: Path) -> None:
    text = (TEMPLATES / "policy.toml").read_text("utf-8")
    start = text.index("# [[own_models]]")
    lines = text[start : text.index("\n\n", start)].splitlines()
    path = policy_with(tmp_path, "\n" + "\n".join(line.removeprefix("# ") for line in lines))
    model, own_function = load_policy(path).own_recognizers(tmp_path)
    assert (model.name, own_function.name) == ("spacy de_core", "hospital.names:find")


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of the page about own models."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )


def test_the_pages_examples_can_be_honoured(tmp_path: Path) -> None:
    tables = [block for block in blocks("toml") if block.startswith("[[own")]
    policy = load_policy(policy_with(tmp_path, "\n" + "\n".join(tables)))
    *models, badges = policy.own_recognizers(tmp_path)
    assert [one.kind for one in models if isinstance(one, OwnModel)] == list(OwnModelKind)
    (tmp_path / "hospital").mkdir()
    (code,) = blocks("python")
    (tmp_path / "hospital" / "names.py").write_text(code)
    assert isinstance(badges, OwnFunction)
    text = "badge B-1234, room B-12"
    with OwnRecognizers([replace(badges, folder=tmp_path)]) as own:
        spans = list(own.recognizers[0].find(text))
    assert [(text[span.start : span.end], span.entity) for span in spans] == [("B-1234", "BADGE")]


def test_the_page_lists_every_label_whose_meaning_is_known() -> None:
    page = PAGE.read_text("utf-8")
    table = page[page.index("## Labels") : page.index("`ignored` lists further")]
    listed = set(re.findall("`([A-Z_]+)`", table))
    assert listed >= set(USUAL) | set(USUAL.values()) | IDENTIFY_NOBODY


def test_reading_a_policy_imports_nothing_heavy(tmp_path: Path) -> None:
    path = site_with_function(tmp_path)
    program = (
        "import sys\nfrom pathlib import Path\nfrom secure_fl.policy import load_policy\n"
        f"assert load_policy(Path({str(path)!r})).own_recognizers(Path())\n"
        "print(sorted({'presidio_analyzer', 'spacy', 'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# Training.


def records_of(*texts: str) -> tuple[Record, ...]:
    return tuple(Record(f"r{number}", text, 0, {}) for number, text in enumerate(texts))


def test_a_sites_records_are_read_by_its_own_recognisers(tmp_path: Path) -> None:
    own = function(write_module(tmp_path), "find")
    mechanism = mechanism_of(data__scrub=["EMAIL_ADDRESS", "PERSON"])
    records = records_of(TEXT, "nobody")
    clean, preparation = scrub_records(records, mechanism, RecordFacts(own=(own,)), None)
    assert [record.text for record in clean] == [
        "Seen today: <PERSON>, in good spirits.",
        "nobody",
    ]
    found = [p for p in preparation.providers if p.kind is ProviderKind.OWN]
    assert [(p.entity, p.name) for p in found] == [("PERSON", "site_recognizers:find")]
    assert preparation.tally.count("PERSON") == 1


def test_an_entity_that_only_the_site_finds_can_be_required(tmp_path: Path) -> None:
    write_module(tmp_path)
    mechanism = mechanism_of(data__scrub=["BADGE"])
    own = OwnFunction("site_recognizers:find_badge", ("BADGE",), tmp_path)
    clean, preparation = scrub_records(
        records_of(f"{BADGE} was seen"), mechanism, RecordFacts(own=(own,)), None
    )
    assert clean[0].text == "<BADGE> was seen"
    assert preparation.coverage.looked_for == ("BADGE",)
    with pytest.raises(ConfigError, match="requires BADGE, and no provider"):
        scrub_records(records_of(BADGE), mechanism, RecordFacts(), None)


@pytest.mark.parametrize("name", ["raise_with_text", "die"])
def test_a_site_whose_recogniser_fails_refuses_to_train_and_says_which(
    tmp_path: Path, name: str
) -> None:
    own = function(write_module(tmp_path), name)
    mechanism = mechanism_of(data__scrub=["PERSON"])
    with pytest.raises(ConfigError, match=rf"site_recognizers:{name}.*document 0") as caught:
        scrub_records(records_of(TEXT), mechanism, RecordFacts(own=(own,)), None)
    assert CANARY.split()[0] not in str(caught.value)


def test_a_site_whose_model_is_gone_or_changed_refuses_to_train(tmp_path: Path) -> None:
    mechanism = mechanism_of(data__scrub=["PERSON"])
    absent = RecordFacts(own=(OwnModel(OwnModelKind.SPACY, tmp_path / "absent"),))
    with pytest.raises(ConfigError, match="is not there, so the site refuses"):
        scrub_records(records_of(TEXT), mechanism, absent, None)
    folder = spacy_pipeline(tmp_path / "rules")
    digest = digest_folder(OwnModel(OwnModelKind.SPACY, folder))
    pinned = RecordFacts(own=(OwnModel(OwnModelKind.SPACY, folder, sha256=digest),))
    (folder / "README.md").write_text("changed")
    with pytest.raises(IntegrityError, match="it was changed, so the site refuses"):
        scrub_records(records_of(TEXT), mechanism, pinned, None)


def test_a_sites_home_gives_its_trainer_what_its_policy_names(tmp_path: Path) -> None:
    policy = load_policy(site_with_function(tmp_path))
    home = SiteHome("site-1", tmp_path, *(None,) * 2, policy, *(None,) * 2)  # type: ignore[arg-type]
    own = home.record_facts("finance.generated").own
    assert own == (OwnFunction("site_recognizers:find", ("PERSON",), tmp_path / "recognizers"),)


def test_a_whole_run_trains_on_what_a_sites_own_recogniser_left(
    tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    encode = SentenceClassification.encode

    def spy(task: SentenceClassification, records: Sequence[Record]) -> EncodedRecords:
        read.extend(record.text for record in records)
        return encode(task, records)

    monkeypatch.setattr(SentenceClassification, "encode", spy)
    setting = Setting(tmp_path, tiny)
    places = setting.places()
    table = FUNCTION.replace(":find", ":find_capitals").replace("PERSON", "CAPITALISED")
    own_folder = write_module(tmp_path)
    table = table.replace('"recognizers"', f'"{own_folder}"')
    places.policy.write_text(places.policy.read_text() + table)
    config = tiny_config(tiny, RECORD, rounds=1, scrub=("CAPITALISED",))
    start_run(config, setting.out, places, Watcher())
    verify_run(setting.out, setting.root)

    assert any("<CAPITALISED>" in text for text in read)
    facts = SiteFacts.from_json((setting.state / "sites" / "site-1" / "facts.json").read_bytes())
    (provider,) = facts.providers
    assert (provider.entity, provider.name, provider.kind) == (
        "CAPITALISED",
        "site_recognizers:find_capitals",
        ProviderKind.OWN,
    )
    module = own_folder / "site_recognizers.py"
    assert provider.digest == sha256(module.read_bytes()).hex()
    assert "find_capitals" not in (setting.out / "report.html").read_text()


# Files.


def test_files_are_scrubbed_by_what_policy_and_command_line_name(
    tmp_path: Path, call: Call
) -> None:
    """The workers are daemons, which `multiprocessing` forbids to start anything."""
    policy = site_with_function(tmp_path)
    badge = FUNCTION.replace(":find", ":find_badge").replace("PERSON", "BADGE")
    policy.write_text(policy.read_text() + badge)
    folder = spacy_pipeline(tmp_path / "rules")
    notes = tmp_path / "notes.txt"
    notes.write_text(f"{TEXT} {BADGE}. Blorbank paid 7 dollars.")
    done = call("scrub", notes, "--policy", policy, "--model", f"spacy:{folder}", "--json")
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "notes.scrubbed.txt").read_text() == (
        "Seen today: <PERSON>, in good spirits. <BADGE>. <ORGANIZATION> paid 7 dollars."
    )
    providers = json.loads(done.out)["coverage"]["providers"]
    assert {(p["entity"], p["name"]) for p in providers} >= {
        ("PERSON", "site_recognizers:find"),
        ("BADGE", "site_recognizers:find_badge"),
        ("ORGANIZATION", "spacy rules"),
    }
    digests = {p["digest"] for p in providers if p["name"] == "spacy rules"}
    assert digests == {digest_folder(OwnModel(OwnModelKind.SPACY, folder))}
    assert CANARY.split()[0] not in done.out


def test_a_recogniser_that_fails_leaves_no_file_and_no_text(tmp_path: Path, call: Call) -> None:
    policy = site_with_function(tmp_path)
    text = policy.read_text().replace("site_recognizers:find", "site_recognizers:hang_on_long")
    policy.write_text(text + "seconds = 0.5\n")
    notes = tmp_path / "notes.txt"
    notes.write_text(f"short\n{TEXT} and longer than that\n")
    done = call("scrub", notes, "--each-line", "--policy", policy)
    said = done.refused(2)
    assert "row 2" in said
    assert "no answer within 0.5 seconds" in said
    assert CANARY.split()[0] not in said
    assert not (tmp_path / "notes.scrubbed.txt").exists()


@pytest.mark.parametrize("model", ["spacy", "spacy:", "onnx:x", "/opt/models/de_core"])
def test_a_model_that_is_none_is_refused_with_what_there_is(
    tmp_path: Path, call: Call, model: str
) -> None:
    (tmp_path / "notes.txt").write_text("x")
    done = call("scrub", tmp_path / "notes.txt", "--model", model)
    assert done.code == 2
    assert "spacy:FOLDER or hugging-face:FOLDER" in " ".join(done.err.split())


def test_a_model_that_is_absent_is_refused_before_anything_is_read(
    tmp_path: Path, call: Call
) -> None:
    (tmp_path / "notes.txt").write_text("x")
    done = call("scrub", tmp_path / "notes.txt", "--model", f"spacy:{tmp_path / 'absent'}")
    assert "absent of the model spacy absent is not there" in done.refused(2)
    assert not (tmp_path / "notes.scrubbed.txt").exists()


# The doctor.


def test_the_doctor_says_who_answers(tmp_path: Path) -> None:
    own = (function(write_module(tmp_path), "find"),)
    findings = list(run_checks.scrubbing(("PERSON",), own=own))
    assert findings[-1].health is Health.OK
    assert findings[-1].said == "The site's own site_recognizers:find answers; finds PERSON"


@pytest.mark.parametrize(
    ("name", "said"),
    [("raise_with_text", "failed on the document (RuntimeError)"), ("absent", "has no function")],
)
def test_the_doctor_says_who_does_not(tmp_path: Path, name: str, said: str) -> None:
    own = (function(write_module(tmp_path), name),)
    findings = checked("scrubbing", lambda: run_checks.scrubbing((), own=own))
    assert findings[-1].health is Health.BAD
    assert said in findings[-1].said


def test_the_doctor_examines_what_the_policy_of_a_run_names(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes((TEMPLATES / "run.toml").read_bytes())
    site_with_function(tmp_path)
    said = [f.said for f in examine(tmp_path / "run.toml", tmp_path / "state")]
    assert "The site's own site_recognizers:find answers; finds PERSON" in said
    (tmp_path / "policy.toml").write_text("nonsense")
    said = [f.said for f in examine(tmp_path / "run.toml", tmp_path / "state")]
    assert not any("site_recognizers" in line for line in said)
    assert any("cannot be read as TOML" in line for line in said)
