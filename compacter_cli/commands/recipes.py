"""`compacter recipes`: list, show and copy the shipped recipes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.commands import completion
from compacter_cli.commands.aligned import print_aligned
from compacter_cli.commands.options import JsonOption, MethodsOption, tasks_option
from compacter_cli.commands.streams import visible
from compacter_cli.commands.strict import Command
from compacter_cli.errors import UsageError

if TYPE_CHECKING:
    from compacter_cli.recipe.shipped import Outline

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="List, show and copy the shipped recipes."
)
Name = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A shipped recipe, such as glue/rte_compacterpp.",
        autocompletion=completion.recipes,
    ),
]


class Listed(TypedDict):
    """What a list says of a recipe; method, preset and paper are `None` where it has none."""

    recipe: str
    task: str
    method: str | None
    preset: str | None
    metrics: list[str]
    paper: list[float] | None


@app.command("list", cls=Command)
def list_command(
    task: Annotated[list[str] | None, tasks_option("Only tasks with this in the name")] = None,
    method: MethodsOption = None,
    json_: JsonOption = False,
) -> None:
    """List the shipped recipes with the paper's scores.

    Example: compacter recipes list --task rte
    """
    found = list_recipes(tasks=task, methods=method)
    if json_:
        from compacter_cli.commands.console import print_json

        print_json(found)
    else:
        _show(found)


def _show(found: list[Listed]) -> None:
    """Print a line a recipe: not as a rich table, which takes longer than all the rest together.

    What is beyond the paper's methods says so, where its score would stand.
    """
    from compacter_cli.methods import METHODS
    from compacter_cli.paper.tables import paper_tables

    rows = [("recipe", "metrics", "paper (T5-base)")]
    for item in found:
        beyond = item["method"] in METHODS and item["method"] not in paper_tables()["table1"]
        missing = "beyond" if beyond else "-"
        paper = " / ".join(f"{score:.2f}" for score in item["paper"] or []) or missing
        rows.append((item["recipe"], " / ".join(item["metrics"]), paper))
    print_aligned(rows, left=2)


@app.command("show", cls=Command)
def show_command(name: Name) -> None:
    """Print a shipped recipe as it is.

    Example: compacter recipes show glue/rte_compacterpp
    """
    from compacter_cli.recipe.shipped import find_recipe

    _, text = find_recipe(name)
    typer.echo(visible(text), nl=False)


@app.command("copy", cls=Command)
def copy_command(
    name: Name,
    to: Annotated[Path, typer.Argument(metavar="PATH", help="File or folder to write.")] = Path(),
) -> None:
    """Copy a shipped recipe, to change it.

    A file that is there is never overwritten.

    Example: compacter recipes copy glue/rte_compacterpp my_rte.toml
    """
    from compacter_cli.recipe.tables import is_pretraining, read_tables

    written = copy_recipe(name=name, to=to)
    _, tables = read_tables(str(written))
    command = (
        f"pretrain --recipe {written} --output DIR"
        if is_pretraining(tables)
        else f"train --recipe {written}"
    )
    typer.echo(visible(f"wrote {written}; next: compacter {command}"))


def list_recipes(
    *, tasks: Sequence[str] | None = None, methods: Sequence[str] | None = None
) -> list[Listed]:
    """What there is to say of the shipped recipes, those of some tasks or methods where asked.

    Raises:
        UsageError: no such method, or nothing is left.
    """
    from compacter_cli.recipe.shipped import outline_of, shipped_recipes

    if methods:
        from compacter_cli.methods import METHODS

        for method in methods:
            METHODS[method]  # which says what there is
    listed = (_listed(name, outline_of(file)) for name, file in shipped_recipes().items())
    found = [
        item
        for item in listed
        if (not tasks or any(task in item["task"] for task in tasks))
        and (not methods or item["method"] in methods)
    ]
    if not found:
        raise UsageError(
            "no shipped recipe is of such a task and method", "all: compacter recipes list"
        )
    return found


def _listed(name: str, outline: "Outline | None") -> Listed:
    """What a list says of the recipe called `name`, which is one of pretraining without outline."""
    if outline is None:
        return Listed(
            recipe=name,
            task="pretraining",
            method=None,
            preset=None,
            metrics=["validation loss"],
            paper=None,
        )
    from compacter_cli.paper.tables import paper_scores
    from compacter_cli.tasks import TASKS

    task = TASKS[outline.task]
    return Listed(
        recipe=name,
        task=task.name,
        method=outline.method,
        preset=outline.preset,
        metrics=list(task.metrics),
        paper=paper_scores(task, outline.method, outline.n),
    )


def copy_recipe(*, name: str, to: Path) -> Path:
    """Copy a shipped recipe to a file, or into a folder under its own name; returns the path.

    Raises:
        UsageError: there is a file already, or it cannot be written.
    """
    from compacter_cli.recipe.shipped import find_recipe

    _, text = find_recipe(name)
    path = to / f"{Path(name).name.removesuffix('.toml')}.toml" if to.is_dir() else to
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists and is not overwritten", "choose another name") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    return path
