"""The configuration: what is refused, in which words, and what its digest binds."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from round_simulator import RECORD_PRIVACY, WEIGHTS, mechanism_of, private_mechanism

from crypto.digests import canonical_json, sha256
from crypto.errors import ConfigError
from secure_fl.config import (
    NoPrivacy,
    RecordPrivacy,
    RunConfig,
    explain,
    load_config,
    parse_mechanism,
)
from secure_fl.guarantee import planned_event, resolve_sigma

if TYPE_CHECKING:
    from pathlib import Path

    from secure_fl.config import Mechanism

TOP = 'schema = "secure-fl.run.v1"\nname = "trial"\n'
MECHANISM = f"""
[mechanism]
method = "fedit"
sites = 4
adversary = "semi-honest"
[mechanism.data]
dataset = "finance.generated"
[mechanism.model]
name = "tiny"
weights_sha256 = "{WEIGHTS}"
[mechanism.adapter]
target_modules = ["query"]
[mechanism.training]
rounds = 3
local_steps = 2
learning_rate = 0.1
"""
PRIVATE = """
[mechanism.privacy]
mode = "record"
unit = "record"
epsilon = 8.0
delta = 1e-5
sampling_rate = 0.1
clip = 1.0
divisor = 10
"""
WHOLE = TOP + MECHANISM + PRIVATE


def refusal(folder: Path, text: str) -> str:
    path = folder / "run.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path} ")
    return str(caught.value)


def test_a_whole_file_loads(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(WHOLE, "utf-8")

    config = load_config(path)

    assert config.mechanism.needed_survivors() == 3
    assert isinstance(config.mechanism.privacy, RecordPrivacy)
    assert config.mechanism.privacy.sigma is None
    with pytest.raises(ValidationError):
        config.mechanism.sites = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("divisor", "divisr", "divisr` is not a key of this file, did you mean `divisor`?"),
        ("delta = 1e-5\n", "", "`mechanism.privacy.delta` is missing and has no default"),
        ('unit = "record"\n', "", "`mechanism.privacy.unit` is missing and has no default"),
        ('unit = "record"', 'unit = "site"', "a guarantee per site would be claimed falsely"),
        ("epsilon = 8.0\n", "", "give `epsilon` (a target that sigma is calibrated to) or `sigma`"),
        (
            'mode = "record"\n',
            "",
            (
                "`mechanism.privacy.mode` must be one of 'record', 'record-distributed', 'site' or "
                "'none' (no privacy guarantee)"
            ),
        ),
        ('mode = "record"', 'mode = "central"', "`mechanism.privacy.mode` must be one of"),
        ('mode = "record"', 'mode = "site"', "`mechanism.privacy.colluders` is missing"),
        ('mode = "record"', 'mode = "record-distributed"', "`mechanism.privacy.colluders` is miss"),
        (
            'mode = "record"',
            'mode = "record-distributed"\ncolluders = 0',
            "`mechanism.privacy.colluders`: Input should be greater than or equal to 1",
        ),
        ("rounds = 3", "rounds = 3\nmomentum = 0.9", "is SGD's, and Adam has moments of its own"),
        ("rounds = 3", "rounds = 3\nhead_rounds = 4", "`mechanism.training.head_rounds` is 4 of"),
        ("rounds = 3", "rounds = 3\naveraged_rounds = 4", "averaged_rounds` is 4 of a run of 3"),
        (
            "rounds = 3",
            "rounds = 3\nweighting = {typical_records = 100}",
            "promises a record that not even its presence shows, and a site's weight would change",
        ),
        (
            'mode = "record"',
            'mode = "none"',
            "is not a key of this file under this `mode`: remove it",
        ),
        ('adversary = "semi-honest"\n', "", "`mechanism.adversary` is missing and has no default"),
        ('"semi-honest"', '"kind"', "`mechanism.adversary`: Input should be 'semi-honest' or"),
        ("sites = 4", "sites = 400", "`mechanism.cohort` (drop_out_rate and corrupted_share) is"),
        (
            "sites = 4",
            "sites = 4\ncohort = {drop_out_rate = 0.1, corrupted_share = 0.1}",
            "has no meaning up to there",
        ),
        (
            "sites = 4",
            "sites = 400\nthreshold = 300\ncohort = {drop_out_rate = 0.1, corrupted_share = 0.1}",
            "leave `mechanism.threshold` out",
        ),
        ("rounds = 3", "rounds = 3\nbatch_size = 8", "no meaning under Poisson sampling"),
        ("sites = 4", "sites = 4\nthreshold = 2", "a threshold of 2 among 4 sites lets a split"),
        ("sites = 4", "sites = 4\nthreshold = 5", "choose 3 to 4, or leave it out"),
        ("sites = 4", "sites = 1", "`mechanism.sites`: Input should be greater than or equal"),
        ("sites = 4", 'sites = "4"', "`mechanism.sites`: Input should be a valid integer"),
        ("sites = 4", "sites = true", "`mechanism.sites`: Input should be a valid integer"),
        ("sites = 4", "sites = 4\nrounds = 2", "it belongs into [mechanism.training]"),
        ("sites = 4", "sites = 4\nseed = 9007199254740992", "`mechanism.seed`: Input should be"),
        ("local_steps = 2", "local_steps = 0", "`mechanism.training.local_steps`: Input should"),
        ("delta = 1e-5", "delta = 1.0", "`mechanism.privacy.delta`: Input should be less than 1"),
        ("epsilon = 8.0", "epsilon = inf", "`mechanism.privacy.epsilon`: Input should be a finite"),
        ("epsilon = 8.0", "epsilon = nan", "`mechanism.privacy.epsilon`: Input should be"),
        ("clip = 1.0", "clip = 0.0", "`mechanism.privacy.clip`: Input should be greater than 0"),
        ("sampling_rate = 0.1", "sampling_rate = 1.1", "sampling_rate`: Input should be less"),
        ("sampling_rate = 0.1", "sampling_rate = nan", "sampling_rate`: Input should be"),
        ("clip = 1.0", 'clip = 1.0\nrelation = "replace-one"', "a stronger claim than is computed"),
        (WEIGHTS, WEIGHTS[:-1], "`mechanism.model.weights_sha256`"),
        ('name = "trial"', 'name = "Trial Run"', "`name`"),
        ("secure-fl.run.v1", "secure-fl.run.v9", "`schema`"),
        (
            "[mechanism.privacy]",
            "[mechanism.privcy]",
            "not a key of this file, did you mean `privacy`",
        ),
        ("[mechanism]", "frobnicate = 1\n[mechanism]", "is not a key of this file, remove it"),
    ],
)
def test_what_a_run_cannot_be(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert WHOLE.count(old) == 1 or old in {"sites = 4", "clip = 1.0"}

    assert said in refusal(tmp_path, WHOLE.replace(old, new, 1))


def test_every_problem_is_said_at_once(tmp_path: Path) -> None:
    said = refusal(tmp_path, WHOLE.replace("delta = 1e-5\n", "").replace("sites = 4", "sites = 0"))

    assert "`mechanism.privacy.delta` is missing" in said
    assert "`mechanism.sites`" in said


def test_mode_none_has_to_say_its_batch_size(tmp_path: Path) -> None:
    plain = TOP + MECHANISM + '[mechanism.privacy]\nmode = "none"\n'

    assert "give `mechanism.training.batch_size`" in refusal(tmp_path, plain)


def test_what_is_no_configuration_at_all(tmp_path: Path) -> None:
    assert "is not TOML" in refusal(tmp_path, "sites = ")
    path = tmp_path / "latin.toml"
    path.write_bytes(b"name = '\xe9'")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        load_config(path)
    with pytest.raises(ConfigError, match="`secure-fl init` writes one"):
        load_config(tmp_path / "absent.toml")


def test_a_message_does_not_repeat_a_value(tmp_path: Path) -> None:
    said = refusal(tmp_path, WHOLE.replace('dataset = "finance.generated"', "dataset = 123456789"))

    assert "123456789" not in said


def test_with_epsilon_and_sigma_the_sigma_has_to_reach_the_epsilon() -> None:
    both = private_mechanism(privacy__epsilon=8.0)
    assert resolve_sigma(both) == both

    weak = private_mechanism(privacy__epsilon=0.1)
    with pytest.raises(ConfigError, match=r"sigma 4\.0 gives epsilon .* above the epsilon of 0\.1"):
        resolve_sigma(weak)


def test_without_sigma_nothing_is_charged() -> None:
    aimed = mechanism_of(
        privacy={**RECORD_PRIVACY, "sigma": None, "epsilon": 8.0}, training__batch_size=None
    )

    with pytest.raises(ConfigError, match="no sigma yet"):
        planned_event(aimed)


# -- shared noise ----------------------------------------------------------------------------

SHARED = {
    "record-distributed": RECORD_PRIVACY | {"mode": "record-distributed", "colluders": 1},
    "site": {"mode": "site", "delta": 1e-5, "sigma": 4.0, "clip": 1.0, "colluders": 1},
}


def shared(mode: str, **changes: Any) -> Mechanism:  # noqa: ANN401 - values of a TOML file
    batch = 8 if mode == "site" else None
    privacy = SHARED[mode] | {
        key: changes.pop(key) for key in list(changes) if key in {"colluders", "drop_outs"}
    }
    defaults = {"training__batch_size": batch, "training__local_steps": 1}
    return mechanism_of(**(defaults | changes), privacy=privacy)


@pytest.mark.parametrize("mode", SHARED)
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"protection": "plain"}, "the protection `plain` shows it to the coordinator"),
        ({"protection": "homomorphic"}, "to one colluding site: use masked sums"),
        ({"encoding__clip_range": 4.0}, "`mechanism.encoding.clip_range` has no meaning in mode"),
        ({"drop_outs": 2}, "cannot be opened after more than 1"),
        ({"colluders": 3}, "a sum of 3 sites may be opened, and 3 collude, which leaves nobody"),
        ({"sites": 2, "colluders": 2}, "a sum of 2 sites may be opened, and 2 collude"),
    ],
    ids=str,
)
def test_what_cannot_share_noise(mode: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        shared(mode, **changes)


@pytest.mark.parametrize(
    ("threshold", "colluders", "allowed"), [(3, 1, True), (3, 2, False), (4, 2, True)]
)
def test_colluders_who_could_confirm_two_lists_are_refused_against_a_malicious_coordinator(
    threshold: int, colluders: int, *, allowed: bool
) -> None:
    changes: dict[str, Any] = {"threshold": threshold, "colluders": colluders}
    assert shared("site", **changes)
    if allowed:
        assert shared("site", adversary="malicious", **changes)
        return
    with pytest.raises(ValidationError, match="can confirm two lists of survivors"):
        shared("site", adversary="malicious", **changes)


def test_a_round_of_shared_record_noise_is_one_step() -> None:
    with pytest.raises(ValidationError, match=r"`mechanism\.training\.local_steps` is 1, not 2"):
        shared("record-distributed", training__local_steps=2)
    shared("site", training__local_steps=2)


@pytest.mark.parametrize(
    ("sites", "drop_outs", "cohort", "paid"),
    [
        (4, None, 4, 1),  # the threshold is 3
        (4, None, 3, 0),
        (4, 0, 4, 0),
        (10, None, 10, 3),
        (10, 2, 10, 2),
        (10, 2, 8, 1),
        (10, 2, 7, 0),
    ],
)
def test_drop_outs_are_paid_for_down_to_the_threshold(
    sites: int, drop_outs: int | None, cohort: int, paid: int
) -> None:
    mechanism = shared("record-distributed", sites=sites, drop_outs=drop_outs)
    assert mechanism.paid_drop_outs(cohort) == paid
    assert private_mechanism().paid_drop_outs(4) == 0


def test_shared_steps_count_sites_by_their_records_anyway() -> None:
    with pytest.raises(ValidationError, match="sums over all sites' records already"):
        shared("record-distributed", training__weighting={"typical_records": 100})


def test_a_whole_sites_update_may_have_a_weight() -> None:
    weights = {"typical_records": 100, "largest": 4.0}
    section = shared("site", training__weighting=weights).training.weighting
    assert section is not None
    assert [section.weight_of(records) for records in (50, 100, 300, 900)] == [0.5, 1.0, 3.0, 4.0]


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"typical_records": 0},
        {"typical_records": 1.5},
        {"typical_records": 100, "largest": 0.5},
        {"typical_records": 100, "largest": 101},
        {"typical_records": 100, "smallest": 1},
    ],
)
def test_a_weighting_that_makes_no_sense_is_refused(weights: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        mechanism_of(training__weighting=weights)


def test_what_a_homomorphic_run_ends_with_is_stated_by_its_sites() -> None:
    with pytest.raises(ValidationError, match="would have the coordinator end with others"):
        mechanism_of(protection="homomorphic", training__averaged_rounds=1)


# -- the digest ------------------------------------------------------------------------------


def test_what_is_signed_is_exactly_this() -> None:
    # One more key is another encoding: parties of two versions refuse each other.
    written = (
        '{"adapter":{"alpha":16,"layers":null,"rank":8,"target_modules":["query"]},"adversary":"semi-honest",'
        '"cipher_suite":"x25519-hkdf-sha256-aes256ctr-z32","cohort":null,'
        '"data":{"alpha":null,"dataset":"finance.generated","key":null,"partition":"equal",'
        '"scrub":[],"scrub_mode":"placeholders","sigma":null,"smallest_share":1},'
        '"encoding":{"bits":32,"clip_range":null},'
        '"homomorphic_scheme":null,'
        f'"method":"fedit","model":{{"max_length":128,"name":"tiny","revision":null,'
        f'"weights_sha256":"{WEIGHTS}"}},"privacy":{{"mode":"none"}},"prompt":null,'
        '"protection":"masked",'
        '"seed":0,"sites":4,"threshold":null,"training":{'
        '"averaged_rounds":null,"batch_size":8,"head_learning_rate":null,"head_rounds":0,'
        '"learning_rate":0.1,"local_steps":2,"momentum":0,"optimizer":"adam","rounds":3,'
        '"schedule":"constant"}}'
    ).encode()

    assert mechanism_of().to_json() == written
    assert mechanism_of().digest() == hashlib.sha256(written).digest()


def test_the_digest_does_not_depend_on_the_order_of_the_file_or_on_defaults() -> None:
    table = json.loads(mechanism_of().to_json())
    backwards = dict(reversed(table.items()))
    bare = {key: value for key, value in backwards.items() if key not in {"seed", "encoding"}}

    assert type(mechanism_of()).model_validate(bare).digest() == mechanism_of().digest()


@given(
    changes=st.fixed_dictionaries(
        {},
        optional={
            "seed": st.integers(0, 2**53 - 1),
            "sites": st.integers(2, 100),
            "training__rounds": st.integers(1, 10_000),
            "training__learning_rate": st.floats(1e-300, 1e300),
            "encoding__clip_range": st.floats(1e-6, 1e6),
            "adapter__rank": st.integers(1, 256),
            "data__dataset": st.text(min_size=1, max_size=20),
        },
    )
)
def test_what_is_signed_is_read_back_the_same(changes: dict[str, Any]) -> None:
    mechanism = mechanism_of(**changes)

    again = parse_mechanism(mechanism.to_json())

    assert again == mechanism
    assert again.digest() == mechanism.digest() == sha256(mechanism.to_json())


@pytest.mark.parametrize(
    "change",
    [
        {"method": "ffa-lora"},
        {"sites": 5},
        {"seed": 1},
        {"protection": "plain"},
        {"protection": "homomorphic"},
        {"protection": "homomorphic", "homomorphic_scheme": "bfv"},
        {"protection": "homomorphic", "homomorphic_scheme": "ckks"},
        {"threshold": 4},
        {"adversary": "malicious"},
        {"cipher_suite": "x25519-mlkem768-hkdf-sha256-aes256ctr-z32"},
        {"encoding__bits": 24},
        {"sites": 200, "cohort": {"drop_out_rate": 0.1, "corrupted_share": 0.2}},
        {"data__scrub": ["IBAN_CODE"]},
        {"data__scrub_mode": "safe-harbor"},
        {"data__scrub": ["IBAN_CODE"], "data__scrub_mode": "expert-determination"},
        {"model__max_length": 64},
        {"adapter__rank": 4},
        {"training__rounds": 4},
        {"training__schedule": "linear"},
        {"training__head_rounds": 1},
        {"training__averaged_rounds": 1},
        {"training__weighting": {"typical_records": 100}},
        {"training__optimizer": "sgd"},
        {"training__optimizer": "sgd", "training__momentum": 0.5},
        {"adapter__layers": [0]},
        {"encoding__clip_range": 2.0},
        {"privacy": RECORD_PRIVACY, "training__batch_size": None},
    ],
)
def test_every_part_moves_the_digest(change: dict[str, Any]) -> None:
    assert mechanism_of(**change).digest() != mechanism_of().digest()


def test_the_runtime_does_not_move_the_digest() -> None:
    table = {"schema": "secure-fl.run.v1", "name": "trial", "mechanism": mechanism_of()}

    slow = RunConfig.model_validate(table | {"runtime": {"workers": 1, "threads": 4}})

    assert slow.mechanism.digest() == RunConfig.model_validate(table).mechanism.digest()


# -- a proposal ------------------------------------------------------------------------------


def _altered(change: dict[str, Any]) -> bytes:
    return canonical_json(json.loads(mechanism_of().to_json()) | change)


@pytest.mark.parametrize(
    ("proposed", "said"),
    [
        (b" " + mechanism_of().to_json(), "not in canonical form"),
        (mechanism_of().to_json().replace(b":8", b":8.0", 1), "Input should be|not in canonical"),
        (json.dumps(json.loads(mechanism_of().to_json())).encode(), "not in canonical form"),
        (_altered({"seed": 0.0}).replace(b'"seed":0', b'"seed":0.0'), "canonical|valid integer"),
        (mechanism_of().to_json().replace(b'"seed":0', b'"seed":0,"seed":0'), "canonical"),
        (_altered({"frobnicate": 1}), "`frobnicate` is not a key"),
        (_altered({"sites": "4"}), "`sites`"),
        (_altered({"encoding": {"bits": 32}}), "not in canonical form"),
        (mechanism_of().to_json().replace(b'"seed":0', b'"seed":9007199254740993'), "`seed`"),
        (b"", "Invalid JSON"),
        (b"\xff", "Invalid JSON|JSON"),
        (b"[" * 10_000, "JSON"),
        (b'{"seed":' + b"9" * 5000 + b"}", "out of range"),
        (mechanism_of().to_json()[:-1], "Invalid JSON"),
    ],
)
def test_a_proposal_that_is_not_the_one_encoding_is_refused(proposed: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_mechanism(proposed)


def test_each_mode_is_its_own_type() -> None:
    assert isinstance(parse_mechanism(mechanism_of().to_json()).privacy, NoPrivacy)
    assert isinstance(parse_mechanism(private_mechanism().to_json()).privacy, RecordPrivacy)


def test_explain_without_a_hint_still_names_the_key() -> None:
    with pytest.raises(ValidationError) as caught:
        RunConfig.model_validate({"schema": "secure-fl.run.v1", "name": "x"})

    assert "`mechanism` is missing" in explain(caught.value, "it")
