"""A trained adapter on its backbone, ready to answer: the Python side of `predict`."""

from pathlib import Path

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.t5.vocabulary import END


class Predictor:
    """A backbone with one adapter at a time.

    Args:
        backbone: `Backbone`, from `load_backbone`.
        adapter: directory of an adapter, such as `<run>/best`.

    Attributes:
        task: the `Task` that the adapter was trained on.
        model: the `T5Model`.

    Raises:
        CompacterError: the adapter is damaged, or was trained on another backbone.

    Example:
        >>> backbone = load_backbone("path/to/preset")
        >>> predictor = Predictor(backbone, "runs/glue/rte/compacterpp/mine/best")
        >>> predictor.predict(["sentence1: It rains. sentence2: It is wet."])
        ['1']
        >>> predictor.swap("runs/demo/other/best")  # the backbone stays loaded
    """

    def __init__(self, backbone, adapter):
        self.backbone = backbone
        self.swap(adapter)

    def swap(self, adapter):
        """Put another adapter onto the same backbone; the one before stays on an error."""
        from compacter_cli.adapters.adapter_file import load_adapter
        from compacter_cli.tasks import task_of

        loaded = load_adapter(adapter)
        model, recipe = model_with(self.backbone, loaded)
        self.task, self.model, self.recipe = task_of(recipe), model, recipe
        self._made = None

    def predict(self, texts, batch_size=100):
        """The model's answer to each source text.

        Texts are read as they are, but for the task's name where the method puts it in front.

        Raises:
            UsageError: `texts` is one text instead of a list.
        """
        return [self.task.label_of(answer) or answer for answer in self.answers(texts, batch_size)]

    def predict_rows(self, rows, batch_size=100):
        """The model's answer to each row, a dict with the task's text fields."""
        return self.predict(self.sources(rows), batch_size)

    def sources(self, rows):
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

    def answers(self, texts, batch_size=100):
        """The target text that the model writes for each source text, such as "1"."""
        return [text for batch in self._encoded(texts, batch_size) for text in self._write(*batch)]

    def probabilities(self, texts, batch_size=100):
        """`{label's name: probability}` for each source text; `None` for each of a free-text task.

        A label's probability is that of its whole target text, end token included, divided by
        the sum over all labels.
        """
        if not self.task.targets:
            return [None] * len(_listed(texts))
        return [item for batch in self._encoded(texts, batch_size) for item in self._weigh(*batch)]

    def predict_with_probabilities(self, texts, batch_size=100):
        """A pair of `predict`'s and `probabilities`' answer to each source text, encoded once."""
        found = []
        for batch in self._encoded(texts, batch_size):
            answers = self._write(*batch)
            shares = self._weigh(*batch) if self.task.targets else [None] * len(answers)
            found += zip(
                (self.task.label_of(text) or text for text in answers), shares, strict=True
            )
        return found

    def _write(self, ids, mask, encoded):
        from compacter_cli.data.dataset import answer_length

        vocabulary = self.backbone.vocabulary
        longest = answer_length(self.task, vocabulary, self.recipe.data)
        rows = self.model.greedy(ids, mask, longest, self._forward(), encoded).tolist()
        return [vocabulary.decode(row) for row in rows]

    def _weigh(self, ids, mask, encoded):
        targets = self.task.targets
        names = [self.task.label_of(target) for target in targets]
        labels = [[*tokens, END] for tokens in self.backbone.vocabulary.encode(targets)]
        scores = self.model.label_scores(ids, mask, labels, self._forward(), encoded)
        return [dict(zip(names, row, strict=True)) for row in scores.softmax(dim=-1).tolist()]

    def _encoded(self, texts, batch_size):
        """`(ids, mask, encoded)` of source texts, batch by batch, on the model's device."""
        import torch

        from compacter_cli.data.dataset import encode_sources
        from compacter_cli.t5.batch import pad

        texts = _listed(texts)
        if self.recipe.method.prefixes_task and self.task.prefix:
            texts = [f"{self.task.prefix} {text}" for text in texts]
        length = self.recipe.data.source_length
        sources, _ = encode_sources(texts, self.backbone.vocabulary, length)
        device = self.model.named_weights["embedding"].value.device
        for start in range(0, len(sources), batch_size):
            ids, mask = pad(sources[start : start + batch_size], device)
            with torch.no_grad():
                encoded = self._forward().encode(ids, mask)
            yield ids, mask, encoded

    def _forward(self):
        """The forward pass with the adapter's weights, made once: some methods compute them all."""
        import torch

        if self._made is None:
            with torch.no_grad():
                self._made = self.model.forward_pass()
        return self._made


def _listed(texts):
    """`texts` as a list; one text alone is refused, for its letters would be answered."""
    if isinstance(texts, str):
        raise UsageError("expected a list of texts, got one text", "predict([text])")
    return list(texts)


def model_with(backbone, adapter, precision=None):
    """`(T5Model with a loaded adapter, its recipe)`; everything about the two is checked.

    `precision` is that of the computation; the recipe's own where left out.

    Raises:
        CompacterError: another backbone, or tensors that are not those of the adapter's method.
    """
    from compacter_cli.adapters.adapter_file import check_backbone
    from compacter_cli.t5.model import T5Model

    check_backbone(adapter, backbone)
    recipe = recipe_of_adapter(adapter)
    try:
        model = T5Model(
            backbone.keras,
            recipe.method,
            seed=recipe.seed,
            compute_dtype=precision or recipe.backbone.precision,
            exact=backbone.exact,
            execution=recipe.train.execution,
        )
        model.assign(adapter.tensors)
    except ValueError as error:
        raise _undescribed(adapter, error) from error
    return model, recipe


def recipe_of_adapter(adapter):
    """The `Recipe` in a loaded adapter's manifest.

    Raises:
        CompacterError: it is none, or its method is not the manifest's.
    """
    from compacter_cli.recipe.recipe import recipe_class

    try:
        tables = adapter.manifest["recipe"]
        recipe = recipe_class(tables).model_validate(tables)
    except ValueError as error:
        raise _undescribed(adapter, error) from error
    if recipe.task != adapter.manifest["task"]:
        raise _undescribed(adapter, "its task is not its recipe's")
    if recipe.method.settings() != adapter.manifest["method"]:
        raise _undescribed(adapter, "its method is not its recipe's")
    return recipe


def _undescribed(adapter, why):
    first_line = str(why).partition("\n")[0]
    return CompacterError(
        f"{adapter.directory}: the manifest does not describe this adapter ({first_line})"
    )


def check_recipe(adapter, recipe):
    """Raise `UsageError` unless a loaded adapter is of a recipe's task and method."""
    method = recipe.method.settings()
    pairs = (("task", adapter.manifest["task"], recipe.task),
             ("method", adapter.manifest["method"], method))  # fmt: skip
    for what, trained, asked in pairs:
        if trained != asked:
            raise UsageError(
                f"{adapter.directory}: the adapter's {what} is {trained}, the recipe's {asked}",
                "leave task and method as the run has them",
            )


def adapter_of_run(run, which="best"):
    """The adapter directory of a run.

    Raises:
        UsageError: `run` is no run directory, or the run has saved nothing yet.
    """
    from compacter_cli.training.run_directory import is_run

    if not is_run(run):
        raise UsageError(f"{run} is no run directory", "give the directory that train printed")
    directory = Path(run) / which
    if not directory.is_dir() and not directory.with_name(f"{which}.previous").is_dir():
        raise UsageError(f"{run} has no {which} adapter: the run ended before its first epoch")
    return directory
