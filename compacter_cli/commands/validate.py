"""`compacter validate`: a recipe checked without loading a framework."""

from collections.abc import Iterable
from typing import Any

import typer

from compacter_cli.commands.options import JsonOption, RecipeOption, SetOption
from compacter_cli.commands.streams import visible


def command(recipe: RecipeOption, set_: SetOption = None, json_: JsonOption = False) -> None:
    """Check a recipe and print it with every default filled in.

    Example: compacter validate --recipe my_recipe.toml --set method.n=8
    """
    resolved = validate(recipe=recipe, overrides=set_ or [])
    if json_:
        from compacter_cli.commands.console import print_json

        print_json(resolved)
    else:
        import tomli_w

        typer.echo(visible(tomli_w.dumps(resolved)), nl=False)
        typer.echo(visible(f"valid: {recipe}"), err=True)


def validate(*, recipe: str, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The resolved recipe as plain data.

    Raises:
        RecipeError: it has problems; all of them are listed.
    """
    from compacter_cli.recipe.tables import is_pretraining, read_tables

    _, tables = read_tables(recipe)
    if is_pretraining(tables):
        from compacter_cli.pretraining.recipe import load_pretraining

        return load_pretraining(recipe, overrides).plain()
    from compacter_cli.recipe.recipe import load_recipe

    return load_recipe(recipe, overrides).plain()
