"""Tiny models in Hugging Face layout, and the published data where it stands beside the checkout.

The tiny models have random weights: they show mechanics, never a score.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from huggingface_hub import constants
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel, PreTrainedTokenizerFast

from domains.base_models import ResolvedModel, Source

_SHARED = Path(__file__).resolve().parents[3] / "shared"
_WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{number}" for number in range(60)))


def _beside_the_checkout(folder: Path) -> Path:
    """Return `folder`; where absent, skip, or fail where it is promised to be there."""
    if not folder.is_dir():
        reason = f"the published files are not at {folder}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def phrasebank_folder() -> Path:
    return _beside_the_checkout(_SHARED / "data" / "fpb")


@pytest.fixture(scope="session")
def tfns_folder() -> Path:
    return _beside_the_checkout(_SHARED / "data" / "tfns")


@pytest.fixture(scope="session")
def pubmedqa_folder() -> Path:
    return _beside_the_checkout(_SHARED / "data" / "pubmedqa")


@pytest.fixture(scope="session")
def stories_folder() -> Path:
    return _beside_the_checkout(_SHARED / "models" / "stories260K")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache of the test's own."""
    folder = tmp_path / "hub-cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo the suite's own offline switch, so that only the code's restraint is left."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sockets and name look-ups raise, and are listed."""
    tried: list[str] = []

    def refuse(*_: object, **__: object) -> NoReturn:
        tried.append("socket")
        raise OSError("the network was touched")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


def _save_tokenizer(folder: Path, *, pad: bool) -> None:
    tokenizer = Tokenizer(
        WordLevel({word: number for number, word in enumerate(_WORDS)}, unk_token="[UNK]")  # noqa: S106 - a token of text
    )
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    if pad:
        names["pad_token"] = "[PAD]"  # noqa: S105 - a token of text
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        model_input_names=["input_ids", *(["token_type_ids"] if pad else []), "attention_mask"],
        **names,
    ).save_pretrained(folder)


def _resolved(folder: Path) -> ResolvedModel:
    return ResolvedModel("tests/tiny", folder, "0" * 64, Source.LOCAL_FOLDER)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    """An encoder of two layers, with a pad token."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    config = BertConfig(
        vocab_size=len(_WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    _save_tokenizer(folder, pad=True)
    return _resolved(folder)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    """A decoder of two layers, without a pad token."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    config = LlamaConfig(
        vocab_size=len(_WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        max_position_embeddings=64,
        pad_token_id=None,
        bos_token_id=2,
        eos_token_id=3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaModel(config).save_pretrained(folder)
    _save_tokenizer(folder, pad=False)
    return _resolved(folder)
