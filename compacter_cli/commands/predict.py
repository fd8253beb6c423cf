"""`compacter predict`: a run's adapter answers texts, a file of rows, or a split of its data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, NotRequired

import typer
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.commands.options import (
    DeviceOption,
    JsonOption,
    OfflineOption,
    SplitName,
    UseOption,
    WhichOption,
)
from compacter_cli.errors import CompacterError, UsageError, excerpt, nearest_or_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from compacter_cli.adapters.predictor import Predictor
    from compacter_cli.data.sources import RowSource
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.tasks.base import Row, Task


class Answer(TypedDict):
    """An answer to a source text.

    `prediction` is a label's name, or the text that the model wrote where it is no label;
    `probabilities` are those of all labels by name, `None` for free text; `right` are all right
    answers, where they are known; `adapter` is the name of the one that answered, of those named.
    """

    text: str
    prediction: str
    probabilities: dict[str, float] | None
    right: NotRequired[list[str]]
    adapter: NotRequired[str]


def command(
    run: Annotated[
        Path | None, typer.Option("--run", help="Run directory, as train printed it.")
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            "--adapter",
            help="NAME=RUN, instead of --run: several answer the rows of --file together, each "
            'those whose column "adapter" is its name. Repeatable.',
        ),
    ] = None,
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
) -> None:
    """Answer texts with a run's adapter, with every label's probability.

    Answers for --output are kept beside it as they are made, in a file that ends in .part, until
    it is whole; the same command with --resume goes on after those.

    Example: compacter predict --run RUN --file pairs.jsonl --output answers.jsonl
    """
    from compacter_cli.commands.answer_file import read_answers
    from compacter_cli.commands.console import err, load_frameworks, print_json, show_note
    from compacter_cli.data.sources import find_rows
    from compacter_cli.t5.loading import check_preset
    from compacter_cli.tasks import task_of

    runs = runs_of(run, adapter)
    chosen = {name: chosen_of(path, which, set_ or []) for name, path in runs.items()}
    check_inputs(text, file, split, output, resume)
    recipe = next(iter(chosen.values())).recipe
    names, right, source = None, None, None
    if adapter:
        texts, names = read_mixed(chosen, text, file)
    else:
        source = find_rows(task_of(recipe), recipe.data, offline) if split else None
        texts = [] if split else text or read_sources(task_of(recipe), file)
        for warning in odd_texts(task_of(recipe), texts):
            show_note(warning)
    check_preset(recipe.backbone.preset, offline)
    load_frameworks()
    if split and source:
        texts, right = texts_of_split(recipe, split, source)
    asked = Asked(chosen, texts, names, right, device)
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
    from compacter_cli.adapters.predictor import ONLY

    asked = Asked({ONLY: Chosen(Path(adapter), recipe)}, texts, device=device)
    return [answer for batch in asked.batches() for answer in batch]


class Chosen(NamedTuple):
    """An adapter's directory, and the recipe by which it answers."""

    directory: Path
    recipe: Recipe


def runs_of(run: Path | None, adapters: Sequence[str] | None) -> dict[str, Path]:
    """The run directories that are asked, by the names given to them; one alone has none.

    Raises:
        UsageError: none is given, both kinds are, or one is not written as NAME=RUN.
    """
    from compacter_cli.adapters.predictor import ONLY

    if (run is None) == (not adapters):
        got = "both" if run else "neither"
        raise UsageError(f"expected --run or --adapter, got {got}", "such as --run RUN")
    if run is not None:
        return {ONLY: run}
    found: dict[str, Path] = {}
    for given in adapters or ():
        name, equals, path = given.partition("=")
        if not (name and equals and path) or name in found:
            why = "the name is given twice" if name in found else "expected NAME=RUN"
            hint = "such as --adapter rte=runs/...; best or last is chosen by --which"
            raise UsageError(f"--adapter {given}: {why}", hint)
        found[name] = Path(path)
    return found


def chosen_of(run: Path, which: str, overrides: Sequence[str]) -> Chosen:
    """The adapter of a run, with the recipe by which it answers.

    Raises:
        UsageError: it is no run directory, or a value means nothing to a trained adapter.
    """
    from compacter_cli.adapters.manifest import read_manifest
    from compacter_cli.adapters.restoring import recipe_with
    from compacter_cli.training.run_directory import adapter_of_run

    directory = adapter_of_run(run, which)
    return Chosen(directory, recipe_with(read_manifest(directory), directory, overrides))


