"""What `convert` is given, recognised, and what that can be converted to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from compacter_cli.errors import UsageError, user_path
from compacter_cli.exchange.formats import FORMATS, Format, format_named, format_of
from compacter_cli.t5.shapes import CONFIG, OWN_NAMES, PRESETS, shape_of
from compacter_cli.training.run_directory import adapter_of_run, is_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compacter_cli.recipe.recipe import Recipe


class Source(NamedTuple):
    """What is converted.

    Attributes:
        format: the name of the one that it is in.
        place: an adapter's directory; a backbone's directory or name.
    """

    format: str
    place: str

    @property
    def is_adapter(self) -> bool:
        """Whether it is an adapter, and not a backbone."""
        return FORMATS[self.format].read_adapter is not None


def find_source(given: str, which: str = "best") -> Source:
    """The `Source` that is a run, an adapter, or a backbone's directory or name.

    Raises:
        UsageError: it is none of these, a T5 whose config is damaged, or a run without such an
            adapter.
    """
    if given in OWN_NAMES or (given in PRESETS and not Path(given).is_dir()):
        return Source("keras-hub", given)
    directory = user_path(given)
    if is_run(directory):
        return Source("compacter", str(adapter_of_run(directory, which)))
    if form := format_of(directory):
        return Source(form, str(directory))
    if not directory.is_dir() or (directory / CONFIG).exists():
        shape_of(given)  # which knows what is wrong with a config, and what is meant by a name
    raise UsageError(
        f"{given} is no run directory, no T5 and no adapter that is known here",
        "give the directory that train printed, a KerasHub preset, or a directory of "
        + ", ".join(FORMATS),
    )


def target_of(source: Source, to: str | None) -> tuple[str, Format]:
    """The name and `Format` that a source is converted to, `to` if given.

    Raises:
        UsageError: there is no such format, or it cannot hold what the source is.
    """
    name = to or FORMATS[source.format].default_to
    form = format_named(name)
    if form.write_backbone is None and (not source.is_adapter or name == source.format):
        what = "an adapter already" if source.is_adapter else "a T5 without an adapter"
        known = [n for n, f in FORMATS.items() if f.write_backbone is not None]
        raise UsageError(
            f"--to {name} is {form.words}: {source.place} is {what}",
            f"it can be written as {' or '.join(known)}",
        )
    return name, form


def recipe_for(source: Source, recipe: str | None, overrides: Sequence[str]) -> Recipe | None:
    """The recipe of an adapter, with the values of `--recipe` and `--set`; `None` of a T5.

    Raises:
        UsageError: a T5 has none, or the adapter's own cannot be changed so.
        CompacterError: the adapter is damaged.
    """
    recipe_of = FORMATS[source.format].recipe_of
    if recipe_of is not None:
        return recipe_of(Path(source.place), recipe, overrides)
    if recipe is not None or overrides:
        option = "--set" if recipe is None else "--recipe"
        raise UsageError(f"{option} is of adapters: {source.place} is a T5", "leave it out")
    return None
