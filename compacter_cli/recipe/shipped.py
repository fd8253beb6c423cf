"""The shipped recipes: found by name, listed, read."""

import tomllib
from pathlib import Path
from typing import NamedTuple

import compacter_recipes

from compacter_cli.errors import UsageError, user_path

ROOT = Path(compacter_recipes.__file__).parent


class Outline(NamedTuple):
    """What a list says of a recipe; `n` is the method's hypercomplex division, if it has one."""

    task: str
    preset: str
    method: str
    n: int | None


def shipped_recipes() -> dict[str, Path]:
    """Every shipped recipe as `{"glue/rte_compacterpp": its file}`, sorted by name."""
    return {f"{file.parent.name}/{file.stem}": file for file in sorted(ROOT.glob("*/*.toml"))}


def outline_of(file: Path) -> Outline | None:
    """The outline of a shipped recipe, `None` for one of pretraining."""
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    if "task" not in tables:
        return None
    method = tables["method"]
    return Outline(tables["task"], tables["backbone"]["preset"], method["name"], method.get("n"))


def find_recipe(name: str) -> tuple[str, str]:
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
    from difflib import get_close_matches

    near = get_close_matches(plain, shipped, n=3, cutoff=0.0)
    raise UsageError(
        f'no recipe "{name}": neither a file nor a shipped recipe',
        f"nearest: {', '.join(near)}; all: compacter recipes list",
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for a file
        return False


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows editors begin with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the recipe {name}: {error}", "save it as UTF-8") from error
