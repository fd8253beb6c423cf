"""A trained adapter on its backbone, ready to answer: the Python side of `predict`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.adapters.restoring import model_with, recipe_of_manifest
from compacter_cli.errors import UsageError
from compacter_cli.t5.vocabulary import END

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import torch

    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.forward import T5Forward
    from compacter_cli.t5.loading import Backbone
    from compacter_cli.tasks.base import Row

Shares = dict[str, float] | None  # probability by label's name, none for free text
States = tuple["torch.Tensor", "torch.Tensor"]  # of the encoder, with what of them is real
Encoded = tuple["torch.Tensor", "torch.Tensor", States]  # ids, mask, and what is made of them


class Predictor:
    """A backbone with one adapter at a time.

    Args:
        backbone: from `load_backbone`.
        adapter: directory of an adapter, such as `<run>/best`.
        recipe: what it was trained by, with other values for its use now, as `recipe_with` makes
            it; the adapter's own where left out.

    Attributes:
        task: the `Task` that the adapter was trained on.
        model: the `T5Model`.
        recipe: the recipe by which it answers.

    Raises:
        CompacterError: the adapter is damaged, or was trained on another backbone.

    Example:
        >>> backbone = load_backbone("path/to/preset")
        >>> predictor = Predictor(backbone, "runs/glue/rte/compacterpp/mine/best")
        >>> predictor.predict(["sentence1: It rains. sentence2: It is wet."])
        ['1']
        >>> predictor.swap("runs/demo/other/best")  # the backbone stays loaded
    """

    def __init__(
        self, backbone: Backbone, adapter: Path | str, recipe: Recipe | None = None
    ) -> None:
        self.backbone = backbone
        self.swap(adapter, recipe)

    def swap(self, adapter: Path | str, recipe: Recipe | None = None) -> None:
        """Put another adapter onto the same backbone; the one before stays on an error."""
        from compacter_cli.adapters.adapter_file import load_adapter
        from compacter_cli.tasks import task_of

        loaded = load_adapter(adapter)
        recipe = recipe or recipe_of_manifest(loaded.manifest, loaded.directory)
        model, task = model_with(self.backbone, loaded, recipe), task_of(recipe)
        self.model, self.task, self.recipe = model, task, recipe
        self._made: T5Forward | None = None

    def predict(self, texts: Iterable[str], batch_size: int = 100) -> list[str]:
        """The model's answer to each source text.

        Texts are read as they are, but for the task's name where the method puts it in front.

        Raises:
            UsageError: `texts` is one text instead of a list.
        """
        return [self.task.label_of(answer) or answer for answer in self.answers(texts, batch_size)]

    def predict_rows(self, rows: Iterable[Row], batch_size: int = 100) -> list[str]:
        """The model's answer to each row, a dict with the task's text fields."""
        return self.predict(self.sources(rows), batch_size)

    def sources(self, rows: Iterable[Row]) -> list[str]:
        """The source text of each row, a dict with the task's text fields.

        Raises:
            UsageError: a row lacks one of them.
        """
        rows = list(rows)
        for number, row in enumerate(rows, 1):
            missing = [field for field in self.task.fields if field not in row]
            if missing:
                raise UsageError(
                    f"row {number} lacks the field {missing[0]}; "
                    f"{self.task.name} reads {', '.join(self.task.fields)}"
                )
        return [self.task.source(row) for row in rows]

    def answers(self, texts: Iterable[str], batch_size: int = 100) -> list[str]:
        """The target text that the model writes for each source text, such as "1"."""
        return [text for batch in self._encoded(texts, batch_size) for text in self._write(*batch)]

    def probabilities(self, texts: Iterable[str], batch_size: int = 100) -> list[Shares]:
        """`{label's name: probability}` for each source text; `None` for each of a free-text task.

        A label's probability is that of its whole target text, end token included, divided by
        the sum over all labels.
        """
        if not self.task.targets:
            return [None] * len(_listed(texts))
        return [item for batch in self._encoded(texts, batch_size) for item in self._weigh(*batch)]

    def predict_with_probabilities(
        self, texts: Iterable[str], batch_size: int = 100
    ) -> list[tuple[str, Shares]]:
        """A pair of `predict`'s and `probabilities`' answer to each source text, encoded once."""
        found = []
        for batch in self._encoded(texts, batch_size):
            answers = self._write(*batch)
            shares: list[Shares] = [None] * len(answers)
            if self.task.targets:
                shares = self._weigh(*batch)
            found += zip(
                (self.task.label_of(text) or text for text in answers), shares, strict=True
            )
        return found

    def _write(self, ids: torch.Tensor, mask: torch.Tensor, encoded: States) -> list[str]:
        from compacter_cli.data.dataset import answer_length

        vocabulary = self.backbone.vocabulary
        longest = answer_length(self.task, vocabulary, self.recipe.data)
        rows = self.model.greedy(ids, mask, longest, self._forward(), encoded).tolist()
        return [vocabulary.decode(row) for row in rows]

    def _weigh(self, ids: torch.Tensor, mask: torch.Tensor, encoded: States) -> list[Shares]:
        targets = self.task.targets
        names = [self.task.label_of(target) or target for target in targets]
        labels = [[*tokens, END] for tokens in self.backbone.vocabulary.encode(targets)]
        scores = self.model.label_scores(ids, mask, labels, self._forward(), encoded)
        return [dict(zip(names, row, strict=True)) for row in scores.softmax(dim=-1).tolist()]

    def _encoded(self, texts: Iterable[str], batch_size: int) -> Iterator[Encoded]:
        """`(ids, mask, encoded)` of source texts, batch by batch, on the model's device."""
        import torch

        from compacter_cli.data.dataset import encode_sources, with_prefix
        from compacter_cli.t5.batch import pad

        texts = [with_prefix(text, self.recipe.data.prefix) for text in _listed(texts)]
        length = self.recipe.data.source_length
        sources, _ = encode_sources(texts, self.backbone.vocabulary, length)
        device = self.model.named_weights["embedding"].value.device
        for start in range(0, len(sources), batch_size):
            ids, mask = pad(sources[start : start + batch_size], device)
            with torch.no_grad():
                encoded = self._forward().encode(ids, mask)
            yield ids, mask, encoded

    def _forward(self) -> T5Forward:
        """The forward pass with the adapter's weights, made once: some methods compute them all."""
        import torch

        made = self._made
        if made is None:
            with torch.no_grad():
                made = self._made = self.model.forward_pass()
        return made


def _listed(texts: Iterable[str]) -> list[str]:
    """`texts` as a list; one text alone is refused, for its letters would be answered."""
    if isinstance(texts, str):
        raise UsageError("expected a list of texts, got one text", "predict([text])")
    return list(texts)
