"""One trained adapter on a backbone: its model, its task, how texts are read and written."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from compacter_cli.adapters.restoring import model_with, recipe_of_manifest
from compacter_cli.t5.vocabulary import END

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.decoding import Decoding
    from compacter_cli.t5.forward import T5Forward
    from compacter_cli.t5.loading import Backbone

Labels = tuple[tuple[str, str], ...]  # target texts with the names of what they mean
Shares = dict[str, float] | None  # probability by label's name, none for free text


class LoadedAdapter:
    """An adapter, ready to answer.

    Args:
        backbone: from `load_backbone`.
        directory: of the adapter, or of a run, whose best it is.
        recipe: by which it answers; the one it was trained by where left out.

    Attributes:
        recipe: by which it answers.
        task: the `Task` it was trained on.
        model: the `T5Model`.

    Raises:
        CompacterError: the adapter is damaged, or was trained on another backbone.
    """

    def __init__(
        self, backbone: Backbone, directory: Path | str, recipe: Recipe | None = None
    ) -> None:
        from compacter_cli.adapters.adapter_file import load_adapter
        from compacter_cli.adapters.manifest import adapter_in
        from compacter_cli.tasks import task_of

        loaded = load_adapter(adapter_in(directory))
        self.recipe = recipe or recipe_of_manifest(loaded.manifest, loaded.directory)
        self.model, self.task = model_with(backbone, loaded, self.recipe), task_of(self.recipe)
        self._vocabulary = backbone.vocabulary

    @cached_property
    def forward(self) -> T5Forward:
        """The forward pass with the adapter's weights, made once: some methods compute them all."""
        import torch

        with torch.no_grad():
            return self.model.forward_pass()

    @cached_property
    def longest(self) -> int:
        """Tokens of an answer at most."""
        from compacter_cli.data.dataset import answer_length

        return answer_length(self.task, self._vocabulary, self.recipe.data)

    @property
    def labels(self) -> Labels:
        """The labels' target texts with their names; none of a free-text task."""
        return tuple((target, self.label_of(target)) for target in self.task.targets)

    def read(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of source texts, behind the task's name where the method puts it there."""
        from compacter_cli.data.dataset import encode_sources, with_prefix

        prefixed = [with_prefix(text, self.recipe.data.prefix) for text in texts]
        return list(encode_sources(prefixed, self._vocabulary, self.recipe.data.source_length)[0])

    def write(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The texts of answers' token ids, which may go on beyond `longest`."""
        return [self._vocabulary.decode(list(row[: self.longest])) for row in rows]

    def label_of(self, answer: str) -> str:
        """The name of the label that an answer is, or the answer itself."""
        return self.task.label_of(answer) or answer

    def weigh(self, decoding: Decoding) -> list[Shares]:
        """`{label's name: probability}` of each source; `None` for each of a free-text task.

        Of the sources some may be other adapters' of the same labels.
        """
        if not self.labels:
            return [None] * decoding.rows
        targets, names = zip(*self.labels, strict=True)
        labels = [[*tokens, END] for tokens in self._vocabulary.encode(targets)]
        shares = decoding.label_scores(labels).softmax(dim=-1).tolist()
        return [dict(zip(names, row, strict=True)) for row in shares]
