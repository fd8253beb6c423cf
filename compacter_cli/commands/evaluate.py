"""`compacter evaluate`: score a run's adapter again, in a fresh process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from compacter_cli.commands.options import (
    BatchSizeOption,
    DeviceOption,
    FormerWhichOption,
    JsonOption,
    OfflineOption,
    RunOption,
    SplitName,
    ThreadsOption,
    UseOption,
    WhichOption,
    file_option,
    use_of,
)
from compacter_cli.errors import CompacterError, MissingResourceError, UsageError, counted
from compacter_cli.training.evaluation import Evaluation, evaluate, scoring_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compacter_cli.recipe.recipe import Recipe


def command(
    run: RunOption,
    which: WhichOption = "best",
    split: Annotated[
        SplitName | None, typer.Option("--split", help="Which split to score; test by default.")
    ] = None,
    file: Annotated[
        Path | None,
        file_option(
            "Score all rows of this file instead, with an adapter of rows of one's own; its "
            "other files need not be there."
        ),
    ] = None,
    set_: UseOption = None,
    batch_size: BatchSizeOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    offline: OfflineOption = False,
    json_: JsonOption = False,
    former_which: FormerWhichOption = None,
) -> None:
    """Score a run's adapter on a split, beside what the run itself recorded.

    Example: compacter evaluate --run runs/glue/rte/compacterpp/t5_mini-s42-0a1b2c3d --split test
    """
    from compacter_cli.adapters.restoring import chosen, meant_then
    from compacter_cli.commands.asked import note_unfinished
    from compacter_cli.commands.console import load_frameworks, print_json, show_note
    from compacter_cli.data.sources import find_rows
    from compacter_cli.t5.preset_places import check_preset
    from compacter_cli.tasks import task_of
    from compacter_cli.training.run_directory import adapter_of_run

    if split and file:
        raise UsageError("expected one of --split and --file, got both", "leave one of them out")
    directory, recipe, manifest = chosen(adapter_of_run(run, which), use_of(set_, batch_size))
    if file:
        recipe = _scoring(file, recipe)
    check_preset(recipe.backbone.preset, offline)
    source = find_rows(task_of(recipe), recipe.data, offline)
    load_frameworks(threads=threads)
    found = evaluate(
        adapter=directory,
        recipe=recipe,
        split=split or "test",
        device=device,
        offline=offline,
        source=source,
    )
    if meant := meant_then(manifest, directory):
        show_note(f"an earlier version trained it, with {meant}")
    note_unfinished(run, which)
    recorded = record_of(run, found["split"]) if which == "best" and not file else None
    found["recorded"] = recorded.metrics if recorded else None
    if recorded and data_changed(found, recorded):
        show_note(
            "the data is not what the run was trained on: its files or their number of rows differ"
        )
    print_json(found) if json_ else show(found, file)


def _scoring(file: Path, recipe: Recipe) -> Recipe:
    """An adapter's recipe by which a file of rows is every split.

    Raises:
        UsageError: the adapter's task has rows of its own, or reads files of another form.
        MissingResourceError: there is no such file.
    """
    from compacter_cli.tasks.own import FORMATS

    form = file.suffix.removeprefix(".").lower()
    if recipe.task not in FORMATS or (form in FORMATS and form != recipe.task):
        reads = f"{recipe.task} files" if recipe.task in FORMATS else f"the rows of {recipe.task}"
        raise UsageError(
            f"--file {file}: this adapter is scored on {reads}",
            "compacter predict --file answers rows of any form",
        )
    if not file.is_file():
        raise MissingResourceError(f"--file: there is no file {file}", "give a file of rows")
    return scoring_all(recipe, str(file))


class Record(NamedTuple):
    """What a run recorded of a split, and sha256 of the data's files by name.

    It scores no training split: there `metrics` and `examples`, their number, are `None`.
    """

    metrics: dict[str, float] | None
    examples: int | None
    sha256: dict[str, str]


def record_of(run: Path, split: str) -> Record | None:
    """What the run itself recorded of a split, or `None`; a damaged record is noted, no more.

    By then the split is scored, and the scores stand without it.
    """
    from compacter_cli.commands.console import show_note
    from compacter_cli.training.run_directory import read_result

    try:
        result = read_result(run)
        return None if result is None else _record(result, split)
    except CompacterError as error:
        show_note(f"{error}; the scores are compared with nothing")
        return None


def _record(result: Mapping[str, Any], split: str) -> Record:
    """The `Record` in a result.json, whose content may be anything."""
    try:
        sha256 = dict(result.get("data", {}).get("sha256", {}))
        if split == "train":
            return Record(None, None, sha256)
        scores = result[split]
        metrics = {str(name): float(value) for name, value in scores["metrics"].items()}
        return Record(metrics, int(scores["count"]), sha256)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CompacterError(f"result.json is damaged: no scores of {split} in it") from error


def data_changed(found: Evaluation, recorded: Record) -> bool:
    """Whether the rows cannot be those that a run recorded; a split drawn anew may overlap."""
    now = found["data"].get("sha256", {})
    return recorded.examples not in (None, found["count"]) or any(
        now[name] != digest for name, digest in recorded.sha256.items() if name in now
    )


def show(found: Evaluation, file: Path | None = None) -> None:
    """Print scores, and whether they are those that the run recorded."""
    from compacter_cli.commands.console import out, show_note
    from compacter_cli.commands.score_tables import scores_table
    from compacter_cli.training.words import warnings_of

    of = file or found["split"]
    out.print(f"{found['task']}, {of}: {counted(found['count'], 'example')}")
    out.print(scores_table(found, found["paper"]))
    for warning in warnings_of(found):
        show_note(warning)
    recorded = found.get("recorded")
    if recorded is not None:
        same = recorded == found["metrics"]
        figures = ", ".join(f"{name} {value:.2f}" for name, value in recorded.items())
        verdict = (
            "the same, to every digit, as the run recorded"
            if same
            else f"the run recorded {figures}"
        )
        out.print(verdict)
