"""A BERT of a few thousand weights, made on the fly: a whole run of it takes seconds.

It has the layout of a real base model (config, safetensors, tokenizer), so nothing in a run knows
that it is tiny.
"""

from __future__ import annotations

import hashlib
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

if TYPE_CHECKING:
    from pathlib import Path

NAME = "tests/tiny-bert"
LONGEST = 64
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """
the a of to in and for on by with its was is from at said will year quarter profit loss net sales
fell rose increased decreased declined grew cut up down higher lower company operating million eur
usd mn percent unit order contract agreement compared period same week month results shares no
change unchanged expects warned record strong weak
"""


@dataclass(frozen=True)
class TinyModel:
    """Where the model is, and the digest of its weights in hexadecimal."""

    folder: Path
    weights_sha256: str


def build_tiny_model(folder: Path, seed: int = 0) -> TinyModel:
    """Write a BERT (hidden 32, 2 layers) with a WordPiece tokenizer into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = string.ascii_lowercase + string.digits
    pieces = [*SPECIAL, *string.punctuation, *letters, *(f"##{c}" for c in letters), *WORDS.split()]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    _save_tokenizer(folder, vocabulary)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(
            BertConfig(
                vocab_size=len(vocabulary),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=48,
                max_position_embeddings=LONGEST,
                pad_token_id=vocabulary["[PAD]"],
            )
        )
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    return TinyModel(folder, _digest(folder / "model.safetensors"))


def build_tiny_llama(folder: Path, seed: int = 0) -> TinyModel:
    """Write a Llama (hidden 32, 2 layers) with the same words into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = string.ascii_lowercase + string.digits
    pieces = [*SPECIAL, *string.punctuation, *letters, *(f"##{c}" for c in letters), *WORDS.split()]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    _save_tokenizer(folder, vocabulary, end="[SEP]")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(vocabulary),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                intermediate_size=48,
                max_position_embeddings=LONGEST,
                pad_token_id=vocabulary["[PAD]"],
                bos_token_id=vocabulary["[CLS]"],
                eos_token_id=vocabulary["[SEP]"],
            )
        )
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    return TinyModel(folder, _digest(folder / "model.safetensors"))


def _save_tokenizer(folder: Path, vocabulary: dict[str, int], end: str | None = None) -> None:
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no secret
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        # A decoder's tokenizer ends nothing: an answer follows.
        single="[CLS] $A [SEP]" if end is None else "[CLS] $A",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    types = ["token_type_ids"] if end is None else []
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=LONGEST,
        model_input_names=["input_ids", *types, "attention_mask"],
        unk_token="[UNK]",  # noqa: S106 - no secret
        pad_token="[PAD]",  # noqa: S106 - no secret
        cls_token="[CLS]",  # noqa: S106 - no secret
        sep_token="[SEP]",  # noqa: S106 - no secret
        mask_token="[MASK]",  # noqa: S106 - no secret
        **({} if end is None else {"eos_token": end}),
    ).save_pretrained(folder)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
