"""The attack on a run's secrets: what is asked of the adapter, and what it is ranked among."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tiny_model
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from tiny_run import NONE, Setting, Watcher, tiny_config

from audits.canaries import SECRETS, Answers, CanaryPlan, canaries_of
from audits.findings import Verdict, Window
from audits.release import secret_gates
from crypto.errors import ConfigError
from crypto.secrets import SecretBytes
from secure_fl.auditing import release_secrets
from secure_fl.auditing.canary_parts import Lesson, opened
from secure_fl.auditing.release_secrets import choices_of, others
from secure_fl.auditing.subject import open_subject
from secure_fl.canaries import record_of
from secure_fl.config import RunConfig
from secure_fl.embedded import start_run
from secure_fl.evaluation import load_adapter
from secure_fl.sites.workbench import build_task
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from audits.canaries import Canary
    from audits.findings import Finding
    from audits.release.secret_gates import SecretEvidence
    from audits.server.distinguish import Claimed
    from domains.causal import CausalAnswers
    from domains.records import Record
    from secure_fl.auditing.subject import Subject
    from secure_fl.sites.adapted_model import AdaptedModel

CHOICES = 16
ASKED: dict[str, Any] = {"each": 14, "repetitions": [1, 3], "answers": "secrets"}
"""At two sites. Coins are tossed anew in every run: fewer than eight of a side are there in none of
a million."""
MOST = 56
CANARY = canaries_of(SecretBytes(bytes(32)), CanaryPlan(1, (1,), Answers.SECRETS))[0]


@dataclass(frozen=True)
class Attacked:
    """A run with secrets, and what the attack on it made of it."""

    subject: Subject
    canaries: list[Canary]
    evidence: SecretEvidence
    found: tuple[Finding, ...]
    noted: list[tuple[int, int]]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Attacked:
    folder = tmp_path_factory.mktemp("secrets")
    setting = Setting(folder, tiny_model.build_tiny_llama(folder / "llama"), most_canaries=MOST)
    start_run(secret_config(setting), setting.out, setting.places(), Watcher())
    verify_run(setting.out, setting.root)
    subject = open_subject(setting.out)
    kept: list[SecretEvidence] = []
    noted: list[tuple[int, int]] = []
    judge = release_secrets.secret_findings

    def spy(evidence: SecretEvidence, claimed: Claimed | None) -> tuple[Finding, Finding]:
        kept.append(evidence)
        return judge(evidence, claimed)

    with pytest.MonkeyPatch.context() as patch:
        # So small a model needs large steps before it knows anything by heart.
        patch.setattr(release_secrets, "_BY_HEART", Lesson(60, 240, 2e-2, 1e-2))
        # Secrets are drawn anew, too, and one run in a thousand has lucky controls.
        patch.setattr(secret_gates, "_LUCKY", 1e-12)
        patch.setattr(release_secrets, "_FEWEST", CHOICES)
        patch.setattr(release_secrets, "_MOST", CHOICES)
        patch.setattr(release_secrets, "secret_findings", spy)
        found = release_secrets.run(subject, lambda done, of: noted.append((done, of)))
    return Attacked(subject, opened(subject), kept[0], found, noted)


def secret_config(setting: Setting) -> RunConfig:
    """The tiny run with a language model, which learns its few records and all secrets well."""
    config = tiny_config(
        setting.model,
        NONE,
        sites=2,
        adapter={"target_modules": ["q_proj", "v_proj", "up_proj", "down_proj"], "rank": 8},
        training={"local_steps": 40, "learning_rate": 0.02, "optimizer": "adam"},
    )
    table = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    table["mechanism"]["prompt"] = {
        "template": "what of this:\n{text}\nanswer:",
        "answers": ["down", "no change", "up"],
    }
    table["mechanism"]["canaries"] = ASKED
    table["runtime"]["micro_batch"] = 64
    return RunConfig.model_validate(table)


# -- a whole run -----------------------------------------------------------------------------------


def test_the_attack_gives_both_findings_and_its_positive_control_lights_up(
    attacked: Attacked,
) -> None:
    once, repeated = attacked.found
    assert [each.gate for each in attacked.found] == [secret_gates.ONCE, secret_gates.REPEATED]
    assert attacked.noted == [(done, 4) for done in range(5)]
    for finding, count in ((once, 1), (repeated, 3)):
        mine = [each for each in attacked.canaries if each.member and each.repetitions == count]
        assert finding.samples == len(mine)
        assert finding.window is Window.RELEASE
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert "The run claims nothing that could be refuted" in finding.reason
        (control,) = [each for each in finding.details if "positive control" in each.name]
        assert control.interval is not None
        assert control.interval[0] > 0.2


def log_likelihood(
    task: CausalAnswers, adapted: AdaptedModel, record: Record, secret: str
) -> float:
    """One text in a pass of its own, token by token."""
    logits, tokens = task.answer_logits(adapted.model, replace(record, options=(secret,)))
    log_p = special.log_softmax(logits.astype(np.float64), axis=1)
    return float(sum(log_p[place, token] for place, token in enumerate(tokens)))


def test_a_secrets_rank_is_its_place_by_what_training_made_likelier(attacked: Attacked) -> None:
    """One candidate after another, each in a forward pass of its own."""
    config, labels = attacked.subject.config, attacked.subject.facts.data.labels
    task, adapted = build_task(config.mechanism, labels, config.runtime)
    chosen = (0, 17, 41)
    texts = {
        place: (
            attacked.canaries[place].secret or "",
            *others(attacked.canaries[place], CHOICES - 1),
        )
        for place in chosen
    }

    def all_of_them() -> dict[int, np.ndarray]:
        return {
            place: np.array(
                [
                    log_likelihood(task, adapted, record_of(attacked.canaries[place], "0", 3), each)
                    for each in texts[place]
                ]
            )
            for place in chosen
        }

    before = all_of_them()
    load_adapter(adapted, attacked.subject.folder.path)
    after = all_of_them()
    assert attacked.evidence.candidates == CHOICES
    for place in chosen:
        gained = after[place] - before[place]
        assert attacked.evidence.ranks[place] == 1 + int((gained[1:] >= gained[0]).sum())


def test_what_is_recited_is_what_the_model_writes(attacked: Attacked) -> None:
    """Against the greedy decoding of the library that made the model, from the same question."""
    config, labels = attacked.subject.config, attacked.subject.facts.data.labels
    task, adapted = build_task(config.mechanism, labels, config.runtime)
    load_adapter(adapted, attacked.subject.folder.path)
    for place in (3, 30):
        record = record_of(attacked.canaries[place], "0", 3)
        encoded = task.encode([record])
        assert encoded.prompt_lengths is not None
        size = int(encoded.prompt_lengths[0])
        ((secret,),) = encoded.answers
        written = torch.from_numpy(encoded.token_ids[0][:size])[None]
        with torch.inference_mode():
            for _ in secret:
                following = adapted.model(input_ids=written).logits[0, -1].argmax()
                written = torch.cat([written, following.reshape(1, 1)], dim=1)
        right = np.cumprod(written[0, size:].numpy() == secret)
        assert attacked.evidence.recited[place] == pytest.approx(right.mean())


def test_whom_the_coin_chose_is_what_the_sites_opened(attacked: Attacked) -> None:
    evidence = attacked.evidence
    assert evidence.members.tolist() == [canary.member for canary in attacked.canaries]
    assert evidence.repetitions.tolist() == [canary.repetitions for canary in attacked.canaries]
    names = [each.attack for each in evidence.scores]
    assert names == ["the loss", "Min-K%++", "zlib", "the loss below that before the first round"]
    shown = repr(evidence) + "".join(each.model_dump_json() for each in attacked.found)
    assert not [each for each in attacked.canaries if str(each.secret) in shown]


def test_a_run_without_secrets_has_none_to_ask_for(attacked: Attacked) -> None:
    for canaries in (None, {"each": 14, "answers": "labels"}):
        table = attacked.subject.config.model_dump(mode="json", by_alias=True, exclude_none=True)
        table["mechanism"]["canaries"] = canaries
        other = replace(attacked.subject, config=RunConfig.model_validate(table))
        with pytest.raises(ConfigError, match="canaries have no secrets"):
            release_secrets.run(other, lambda *_: None)


# -- candidates ------------------------------------------------------------------------------------


@given(st.integers(0, 2**53 - 1), st.integers(1, 200))
def test_candidates_are_different_secrets_beside_the_canarys_own(salt: int, count: int) -> None:
    canary = replace(CANARY, salt=salt)
    found = others(canary, count)
    assert len(set(found)) == len(found) == count
    assert canary.secret not in found
    assert all(re.fullmatch(r"[0-9]{4}-[0-9]{4}", each) for each in found)
    assert others(canary, count) == found, "whoever repeats the audit ranks the same"


def test_a_candidate_that_is_the_secret_itself_is_drawn_again() -> None:
    plain = others(CANARY, 5)
    assert others(replace(CANARY, secret=plain[2]), 4) == (*plain[:2], *plain[3:])


def test_candidates_are_uniform_and_apart_from_the_secret_and_each_other() -> None:
    drawn = [
        int(each.replace("-", ""))
        for salt in range(20)
        for each in others(replace(CANARY, salt=salt), 200)
    ]
    assert len(set(drawn)) > 3990
    assert stats.kstest(np.array(drawn) / SECRETS, "uniform").pvalue > 1e-3


@given(st.integers(1, 1 << 16))
def test_there_are_as_many_candidates_as_can_be_read_and_never_too_few(secrets: int) -> None:
    count = choices_of(secrets)
    assert count.bit_count() == 1
    assert 64 <= count <= 1024
    assert count == 64 or secrets * count <= 1 << 16
    assert count == 1024 or secrets * count * 2 > 1 << 16
