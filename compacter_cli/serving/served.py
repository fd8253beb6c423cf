"""Adapters on one backbone as a server answers with them: all in memory, before the first ask."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from compacter_cli.adapters.predictor import Predictor
from compacter_cli.adapters.restoring import backbone_of
from compacter_cli.data.text_rows import cell_problem
from compacter_cli.errors import CompacterError, UsageError, excerpt, flaw_of
from compacter_cli.serving.messages import AdapterShown
from compacter_cli.t5.runtime import on_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from compacter_cli.adapters.loaded import Shares
    from compacter_cli.adapters.restoring import Chosen
    from compacter_cli.tasks.base import Row, Task


class Served:
    """Adapters by name, ready to answer: of their files nothing is read any more.

    Args:
        adapters: each as `chosen` gives it; the backbone is the first one's.
        device: "cpu" or "cuda"; a GPU where there is one.

    Attributes:
        device: where it is computed.

    Raises:
        CompacterError: one is damaged, or was trained on another backbone; it is named.
        UsageError: one cannot be asked beside others.
    """

    def __init__(self, adapters: Mapping[str, Chosen], device: str | None) -> None:
        (first, one), *others = adapters.items()
        with on_device(device) as self.device:
            backbone = backbone_of(one.recipe)
            with _naming(first):
                self._predictor = Predictor(backbone, {first: one.directory}, {first: one.recipe})
            for name, other in others:
                with _naming(name):
                    self._predictor.add(name, other.directory, other.recipe)
            for name in adapters:  # whatever is made at first use, is made now
                self.answer([""], [name])

    @property
    def names(self) -> tuple[str, ...]:
        """The adapters' names, in the order given."""
        return tuple(self._predictor.adapters)

    def answer(self, texts: Sequence[str], names: Sequence[str]) -> list[tuple[str, Shares]]:
        """The answer to each text, with the labels' probabilities, under the adapter of its name.

        All are computed at once, in whatever thread this is called.
        """
        with on_device(self.device):
            return self._predictor.predict_with_probabilities(texts, len(texts), names)

    def shown(self) -> list[AdapterShown]:
        """What is told of each adapter."""
        return [self._shown(name) for name in self.names]

    def _shown(self, name: str) -> AdapterShown:
        one = self._predictor.adapters[name]
        return AdapterShown(
            name=name,
            task=one.task.name,
            method=one.recipe.method.name,
            fields=list(one.task.fields),
            lists=list(one.task.lists),
            labels=[label for _, label in one.labels],
            written=one.task.shape[1],
            source_length=one.recipe.data.source_length,
        )

    def sources(self, name: str, rows: Sequence[Row]) -> list[str]:
        """The source text of each row of an adapter's task.

        Raises:
            UsageError: a row lacks a field, or holds what is none.
        """
        task = self._predictor.adapters[name].task
        for number, row in enumerate(rows, 1):
            _check_row(task, number, row)
        return self._predictor.sources(rows, name)


def check_texts(texts: Sequence[str]) -> None:
    """Refuse texts that no vocabulary holds.

    Raises:
        UsageError: one has a NUL, or half of a surrogate pair.
    """
    for number, text in enumerate(texts, 1):
        if flaw := flaw_of(text):
            raise UsageError(f"text {number} {flaw}")


def _check_row(task: Task, number: int, row: Row) -> None:
    reads = f"{task.name} reads {', '.join(task.fields)}"
    for field in task.fields:
        if field not in row:
            raise UsageError(f'row {number} lacks the field "{excerpt(field)}"', reads)
        if problem := cell_problem(row[field], field in task.lists):
            raise UsageError(f'row {number}: the field "{excerpt(field)}" {problem}', reads)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Say of an error inside which adapter it is of."""
    try:
        yield
    except CompacterError as error:
        kind = UsageError if isinstance(error, UsageError) else CompacterError
        raise kind(f'the adapter "{name}" cannot be served: {error}', error.hint) from error
