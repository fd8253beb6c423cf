"""`compacter predict`: a run's adapter answers texts."""

import json
from pathlib import Path
from typing import Annotated

import typer

from compacter_cli.backbone import check_available
from compacter_cli.console import out, print_json, show_note, table_of
from compacter_cli.errors import UsageError
from compacter_cli.options import (
    AdapterOption,
    DeviceOption,
    JsonOption,
    OfflineOption,
    RunOption,
    SetOption,
)
from compacter_cli.predictor import Predictor, adapter_of_run
from compacter_cli.recipe import load_recipe
from compacter_cli.run import RECIPE
from compacter_cli.runtime import hide_tensorflow, start_keras
from compacter_cli.tasks import task_of


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
            help="A .jsonl file of rows with the task's fields, or a text file, a source a line.",
        ),
    ] = None,
    adapter: AdapterOption = "best",
    set_: SetOption = None,
    device: DeviceOption = None,
    offline: OfflineOption = False,
    json_: JsonOption = False,
):
    """Answer texts with a run's adapter.

    Example: compacter predict --run RUN --text "sentence1: It rains. sentence2: It is wet."
    """
    directory = adapter_of_run(run, adapter)
    recipe = load_recipe(str(run / RECIPE), set_ or [])
    texts = read_texts(task_of(recipe), text or [], file)
    for warning in odd_texts(task_of(recipe), texts):
        show_note(warning)
    check_available(recipe.backbone.preset, offline)
    hide_tensorflow()
    start_keras()
    answers = predict(adapter=directory, recipe=recipe, texts=texts, device=device)
    found = [{"text": t, "prediction": a} for t, a in zip(texts, answers, strict=True)]
    print_json(found) if json_ else show(found)


def predict(*, adapter, recipe, texts, device=None):
    """Answers of an adapter to source texts.

    Args:
        adapter: directory of the adapter.
        recipe: `Recipe` that names the backbone.
        texts: source texts, written as the task writes them.
        device: "cpu" or "cuda"; a GPU where there is one.

    Returns:
        A label's name for each text, or the text that the model wrote where it is no label.

    Raises:
        CompacterError: the adapter is damaged or not of this backbone.
    """
    from compacter_cli.backbone import load_backbone
    from compacter_cli.runtime import on_device

    with on_device(device):
        backbone = load_backbone(
            recipe.backbone.preset, recipe.backbone.precision, recipe.method.trains_in_place
        )
        predictor = Predictor(backbone, adapter)
        return predictor.predict(texts, recipe.train.eval_batch_size)


def read_texts(task, texts, file):
    """Source texts of `--text` and `--file`.

    Raises:
        UsageError: there is none, or the file cannot be read or lacks a field.
    """
    if bool(texts) == (file is not None):
        raise UsageError("expected either --text or --file", 'such as --text "..."')
    found = texts or _read_file(task, file)
    if not found:
        raise UsageError(f"{file} is empty")
    return found


def _read_file(task, file):
    try:
        # Not splitlines, which also breaks at separators that belong to a text.
        lines = [line for line in file.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {file}: {error}") from error
    if file.suffix != ".jsonl":
        return lines
    return [_source_of(task, line, f"{file}, row {number}") for number, line in enumerate(lines, 1)]


def _source_of(task, line, where):
    try:
        row = json.loads(line)
        return task.source(row)
    except KeyError as error:
        raise UsageError(
            f"{where}: the field {error} is missing", f"rows need {', '.join(task.fields)}"
        ) from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{where}: not a JSON object: {error}") from error


def odd_texts(task, texts):
    """A sentence where texts are not written as the task's training texts were."""
    odd = [text for text in texts if not text.startswith(f"{task.fields[0]}:")]
    if not odd:
        return []
    shape = " ".join(f"{field}: ..." for field in task.fields)
    return [f"{len(odd)} of {len(texts)} texts are not written as in training: {shape}"]


def show(found):
    """Print each text with its answer."""
    table = table_of("prediction", "text")
    for item in found:
        table.add_row(item["prediction"], item["text"])
    out.print(table)