@dataclass(frozen=True)
class Asked:
    """Texts that adapters are asked.

    Attributes:
        adapters: the adapters by name.
        texts: source texts.
        names: the adapter of each text; `None` where the only one has no name.
        right: all right answers to each text, where they are known.
        device: "cpu" or "cuda"; a GPU where there is one.
    """

    adapters: Mapping[str, Chosen]
    texts: Sequence[str]
    names: Sequence[str] | None = None
    right: Sequence[list[str]] | None = None
    device: str | None = None

    @property
    def batch_size(self) -> int:
        """How many texts are answered at once."""
        return min(one.recipe.train.eval_batch_size for one in self.adapters.values())

    def batches(self, done: int = 0) -> Iterator[list[Answer]]:
        """The answers to the texts after the first `done`, a batch at a time.

        Raises:
            UsageError: a recipe is another adapter's, or one cannot be asked beside others.
            CompacterError: an adapter is damaged or not of this backbone.
        """
        from compacter_cli.adapters.manifest import read_manifest
        from compacter_cli.adapters.predictor import Predictor
        from compacter_cli.adapters.restoring import backbone_of, check_use
        from compacter_cli.t5.runtime import on_device

        for directory, recipe in self.adapters.values():
            check_use(read_manifest(directory), directory, recipe)
        first = next(iter(self.adapters.values()))
        with on_device(self.device):
            predictor = Predictor(
                backbone_of(first.recipe),
                {name: one.directory for name, one in self.adapters.items()},
                {name: one.recipe for name, one in self.adapters.items()},
            )
            for start in range(done, len(self.texts), self.batch_size):
                yield self._batch(predictor, slice(start, start + self.batch_size))

    def _batch(self, predictor: Predictor, rows: slice) -> list[Answer]:
        texts, names = self.texts[rows], self.names and self.names[rows]
        pairs = predictor.predict_with_probabilities(texts, len(texts), names)
        found: list[Answer] = [
            {"text": text, "prediction": answer, "probabilities": share}
            for text, (answer, share) in zip(texts, pairs, strict=True)
        ]
        if names is not None:
            for item, name in zip(found, names, strict=True):
                item["adapter"] = name
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

    settings: list[object] = []
    for name, (directory, recipe) in sorted(asked.adapters.items()):
        settings += [read_manifest(directory)["sha256"], recipe.plain()]
        settings += [name] if asked.names is not None else []
    key = key_of(*settings, asked.names or asked.right, texts=asked.texts)
    file = AnswerFile(output, key, asked.texts, asked.batch_size)
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


def read_mixed(
    adapters: Mapping[str, Chosen], texts: Sequence[str] | None, file: Path | None
) -> tuple[list[str], list[str]]:
    """Source texts of a file of rows, and the adapter that each names in its column "adapter".

    Raises:
        UsageError: there is no such file, it cannot be read, or a row names no adapter or lacks a
            field of its task.
    """
    from compacter_cli.data.text_files import check_columns, read_rows
    from compacter_cli.tasks import task_of
    from compacter_cli.tasks.own import FORMATS

    form = file.suffix.removeprefix(".") if file else ""
    if texts or file is None or form not in FORMATS:
        raise UsageError(
            'several adapters answer the rows of a file, whose column "adapter" names one',
            f"give --file with {', '.join(f'.{known}' for known in FORMATS)}",
        )
    tasks = {name: task_of(one.recipe) for name, one in adapters.items()}
    sources, names = [], []
    try:
        for number, row in read_rows(file, form, ("adapter",)):
            name = str(row["adapter"])
            if name not in tasks:
                raise UsageError(
                    f'{file}, line {number}: there is no adapter "{excerpt(name)}"',
                    nearest_or_all(name, tasks),
                )
            task = tasks[name]
            check_columns(file, number, row, task.fields, task.lists)
            sources.append(_source_of(task, row, f"{file}, line {number}"))
            names.append(name)
    except CompacterError as error:
        raise UsageError(str(error), error.hint) from error
    return sources, names


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

    more = [column for column in ("right", "adapter") if column in found[0]]
    columns = ("prediction", "probability", *more, "text")
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
