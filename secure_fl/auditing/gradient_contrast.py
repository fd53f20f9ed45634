"""For contrast: what a search for matching gradients recovers of one text, alone and in a sum.

A site's plain update of one text, as it would be read without masks and noise, beside the run's own
opened sum of the same text. The search does not look at spans at all; it is given the number of
tokens, which is more than a reader would know.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from audits.inversion.gates import Contrast
from audits.inversion.gradient_inversion import Search, Sought, invert_gradient
from domains.classification import SentenceClassification
from domains.sentence_head import sentence_logits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from domains.tasks import Task
    from secure_fl.auditing.gradient_sums import Gradients, GradientSums
    from secure_fl.auditing.probe_texts import Probes
    from secure_fl.sites.adapted_model import AdaptedModel

TEXTS: Final = 8
"""Few: the search takes seconds for each, and decides nothing."""
_ITERATIONS: Final = 40


def contrast_of(
    task: Task,
    adapted: AdaptedModel,
    sums: GradientSums,
    probes: Probes,
    beside: Callable[[], Gradients],
) -> Contrast | None:
    """Return how many tokens of the first probes are found in plain updates and in opened sums.

    Args:
        task: reads the texts; None is returned for one that is no classification.
        adapted: the model that the run starts with.
        sums: makes and opens sums.
        probes: texts, of which the first `TEXTS` are taken.
        beside: gives what is summed with a text.
    """
    if not isinstance(task, SentenceClassification):
        return None
    texts = range(min(TEXTS, len(probes.inputs)))
    words = plain = opened = 0
    for text in texts:
        search = _TextSearch(task, adapted, probes, text)
        alone = sums.of_text(probes.records, text)
        words += len(search.own)
        plain += len(search.own & search.recovered(alone))
        summed = {name: part + alone[name] for name, part in beside().items()}
        opened += len(search.own & search.recovered(sums.opened(summed)))
    return Contrast(texts=len(texts), words=words, plain=plain, opened=opened)


class _TextSearch:
    """Searches for one text, whose number of tokens is known."""

    def __init__(
        self, task: SentenceClassification, adapted: AdaptedModel, probes: Probes, text: int
    ) -> None:
        self._adapted = adapted
        self._batch = next(iter(task.micro_batches(probes.records, np.array([text], np.int64), 1)))
        self._embedding = adapted.model.get_input_embeddings()
        self._table = self._embedding.weight.detach()
        self._sought = Sought(
            int(probes.records.token_ids[text].size), int(self._table.shape[1]), len(task.labels)
        )
        self._seed = text
        self._search = Search(1, 1, _ITERATIONS, spread=float(self._table.std()))
        # Every text has the tokens at its two ends.
        each = [frozenset(token for _, token in own) for own in probes.inputs]
        self.own = each[text] - frozenset.intersection(*each)

    def recovered(self, seen: Gradients) -> frozenset[int]:
        """Return the tokens whose embeddings are nearest to what the search ended with."""
        generator = torch.Generator().manual_seed(self._seed)
        found = invert_gradient(seen, self._gradient_of, self._sought, generator, self._search)
        return frozenset(found.nearest_tokens(self._table))

    def _gradient_of(self, embeddings: Tensor, label: Tensor) -> dict[str, Tensor]:
        names = list(self._adapted.parameters)
        parts = [self._adapted.parameters[name] for name in names]
        with _entering(self._embedding, embeddings), sdpa_kernel(SDPBackend.MATH):
            outputs = sentence_logits(self._adapted.model, self._batch)
        loss = -(label * functional.log_softmax(outputs[0], dim=0)).sum()
        gradients = torch.autograd.grad(loss, parts, create_graph=True)
        return dict(zip(names, gradients, strict=True))


@contextmanager
def _entering(embedding: nn.Module, embeddings: Tensor) -> Iterator[None]:
    """Let `embeddings` (t, d) enter the model instead of the tokens' own."""

    def replaced(_module: nn.Module, _given: object, _own: Tensor) -> Tensor:
        return embeddings[None]

    handle = embedding.register_forward_hook(replaced)
    try:
        yield
    finally:
        handle.remove()
