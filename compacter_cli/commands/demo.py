"""`compacter demo`: the story in one go, with nothing but what is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.commands.options import (
    DeviceOption,
    JsonOption,
    OverwriteOption,
    ResumeOption,
    ThreadsOption,
    given_again,
    output_option,
)
from compacter_cli.errors import UsageError, counted
from compacter_cli.training.records import Result
from compacter_cli.training.run import check_before_training, check_options, finished, train

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compacter_cli.data.sources import RowSource
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.training.display import Display

METHODS = ("compacterpp", "full")  # the first one answers
ANSWERED = 3  # rows of the test split that are shown with their answers


class AnsweredRow(TypedDict):
    """A test row's source text, the adapter's answer, and the right one."""

    text: str
    answer: str
    right: str | None


class Story(TypedDict):
    """Both runs' results, and what the small adapter answers."""

    compacterpp: Result
    full: Result
    answers: list[AnsweredRow]


def command(
    output: Annotated[Path, output_option("Directory of the two runs to write.")] = Path(
        "runs/demo/story"
    ),
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    json_: JsonOption = False,
) -> None:
    """Adapt a small pretrained T5 by Compacter++ and by full fine-tuning, and compare.

    Example: compacter demo
    """
    from compacter_cli.commands.console import print_json, start_frameworks
    from compacter_cli.commands.progress import display_for
    from compacter_cli.training.run_log import logged
    from compacter_cli.training.run_state import telling_how_to_go_on

    recipes = demo_recipes()
    sources = check_before_telling(recipes, output, overwrite, resume)
    start_frameworks(quiet=json_, threads=threads)
    command = resume_command(output, given_again(threads, device=device))
    with logged(display_for(json_)) as display, telling_how_to_go_on(command, "amid the two runs"):
        told = tell(
            recipes=recipes,
            directory=output,
            device=device,
            overwrite=overwrite,
            resume=resume,
            display=display,
            sources=sources,
            command=command,
        )
    print_json(told) if json_ else show(told)


def resume_command(directory: Path, options: Sequence[str]) -> str:
    """The command that goes on with both runs, with `options` given again."""
    import shlex

    return " ".join(["compacter demo --output", shlex.quote(str(directory)), *options, "--resume"])


def demo_recipes() -> dict[str, Recipe]:
    """The recipes of the story by method: one task, one backbone, one seed."""
    from compacter_cli.recipe.recipe import load_recipe

    return {method: load_recipe(f"demo/entailment_{method}") for method in METHODS}


def check_before_telling(
    recipes: dict[str, Recipe], directory: Path, overwrite: bool = False, resume: bool = False
) -> dict[str, RowSource]:
    """Everything that can be known to fail before one of the runs is trained.

    Returns:
        Where the rows are, of each run that is not `finished` already.
    """
    check_options(resume, False, overwrite)
    if not (resume or overwrite):
        _check_not_begun(recipes, directory)
    return {
        method: check_before_training(recipe, directory / method, True, overwrite, resume)
        for method, recipe in recipes.items()
        if not (resume and finished(recipe, directory / method))
    }


def _check_not_begun(recipes: dict[str, Recipe], directory: Path) -> None:
    """Refuse a folder whose demo came to no end, by the way to go on with it: both of its runs.

    Raises:
        UsageError: it is there; or a process writes it.
    """
    from compacter_cli.training.claim import is_vacant
    from compacter_cli.training.lock import check_free
    from compacter_cli.training.run_directory import RESULT, RUN

    runs = [directory / method for method in recipes]
    there = [run for run in runs if not is_vacant(run) and RUN.holds(run)]
    if there and not all((run / RESULT).is_file() for run in runs):
        for run in there:
            check_free(run)
        raise UsageError(
            f"{directory} holds a demo already (unfinished)",
            "give --resume to go on with it, choose another --output, or give --overwrite to "
            "replace it",
        )


def tell(
    *,
    recipes: dict[str, Recipe],
    directory: Path,
    device: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    display: Display | None = None,
    sources: dict[str, RowSource] | None = None,
    command: str | None = None,
) -> Story:
    """Train a run a method into `directory` and let the adapter answer some of the test rows.

    Args:
        recipes: resolved recipes by method, those of `METHODS`.
        directory: folder for the runs; taken ones are refused without `overwrite`.
        device: "cpu" or "cuda"; a GPU where there is one.
        overwrite: replace runs that are there already.
        resume: go on with the runs that are there; begin those that are not.
        display: what is told while they go on; silent by default.
        sources: what `check_before_telling` found, to save looking again.
        command: the one that goes on with both runs, told where one ends early.

    Raises:
        CompacterError: a run cannot be started, or fails.
    """
    if sources is None:
        sources = check_before_telling(recipes, directory, overwrite, resume)
    adapted, whole = (
        train(
            recipe=recipes[method],
            directory=directory / method,
            device=device,
            offline=True,
            overwrite=overwrite,
            resume=resume,
            display=display,
            source=sources.get(method),
            command=command,
        )
        for method in METHODS
    )
    answers = answered(recipes[METHODS[0]], directory / METHODS[0], device)
    return {"compacterpp": adapted, "full": whole, "answers": answers}


def answered(recipe: Recipe, run: Path, device: str | None = None) -> list[AnsweredRow]:
    """Some test rows with the run's answer and the right one."""
    from compacter_cli.adapters.predictor import Predictor
    from compacter_cli.adapters.restoring import backbone_of
    from compacter_cli.data.sources import load_rows
    from compacter_cli.t5.runtime import on_device
    from compacter_cli.tasks import task_of

    task = task_of(recipe)
    rows = task.split.apply(load_rows(task, recipe.data).splits, recipe.data.seed)["test"]
    rows = rows[:ANSWERED]
    with on_device(device):
        answers = Predictor(backbone_of(recipe), run / "best").predict_rows(rows)
    return [
        {"text": task.source(row), "answer": answer, "right": task.label_of(task.target(row))}
        for row, answer in zip(rows, answers, strict=True)
    ]


def show(told: Story) -> None:
    """Print the story: scores as bars, what each method trained and wrote, and the answers."""
    import shlex

    from compacter_cli.commands.console import out
    from compacter_cli.commands.lines import bar_chart
    from compacter_cli.files import size_text

    small, full = told["compacterpp"], told["full"]
    (metric,) = small["test"]["metrics"]
    out.print(f"\n{small['task']}: test {metric}, {counted(small['test']['count'], 'example')}\n")
    bars = {
        "untrained": small["before"]["metrics"][metric] if small["before"] else 0.0,
        "majority class": small["test"]["majority"][metric],
        "Compacter++": small["test"]["metrics"][metric],
        "full fine-tuning": full["test"]["metrics"][metric],
    }
    for line in bar_chart(bars):
        out.print(line)
    out.print()
    for title, result in (("Compacter++", small), ("full fine-tuning", full)):
        out.say(
            f"{title:16}  trains {result['trained_parameters']:>9,} parameters "
            f"({result['trained_percent']:.2f} %), writes {size_text(result['adapter_bytes'])}, "
            f"{result['training_seconds']:.0f} s"
        )
    out.print("\nCompacter++ answers:")
    for row in told["answers"]:
        verdict = "right" if row["answer"] == row["right"] else f"wrong, it is {row['right']}"
        out.say(f"  {row['text']}\n    -> {row['answer']} ({verdict})")
    out.say(
        f"\nnext: compacter predict --run {shlex.quote(small['run'])} --text "
        '"premise: Every dog sleeps. hypothesis: Every poodle sleeps."'
    )
