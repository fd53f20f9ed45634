"""A run with canaries: drawn before, trained on, opened after, the same at every restart; and what
an audit makes of them.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from msgspec import structs
from round_simulator import LIMIT_BYTES, mechanism_of, policy_of
from run_forgery import coordinator_key, sign_leaves_again
from tiny_run import NONE, RECORD, Setting, Watcher, small_dataset, tiny_config

from audits.canaries import canaries_of, commitment
from audits.findings import Verdict, Window
from audits.release import canary_gates
from crypto.codec import decode, encode
from crypto.errors import BudgetError, ConfigError, IntegrityError
from crypto.keyfiles import read_secret
from crypto.secrets import SecretBytes
from crypto.signatures import Signed, SigningKey, schema_of, sign_message
from domains.classification import SentenceClassification
from domains.partition import equal
from secure_fl import canaries
from secure_fl.auditing import canary_parts, release_canaries, release_inference
from secure_fl.auditing.canary_parts import Lesson
from secure_fl.auditing.subject import open_subject
from secure_fl.canaries import seed_of, with_fresh_number, with_members
from secure_fl.config import Mechanism, parse_mechanism
from secure_fl.embedded import resume_run, start_run
from secure_fl.rounds.messages import ExtractSent, Joined
from secure_fl.runfolder import RunFolder
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tiny_model import TinyModel

    from audits.canaries import Canary
    from crypto.codec import Message
    from domains.encoding import EncodedRecords
    from domains.records import Record

    M = TypeVar("M", bound=Message)

SITES = ("site-1", "site-2", "site-3")
ASKED: dict[str, Any] = {"each": 12, "repetitions": [1, 3]}
"""Coins are tossed anew in every run: of so many, one side has too few in none of a million."""
MOST = 48
"""Records that a site may train on for it: 12 once and 12 three times, were all members."""
NUMBER = "00112233445566778899aabbccddeeff"


class Finished:
    """A finished run, and the texts and labels of each list of records that was encoded."""

    def __init__(self, setting: Setting, read: list[list[Record]]) -> None:
        self.setting = setting
        self.read = read
        self.folder = RunFolder(setting.out)

    @property
    def mechanism(self) -> Mechanism:
        return self.folder.config().mechanism

    def said(self, kind: type[M], site: str) -> M:
        """The last statement of the kind by `site`."""
        return last_said(self.folder, kind, site)

    def opened(self, site: str) -> tuple[Canary, ...]:
        plan = canaries.plan_of(self.mechanism)
        assert plan is not None
        return canaries_of(SecretBytes(self.said(ExtractSent, site).canaries), plan)


def last_said(folder: RunFolder, kind: type[M], site: str) -> M:
    signed = (decode(Signed, leaf, limit_bytes=LIMIT_BYTES) for leaf in folder.leaves())
    *_, last = (each for each in signed if (each.label, each.signer) == (schema_of(kind), site))
    return decode(kind, last.body, limit_bytes=LIMIT_BYTES)


def run_in(
    folder: Path, tiny: TinyModel, privacy: dict[str, Any], asked: dict[str, Any] | None = ASKED
) -> Finished:
    setting = Setting(folder, tiny, most_canaries=MOST)
    read: list[list[Record]] = []
    encode_records = SentenceClassification.encode

    def spy(task: SentenceClassification, records: Sequence[Record]) -> EncodedRecords:
        read.append(list(records))
        return encode_records(task, records)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SentenceClassification, "encode", spy)
        start_run(
            tiny_config(tiny, privacy, canaries=asked), setting.out, setting.places(), Watcher()
        )
    return Finished(setting, read)


@pytest.fixture(scope="module")
def finished(tiny: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return run_in(tmp_path_factory.mktemp("canaries"), tiny, NONE)


@pytest.fixture(scope="module")
def without(tiny: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return run_in(tmp_path_factory.mktemp("without"), tiny, NONE, None)


# -- a whole run -----------------------------------------------------------------------------------


def test_each_site_opens_what_it_was_committed_to_and_the_folder_verifies(
    finished: Finished,
) -> None:
    verify_run(finished.folder.path, finished.setting.root)
    plan = canaries.plan_of(finished.mechanism)
    assert plan is not None
    seeds = set()
    for site in SITES:
        seed = finished.said(ExtractSent, site).canaries
        seeds.add(seed)
        assert len(seed) == 32
        assert finished.said(Joined, site).canaries == commitment(SecretBytes(seed), plan)
    assert len(seeds) == len(SITES)


def test_the_signed_configuration_holds_a_number_of_its_own(finished: Finished) -> None:
    section = finished.mechanism.canaries
    assert section is not None
    assert section.number is not None
    written = (finished.folder.path / "config.toml").read_text("utf-8")
    assert re.search(rf'^number = "{section.number}"$', written, re.MULTILINE)


def test_members_and_only_they_are_trained_on_each_as_often_as_it_says(finished: Finished) -> None:
    own = small_dataset()
    shares = equal(own.train, len(SITES), 3)
    for site, share in zip(SITES, shares, strict=True):
        opened = finished.opened(site)
        texts = {canary.text for canary in opened}
        (trained,) = [read for read in finished.read if texts & {record.text for record in read}]
        members = [canary for canary in opened if canary.member]
        assert 0 < len(members) < len(opened)
        assert len(trained) == len(share) + sum(canary.repetitions for canary in members)
        assert [record.text for record in trained[: len(share)]] == [r.text for r in share]
        assert [(record.text, record.label) for record in trained[len(share) :]] == [
            (canary.text, canary.label(len(own.labels)))
            for canary in members
            for _ in range(canary.repetitions)
        ]
        assert len({record.id for record in trained}) == len(trained)


def test_neither_a_seed_nor_a_canary_is_known_before_the_last_statement(
    finished: Finished,
) -> None:
    leaves = finished.folder.leaves()
    for site in SITES:
        seed = finished.said(ExtractSent, site).canaries
        (place,) = [number for number, leaf in enumerate(leaves) if seed in leaf]
        last_round = max(
            number for number, leaf in enumerate(leaves) if b"secure-fl.uploaded" in leaf
        )
        assert place > last_round
    kept = [path.read_bytes() for path in finished.setting.out.rglob("*") if path.is_file()]
    for site in SITES:
        for canary in finished.opened(site):
            assert not [data for data in kept if canary.text.encode() in data]


def test_two_runs_of_one_configuration_have_other_canaries(
    tiny: TinyModel, tmp_path: Path, finished: Finished
) -> None:
    """Whatever number the configuration came with: that of an earlier run is known."""
    again = run_in(tmp_path, tiny, NONE, ASKED | {"number": NUMBER})
    assert again.mechanism.canaries is not None
    assert again.mechanism.canaries.number != NUMBER
    assert again.mechanism.digest() != finished.mechanism.digest()
    texts = [
        {canary.text for site in SITES for canary in run.opened(site)} for run in (finished, again)
    ]
    assert not texts[0] & texts[1]


@pytest.mark.parametrize("event", ["hello 0", "close 1"])
def test_a_run_that_was_stopped_goes_on_with_the_same_canaries(
    tiny: TinyModel, tmp_path: Path, event: str
) -> None:
    setting = Setting(tmp_path, tiny, most_canaries=MOST)
    config = tiny_config(tiny, canaries=ASKED)
    with pytest.raises(KeyboardInterrupt):
        start_run(config, setting.out, setting.places(), Watcher(lambda told: told == event))
    begun = RunFolder(setting.out).config().mechanism
    resume_run(setting.out, setting.places(), Watcher())
    verify_run(setting.out, setting.root)
    ended = RunFolder(setting.out)
    assert ended.config().mechanism == begun
    for site in SITES:
        home = setting.state / "sites" / site / "identity.key"
        expected = canaries.key_of(SigningKey.from_seed(read_secret(home)))(begun.digest())
        assert last_said(ended, ExtractSent, site).canaries == expected.reveal()


# -- a run without ---------------------------------------------------------------------------------


def test_a_run_without_canaries_says_and_signs_nothing_of_them(without: Finished) -> None:
    verify_run(without.folder.path, without.setting.root)
    assert "canaries" not in json.loads(without.mechanism.to_json())
    assert "canaries" not in (without.folder.path / "config.toml").read_text("utf-8")
    for site in SITES:
        assert without.said(Joined, site).canaries == b""
        assert without.said(ExtractSent, site).canaries == b""
    assert max(len(read) for read in without.read) == len(small_dataset().train) // len(SITES)


def test_the_digest_of_a_mechanism_without_canaries_is_the_one_it_had_before_there_were_any() -> (
    None
):
    mechanism = mechanism_of()
    assert with_fresh_number(mechanism, lambda _: pytest.fail("drawn")) is mechanism
    table = json.loads(mechanism.to_json())
    assert "canaries" not in table
    assert Mechanism.model_validate(table | {"canaries": None}).digest() == mechanism.digest()
    some = mechanism_of(canaries={"each": 1})
    assert some.digest() != mechanism.digest()
    assert parse_mechanism(some.to_json()) == some


# -- what a site refuses ---------------------------------------------------------------------------


def test_a_policy_allows_no_canaries_that_it_does_not_speak_of() -> None:
    asked = mechanism_of(canaries={"each": 5, "repetitions": [1, 4]})
    with pytest.raises(BudgetError, match="up to 25 canaries would be trained on, and at most 0"):
        policy_of().check(asked)
    with pytest.raises(BudgetError, match=r"at most 24 may be \(`mechanism.canaries`\)"):
        policy_of(most_canaries=24).check(asked)
    policy_of(most_canaries=25).check(asked)
    policy_of().check(mechanism_of())


def test_a_run_that_the_policy_forbids_begins_nothing(tiny: TinyModel, tmp_path: Path) -> None:
    setting = Setting(tmp_path, tiny, most_canaries=MOST - 1)
    with pytest.raises(BudgetError, match=f"up to {MOST} canaries"):
        start_run(tiny_config(tiny, canaries=ASKED), setting.out, setting.places(), Watcher())
    assert not setting.out.exists()


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"each": 0},
        {"each": 1, "repetitions": []},
        {"each": 1, "repetitions": [2, 2]},
        {"each": 2**14 + 1},
        {"each": 1, "number": "00"},
        {"each": 1, "headline": "area"},
    ],
)
def test_a_section_that_tests_nothing_is_no_configuration(section: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="canaries"):
        mechanism_of(canaries=section)


def test_secrets_are_a_language_models_and_change_what_is_signed() -> None:
    with pytest.raises(ValueError, match=r"ask a causal language model \(`mechanism.prompt`\)"):
        mechanism_of(canaries={"each": 1, "answers": "secrets"})
    secrets = mechanism_of(canaries={"each": 1, "answers": "secrets"}, prompt=PROMPT)
    labels = mechanism_of(canaries={"each": 1, "answers": "labels"}, prompt=PROMPT)
    assert secrets.digest() != labels.digest()
    assert parse_mechanism(secrets.to_json()) == secrets
    assert "answers" not in json.loads(labels.to_json())["canaries"], "as before there were others"


def test_records_with_options_may_have_canaries_with_secrets() -> None:
    asked = {"each": 20, "number": NUMBER, "answers": "secrets"}
    mechanism = mechanism_of(
        canaries=asked, prompt={"template": "{text}"}, data__dataset="biomedical.medmcqa"
    )
    found = with_members(mechanism, [], SecretBytes(bytes(32)), 4, None)
    assert {(record.label, len(record.options)) for record in found} == {(0, 1)}


def test_a_site_draws_none_without_a_number_or_a_key() -> None:
    seed = SecretBytes(bytes(32))
    with pytest.raises(ConfigError, match="no number of its own"):
        seed_of(mechanism_of(canaries={"each": 1}), lambda _: seed)
    numbered = mechanism_of(canaries={"each": 1, "number": NUMBER})
    with pytest.raises(ConfigError, match="nothing to draw them by"):
        seed_of(numbered, None)
    assert seed_of(numbered, lambda _: seed) is seed
    assert seed_of(mechanism_of(), None) is None


def test_a_seed_is_one_of_the_whole_configuration_and_of_the_site() -> None:
    keys = [canaries.key_of(SigningKey(SecretBytes(bytes([n] * 32)))) for n in range(2)]
    runs = [
        mechanism_of(canaries={"each": 1, "number": number}, seed=seed)
        for number in (NUMBER, NUMBER[::-1])
        for seed in (1, 2)
    ]
    assert len({key(run.digest()).reveal() for key in keys for run in runs}) == 8


def test_records_that_bring_their_own_options_have_no_canaries(
    tiny: TinyModel, tmp_path: Path
) -> None:
    mechanism = mechanism_of(
        canaries={"each": 1, "number": NUMBER}, data__dataset="biomedical.medmcqa"
    )
    with pytest.raises(ConfigError, match="brings options with every record"):
        with_members(mechanism, [], SecretBytes(bytes(32)), 4, None)
    assert with_members(mechanism_of(), [], None, 3, None) == ()
    dataset = replace(small_dataset(), name="biomedical.medmcqa")
    setting = Setting(tmp_path, tiny, dataset=dataset, most_canaries=MOST)
    config = tiny_config(tiny, canaries=ASKED, dataset=dataset.name)
    with pytest.raises(ConfigError, match="brings options with every record"):
        start_run(config, setting.out, setting.places(), Watcher())
    assert not setting.out.exists()


PROMPT = {"template": "{text}", "answers": ["a", "b", "c"]}


@pytest.mark.parametrize("answers", ["labels", "secrets"])
def test_every_repetition_is_a_unit_of_its_own(answers: str) -> None:
    asked = {"each": 20, "repetitions": [2], "number": NUMBER, "answers": answers}
    mechanism = mechanism_of(canaries=asked, prompt=PROMPT)
    found = with_members(mechanism, [], SecretBytes(bytes(32)), 3, "patient")
    assert len(found) > 10
    secrets = {record.options for record in found}
    assert len(secrets) == (1 if answers == "labels" else len(found) // 2)
    assert len({record.columns["patient"] for record in found}) == len(found)
    assert len({record.text for record in found}) == len(found) // 2


# -- a folder that was tampered with ---------------------------------------------------------------


def restated(run: Finished, kind: type[Message], **changes: Any) -> list[bytes]:  # noqa: ANN401 - a field's value
    """The transcript with another statement of site-2, signed by it."""
    home = run.setting.state / "sites" / "site-2" / "identity.key"
    key = SigningKey.from_seed(read_secret(home))
    leaves = list(run.folder.leaves())
    for place, leaf in enumerate(leaves):
        signed = decode(Signed, leaf, limit_bytes=LIMIT_BYTES)
        if (signed.label, signed.signer) == (schema_of(kind), "site-2"):
            body = decode(kind, signed.body, limit_bytes=LIMIT_BYTES)
            forged = sign_message(key, "site-2", structs.replace(body, **changes))
            leaves[place] = encode(forged)
    return leaves


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (ExtractSent, bytes(32), "site-2 opened other canaries than it was committed to"),
        (ExtractSent, b"", "site-2 opened other canaries than it was committed to"),
        (ExtractSent, bytes(31), "site-2 opened other canaries than it was committed to"),
        (Joined, bytes(32), "site-2 opened other canaries than it was committed to"),
        (Joined, b"", "or to none in a run with them"),
    ],
)
def test_a_folder_whose_canaries_were_chosen_afterwards_does_not_verify(
    finished: Finished, tmp_path: Path, kind: type[Message], value: bytes, said: str
) -> None:
    copy = copied(finished, tmp_path)
    leaves = restated(finished, kind, canaries=value)
    sign_leaves_again(copy, coordinator_key(finished.setting.state), leaves)
    with pytest.raises(IntegrityError, match=said):
        verify_run(copy.path, finished.setting.root)


@pytest.mark.parametrize(
    ("kind", "said"),
    [(ExtractSent, "opened other canaries"), (Joined, "committed to canaries in a run without")],
)
def test_a_folder_without_canaries_in_which_some_stand_does_not_verify(
    without: Finished, tmp_path: Path, kind: type[Message], said: str
) -> None:
    copy = copied(without, tmp_path)
    leaves = restated(without, kind, canaries=bytes(32))
    sign_leaves_again(copy, coordinator_key(without.setting.state), leaves)
    with pytest.raises(IntegrityError, match=said):
        verify_run(copy.path, without.setting.root)


def test_what_a_forger_signs_again_unchanged_still_verifies(
    finished: Finished, tmp_path: Path
) -> None:
    """So that the refusals above are of what was changed."""
    copy = copied(finished, tmp_path)
    leaves = list(finished.folder.leaves())
    sign_leaves_again(copy, coordinator_key(finished.setting.state), leaves)
    verify_run(copy.path, finished.setting.root)


def copied(run: Finished, folder: Path) -> RunFolder:
    shutil.copytree(run.setting.out, folder / "run")
    return RunFolder(folder / "run")


# -- the attack ------------------------------------------------------------------------------------


@pytest.fixture
def few_dealings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blind baseline takes most of an attack's time, and has tests of its own."""
    monkeypatch.setattr(canary_gates, "_DEALINGS", 49)


