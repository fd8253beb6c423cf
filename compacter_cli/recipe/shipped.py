"""The shipped recipes: found by name, listed, read."""

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import compacter_recipes

from compacter_cli.errors import UsageError, excerpt, nearest, user_path

ROOT = Path(compacter_recipes.__file__).parent
SWEEPS = "sweeps"  # the folder of what is no recipe but names many
LARGEST = 1 << 18  # bytes of a recipe: the shipped have some 1,500, one of 10,000 labels 200,000


class Outline(NamedTuple):
    """What a list says of a recipe; `n` is the method's hypercomplex division, if it has one."""

    task: str
    preset: str
    method: str
    n: int | None


def shipped_recipes() -> dict[str, Path]:
    """Every shipped recipe as `{"glue/rte_compacterpp": its file}`, sorted by name."""
    files = (file for file in sorted(ROOT.glob("*/*.toml")) if file.parent.name != SWEEPS)
    return {f"{file.parent.name}/{file.stem}": file for file in files}


def shipped_sweeps() -> dict[str, Path]:
    """Every shipped sweep file as `{"table1": its file}`, sorted by name."""
    return {file.stem: file for file in sorted(ROOT.glob(f"{SWEEPS}/*.toml"))}


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
        UsageError: there is neither; it names shipped recipes that may have been meant.
    """
    path = user_path(name)
    if os.path.isfile(path):  # false, where Path's own fails, of a name too long for a file
        return str(path), _read(path, name)
    shipped = shipped_recipes()
    plain = name.removesuffix(".toml")
    if plain in shipped:
        return f"{plain}.toml", shipped[plain].read_text(encoding="utf-8")
    if plain in shipped_sweeps():
        raise UsageError(f"{plain} is a sweep, no recipe", f"compacter sweep {plain} --dry-run")
    near = _beginning(plain, shipped) or nearest(plain, shipped, most=3)
    raise UsageError(
        f'no recipe "{excerpt(name)}": neither a file nor a shipped recipe',
        f"try {', '.join(near)}; all: compacter recipes list" if near else "compacter recipes list",
    )


def _beginning(name: str, shipped: Iterable[str], most: int = 3) -> list[str]:
    """Recipes whose names go on after `name`, such as those of a task; Compacter++'s first."""
    found = [one for one in shipped if name and one.startswith((f"{name}_", f"{name}/"))]
    return sorted(found, key=lambda one: not one.endswith("_compacterpp"))[:most]


def _read(path: Path, name: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise UsageError(f"{name}: a recipe has {LARGEST:,} bytes at most", "is it a recipe?")
        text = data.decode("utf-8-sig")  # Windows editors begin with a mark
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the recipe {name}: {error}", "save it as UTF-8") from error
