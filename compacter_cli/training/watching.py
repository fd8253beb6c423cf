"""A run's curves in TensorBoard or Weights & Biases, beside its display and its metrics.jsonl.

A watcher is told the lines of metrics.jsonl: those that are there when it begins, then each as it
is written. So a run that goes on has one curve, without a step missing or there twice. One that
fails is told of once and left out: no run ends for its watchers.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import time
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from compacter_cli.errors import UsageError, excerpt
from compacter_cli.files import parse_json
from compacter_cli.training.display import Display, Opening
from compacter_cli.training.run_directory import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.training.loop import Epoch
    from compacter_cli.training.records import EpochLine, Result, ScoresRecord, UpdateLine
    from compacter_cli.training.scoring import Scores
    from compacter_cli.training.trainer import Update

_LONGEST = 128  # of a name, for Weights & Biases
_PATIENCE = 60.0  # seconds in which it may send the rest, once a run has ended


class Watcher(Protocol):
    """What is told numbers while a run goes on; what it raises is told for it."""

    def log(self, number: int, step: int, scalars: Mapping[str, float]) -> None:
        """The values of one line, after update `step`; lines are numbered from 1."""
        ...

    def close(self, well: bool) -> None:
        """The run has ended, `well` or not."""
        ...


class TensorBoard:
    """An event file in the run's `tensorboard/`, begun anew whenever a run goes on.

    Written at once, without tensorboard's thread: what a disk refuses is an error here, and what a
    process that was killed had told is there.
    """

    def __init__(self, directory: Path, recipe: Recipe, offline: bool) -> None:
        events = import_module("tensorboard.compat.proto.event_pb2")
        records = import_module("tensorboard.summary.writer.record_writer")
        self._event = events.Event
        self._summary = import_module("tensorboard.compat.proto.summary_pb2").Summary
        folder = directory / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        # The name that TensorBoard looks for.
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
        self._writer = records.RecordWriter(FileIO(folder / name, "w"))
        try:
            self._write(file_version="brain.Event:2")
            # To a TensorBoard that has read the file before: what it knows is superseded.
            self._write(session_log=events.SessionLog(status=events.SessionLog.START))
        except OSError:
            self._writer.close()
            raise

    def _write(self, **content: Any) -> None:
        event = self._event(wall_time=time.time(), **content)
        self._writer.write(event.SerializeToString())

    def log(self, number: int, step: int, scalars: Mapping[str, float]) -> None:
        values = [
            self._summary.Value(tag=name, simple_value=value) for name, value in scalars.items()
        ]
        self._write(step=step, summary=self._summary(value=values))

    def close(self, well: bool) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases; its own step counts lines, and `update` is the curves' axis."""

    def __init__(self, directory: Path, recipe: Recipe, offline: bool) -> None:
        wandb = import_module("wandb")
        project, name = project_and_name(recipe, directory)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or project,
            name=name,
            id=_identity(directory / "wandb"),
            dir=str(directory),
            config=recipe.plain(),
            allow_val_change=True,
            mode="offline" if offline else None,
            resume="allow",
            reinit="create_new",  # a Python user's own run is left alone
            settings=wandb.Settings(console="off", silent=True, finish_timeout=_PATIENCE),
        )
        self._run.define_metric("update")
        self._run.define_metric("*", step_metric="update")
        self._known = self._run.step  # lines that it was told before

    def log(self, number: int, step: int, scalars: Mapping[str, float]) -> None:
        if number >= self._known:
            self._run.log({**scalars, "update": step}, step=number)

    def close(self, well: bool) -> None:
        self._run.finish(exit_code=0 if well else 1)


def _identity(folder: Path) -> str:
    """By what a run is known when it goes on; what was kept to be sent of it is told again."""
    folder.mkdir(exist_ok=True)
    for kept in folder.glob("offline-run-*"):
        shutil.rmtree(kept, ignore_errors=True)
    path = folder / "id"
    if not path.is_file():
        path.write_text(secrets.token_hex(8), encoding="utf-8")
    return path.read_text(encoding="utf-8")


def project_and_name(recipe: Recipe, directory: Path) -> tuple[str, str]:
    """The folder that runs are in, and a run's path in it."""
    root, place = Path(recipe.output.root).absolute(), directory.absolute()
    root = root if root in place.parents else place.parent
    project = re.sub(r"[/\\#?%:]", "-", root.name) or "compacter"
    return project[:_LONGEST], str(place.relative_to(root))[-_LONGEST:]


