"""`compacter predict`: a run's adapter answers texts, a file of rows, or a split of its data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compacter_cli.commands.answer_table import form_of_output, probability_of
from compacter_cli.commands.asked import (
    Answer,
    Asked,
    chosen_of,
    runs_of,
    write_answers,
    write_to_stdout,
)
from compacter_cli.commands.options import (
    BatchSizeOption,
    DeviceOption,
    JsonOption,
    OfflineOption,
    ResumeOption,
    RunOrNoneOption,
    SplitName,
    ThreadsOption,
    UseOption,
    WhichOption,
    adapters_option,
    file_option,
    output_option,
    use_of,
)
from compacter_cli.commands.predict_rows import (
    Form,
    Given,
    odd_texts,
    read_mixed,
    read_sources,
    read_split,
)
from compacter_cli.errors import UsageError, counted, were

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compacter_cli.recipe.recipe import Recipe

STANDARD_OUTPUT = Path("-")


def command(
    run: RunOrNoneOption = None,
    adapter: Annotated[
        list[str] | None,
        adapters_option(
            ", instead of --run: several answer the rows of --file together, each those whose "
            'column "adapter" is its name'
        ),
    ] = None,
    which: WhichOption = "best",
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text", metavar="TEXT", help="A source text as the task writes it. Repeatable."
        ),
    ] = None,
    file: Annotated[
        Path | None,
        file_option(
            "Rows with the task's fields (.jsonl, .csv, .tsv), or a source text a line; - is "
            "standard input. All columns of a row stay beside its answer."
        ),
    ] = None,
    format_: Annotated[
        Form | None,
        typer.Option("--format", help="What --file holds, where its ending does not say it."),
    ] = None,
    split: Annotated[
        SplitName | None, typer.Option("--split", help="The rows of a split, right answers beside.")
    ] = None,
    set_: UseOption = None,
    output: Annotated[
        Path | None,
        output_option(
            "File to write, a table if it ends in .csv or .tsv, else JSONL; one that is there "
            "stays. - is standard output, in --format.",
            "FILE",
        ),
    ] = None,
    resume: ResumeOption = False,
    batch_size: BatchSizeOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    offline: OfflineOption = False,
    json_: JsonOption = False,
) -> None:
    """Answer texts with a run's adapter, with every label's probability.

    Answers for --output are kept beside it as they are made, in a file that ends in .part, until
    it is whole; the same command with --resume goes on after those.

    Example: compacter predict --run RUN --file pairs.jsonl --output answers.jsonl
    """
    from compacter_cli.commands.answer_table import columns_of
    from compacter_cli.commands.console import load_frameworks, print_json, show_note
    from compacter_cli.data.sources import find_rows
    from compacter_cli.t5.preset_places import check_preset
    from compacter_cli.tasks import task_of

    runs = runs_of(run, adapter)
    use = use_of(set_, batch_size)
    chosen = {name: chosen_of(path, which, use) for name, path in runs.items()}
    check_inputs(text, file, split, output, resume, format_, json_)
    recipe = next(iter(chosen.values())).recipe
    source = None
    if adapter:
        tasks = {name: task_of(one.recipe) for name, one in chosen.items()}
        given = read_mixed(tasks, text, file, format_)
    else:
        source = find_rows(task_of(recipe), recipe.data, offline) if split else None
        given = read_sources(task_of(recipe), file, format_) if file else Given(text or [])
        for warning in odd_texts(task_of(recipe), given.texts):
            show_note(warning)
    form = output_form(output, file, format_)
    if form != "jsonl":
        columns_of(given)  # a column that is taken is told before anything is loaded
    check_preset(recipe.backbone.preset, offline)
    load_frameworks(threads=threads)
    if split and source:
        given = read_split(recipe, split, source)
    asked = Asked(chosen, given, device)
    if output == STANDARD_OUTPUT:
        write_to_stdout(asked, form)
    elif output:
        _write_file(asked, output, resume, json_)
    else:
        found = [answer for batch in asked.batches() for answer in batch]
        print_json(found) if json_ else show(found)


def _write_file(asked: Asked, output: Path, resume: bool, json_: bool) -> None:
    from compacter_cli.commands.answer_file import read_answers
    from compacter_cli.commands.console import err, print_json

    if json_ and form_of_output(output) != "jsonl":
        raise UsageError(
            f"--json prints what {output} would hold as JSONL",
            "give another --output, or no --json",
        )
    write_answers(asked, output, resume)
    err.say(f"wrote {counted(len(asked.texts), 'answer')} to {output}")
    if json_:
        print_json(read_answers(output))


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
    from compacter_cli.adapters.manifest import read_manifest
    from compacter_cli.adapters.predictor import ONLY
    from compacter_cli.adapters.restoring import Chosen

    one = Chosen(Path(adapter), recipe, read_manifest(adapter))
    asked = Asked({ONLY: one}, Given(texts), device)
    return [answer for batch in asked.batches() for answer in batch]


def output_form(output: Path | None, file: Path | None, form: Form | None) -> str:
    """The form of what is written: a file's by its ending, standard output's as what was read."""
    from compacter_cli.commands.predict_rows import form_of

    if output != STANDARD_OUTPUT:
        return form_of_output(output) if output else "jsonl"
    read = form_of(file, form) if file else form
    return "jsonl" if read in (None, "text") else read


def check_inputs(
    texts: Sequence[str] | None,
    file: Path | None,
    split: str | None,
    output: Path | None = None,
    resume: bool = False,
    form: str | None = None,
    json_: bool = False,
) -> None:
    """Raise `UsageError` unless there is one kind of input, and room for the output."""
    given = [name for name, value in (("--text", texts), ("--file", file), ("--split", split))
             if value]  # fmt: skip
    if len(given) != 1:
        raise UsageError(
            f"expected one of --text, --file and --split, got {' and '.join(given) or 'none'}",
            'such as --text "..."',
        )
    if form and not (file or output == STANDARD_OUTPUT):
        raise UsageError("--format says what --file holds", "give --file, or leave it out")
    if resume and output in (None, STANDARD_OUTPUT):
        raise UsageError("--resume goes on with a file of answers", "give its --output")
    if json_ and output and (output == STANDARD_OUTPUT or form_of_output(output) != "jsonl"):
        raise UsageError(
            f"--json prints JSON, and --output {output} is for another form", "give one of them"
        )
    if output and output != STANDARD_OUTPUT:
        _check_output(output)


def _check_output(output: Path) -> None:
    from compacter_cli.training.claim import check_writable

    if os.path.lexists(output):
        raise UsageError(f"{output} exists and is not overwritten", "choose another --output")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {output.parent} for --output", "make it first")
    check_writable(output)


def show(found: Sequence[Answer]) -> None:
    """Print each text with its answer and how probable it is among the labels."""
    from compacter_cli.commands.console import out, show_note, table_of

    more = [column for column in ("right", "adapter") if column in found[0]]
    columns = ("prediction", "probability", *more, "text")
    table = table_of(*columns, numbers=("probability",))
    for item in found:
        share = probability_of(item)
        cells = {
            **item,
            "probability": "-" if share is None else f"{share:.3f}",
            "right": " / ".join(item.get("right", ())),
        }
        table.add_row(*(cells[column] for column in columns))
    out.print(table)
    strays = sum(bool(item["probabilities"]) and probability_of(item) is None for item in found)
    if strays:
        show_note(
            f"{strays} of {counted(len(found), 'answer')} {were(strays)} no label of the task, "
            "without a probability"
        )
