"""Models small enough to make in a test, that find what the test wants them to find."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import spacy
import torch
from transformers import BertConfig, BertForTokenClassification, BertTokenizerFast

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("zorb", "quux")
HALF = "##ina"
"""The second half of "zorbina", of which the token classifier says that it is part of nothing."""
POSITIONS = 64
"""Tokens that the token classifier reads at once; RoBERTa would leave two free."""
_WIDTH = 8


def spacy_pipeline(folder: Path) -> Path:
    """Save a pipeline of rules, and an untrained model beside them that may find anything."""
    pipeline = spacy.blank("en")
    rules = pipeline.add_pipe("entity_ruler")
    rules.add_patterns(
        [
            {"label": "PERSON", "pattern": [{"LOWER": "zorb"}, {"LOWER": "quux"}]},
            {"label": "GPE", "pattern": "Xanadu"},
            {"label": "MONEY", "pattern": [{"LIKE_NUM": True}, {"LOWER": "dollars"}]},
        ]
    )
    groups = pipeline.add_pipe("span_ruler", config={"spans_key": "sc"})
    groups.add_patterns([{"label": "ORG", "pattern": "Blorbank"}])
    pipeline.to_disk(folder)
    return folder


def untrained_spacy_model(folder: Path) -> Path:
    """Save a statistical model with random weights, as `spacy train` begins with."""
    spacy.util.fix_random_seed(0)
    pipeline = spacy.blank("en")
    pipeline.add_pipe("ner").add_label("PER")
    pipeline.initialize()
    pipeline.to_disk(folder)
    return folder


def token_classifier(folder: Path) -> Path:
    """Save a BERT in which the embedding of a token alone decides whether it is a name.

    All weights are zero but the embeddings, a constant row of plus or minus one, and the
    classifier, which adds that row up.
    """
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *NAMES, HALF, "word", ".", ","]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=_WIDTH,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=_WIDTH,
        max_position_embeddings=POSITIONS,
        id2label={0: "O", 1: "SOME-PER", 2: "I-PER"},
    )
    model = BertForTokenClassification(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if name.endswith("LayerNorm.weight") else 0.0)
        row = torch.tensor([1.0, -1.0] * (_WIDTH // 2))
        for number, word in enumerate(words):
            model.bert.embeddings.word_embeddings.weight[number] = row if word in NAMES else -row
        model.classifier.weight[1] = row
    model.save_pretrained(folder)
    return folder


def without_its_head(folder: Path, copy: Path) -> Path:
    """Save the base model alone, under a configuration that says otherwise."""
    BertTokenizerFast.from_pretrained(folder).save_pretrained(copy)
    BertForTokenClassification.from_pretrained(folder).bert.save_pretrained(copy)
    config = json.loads((copy / "config.json").read_text("utf-8"))
    config["architectures"] = ["BertForTokenClassification"]
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return copy


_GLINER = '''
"""Stands in for the package `gliner`: it has the same calls, and cuts off what it cannot read."""
import json, re
from pathlib import Path

class GLiNERConfig:
    pass

class GLiNER:
    def __init__(self, folder):
        self.found = json.loads((folder / "found.json").read_text())
        self.max_len = json.loads((folder / "gliner_config.json").read_text())["max_len"]

    @classmethod
    def from_pretrained(cls, model_id, *, map_location, load_onnx_model, onnx_model_file,
                        local_files_only, strict):
        if not local_files_only or not strict or map_location != "cpu" or load_onnx_model:
            raise RuntimeError("a model would be downloaded")
        return cls(Path(model_id))

    def predict_entities(self, text, labels, flat_ner=True, threshold=0.5, multi_label=False):
        words = list(re.finditer(r"\\w+(?:[-_]\\w+)*|\\S", text))[: self.max_len]
        if not words:
            raise RuntimeError("nothing to read")
        text = text[: words[-1].end()]
        return [
            {"start": m.start(), "end": m.end(), "text": m[0], "label": label, "score": score}
            for word, (label, score) in self.found.items()
            for m in re.finditer(word, text)
            if label in labels and score >= threshold
        ]
'''


def gliner_package(folder: Path) -> Path:
    """Write a stand-in for the package into `folder`."""
    (folder / "gliner").mkdir(parents=True)
    (folder / "gliner" / "__init__.py").write_text(_GLINER, encoding="utf-8")
    return folder


def gliner_model(folder: Path, max_len: int = 20) -> Path:
    """Write a folder that the stand-in can load."""
    folder.mkdir()
    found = {"Zorb": ("person", 0.5), "Quux": ("person", 0.2), "ward 7": ("room", 0.9)}
    (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")
    (folder / "gliner_config.json").write_text(
        json.dumps({"max_len": max_len, "encoder_config": {}}), encoding="utf-8"
    )
    (folder / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    return folder
