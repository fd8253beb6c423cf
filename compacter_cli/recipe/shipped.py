"""The shipped recipes: found by name, listed, read."""

from difflib import get_close_matches
from importlib.resources import files

from compacter_cli.errors import UsageError, user_path


def shipped_recipes():
    """Every shipped recipe as `{"glue/rte_compacterpp": its file}`, sorted by name."""
    root = files("compacter_recipes")
    return {
        f"{folder.name}/{file.name.removesuffix('.toml')}": file
        for folder in sorted(root.iterdir(), key=lambda entry: entry.name)
        if folder.is_dir()
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if file.name.endswith(".toml")
    }


def find_recipe(name):
    """`(where it was found, its text)` of a path or a shipped name, with or without `.toml`.

    A file that exists wins over a shipped recipe of the same name.

    Raises:
        UsageError: there is neither; it names the three nearest shipped recipes.
    """
    path = user_path(name)
    if _is_file(path):
        return str(path), _read(path, name)
    shipped = shipped_recipes()
    plain = name.removesuffix(".toml")
    if plain in shipped:
        return f"{plain}.toml", shipped[plain].read_text(encoding="utf-8")
    near = get_close_matches(plain, shipped, n=3, cutoff=0.0)
    raise UsageError(
        f'no recipe "{name}": neither a file nor a shipped recipe',
        f"nearest: {', '.join(near)}; all: compacter recipes list",
    )


def _is_file(path):
    try:
        return path.is_file()
    except OSError:  # a name too long for a file
        return False


def _read(path, name):
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows editors begin with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the recipe {name}: {error}", "save it as UTF-8") from error