WATCHERS: dict[str, Callable[[Path, Recipe, bool], Watcher]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
}


def check_watchers(names: Iterable[str]) -> None:
    """Raise `UsageError` unless the packages of the watchers are installed."""
    for name in names:
        found = find_spec(name)
        if found is None or found.origin is None:  # a folder of that name is no package
            raise UsageError(
                f'output.watch: "{name}" needs a package that is not installed',
                f'pip install "compacter[{name}]"',
            )


class Watching(Display):
    """A display that shows what `shown` shows, and tells the watchers of a recipe beside.

    A context manager: at its end the watchers are closed.

    Args:
        shown: the display, which hears everything first.
        recipe: its `output.watch` names the watchers.
        directory: the run's.
        offline: whether nothing may be sent.
    """

    def __init__(self, shown: Display, recipe: Recipe, directory: Path, offline: bool) -> None:
        self._shown, self._recipe = shown, recipe
        self._directory, self._offline = directory, offline
        self._watchers: dict[str, Watcher] = {}
        self._told = 0  # lines

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        self._each(lambda watcher: watcher.close(error is None))

    def line(self, text: str) -> None:
        self._shown.line(text)

    def writes_to(self, directory: Path) -> None:
        self._shown.writes_to(directory)

    def opening(self, opening: Opening) -> None:
        self._shown.opening(opening)

    def scoring_before(self) -> None:
        self._shown.scoring_before()

    def scored_before(self, scores: Scores) -> None:
        self._shown.scored_before(scores)

    def start(self, updates: int, done: int = 0) -> None:
        for name in self._recipe.output.watch:
            try:
                self._begin(name)
            except Exception as error:
                self._leave_out(name, error)
        self._shown.start(updates, done)

    def _begin(self, name: str) -> None:
        watcher = WATCHERS[name](self._directory, self._recipe, self._offline)
        self._watchers[name] = watcher
        lines = _lines(self._directory / METRICS)
        for number, entry in enumerate(lines, 1):
            watcher.log(number, entry["step"], scalars_of(entry))
        self._told = len(lines)

    def update(self, update: Update) -> None:
        self._shown.update(update)
        self._tell(update.step, scalars_of(update.record()))

    def epoch(self, epoch: Epoch) -> None:
        self._shown.epoch(epoch)
        self._tell(epoch.step, scalars_of(epoch.record()))

    def finished(self, result: Result) -> None:
        self._shown.finished(result)
        self._tell(result.get("updates", 0), _scores("test", result["test"]))

    def stop(self) -> None:
        self._shown.stop()

    def _tell(self, step: int, scalars: Mapping[str, float]) -> None:
        self._told += 1
        self._each(lambda watcher: watcher.log(self._told, step, scalars))

    def _each(self, do: Callable[[Watcher], None]) -> None:
        for name, watcher in [*self._watchers.items()]:
            try:
                do(watcher)
            except Exception as error:  # of another's code, which may raise anything
                self._leave_out(name, error)

    def _leave_out(self, name: str, error: Exception) -> None:
        reason = excerpt(str(error) or type(error).__name__, 200)
        self.line(f"{name} is told no more: {reason}; the run goes on")
        if watcher := self._watchers.pop(name, None):
            with suppress(Exception):
                watcher.close(False)


def _lines(path: Path) -> list[UpdateLine | EpochLine]:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [parse_json(line) for line in text.splitlines()]


def scalars_of(line: UpdateLine | EpochLine) -> dict[str, float]:
    """What a line of metrics.jsonl comes to as named numbers; those that are not finite are left
    out."""
    if line["kind"] == "epoch":
        loss = _named("train", {"epoch_loss": line["loss"]})
        return {**loss, **_scores("validation", line["validation"])}
    values = {key: line[key] for key in ("loss", "learning_rate", "gradient_norm")}
    return _named("train", values)


def _scores(split: str, scores: ScoresRecord) -> dict[str, float]:
    return _named(split, {**scores["metrics"], "mean": scores["mean"]})


def _named(group: str, values: Mapping[str, float | None]) -> dict[str, float]:
    return {f"{group}/{key}": value for key, value in values.items() if value is not None}
