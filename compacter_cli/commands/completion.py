"""What a shell offers after Tab: recipes, methods, tasks, sweeps and runs, without a framework."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from compacter_cli.section import Section

RECIPE = "recipe.toml"  # as `training.claim` has it, whose import would take half a second
_MOST = 2_000  # folders looked at; a Tab must answer at once
_DEEPEST = 4  # runs/<task's benchmark>/<task>/<method>/<run>


def recipes(incomplete: str) -> list[str]:
    """Shipped recipes; of a path, none: the shell completes it."""
    from compacter_cli.recipe.shipped import shipped_recipes

    return _beginning(shipped_recipes(), incomplete)


def sweeps(incomplete: str) -> list[str]:
    """Shipped sweeps."""
    from compacter_cli.recipe.shipped import shipped_sweeps

    return _beginning(shipped_sweeps(), incomplete)


def methods(incomplete: str) -> list[str]:
    """Methods, the last of several with commas between."""
    from compacter_cli.methods import METHODS

    return _last_of_several(METHODS, incomplete)


def tasks(incomplete: str) -> list[str]:
    """Tasks, the last of several with commas between."""
    from compacter_cli.tasks import TASKS

    return _last_of_several(TASKS, incomplete)


def backbones(incomplete: str) -> list[str]:
    """KerasHub's T5s, the last of several with commas between; of a path, none."""
    from compacter_cli.t5.shapes import OWN_NAMES, PRESETS

    return _last_of_several((*OWN_NAMES, *PRESETS), incomplete)


def settings(ctx: typer.Context, incomplete: str) -> list[str]:
    """Dotted keys of the recipe of the command."""
    if ctx.info_name == "pretrain":
        from compacter_cli.pretraining.recipe import PretrainingRecipe

        return _beginning(_keys_of(PretrainingRecipe), incomplete)
    from compacter_cli.methods import METHODS
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.recipe.sections import DATA_SECTIONS

    chosen = [("method", kind) for kind in METHODS.values()]
    chosen += [("data", kind) for kind in DATA_SECTIONS]
    inside = (f"{name}.{key}" for name, kind in chosen for key in _keys_of(kind))
    return _beginning(dict.fromkeys((*_keys_of(Recipe), *inside)), incomplete)


def uses(incomplete: str) -> list[str]:
    """Dotted keys that may be changed where a trained adapter is used."""
    from compacter_cli.adapters.restoring import CHANGEABLE

    return _beginning((f"{key}=" for key in CHANGEABLE), incomplete)


def which(incomplete: str) -> list[str]:
    """A run's adapters."""
    from compacter_cli.training.run_directory import ADAPTERS

    return _beginning(ADAPTERS, incomplete)


def devices(incomplete: str) -> list[str]:
    """Kinds of devices."""
    return _beginning(("cpu", "cuda"), incomplete)


def runs(incomplete: str) -> list[str]:
    """Run directories, below what is typed or below runs/; the name before a `=` stays."""
    name, is_named, typed = incomplete.rpartition("=")
    prefix = name + is_named
    place = Path(typed or "runs")
    starts = [place] if typed.endswith("/") or not typed else _alike(place)
    found = (run for start in starts for run in _runs_below(start, _DEEPEST))
    return [f"{prefix}{run}" for run in islice(found, _MOST)]


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _keys_of(kind: type[Section]) -> Iterator[str]:
    """`key=` of every value of a section, and of the sections in it."""
    for name, field in kind.model_fields.items():
        inner = _section_of(field.annotation)
        if inner is None:
            yield f"{name}="
        else:
            yield from (f"{name}.{key}" for key in _keys_of(inner))


def _section_of(annotation: object) -> type[Section] | None:
    """The section that a field holds, where it is one; which of several it is, its name says."""
    from compacter_cli.section import Section

    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _last_of_several(names: Iterable[str], incomplete: str) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _beginning(names, last)]


def _alike(place: Path) -> list[Path]:
    """The folders whose names begin as a path does."""
    return [folder for folder in _folders(place.parent) if folder.name.startswith(place.name)]


def _runs_below(folder: Path, deep: int) -> Iterator[Path]:
    if (folder / RECIPE).is_file():
        yield folder
    elif deep:
        for inner in _folders(folder):
            yield from _runs_below(inner, deep - 1)


def _folders(folder: Path) -> list[Path]:
    """Folders in a folder, by name; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in islice(entries, _MOST) if entry.is_dir())
    except OSError:
        return []
    return [folder / name for name in names if not name.startswith(".")]
