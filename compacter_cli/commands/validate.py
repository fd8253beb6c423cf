"""`compacter validate`: a recipe checked without loading a framework."""

import tomli_w

from compacter_cli.commands.console import err, out, print_json
from compacter_cli.commands.options import JsonOption, RecipeOption, SetOption
from compacter_cli.pretraining.recipe import load_any
from compacter_cli.training.run_directory import plain_recipe


def command(recipe: RecipeOption, set_: SetOption = None, json_: JsonOption = False):
    """Check a recipe and print it with every default filled in.

    Example: compacter validate --recipe my_recipe.toml --set method.n=8
    """
    resolved = validate(recipe=recipe, overrides=set_ or [])
    if json_:
        print_json(resolved)
    else:
        out.print(tomli_w.dumps(resolved), end="", soft_wrap=True)
        err.print(f"valid: {recipe}", soft_wrap=True)


def validate(*, recipe, overrides=()):
    """The resolved recipe as plain data.

    Raises:
        RecipeError: it has problems; all of them are listed.
    """
    return plain_recipe(load_any(recipe, overrides))
