"""Trained adapters on one backbone, ready to answer: the Python side of `predict`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from compacter_cli.adapters.loaded import LoadedAdapter, Shares
from compacter_cli.adapters.mixed_batch import Known, MixedBatch
from compacter_cli.data.rows import FILLED, is_empty
from compacter_cli.errors import UsageError, counted, excerpt, nearest_or_all

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.loading import Backbone
    from compacter_cli.t5.model import T5Model
    from compacter_cli.tasks.base import Row, Task

ONLY = ""  # the name of an adapter that was given without one
Found = TypeVar("Found")


class Predictor:
    """A backbone with one adapter, or with several by name.

    Rows of one batch may be under different adapters, of different methods too: products with the
    backbone's weights are taken of all rows at once, and the answers are those of each alone.

    Args:
        backbone: from `load_backbone`.
        adapter: directory of an adapter, or of a run, whose best it is; or several by name.
        recipe: the recipe by which it answers, or several by name; left out, the one that it was
            trained by. Another one differs from that in how texts are read or computed alone, such
            as `load_recipe("RUN/recipe.toml", {"data.source_length": 256})`.

    Attributes:
        adapters: the `LoadedAdapter`s by name.

    Raises:
        CompacterError: an adapter is damaged, or was trained on another backbone.
        UsageError: of several, one cannot be computed together with others.

    Examples:
        >>> backbone = load_backbone("path/to/preset")
        >>> predictor = Predictor(backbone, "runs/glue/rte/compacterpp/mine")
        >>> predictor.predict(["sentence1: It rains. sentence2: It is wet."])
        ['not_entailment']
        >>> predictor.swap("runs/demo/other")  # the backbone stays loaded
        >>> several = Predictor(backbone, {"rte": "runs/a", "cb": "runs/b"})
        >>> several.predict(texts, adapter=["rte", "cb", "rte"])
    """

    def __init__(
        self,
        backbone: Backbone,
        adapter: Path | str | Mapping[str, Path | str],
        recipe: Recipe | Mapping[str, Recipe] | None = None,
    ) -> None:
        self.backbone = backbone
        self.adapters: dict[str, LoadedAdapter] = {}
        self._last: Known | None = None
        given = adapter if isinstance(adapter, Mapping) else {ONLY: adapter}
        if not given:
            raise UsageError("expected at least one adapter, got none", 'such as {"rte": DIR}')
        if isinstance(adapter, Mapping) != isinstance(recipe, Mapping) and recipe is not None:
            raise UsageError(
                "expected one recipe for one adapter, or recipes by the names of several",
                "leave it out where an adapter's own is meant",
            )
        recipes = recipe if isinstance(recipe, Mapping) else {ONLY: recipe}
        if isinstance(recipe, Mapping):
            for name in recipe:
                self._check_named(name, given)
        for name, directory in given.items():
            self.add(name, directory, recipes.get(name))

    def add(self, name: str, adapter: Path | str, recipe: Recipe | None = None) -> None:
        """Load an adapter under a name, beside the others, which it does not touch.

        Raises:
            CompacterError: it is damaged, or was trained on another backbone.
            UsageError: the name is taken, or it cannot be computed together with the others.
        """
        if name in self.adapters:
            raise UsageError(f'there is an adapter "{name}" already', "remove it first")
        loaded = LoadedAdapter(self.backbone, adapter, recipe)
        together = {**self.adapters, name: loaded}
        _check_together(together)
        self.adapters = together

    def remove(self, name: str) -> None:
        """Give up the adapter of a name.

        Raises:
            UsageError: there is none, or it is the only one.
        """
        self._named(name)
        if len(self.adapters) == 1:
            raise UsageError("the only adapter cannot be removed", "swap it")
        self.adapters = {key: one for key, one in self.adapters.items() if key != name}

    def swap(self, adapter: Path | str, recipe: Recipe | None = None) -> None:
        """Put another adapter in the place of the only one; the one before stays on an error."""
        name = next(key for key, one in self.adapters.items() if one is self._only)
        self.adapters = {name: LoadedAdapter(self.backbone, adapter, recipe)}

    @property
    def model(self) -> T5Model:
        """The only adapter's `T5Model`."""
        return self._only.model

    @property
    def task(self) -> Task:
        """The only adapter's `Task`."""
        return self._only.task

    @property
    def recipe(self) -> Recipe:
        """The recipe by which the only adapter answers."""
        return self._only.recipe

    @property
    def _only(self) -> LoadedAdapter:
        if len(self.adapters) > 1:
            raise UsageError(
                f"{len(self.adapters)} adapters are loaded, and it is not said which is meant",
                f"name one of {', '.join(map(repr, self.adapters))}: predict(..., adapter=NAME), "
                "predictor.adapters[NAME]",
            )
        return next(iter(self.adapters.values()))

    def predict(
        self,
        texts: Iterable[str],
        batch_size: int = 100,
        adapter: str | Sequence[str] | None = None,
    ) -> list[str]:
        """The answer to each source text: the name of a label, such as "entailment".

        What the model writes that is no label of the task, or answers a task without labels, is
        given as it was written. Texts are read as they are, but for the task's name where the
        method puts it in front.

        Args:
            texts: source texts.
            batch_size: how many are computed at once.
            adapter: the name of the adapter that answers, or one for each text; it may be left
                out where there is only one.

        Raises:
            UsageError: `texts` is one text instead of a list, no adapter has such a name, or there
                are not as many names as texts.
        """
        texts = _listed(texts)
        answers = self.answers(texts, batch_size, adapter)
        return [
            one.label_of(answer)
            for one, answer in zip(self._chosen(texts, adapter), answers, strict=True)
        ]

    def predict_rows(
        self,
        rows: Iterable[Row],
        batch_size: int = 100,
        adapter: str | Sequence[str] | None = None,
    ) -> list[str]:
        """`predict`'s answer to each row, a dict with the task's text fields."""
        return self.predict(self.sources(rows, adapter), batch_size, adapter)

    def sources(self, rows: Iterable[Row], adapter: str | Sequence[str] | None = None) -> list[str]:
        """The source text of each row, a dict with the task's text fields.

        Raises:
            UsageError: a row lacks one of them, or it is empty: `None`, NaN, pandas' NA.
        """
        rows = list(rows)
        tasks = [one.task for one in self._chosen(rows, adapter)]
        for number, (row, task) in enumerate(zip(rows, tasks, strict=True), 1):
            missing = [field for field in task.fields if field not in row]
            if missing:
                raise UsageError(
                    f"row {number} lacks the field {missing[0]}; "
                    f"{task.name} reads {', '.join(task.fields)}",
                    nearest_or_all(missing[0], row, "the row has"),
                )
            for field in task.fields:
                if row[field] is None or is_empty(row[field]):
                    raise UsageError(
                        f'row {number}: the field "{field}" is empty ({row[field]})', FILLED
                    )
        return [task.source(row) for row, task in zip(rows, tasks, strict=True)]

    def answers(
        self,
        texts: Iterable[str],
        batch_size: int = 100,
        adapter: str | Sequence[str] | None = None,
    ) -> list[str]:
        """The target text that the model writes for each source text, such as "1" for the task's
        second label; `predict` gives the label's name."""
        return self._each(texts, batch_size, adapter, MixedBatch.write)

    def probabilities(
        self,
        texts: Iterable[str],
        batch_size: int = 100,
        adapter: str | Sequence[str] | None = None,
    ) -> list[Shares]:
        """`{label's name: probability}` for each source text; `None` for one of a free-text task.

        A label's probability is that of its whole target text, end token included, divided by
        the sum over all labels.
        """
        return self._each(texts, batch_size, adapter, MixedBatch.weigh)

    def predict_with_probabilities(
        self,
        texts: Iterable[str],
        batch_size: int = 100,
        adapter: str | Sequence[str] | None = None,
    ) -> list[tuple[str, Shares]]:
        """A pair of `predict`'s and `probabilities`' answer to each source text, encoded once."""
        return self._each(texts, batch_size, adapter, MixedBatch.answer_and_weigh)

    def _each(
        self,
        texts: Iterable[str],
        batch_size: int,
        adapter: str | Sequence[str] | None,
        function: Callable[[MixedBatch], list[Found]],
    ) -> list[Found]:
        """`function` of each batch, of whose rows it gives as many things."""
        texts = _listed(texts)
        chosen = self._chosen(texts, adapter)
        found: list[Found] = []
        for start in range(0, len(texts), batch_size):
            part = slice(start, start + batch_size)
            batch = MixedBatch.of(texts[part], chosen[part], self._known())
            found += batch.in_order(function(batch))
        return found

    def _known(self) -> Known:
        """The adapters that are loaded now."""
        now = list(self.adapters.values())
        if self._last is None or self._last.adapters != now:
            self._last = Known(now)
        return self._last

    def _chosen(
        self, texts: Sequence[object], adapter: str | Sequence[str] | None
    ) -> list[LoadedAdapter]:
        """The adapter of each text."""
        if adapter is None:
            return [self._only] * len(texts)
        names = [adapter] * len(texts) if isinstance(adapter, str) else list(adapter)
        if len(names) != len(texts):
            raise UsageError(
                f"expected an adapter for each of {counted(len(texts), 'text')}, got {len(names)}",
                "give one name for all, or one for each",
            )
        return [self._named(name) for name in names]

    def _named(self, name: str) -> LoadedAdapter:
        self._check_named(name, self.adapters)
        return self.adapters[name]

    @staticmethod
    def _check_named(name: str, known: Collection[str]) -> None:
        if name not in known:
            alone = 'the only one has no name: leave it out, or give {"name": DIR}'
            hint = alone if set(known) == {ONLY} else nearest_or_all(name, known)
            raise UsageError(f'there is no adapter "{excerpt(name)}"', hint)


def _check_together(adapters: Mapping[str, LoadedAdapter]) -> None:
    """Refuse several adapters of which one cannot be computed together with others.

    Raises:
        UsageError: it changes the backbone's own weights, or is of another precision.
    """
    if len(adapters) == 1:
        return
    precisions = {one.recipe.backbone.precision for one in adapters.values()}
    if len(precisions) > 1:
        raise UsageError(
            "adapters are computed together in one precision, got "
            f"{' and '.join(sorted(precisions))}",
            "give all recipes the same backbone.precision",
        )
    for name, one in adapters.items():
        if why := one.model.unmixable:
            raise UsageError(
                f'the adapter "{name}" ({one.recipe.method.name}) cannot be one of several: {why}',
                "ask it alone: predict --run RUN, or a Predictor of its own",
            )


def _listed(texts: Iterable[str]) -> list[str]:
    """`texts` as a list; one text alone is refused, for its letters would be answered."""
    if isinstance(texts, str):
        raise UsageError("expected a list of texts, got one text", "predict([text])")
    return list(texts)
