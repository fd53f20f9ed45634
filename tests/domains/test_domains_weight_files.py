"""Weights in several files: one digest over all of them, and nothing beside them is loaded."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tiny_model
import torch
from transformers import AutoModelForCausalLM

from crypto.errors import ConfigError
from domains.base_models import BaseModelRef, ResolvedModel, resolve
from domains.causal import CausalAnswers
from domains.prompts import ModelPrompt, TaskPrompt
from domains.weight_files import INDEX_FILE, WEIGHTS_FILE, digest_weights, weight_files
from secure_fl.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG = "config.json"


def sharded(whole: Path, folder: Path, size: str) -> Path:
    """Save the model of `whole` again, in shards."""
    shutil.copytree(whole, folder)
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
    (folder / WEIGHTS_FILE).unlink()
    model = AutoModelForCausalLM.from_pretrained(whole, dtype=torch.float32)
    model.save_pretrained(folder, max_shard_size=size)
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 1
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sharded")
    return sharded(tiny_model.build_tiny_llama(root / "whole").folder, root / "shards", "20KB")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "model")


def naive(folder: Path) -> str:
    """The digest as the documents say it, from the files alone."""
    names = [INDEX_FILE, *(path.name for path in folder.glob("model-*.safetensors"))]
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in sorted(names)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def found(folder: Path, digest: str) -> ResolvedModel:
    return resolve(BaseModelRef("tests/shards", digest), local=folder, allow_hub=False)


def loads_as(whole: Path, folder: Path) -> None:
    """The sharded model has the same weights as the whole one, bit for bit."""
    task = CausalAnswers(
        found(folder, naive(folder)), ("a", "b"), TaskPrompt("{text}"), ModelPrompt(), 32
    )
    mine = task.build_model(0).state_dict()
    theirs = AutoModelForCausalLM.from_pretrained(whole, dtype=torch.float32).state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_digest_is_that_of_the_list_of_all_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert digest_weights(folder).hex() == naive(folder)
    assert main(["domains", "digest", str(folder)]) == 0
    assert capsys.readouterr().out == f"{naive(folder)}\n"


def test_one_file_keeps_its_own_digest(original: Path) -> None:
    whole = original.parent / "whole"
    expected = hashlib.sha256((whole / WEIGHTS_FILE).read_bytes()).digest()
    assert digest_weights(whole) == expected


def test_shards_load_as_the_whole_model(original: Path) -> None:
    loads_as(original.parent / "whole", original)


def test_a_real_model_in_shards_loads_as_the_whole_one(
    stories_folder: Path, tmp_path: Path
) -> None:
    loads_as(stories_folder, sharded(stories_folder, tmp_path / "shards", "300KB"))


def test_every_changed_file_is_found(original: Path, tmp_path: Path) -> None:
    digest = naive(original)
    for path in weight_files(original):
        copy = shutil.copytree(original, tmp_path / path.name)
        content = (copy / path.name).read_bytes()
        if path.name == INDEX_FILE:
            changed = content.replace(b"\n", b" ", 1)  # means the same, and is not the same file
        else:
            changed = content[:-1] + bytes([content[-1] ^ 1])
        (copy / path.name).write_bytes(changed)
        with pytest.raises(ConfigError, match="is not the pinned tests/shards"):
            found(copy, digest)


def test_exchanged_shards_are_another_model(folder: Path) -> None:
    digest = naive(folder)
    first, second = sorted(folder.glob("model-*.safetensors"))[:2]
    first.rename(folder / "kept")
    second.rename(first)
    (folder / "kept").rename(second)
    with pytest.raises(ConfigError, match="is not the pinned"):
        found(folder, digest)


def name_shard(folder: Path, name: object) -> None:
    table = json.loads((folder / INDEX_FILE).read_text())
    table["weight_map"]["one.more"] = name
    (folder / INDEX_FILE).write_text(json.dumps(table))


def link_out(folder: Path) -> None:
    shard = next(folder.glob("model-*.safetensors"))
    shard.rename(folder.parent / "elsewhere")
    shard.symlink_to(folder.parent / "elsewhere")


def cut(folder: Path) -> None:
    (folder / INDEX_FILE).write_bytes((folder / INDEX_FILE).read_bytes()[:-30])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "both": (lambda f: (f / WEIGHTS_FILE).write_bytes(b""), "has both"),
    "none": (lambda f: (f / INDEX_FILE).unlink(), "has no model.safetensors, and no"),
    "absent": (lambda f: next(f.glob("model-*.safetensors")).unlink(), "Copy every shard"),
    "cut": (cut, "cut there"),
    "empty": (lambda f: (f / INDEX_FILE).write_text('{"weight_map": {}}'), "no `weight_map`"),
    "list": (lambda f: (f / INDEX_FILE).write_text('{"weight_map": [1]}'), "no `weight_map`"),
    "up": (lambda f: name_shard(f, "../elsewhere.safetensors"), "no plain name"),
    "root": (lambda f: name_shard(f, "/etc/elsewhere.safetensors"), "no plain name"),
    "pickle": (lambda f: name_shard(f, "pytorch_model.bin"), "no plain name"),
    "number": (lambda f: name_shard(f, 3), "no plain name"),
    "line": (lambda f: name_shard(f, "a\nb.safetensors"), "no plain name"),
    "link": (link_out, "is a link to a file outside"),
    "other": (
        lambda f: (f / CONFIG).write_text('{"transformers_weights": "a.safetensors"}'),
        "transformers_weights",
    ),
    "adapter": (lambda f: (f / "adapter_config.json").write_text("{}"), "adapter_config"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_not_one_whole_model_is_refused(folder: Path, fault: str) -> None:
    digest = naive(folder)
    change, said = BROKEN[fault]
    change(folder)
    with pytest.raises(ConfigError, match=said):
        found(folder, digest)


def test_a_snapshots_links_into_its_own_blobs_are_followed(folder: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models--tests--shards"
    snapshot, blobs = repository / "snapshots" / ("a" * 40), repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    digest = naive(folder)
    for path in folder.iterdir():
        path.rename(blobs / path.name)
        (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    assert found(snapshot, digest).folder == snapshot