@pytest.fixture
def quick_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small a model needs large steps before it knows anything by heart."""
    monkeypatch.setattr(canary_parts, "LESSON", Lesson(80, 240, 1e-2, 5e-2))


@pytest.mark.usefixtures("few_dealings", "quick_learner")
def test_the_attack_gives_both_findings_and_its_positive_control_lights_up(
    finished: Finished,
) -> None:
    noted: list[tuple[int, int]] = []
    found = release_canaries.run(
        open_subject(finished.folder.path), lambda done, of: noted.append((done, of))
    )
    once, repeated = found
    assert [each.gate for each in found] == [canary_gates.ONCE, canary_gates.REPEATED]
    assert noted == [(0, 3), (1, 3), (2, 3), (3, 3)]
    opened = [canary for site in SITES for canary in finished.opened(site)]
    controls = sum(not canary.member for canary in opened)
    for finding, count in ((once, 1), (repeated, 3)):
        members = sum(canary.member and canary.repetitions == count for canary in opened)
        assert finding.samples == members + controls
        assert finding.window is Window.RELEASE
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert "The run claims nothing that could be refuted" in finding.reason
        (control,) = [each for each in finding.details if "positive control" in each.name]
        assert control.interval is not None
        assert control.interval[0] > 0.6
        assert finding.statistic is not None
        assert "before the first round" in finding.statistic.name
        assert sum("exploratory" in each.name for each in finding.details) == 2


@pytest.mark.usefixtures("quick_learner")
def test_labels_and_words_are_guessed_of_one_positive_control(finished: Finished) -> None:
    noted: list[tuple[int, int]] = []
    subject = open_subject(finished.folder.path)
    labels, words = release_inference.run(subject, lambda done, of: noted.append((done, of)))
    assert noted == [(0, 3), (1, 3), (2, 3), (3, 3)]
    opened = [canary for site in SITES for canary in finished.opened(site)]
    once = sum(canary.member and canary.repetitions == 1 for canary in opened)
    for finding, gate in ((labels, "label-inference"), (words, "attribute-inference")):
        assert (finding.gate, finding.samples) == (gate, once)
        assert finding.verdict is Verdict.INCONCLUSIVE
    (known,) = [each.value for each in labels.details if "positive control" in each.name]
    assert known is not None
    assert known > 0.5, "of three labels"


@pytest.mark.usefixtures("few_dealings")
@pytest.mark.parametrize("headline", ["loss", "lira"])
def test_the_attack_on_a_private_run_is_held_against_its_claim(
    tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, headline: str
) -> None:
    monkeypatch.setattr(canary_parts, "LESSON", Lesson(3, 240, 2e-3, 1e-2))
    noted: list[tuple[int, int]] = []
    run = run_in(tmp_path, tiny, RECORD, {"each": 24, "headline": headline})
    verify_run(run.folder.path, run.setting.root)
    once, repeated = release_canaries.run(
        open_subject(run.folder.path), lambda done, of: noted.append((done, of))
    )
    assert noted[-1] == ((7, 7) if headline == "lira" else (3, 3)), "a step for each reference"
    assert once.ceiling is not None
    assert once.statistic is not None
    assert ("by LiRA against 4" in once.statistic.name) is (headline == "lira")
    assert ("by RMIA" in str(once.details)) is (headline == "lira")
    assert once.verdict is not Verdict.VIOLATED
    assert repeated.verdict is Verdict.NOT_RUN
    again, _ = release_canaries.run(open_subject(run.folder.path), lambda *_: None)
    assert again == once


def test_a_run_without_canaries_has_nothing_to_ask_for(without: Finished) -> None:
    with pytest.raises(ConfigError, match="had no canaries"):
        release_canaries.run(open_subject(without.folder.path), lambda *_: None)
