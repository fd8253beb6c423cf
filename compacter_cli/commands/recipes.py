"""`compacter recipes`: list, show and copy the shipped recipes."""

import tomllib
from pathlib import Path
from typing import Annotated

import typer

from compacter_cli.commands.console import out, print_json, table_of
from compacter_cli.commands.options import JsonOption
from compacter_cli.errors import UsageError, did_you_mean
from compacter_cli.methods import METHODS
from compacter_cli.paper.tables import paper_scores
from compacter_cli.recipe.shipped import find_recipe, shipped_recipes
from compacter_cli.recipe.tables import is_pretraining, read_tables
from compacter_cli.tasks import TASKS

app = typer.Typer(no_args_is_help=True, help="List, show and copy the shipped recipes.")
Name = Annotated[str, typer.Argument(help="A shipped recipe, such as glue/rte_compacterpp.")]


@app.command("list")
def list_command(
    task: Annotated[
        str | None, typer.Option("--task", help="Only tasks with this in the name.")
    ] = None,
    method: Annotated[str | None, typer.Option("--method", help="Only this method.")] = None,
    json_: JsonOption = False,
):
    """List the shipped recipes with the paper's scores.

    Example: compacter recipes list --task rte
    """
    found = list_recipes(task=task, method=method)
    if json_:
        print_json(found)
        return
    table = table_of("recipe", "metrics", "paper (T5-base)", numbers=("paper (T5-base)",))
    for item in found:
        paper = " / ".join(f"{score:.2f}" for score in item["paper"] or []) or "-"
        table.add_row(item["recipe"], " / ".join(item["metrics"]), paper)
    out.print(table)


@app.command("show")
def show_command(name: Name):
    """Print a shipped recipe as it is.

    Example: compacter recipes show glue/rte_compacterpp
    """
    _, text = find_recipe(name)
    out.print(text, end="", soft_wrap=True)


@app.command("copy")
def copy_command(
    name: Name, to: Annotated[Path, typer.Argument(help="File or folder to write.")] = Path()
):
    """Copy a shipped recipe, to change it; a file that is there is never overwritten.

    Example: compacter recipes copy glue/rte_compacterpp my_rte.toml
    """
    written = copy_recipe(name=name, to=to)
    _, tables = read_tables(str(written))
    command = (
        f"pretrain --recipe {written} --output DIR"
        if is_pretraining(tables)
        else f"train --recipe {written}"
    )
    out.print(f"wrote {written}; next: compacter {command}", soft_wrap=True)


def list_recipes(*, task=None, method=None):
    """The shipped recipes as plain data, those of one task or method where asked.

    Raises:
        UsageError: nothing is left.
    """
    if method not in (None, *METHODS):
        hint = did_you_mean(method, METHODS) or f"known: {', '.join(METHODS)}"
        raise UsageError(f'no method "{method}"', hint)
    found = []
    for name, file in shipped_recipes().items():
        item = {"recipe": name, **_described(tomllib.loads(file.read_text(encoding="utf-8")))}
        if (task is None or task in item["task"]) and method in (None, item["method"]):
            found.append(item)
    if not found:
        raise UsageError(
            "no shipped recipe is of that task and method", "all: compacter recipes list"
        )
    return found


def _described(tables):
    """What a recipe's tables say of it, for a list."""
    if is_pretraining(tables):
        nothing = dict.fromkeys(("method", "preset", "paper"))
        return {"task": "pretraining", "metrics": ["validation loss"], **nothing}
    task, method = TASKS[tables["task"]], tables["method"]
    return {
        "task": tables["task"],
        "method": method["name"],
        "preset": tables["backbone"]["preset"],
        "metrics": list(task.metrics),
        "paper": paper_scores(task, method["name"], method.get("n")),
    }


def copy_recipe(*, name, to):
    """Copy a shipped recipe to a file, or into a folder under its own name; returns the path.

    Raises:
        UsageError: there is a file already, or it cannot be written.
    """
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
