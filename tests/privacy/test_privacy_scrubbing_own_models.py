"""What a site says of its own recognisers, and what is refused before any of them is loaded."""

from __future__ import annotations

import json
import os
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.digests import digest_json, sha256
from crypto.errors import ConfigError, IntegrityError
from privacy.scrubbing import KNOWN_ENTITIES, Span
from privacy.scrubbing.own_models import OwnFunction, OwnModel, OwnModelKind
from privacy.scrubbing.own_models.description import seconds_for
from privacy.scrubbing.own_models.folders import digest_folder
from privacy.scrubbing.own_models.labels import IDENTIFY_NOBODY, USUAL, meaning, without_prefix
from privacy.scrubbing.own_models.loading import Finding, Reader
from privacy.scrubbing.own_models.windows import whole_words, windows

SPACY, HUGGING_FACE, GLINER = OwnModelKind
FOLDER = Path("models") / "de_core"


def test_descriptions_travel_and_are_equal_when_they_say_the_same() -> None:
    model = OwnModel(SPACY, FOLDER, labels=(("PER", "PERSON"),), ignored=("MISC",))
    function = OwnFunction("hospital.names:find", ("PERSON",), FOLDER)
    for own in (model, function):
        assert pickle.loads(pickle.dumps(own)) == own  # noqa: S301 - our own bytes
        assert hash(own)
    assert (model.name, function.name) == ("spacy de_core", "hospital.names:find")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 0.0}, "not in .0, 1."),
        ({"threshold": float("nan")}, "not in .0, 1."),
        ({"threshold": 1.1}, "not in .0, 1."),
        ({"kind": GLINER}, "asked for nothing"),
        ({"kind": SPACY, "threshold": 0.5}, "does not say how likely"),
        ({"seconds": 0.0}, "no time to wait"),
        ({"seconds": float("inf")}, "no time to wait"),
        ({"labels": (("PER", "person"),)}, "cannot stand as a placeholder"),
        ({"labels": (("PER", "PERSON"), ("PER", "NRP"))}, "told twice"),
        ({"labels": (("PER", "PERSON"),), "ignored": ("PER",)}, "told twice"),
    ],
)
def test_a_model_that_cannot_be_honoured_is_refused(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        OwnModel(**{"kind": HUGGING_FACE, "folder": FOLDER, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "entities", "message"),
    [
        ("hospital.names", ("PERSON",), "package.module:function"),
        ("hospital names:find", ("PERSON",), "package.module:function"),
        ("os;x:find", ("PERSON",), "package.module:function"),
        (".names:find", ("PERSON",), "package.module:function"),
        ("__main__:find", ("PERSON",), "another process"),
        ("names:find", (), "finds it"),
        ("names:find", ("Person",), "placeholder"),
    ],
)
def test_a_function_that_cannot_be_honoured_is_refused(
    function: str, entities: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        OwnFunction(function, entities)


def test_a_deadline_grows_with_the_text() -> None:
    own = OwnFunction("names:find", ("PERSON",), seconds=2.0)
    assert [seconds_for(own, "x" * n) for n in (0, 99_999, 100_000, 250_000)] == [2, 2, 4, 6]


# Labels.


def model_with(kind: OwnModelKind = SPACY, **said: tuple[object, ...]) -> OwnModel:
    return OwnModel(kind, FOLDER, **said)  # type: ignore[arg-type]


def test_usual_labels_stand_for_entities_that_are_known() -> None:
    assert set(USUAL.values()) <= set(KNOWN_ENTITIES)
    assert not set(USUAL) & IDENTIFY_NOBODY


def test_labels_of_ontonotes_need_no_words() -> None:
    labels = (
        "CARDINAL DATE EVENT FAC GPE LANGUAGE LAW LOC MONEY NORP ORDINAL ORG PERCENT PERSON "  # noqa: SIM905 - quoted words read worse
        "PRODUCT QUANTITY TIME WORK_OF_ART".split()
    )
    means = meaning(model_with(), labels)
    assert set(means) == set(labels)
    assert (means["PERSON"], means["GPE"], means["MONEY"]) == ("PERSON", "LOCATION", None)


def test_a_label_that_nobody_explained_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"MISC, VIP.*Map each"):
        meaning(model_with(), ["PER", "VIP", "MISC"])
    means = meaning(model_with(labels=(("VIP", "PERSON"),), ignored=("MISC",)), ["VIP", "MISC"])
    assert means == {"VIP": "PERSON", "MISC": None}


def test_the_site_overrides_what_is_usual() -> None:
    means = meaning(model_with(labels=(("ORG", "PERSON"),), ignored=("DATE",)), ["ORG", "DATE"])
    assert means == {"ORG": "PERSON", "DATE": None}


def test_words_about_a_label_that_the_model_lacks_are_refused() -> None:
    for model in (model_with(labels=(("PERS", "PERSON"),)), model_with(ignored=("PERS",))):
        with pytest.raises(ConfigError, match=r"no label PERS.*It has PER"):
            meaning(model, ["PER"])


def test_a_model_that_could_find_nothing_is_refused() -> None:
    for labels in ([], ["MONEY"]):
        with pytest.raises(ConfigError, match="would find nothing"):
            meaning(model_with(), labels)


def test_gliner_is_asked_in_words_so_no_label_is_usual() -> None:
    asked = model_with(GLINER, labels=(("PERSON", "NRP"),))
    assert meaning(asked, ["PERSON"]) == {"PERSON": "NRP"}
    with pytest.raises(ConfigError, match="nobody said"):
        meaning(asked, ["PERSON", "LOC"])


def test_prefixes_of_all_schemes_are_taken_off_once() -> None:
    labels = ["B-PER", "I-PER", "E-PER", "S-PER", "U-PER", "L-PER", "M-PER", "PER", "O"]
    assert [without_prefix(label) for label in labels] == ["PER"] * 8 + ["O"]
    assert [without_prefix(label) for label in ("B-B-12", "FIRST-NAME")] == ["B-12", "NAME"]


# Folders.


def folder(tmp_path: Path, kind: OwnModelKind, **files: str) -> OwnModel:
    """Return a folder with what `kind` needs, and `files` beside; underscores are dots."""
    needed = {
        SPACY: ("config.cfg", "meta.json"),
        HUGGING_FACE: ("config.json", "tokenizer.json", "model.safetensors"),
        GLINER: ("gliner_config.json", "tokenizer_config.json", "model.safetensors"),
    }[kind]
    for name in needed:
        content = '{"encoder_config": {}}' if name == "gliner_config.json" else "{}"
        (tmp_path / name).write_text(content)
    for name, content in files.items():
        path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return OwnModel(kind, tmp_path, (("person", "PERSON"),) if kind is GLINER else ())


@pytest.mark.parametrize("kind", list(OwnModelKind))
def test_the_digest_is_of_names_and_contents(tmp_path: Path, kind: OwnModelKind) -> None:
    model = folder(tmp_path, kind, sub__a_dot_txt="x")
    twin = {
        path.relative_to(tmp_path).as_posix(): sha256(path.read_bytes()).hex()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert digest_folder(model) == digest_json(twin).hex()
    (tmp_path / "sub" / "a.txt").rename(tmp_path / "sub" / "b.txt")
    assert digest_folder(model) != digest_json(twin).hex()


def test_a_pinned_digest_has_to_be_met(tmp_path: Path) -> None:
    digest = digest_folder(folder(tmp_path, SPACY))
    pinned = OwnModel(SPACY, tmp_path, sha256=digest)
    assert digest_folder(pinned) == digest
    (tmp_path / "meta.json").write_text("[]")
    with pytest.raises(IntegrityError, match=rf"wrote down {digest}: it was changed"):
        digest_folder(pinned)


@pytest.mark.parametrize("kind", list(OwnModelKind))
def test_every_needed_file_is_needed(tmp_path: Path, kind: OwnModelKind) -> None:
    model = folder(tmp_path, kind)
    for path in sorted(tmp_path.iterdir()):
        content = path.read_text()
        path.unlink()
        said = "safetensors" if path.suffix == ".safetensors" else re.escape(path.name)
        with pytest.raises(ConfigError, match=f"lacks .*{said}.*refuses to train"):
            digest_folder(model)
        path.write_text(content)
    digest_folder(model)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "absent", tmp_path / "file", Path("en_core_web_sm")):
        with pytest.raises(ConfigError, match=r"is not there.*never downloaded"):
            digest_folder(OwnModel(SPACY, path))


@pytest.mark.parametrize(
    "name",
    ["pytorch_model_dot_bin", "sub__training_args_dot_bin", "a_dot_pt", "A_dot_PKL", "b_dot_ckpt"],
)
@pytest.mark.parametrize("kind", list(OwnModelKind))
def test_pickles_are_refused(tmp_path: Path, kind: OwnModelKind, name: str) -> None:
    with pytest.raises(ConfigError, match=r"may run any code.*safetensors"):
        digest_folder(folder(tmp_path, kind, **{name: ""}))


def test_spacys_tables_are_no_pickles(tmp_path: Path) -> None:
    digest_folder(folder(tmp_path, SPACY, vocab__lookups_dot_bin="x"))
    with pytest.raises(ConfigError, match="may run any code"):
        digest_folder(folder(tmp_path, HUGGING_FACE, vocab__lookups_dot_bin="x"))


@pytest.mark.parametrize("name", ["modeling_dot_py", "sub__x_dot_so", "x_dot_pyc"])
def test_code_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="holds code"):
        digest_folder(folder(tmp_path, SPACY, **{name: ""}))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config_dot_json", {"auto_map": {"AutoConfig": "x.Y"}}, "names code.*auto_map"),
        ("tokenizer_config_dot_json", {"a": [{"auto_map": 1}]}, "names code.*auto_map"),
        ("config_dot_json", {"custom_pipelines": {}}, "names code.*custom_pipelines"),
        ("config_dot_json", {"trust_remote_code": True}, "names code.*trust_remote_code"),
        ("adapter_config_dot_json", {}, "an adapter"),
    ],
)
@pytest.mark.parametrize("kind", [HUGGING_FACE, GLINER])
def test_a_configuration_that_names_code_is_refused(
    tmp_path: Path, kind: OwnModelKind, name: str, content: object, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        digest_folder(folder(tmp_path, kind, **{name: json.dumps(content)}))


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("{}", "encoder_config"),
        ("[]", "encoder_config"),
        ('{"encoder_config": null, "model_name": "../other"}', "encoder_config"),
        ('{"encoder_config": {}, "labels_encoder": "../other"}', "labels_encoder_config"),
    ],
)
def test_a_gliner_model_whose_encoder_lies_elsewhere_is_refused(
    tmp_path: Path, content: str, key: str
) -> None:
    model = folder(tmp_path, GLINER, gliner_config_dot_json=content)
    with pytest.raises(ConfigError, match=rf"what its encoder is \({key} in"):
        digest_folder(model)


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "\ud800"])
def test_a_configuration_that_is_no_json_is_refused(tmp_path: Path, content: str) -> None:
    model = folder(tmp_path, HUGGING_FACE)
    (tmp_path / "config.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError, match=r"config\.json, which is no JSON"):
        digest_folder(model)


def test_links_to_files_are_followed_and_to_folders_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "model", tmp_path / "blobs"
    inside.mkdir()
    outside.mkdir()
    model = folder(inside, SPACY)
    digest = digest_folder(model)
    (inside / "meta.json").rename(outside / "blob")
    (inside / "meta.json").symlink_to(outside / "blob")
    assert digest_folder(model) == digest
    (inside / "vocab").symlink_to(outside)
    with pytest.raises(ConfigError, match="a link to another folder"):
        digest_folder(model)
    (inside / "vocab").unlink()
    (inside / "nowhere").symlink_to(outside / "nothing")
    with pytest.raises(ConfigError, match="nowhere, which is no file"):
        digest_folder(model)
    (inside / "nowhere").unlink()
    os.mkfifo(inside / "pipe")
    with pytest.raises(ConfigError, match="pipe, which is no file"):
        digest_folder(model)


# Pieces of a text.


@given(
    st.text(alphabet="ab \n", max_size=200),
    st.integers(min_value=1, max_value=40),
    st.integers(min_value=0, max_value=10),
)
def test_every_short_stretch_lies_within_one_piece(text: str, size: int, overlap: int) -> None:
    if 4 * overlap >= size:
        with pytest.raises(ValueError, match="quarter"):
            next(windows(text, size, overlap))
        return
    ranges = list(windows(text, size, overlap))
    assert (ranges[0][0], ranges[-1][1]) == (0, len(text))
    assert all(0 <= end - start <= size for start, end in ranges)
    assert ranges == sorted(set(ranges))
    for first in range(len(text) - overlap + 1):
        assert any(start <= first and first + overlap <= end for start, end in ranges)


def test_pieces_begin_and_end_between_words() -> None:
    text = "abcdefg " * 100
    for start, end in windows(text, 100, 20):
        assert start == 0 or text[start - 1] == " "
        assert text[end - 1] == " "


def test_the_number_of_pieces_grows_with_the_text() -> None:
    for line in ("x", "x ", "word "):
        text = line * (100_000 // len(line))
        assert len(list(windows(text, 1000, 100))) < 250


@pytest.mark.parametrize(
    ("text", "found", "widened"),
    [
        ("to Zorbina, MD", "Zor", "Zorbina"),
        ("to Zorbina, MD", "bina", "Zorbina"),
        ("O'Zorb-Quux2", "Quux", "Quux2"),
        ("Mu\u0308ller", "ller", "Mu\u0308ller"),
        ("a_Zorb_b", "Zor", "Zorb"),
        ("\uae40\ud0dc\uc6c5\uc774\uace0", "\uae40\ud0dc\uc6c5", "\uae40\ud0dc\uc6c5"),
        ("\u738b\u5c0f\u660e\u5728\u5bb6", "\u738b\u5c0f\u660e", "\u738b\u5c0f\u660e"),
        ("\u0645\u062d\u0645\u062f \u0647\u0646\u0627", "\u0645\u062d", "\u0645\u062d\u0645\u062f"),
    ],
)
def test_half_a_name_becomes_the_whole_word(text: str, found: str, widened: str) -> None:
    start = text.index(found)
    first, last = whole_words(text, start, start + len(found))
    assert text[first:last] == widened


# Reading.


def reader(read: object, **changes: object) -> Reader:
    settings = {"size": 50, "overlap": 10, "least_likely": 0.3, **changes}
    return Reader({"PER": "PERSON", "MONEY": None}, read, **settings)  # type: ignore[arg-type]


def find_word(word: str, score: float = 0.9, label: str = "PER") -> object:
    return lambda text: [
        Finding(match.start(), match.end(), label, score) for match in re.finditer(word, text)
    ]


@given(st.text(alphabet="Zorb \u0308\ud800\U0001f600\u05d0", max_size=300))
def test_a_name_is_found_wherever_it_stands(before: str) -> None:
    text = before + " Quux " + before
    spans = set(reader(find_word("Quux")).find(text))
    assert spans == {Span(len(before) + 1, len(before) + 5, "PERSON", 0.9)}


def test_what_counts_is_raised_to_the_profiles_threshold_and_the_rest_is_none() -> None:
    assert [span.score for span in reader(find_word("x", 0.3)).find("x")] == [0.4]
    assert list(reader(find_word("x", 0.29)).find("x")) == []
    assert list(reader(find_word("x", 0.9, "MONEY")).find("x")) == []
    assert reader(find_word("x")).entities == ("PERSON",)


def test_no_model_sees_a_lone_surrogate_or_a_blank_piece() -> None:
    seen: list[str] = []
    assert list(reader(lambda text: seen.append(text) or ()).find("a\ud800b" + " " * 100)) == []
    assert seen[0].startswith("a\ufffdb")
    assert all(piece.strip() for piece in seen)


@pytest.mark.parametrize(
    "found",
    [
        Finding(0, 1, "VIP", 0.9),
        Finding(-1, 1, "PER", 0.9),
        Finding(1, 1, "PER", 0.9),
        Finding(0, 9, "PER", 0.9),
        Finding(0, 1, "PER", float("nan")),
        Finding(0, 1, "PER", 1.5),
    ],
)
def test_a_finding_that_is_none_is_an_error_and_no_silence(found: Finding) -> None:
    with pytest.raises(ValueError, match=r"did not declare|outside of the text"):
        list(reader(lambda _: [found]).find("some"))
