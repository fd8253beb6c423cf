"""`compacter predict`: a run's adapter answers texts, a file of rows, or a split of its data."""

import json
from pathlib import Path
from typing import Annotated

import typer

from compacter_cli.adapters.predictor import Predictor, adapter_of_run
from compacter_cli.commands.console import err, out, print_json, show_note, table_of
from compacter_cli.commands.options import (
    AdapterOption,
    DeviceOption,
    JsonOption,
    OfflineOption,
    RunOption,
    SetOption,
    SplitName,
)
from compacter_cli.data.sources import check_rows, load_rows
from compacter_cli.data.text_files import read_rows, read_text
from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.loading import check_preset
from compacter_cli.t5.runtime import hide_tensorflow, start_keras
from compacter_cli.tasks import task_of
from compacter_cli.tasks.own import FORMATS
from compacter_cli.training.run_directory import RECIPE


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
    adapter: AdapterOption = "best",
    set_: SetOption = None,
    device: DeviceOption = None,
    offline: OfflineOption = False,
    json_: JsonOption = False,
):
    """Answer texts with a run's adapter, with every label's probability.

    Example: compacter predict --run RUN --file pairs.jsonl --output answers.jsonl
    """
    directory = adapter_of_run(run, adapter)
    recipe = load_recipe(str(run / RECIPE), set_ or [])
    task = task_of(recipe)
    check_inputs(text, file, split, output)
    if split:
        check_rows(task, recipe.data, offline)
        texts, right = None, None
    else:
        texts = text or read_sources(task, file)
        for warning in odd_texts(task, texts):
            show_note(warning)
    check_preset(recipe.backbone.preset, offline)
    hide_tensorflow()
    start_keras()
    if split:
        texts, right = texts_of_split(recipe, split, offline)
    found = predict(adapter=directory, recipe=recipe, texts=texts, device=device)
    if split:
        found = [{**item, "right": answers} for item, answers in zip(found, right, strict=True)]
    if output:
        write_lines(output, found)
        err.print(f"wrote {len(found):,} answers to {output}", soft_wrap=True)
    if json_:
        print_json(found)
    elif not output:
        show(found)


def predict(*, adapter, recipe, texts, device=None):
    """Answers of an adapter to source texts.

    Args:
        adapter: directory of the adapter.
        recipe: `Recipe` that names the backbone.
        texts: source texts, written as the task writes them.
        device: "cpu" or "cuda"; a GPU where there is one.

    Returns:
        For each text a dict: `prediction` is a label's name, or the text that the model wrote
        where it is no label; `probabilities` those of all labels by name, `None` for free text.

    Raises:
        CompacterError: the adapter is damaged or not of this backbone.
    """
    from compacter_cli.t5.loading import load_backbone
    from compacter_cli.t5.runtime import on_device

    size = recipe.train.eval_batch_size
    with on_device(device):
        backbone = load_backbone(
            recipe.backbone.preset, recipe.backbone.precision, recipe.method.trains_in_place
        )
        predictor = Predictor(backbone, adapter)
        answers = predictor.predict_with_probabilities(texts, size)
    return [
        {"text": text, "prediction": answer, "probabilities": share}
        for text, (answer, share) in zip(texts, answers, strict=True)
    ]


def check_inputs(texts, file, split, output=None):
    """Raise `UsageError` unless there is one kind of input, and room for the output."""
    given = [name for name, value in (("--text", texts), ("--file", file), ("--split", split))
             if value]  # fmt: skip
    if len(given) != 1:
        raise UsageError(
            f"expected one of --text, --file and --split, got {' and '.join(given) or 'none'}",
            'such as --text "..."',
        )
    if output and output.exists():
        raise UsageError(f"{output} exists and is not overwritten", "choose another --output")
    if output and not output.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {output.parent} for --output", "make it first")


def read_sources(task, file):
    """Source texts of a file: of its rows by the task's fields, or its lines as they are.

    Raises:
        UsageError: the file cannot be read, is empty, or a row lacks a field.
    """
    form = file.suffix.removeprefix(".")
    try:
        if form in FORMATS:
            rows = read_rows(file, form, task.fields)
            return [_source_of(task, row, f"{file}, line {number}") for number, row in rows]
        # Not splitlines, which also breaks at separators that belong to a text.
        lines = [line for line in read_text(file).split("\n") if line.strip()]
    except CompacterError as error:
        raise UsageError(str(error), error.hint) from error
    if not lines:
        raise UsageError(f"{file} is empty", "give a source text a line, or a .jsonl file of rows")
    return lines


def _source_of(task, row, where):
    try:
        return task.source(row)
    except (TypeError, AttributeError) as error:
        raise UsageError(f"{where}: no row of {task.name}: {error}") from error


def texts_of_split(recipe, split, offline=False):
    """`(source texts, right answers)` of a split of the recipe's data, a list of answers a text."""
    task = task_of(recipe)
    rows = task.split.apply(load_rows(task, recipe.data, offline).splits, recipe.data.seed)[split]
    right = [[task.label_of(text) or text for text in task.references(row)] for row in rows]
    return [task.source(row) for row in rows], right


def odd_texts(task, texts):
    """A sentence where texts are not written as the task's training texts were."""
    begin, shape = task.shape
    odd = [text for text in texts if not text.startswith(begin)]
    if not odd:
        return []
    return [f"{len(odd)} of {len(texts)} texts are not written as in training: {shape}"]


def write_lines(path, found):
    """Write answers as JSONL to a new file.

    Raises:
        UsageError: it cannot be written, or is there already.
    """
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.writelines(json.dumps(item, ensure_ascii=False) + "\n" for item in found)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def show(found):
    """Print each text with its answer and how probable it is among the labels."""
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
