"""What `predict` is asked: the rows of a file or of standard input, a text a line, or a split."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from compacter_cli.errors import CompacterError, UsageError, counted, excerpt, nearest_or_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from compacter_cli.data.sources import RowSource
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.tasks.base import Row, Task

Form = Literal["jsonl", "csv", "tsv", "text"]
FORMATS = get_args(Form)[:-1]  # those with columns
STANDARD_INPUT = Path("-")


class Given(NamedTuple):
    """What is asked.

    Attributes:
        texts: source texts.
        rows: the row of each as it was read, with all of its columns; `None` where there is none.
        names: the adapter of each, where several are asked.
        right: all right answers to each, where they are known.
    """

    texts: Sequence[str]
    rows: Sequence[Row] | None = None
    names: Sequence[str] | None = None
    right: Sequence[list[str]] | None = None


def form_of(file: Path, form: Form | None) -> str:
    """The form of a file: as said, or by its ending; a source text a line for any other.

    Raises:
        UsageError: standard input has no ending.
    """
    if form is not None:
        return form
    if file == STANDARD_INPUT:
        raise UsageError(
            "standard input has no ending that says what its lines are",
            "--format jsonl, csv, tsv, or text for a source text a line",
        )
    ending = file.suffix.removeprefix(".").lower()
    return ending if ending in FORMATS else "text"


def read_sources(task: Task, file: Path, form: Form | None = None) -> Given:
    """The rows of a file as source texts by the task's fields, or its lines as they are.

    Raises:
        UsageError: the file cannot be read, is empty, or a row lacks a field.
    """
    from compacter_cli.data.text_files import read_text
    from compacter_cli.data.text_rows import read_rows

    kind = form_of(file, form)
    with _path_of(file) as path:
        if kind in FORMATS:
            pairs = list(read_rows(path, kind, task.fields, task.lists))
            texts = [_source_of(task, row, f"{path}, line {number}") for number, row in pairs]
            return Given(texts, [row for _, row in pairs])
        # Not splitlines, which also breaks at separators that belong to a text.
        lines = [line for line in read_text(path).split("\n") if line.strip()]
        if not lines:
            raise UsageError(
                f"{path} is empty", "give a source text a line, or a .jsonl file of rows"
            )
        return Given(lines)


def read_mixed(
    tasks: Mapping[str, Task], texts: Sequence[str] | None, file: Path | None, form: Form | None
) -> Given:
    """The rows of a file, with the adapter that each names in its column "adapter".

    Args:
        tasks: that of each adapter, by its name.
        texts: source texts, which are not taken here.
        file: of rows.
        form: its form, where its ending does not say it.

    Raises:
        UsageError: there is no such file, it cannot be read, or a row names no adapter or lacks a
            field of its task.
    """
    from compacter_cli.data.text_rows import check_columns, read_rows

    kind = form_of(file, form) if file else ""
    if texts or file is None or kind not in FORMATS:
        raise UsageError(
            'several adapters answer the rows of a file, whose column "adapter" names one',
            f"give --file with {', '.join(f'.{known}' for known in FORMATS)}",
        )
    with _path_of(file) as path:

        def check(number: int, row: Row) -> None:
            name = str(row["adapter"])
            if name not in tasks:
                raise UsageError(
                    f'{path}, line {number}: there is no adapter "{excerpt(name)}"',
                    nearest_or_all(name, tasks),
                )
            check_columns(path, number, row, tasks[name].fields, tasks[name].lists)

        pairs = list(read_rows(path, kind, ("adapter",), check=check))
        names = [str(row["adapter"]) for _, row in pairs]
        sources = [
            _source_of(tasks[name], row, f"{path}, line {number}")
            for name, (number, row) in zip(names, pairs, strict=True)
        ]
        return Given(sources, [row for _, row in pairs], names)


@contextmanager
def _path_of(file: Path) -> Iterator[Path]:
    """The file to read; standard input is copied to one first, and its errors name it.

    Raises:
        UsageError: what is wrong with the file.
    """
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path, said = file, str(file)
        if file == STANDARD_INPUT:
            path, said = Path(folder) / "input", "standard input"
            path.write_bytes(sys.stdin.buffer.read())
        try:
            yield path
        except CompacterError as error:
            raise UsageError(str(error).replace(str(path), said), error.hint) from error


def _source_of(task: Task, row: Row, where: str) -> str:
    try:
        return task.source(row)
    except (TypeError, AttributeError) as error:
        raise UsageError(f"{where}: no row of {task.name}: {error}") from error


def read_split(recipe: Recipe, split: str, source: RowSource) -> Given:
    """The source texts of a split of the recipe's data, with a list of right answers each."""
    from compacter_cli.tasks import task_of

    task = task_of(recipe)
    rows = task.split.apply(source.load().splits, recipe.data.seed)[split]
    right = [[task.label_of(text) or text for text in task.references(row)] for row in rows]
    return Given([task.source(row) for row in rows], right=right)


def odd_texts(task: Task, texts: Sequence[str]) -> list[str]:
    """A sentence where texts are not written as the task's training texts were."""
    begin, shape = task.shape
    odd = [text for text in texts if not text.startswith(begin)]
    if not odd:
        return []
    of, verb = counted(len(texts), "text"), "is" if len(odd) == 1 else "are"
    return [f"{len(odd):,} of {of} {verb} not written as in training: {shape}"]
