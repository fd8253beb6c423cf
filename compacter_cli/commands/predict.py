"""`compacter predict`: a run's adapter answers texts, a file of rows, or a split of its data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NotRequired, TypedDict

import typer

from compacter_cli.commands.options import (
    DeviceOption,
    FormerWhichOption,
    JsonOption,
    OfflineOption,
    RunOption,
    SplitName,
    UseOption,
    WhichOption,
)
from compacter_cli.errors import CompacterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from compacter_cli.adapters.predictor import Predictor
    from compacter_cli.data.sources import RowSource
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.tasks.base import Row, Task


class Answer(TypedDict):
    """An answer to a source text.

    `prediction` is a label's name, or the text that the model wrote where it is no label;
    `probabilities` are those of all labels by name, `None` for free text; `right` are all right
    answers, where they are known.
    """

    text: str
    prediction: str
    probabilities: dict[str, float] | None
    right: NotRequired[list[str]]


def command(
    run: RunOption,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="A source text as the task writes it. Repeatable."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            help="Rows with the task's fields (.jsonl, .csv, .tsv), or a source text a line.",
        ),
    ] = None,
    split: Annotated[
        SplitName | None, typer.Option("--split", help="The rows of a split, right answers beside.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="JSONL file to write; one that is there stays."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on after the answers of an interrupted --output."),
    ] = False,
    which: WhichOption = "best",
    set_: UseOption = None,
    device: DeviceOption = None,
    offline: OfflineOption = False,
    json_: JsonOption = False,
    former_which: FormerWhichOption = None,
) -> None:
    """Answer texts with a run's adapter, with every label's probability.

    Answers for --output are kept beside it as they are made, in a file that ends in .part, until
    it is whole; the same command with --resume goes on after those.

    Example: compacter predict --run RUN --file pairs.jsonl --output answers.jsonl
    """
    from compacter_cli.adapters.manifest import read_manifest
    from compacter_cli.adapters.restoring import recipe_with
    from compacter_cli.commands.answer_file import read_answers
    from compacter_cli.commands.console import err, load_frameworks, print_json, show_note
    from compacter_cli.data.sources import find_rows
    from compacter_cli.t5.loading import check_preset
    from compacter_cli.tasks import task_of
    from compacter_cli.training.run_directory import adapter_of_run

    directory = adapter_of_run(run, which)
    recipe = recipe_with(read_manifest(directory), directory, set_ or [])
    task = task_of(recipe)
    check_inputs(text, file, split, output, resume)
    source = find_rows(task, recipe.data, offline) if split else None
    texts = [] if split else text or read_sources(task, file)
    for warning in odd_texts(task, texts):
        show_note(warning)
    check_preset(recipe.backbone.preset, offline)
    load_frameworks()
    right = None
    if split and source:
        texts, right = texts_of_split(recipe, split, source)
    asked = Asked(directory, recipe, texts, right, device)
    if output:
        write_answers(asked, output, resume)
        err.print(f"wrote {len(texts):,} answers to {output}", soft_wrap=True)
        if json_:
            print_json(read_answers(output))
    else:
        found = [answer for batch in asked.batches() for answer in batch]
        print_json(found) if json_ else show(found)


def predict(
    *,
    adapter: Path | str,
    recipe: Recipe,
    texts: Sequence[str],
    device: str | None = None,
) -> list[Answer]:
    """Answers of an adapter to source texts.

    Args:
        adapter: directory of the adapter.
        recipe: the one it was trained by, or with another place or precision of the backbone.
        texts: source texts, written as the task writes them.
        device: "cpu" or "cuda"; a GPU where there is one.

    Raises:
        UsageError: the recipe is another adapter's.
        CompacterError: the adapter is damaged or not of this backbone.
    """
    asked = Asked(Path(adapter), recipe, texts, device=device)
    return [answer for batch in asked.batches() for answer in batch]


@dataclass(frozen=True)
class Asked:
    """Texts that an adapter is asked.

    Attributes:
        adapter: directory of the adapter.
        recipe: the one by which it answers.
        texts: source texts.
        right: all right answers to each text, where they are known.
        device: "cpu" or "cuda"; a GPU where there is one.
    """

    adapter: Path
    recipe: Recipe
    texts: Sequence[str]
    right: Sequence[list[str]] | None = None
    device: str | None = None

    def batches(self, done: int = 0) -> Iterator[list[Answer]]:
        """The answers to the texts after the first `done`, a batch at a time.

        Raises:
            UsageError: the recipe is another adapter's.
            CompacterError: the adapter is damaged or not of this backbone.
        """
        from compacter_cli.adapters.manifest import read_manifest
        from compacter_cli.adapters.predictor import Predictor
        from compacter_cli.adapters.restoring import backbone_of, check_use
        from compacter_cli.t5.runtime import on_device

        check_use(read_manifest(self.adapter), self.adapter, self.recipe)
        size = self.recipe.train.eval_batch_size
        with on_device(self.device):
            predictor = Predictor(backbone_of(self.recipe), self.adapter, self.recipe)
            for start in range(done, len(self.texts), size):
                yield self._batch(predictor, slice(start, start + size))

    def _batch(self, predictor: Predictor, rows: slice) -> list[Answer]:
        texts = self.texts[rows]
        found: list[Answer] = [
            {"text": text, "prediction": answer, "probabilities": share}
            for text, (answer, share) in zip(
                texts, predictor.predict_with_probabilities(texts, len(texts)), strict=True
            )
        ]
        if self.right is not None:
            for item, answers in zip(found, self.right[rows], strict=True):
                item["right"] = answers
        return found


def write_answers(asked: Asked, output: Path, resume: bool = False) -> None:
    """Write answers to a new JSONL file, batch by batch; see `AnswerFile`.

    Raises:
        UsageError: it cannot be written, is there already, or there is only another's to go on
            from.
        CompacterError: the adapter does not fit, or the disk is full.
        KeyboardInterrupt: Ctrl-C; what was answered is kept.
    """
    from compacter_cli.adapters.manifest import read_manifest
    from compacter_cli.commands.answer_file import AnswerFile, key_of

    weights, recipe = read_manifest(asked.adapter)["sha256"], asked.recipe
    key = key_of(weights, recipe.plain(), asked.right, texts=asked.texts)
    file = AnswerFile(output, key, asked.texts, recipe.train.eval_batch_size)
    with file.growing(resume):
        for batch in asked.batches(file.done):
            file.add(batch)


def check_inputs(
    texts: Sequence[str] | None,
    file: Path | None,
    split: str | None,
    output: Path | None = None,
    resume: bool = False,
) -> None:
    """Raise `UsageError` unless there is one kind of input, and room for the output."""
    given = [name for name, value in (("--text", texts), ("--file", file), ("--split", split))
             if value]  # fmt: skip
    if len(given) != 1:
        raise UsageError(
            f"expected one of --text, --file and --split, got {' and '.join(given) or 'none'}",
            'such as --text "..."',
        )
    if resume and not output:
        raise UsageError("--resume goes on with a file of answers", "give its --output")
    if output:
        _check_output(output)


def _check_output(output: Path) -> None:
    from compacter_cli.training.claim import check_writable

    if os.path.lexists(output):
        raise UsageError(f"{output} exists and is not overwritten", "choose another --output")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {output.parent} for --output", "make it first")
    check_writable(output)


def read_sources(task: Task, file: Path | None) -> list[str]:
    """Source texts of a file: of its rows by the task's fields, or its lines as they are.

    Raises:
        UsageError: the file cannot be read, is empty, or a row lacks a field.
    """
    from compacter_cli.data.text_files import read_rows, read_text
    from compacter_cli.tasks.own import FORMATS

    if file is None:
        return []
    form = file.suffix.removeprefix(".")
    try:
        if form in FORMATS:
            rows = read_rows(file, form, task.fields, task.lists)
            return [_source_of(task, row, f"{file}, line {number}") for number, row in rows]
        # Not splitlines, which also breaks at separators that belong to a text.
        lines = [line for line in read_text(file).split("\n") if line.strip()]
    except CompacterError as error:
        raise UsageError(str(error), error.hint) from error
    if not lines:
        raise UsageError(f"{file} is empty", "give a source text a line, or a .jsonl file of rows")
    return lines


def _source_of(task: Task, row: Row, where: str) -> str:
    try:
        return task.source(row)
    except (TypeError, AttributeError) as error:
        raise UsageError(f"{where}: no row of {task.name}: {error}") from error


def texts_of_split(
    recipe: Recipe, split: str, source: RowSource
) -> tuple[list[str], list[list[str]]]:
    """`(source texts, right answers)` of a split of the recipe's data, a list of answers a text."""
    from compacter_cli.tasks import task_of

    task = task_of(recipe)
    rows = task.split.apply(source.load().splits, recipe.data.seed)[split]
    right = [[task.label_of(text) or text for text in task.references(row)] for row in rows]
    return [task.source(row) for row in rows], right


def odd_texts(task: Task, texts: Sequence[str]) -> list[str]:
    """A sentence where texts are not written as the task's training texts were."""
    begin, shape = task.shape
    odd = [text for text in texts if not text.startswith(begin)]
    if not odd:
        return []
    return [f"{len(odd)} of {len(texts)} texts are not written as in training: {shape}"]


def show(found: Sequence[Answer]) -> None:
    """Print each text with its answer and how probable it is among the labels."""
    from compacter_cli.commands.console import out, table_of

    columns = ("prediction", "probability", *(["right"] if "right" in found[0] else []), "text")
    table = table_of(*columns, numbers=("probability",))
    for item in found:
        share = (item["probabilities"] or {}).get(item["prediction"])
        cells = {
            **item,
            "probability": "-" if share is None else f"{share:.3f}",
            "right": " / ".join(item.get("right", ())),
        }
        table.add_row(*(cells[column] for column in columns))
    out.print(table)
