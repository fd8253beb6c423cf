"""One training run: what is loaded, trained, saved and tested, and in which order."""

import time
from contextlib import ExitStack
from pathlib import Path

from compacter_cli.commands.progress import Silent
from compacter_cli.data.sources import load_rows
from compacter_cli.files import write_json
from compacter_cli.t5.loading import load_backbone
from compacter_cli.t5.runtime import on_device, seed_everything, start_keras
from compacter_cli.tasks import task_of
from compacter_cli.training import run_directory as runs
from compacter_cli.training.report import opening_lines, result_of, scores_line


class Session:
    """One training run in progress: its model, its data, and what it writes when.

    A context manager: inside, everything is loaded and Keras is on the run's device.
    """

    def __init__(self, recipe, directory, device=None, offline=False, progress=None):
        self.recipe, self.directory = recipe, Path(directory)
        self.progress = progress or Silent()
        self.task = task_of(recipe)
        self.best = self.before = None
        self._device_name, self._offline = device, offline
        self._stack = ExitStack()

    def __enter__(self):
        start_keras()
        with self._stack:
            self.device = self._stack.enter_context(on_device(self._device_name))
            seed_everything(self.recipe.seed)
            self._load()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    def _load(self):
        from compacter_cli.data.dataset import build_dataset
        from compacter_cli.training.loop import updates_per_epoch

        recipe = self.recipe
        rows = load_rows(self.task, recipe.data, self._offline)
        self.backbone = backbone = load_backbone(
            recipe.backbone.preset, recipe.backbone.precision, recipe.method.trains_in_place
        )
        self.dataset = build_dataset(
            self.task,
            rows,
            backbone.vocabulary,
            recipe.data,
            recipe.seed,
            recipe.method.prefixes_task,
        )
        self.model = model_of(backbone.keras, backbone.exact, recipe)
        per_epoch = updates_per_epoch(len(self.dataset.train), recipe.train)
        self.updates = per_epoch * recipe.train.epochs

    def start(self, overwrite):
        """Claim the run directory, show the opening lines and score the untrained model."""
        runs.start_run(self.directory, self.recipe, runs.environment(self.device), overwrite)
        lines = opening_lines(
            self.recipe, self.model.shape, self.dataset, self.updates, self.device, self.directory
        )
        self.progress.opening(lines)
        if self.recipe.train.score_before:
            self.progress.line("scoring the test set before training ...")
            self.before = self._score_test()
            self.progress.line(f"before training: test {scores_line(self.before)}")
        self.progress.start(self.updates)
        self.began = time.perf_counter()

    def train(self):
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
                self.progress.stop()
            if interrupted():
                self._save("last")
                raise KeyboardInterrupt(
                    f"interrupted; the weights as they were are in {self.directory / 'last'}"
                )

    def _on_update(self, update):
        runs.append_metrics(self.directory, kind="update", **vars(update))
        self.progress.update(update)

    def _on_epoch(self, epoch):
        scores = epoch.validation.as_dict()
        runs.append_metrics(self.directory, kind="epoch", **{**vars(epoch), "validation": scores})
        self._save("last", epoch)
        if epoch.best:
            self._save("best", epoch)
            self.best = epoch
        self.progress.epoch(epoch)

    def _save(self, which, epoch=None):
        from compacter_cli.adapters.adapter_file import manifest_of, save_adapter

        tensors = self.model.trained_tensors()
        manifest = manifest_of(
            tensors,
            method=self.recipe.method.settings(),
            task=self.recipe.task,
            backbone=self.backbone,
            shape=self.model.shape,
            recipe=runs.plain_recipe(self.recipe),
            metrics={"epoch": epoch.number, **epoch.validation.metrics} if epoch else None,
        )
        save_adapter(self.directory / which, tensors, manifest)

    def finish(self):
        """Load the best adapter back from its file, test it, and write the result."""
        from compacter_cli.adapters.adapter_file import WEIGHTS, load_adapter
        from compacter_cli.training.memory import peak_memory

        seconds = time.perf_counter() - self.began
        adapter = load_adapter(self.directory / "best")
        self.model.assign(adapter.tensors)
        result = result_of(
            self.recipe,
            self.model.shape,
            self.recipe.train.epochs,
            self.best,
            self._score_test(),
            before=self.before and self.before.as_dict(),
            run=str(self.directory),
            adapter_bytes=(self.directory / "best" / WEIGHTS).stat().st_size,
            training_seconds=seconds,
            peak_memory_bytes=peak_memory(self.device),
            data=self.dataset.origin,
        )
        write_json(self.directory / runs.RESULT, result)
        return result

    def _score_test(self):
        from compacter_cli.training.scoring import evaluate

        size = self.recipe.train.eval_batch_size
        vocabulary = self.backbone.vocabulary
        scores, _ = evaluate(
            self.model, vocabulary, self.task, self.dataset, "test", size, self.device
        )
        return scores


def model_of(keras_backbone, exact, recipe):
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
