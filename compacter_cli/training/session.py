"""One training run: what is loaded, trained, saved and tested, and in which order."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from compacter_cli.adapters.restoring import backbone_of
from compacter_cli.errors import CompacterError
from compacter_cli.files import write_json
from compacter_cli.paper.demo_scores import measured_scores
from compacter_cli.paper.tables import paper_scores
from compacter_cli.t5.runtime import on_device, seed_everything, start_keras
from compacter_cli.tasks import task_of
from compacter_cli.training import run_directory as runs
from compacter_cli.training.display import Display, Opening

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from keras_hub.models import T5Backbone

    from compacter_cli.data.sources import RowSource
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.model import T5Model
    from compacter_cli.training.loop import Epoch, Update
    from compacter_cli.training.records import Result
    from compacter_cli.training.scoring import Scores


class Session:
    """One training run in progress: its model, its data, and what it writes when.

    A context manager: inside, everything is loaded and Keras is on the run's device.

    Args:
        recipe: resolved recipe.
        directory: run directory to write.
        device: "cpu" or "cuda"; a GPU where there is one.
        source: where the rows are.
        display: what is told while it goes on.
    """

    def __init__(
        self,
        recipe: Recipe,
        directory: Path,
        device: str | None,
        source: RowSource,
        display: Display | None = None,
    ) -> None:
        self.recipe, self.directory = recipe, directory
        self.display = display or Display()
        self.task = task_of(recipe)
        self.best: Epoch | None = None
        self.before: Scores | None = None
        self._device_name, self._source = device, source
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        start_keras()
        with self._stack:
            self.device = self._stack.enter_context(on_device(self._device_name))
            seed_everything(self.recipe.seed)
            self._load()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def _load(self) -> None:
        from compacter_cli.data.dataset import build_dataset
        from compacter_cli.training.loop import updates_per_epoch

        recipe = self.recipe
        rows = self._source.load()  # first: a bad line is told in seconds
        self.backbone = backbone_of(recipe)
        self.dataset = build_dataset(
            self.task,
            rows,
            self.backbone.vocabulary,
            recipe.data,
            recipe.seed,
            recipe.method.prefixes_task,
        )
        self.model = model_of(self.backbone.keras, self.backbone.exact, recipe)
        per_epoch = updates_per_epoch(len(self.dataset.train), recipe.train)
        self.updates = per_epoch * recipe.train.epochs

    def start(self, overwrite: bool) -> None:
        """Claim the run directory, say what the run is, and score the untrained model."""
        runs.start_run(self.directory, self.recipe, runs.environment(self.device), overwrite)
        self.display.opening(self._opening())
        if self.recipe.train.score_before:
            self.display.scoring_before()
            self.before = self._score_test()
            self.display.scored_before(self.before)
        self.display.start(self.updates)
        self.began = time.perf_counter()

    def _opening(self) -> Opening:
        splits = (self.dataset.train, self.dataset.validation, self.dataset.test)
        return Opening(
            recipe=self.recipe,
            shape=self.model.shape,
            sizes={split.name: len(split) for split in splits},
            truncated=sum(split.truncated for split in splits),
            updates=self.updates,
            device=self.device,
            directory=self.directory,
            unwritable=self.dataset.unwritable,
        )

    def train(self) -> None:
        """Train to the end, saving `last/` every epoch and `best/` where it improved."""
        from compacter_cli.training.loop import Update, train
        from compacter_cli.training.signals import deferred_interrupt

        with deferred_interrupt() as interrupted:
            events = train(
                self.model,
                self.dataset,
                self.task,
                self.backbone.vocabulary,
                self.recipe.train,
                (self.recipe.data.seed, self.recipe.seed),
                self.device,
                stop=interrupted,
            )
            try:
                for event in events:
                    self._on_update(event) if isinstance(event, Update) else self._on_epoch(event)
            finally:
                self.display.stop()
            if interrupted():
                self._save("last")
                raise KeyboardInterrupt(
                    f"interrupted; the weights as they were are in {self.directory / 'last'}"
                )

    def _on_update(self, update: Update) -> None:
        runs.append_metrics(self.directory, **update.record())
        self.display.update(update)

    def _on_epoch(self, epoch: Epoch) -> None:
        runs.append_metrics(self.directory, **epoch.record())
        self._save("last", epoch)
        if epoch.best:
            self._save("best", epoch)
            self.best = epoch
        self.display.epoch(epoch)

    def _save(self, which: str, epoch: Epoch | None = None) -> None:
        from compacter_cli.adapters.adapter_file import manifest_of, save_adapter

        tensors = self.model.trained_tensors()
        manifest = manifest_of(
            tensors,
            method=self.recipe.method.settings(),
            task=self.recipe.task,
            backbone=self.backbone,
            shape=self.model.shape,
            recipe=self.recipe.plain(),
            metrics={"epoch": epoch.number, **epoch.validation.metrics} if epoch else None,
        )
        save_adapter(self.directory / which, tensors, manifest)

    def finish(self) -> Result:
        """Load the best adapter back from its file, test it, and write the result."""
        from compacter_cli.adapters.adapter_file import load_adapter

        if self.best is None:
            raise CompacterError("the run ended before its first epoch: there is nothing to test")
        seconds = time.perf_counter() - self.began
        self.model.assign(load_adapter(self.directory / "best").tensors)
        result = self._result(self.best, self._score_test(), seconds)
        write_json(self.directory / runs.RESULT, result)
        return result

    def _result(self, best: Epoch, test: Scores, seconds: float) -> Result:
        from compacter_cli.adapters.adapter_file import WEIGHTS
        from compacter_cli.training.memory import peak_memory

        recipe, shape = self.recipe, self.model.shape
        trained, n = sum(recipe.method.count(shape).values()), getattr(recipe.method, "n", None)
        return {
            "task": recipe.task,
            "method": recipe.method.name,
            "preset": recipe.backbone.preset,
            "seed": recipe.seed,
            "trained_parameters": trained,
            "trained_percent": 100 * trained / shape.parameters(),
            "backbone_parameters": shape.parameters(),
            "epochs": recipe.train.epochs,
            "best_epoch": best.number,
            "validation": best.validation.record(),
            "test": test.record(),
            "paper": paper_scores(self.task, recipe.method.name, n),
            "measured": measured_scores(recipe),
            "before": self.before.record() if self.before else None,
            "run": str(self.directory),
            "adapter_bytes": (self.directory / "best" / WEIGHTS).stat().st_size,
            "training_seconds": seconds,
            "peak_memory_bytes": peak_memory(self.device),
            "data": self.dataset.origin,
        }

    def _score_test(self) -> Scores:
        from compacter_cli.training.scoring import evaluate

        size = self.recipe.train.eval_batch_size
        vocabulary = self.backbone.vocabulary
        scores, _ = evaluate(
            self.model, vocabulary, self.task, self.dataset, "test", size, self.device
        )
        return scores


def model_of(keras_backbone: T5Backbone, exact: dict[str, torch.Tensor], recipe: Recipe) -> T5Model:
    """The `T5Model` that a recipe trains, on a KerasHub backbone and its `exact` layer norms."""
    from compacter_cli.t5.model import T5Model

    return T5Model(
        keras_backbone,
        recipe.method,
        seed=recipe.seed,
        compute_dtype=recipe.backbone.precision,
        exact=exact,
        dropout=recipe.train.dropout,
        in_place=recipe.method.trains_in_place,
        execution=recipe.train.execution,
        remat=recipe.train.remat,
    )
