"""Taking a directory for a run or a pretraining: nothing else that is in it is ever overwritten."""

import os
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compacter_cli.errors import UsageError, excerpt
from compacter_cli.files import make_directory, place_of, remove_any, write_text
from compacter_cli.recipe.tables import is_pretraining
from compacter_cli.section import Section, differences, value_at
from compacter_cli.training.lock import LOCK, Lock

RECIPE, METRICS = "recipe.toml", "metrics.jsonl"  # in either kind
_MOST_NAMED = 10  # keys in an error


@dataclass(frozen=True)
class Kind:
    """What takes a directory: a training run or a pretraining.

    Attributes:
        refused: what is said of a directory that holds none, such as "is not a run".
        own: all names that it writes; one that a killed process left half written counts as it.
        pretrains: whether its recipe is one of pretraining.
        common: those of `own` that people write too, so that alone they make a directory none of
            its kind.
    """

    refused: str
    own: frozenset[str]
    pretrains: bool
    common: frozenset[str] = frozenset({RECIPE})

    def may_take(self, directory: Path, overwrite: bool) -> bool:
        """Whether a new one may be written to `directory`; if not, one of its kind is there.

        Raises:
            UsageError: it holds what is none of its kind, or anything else beside one.
        """
        if is_vacant(directory):
            return True
        if not self.holds(directory):
            raise UsageError(
                f"{directory} exists and {self.refused}, so it is never overwritten",
                "choose another --output",
            )
        if overwrite:
            self._check_nothing_else(directory)
        return overwrite

    def holds(self, directory: Path) -> bool:
        """Whether `directory` holds what one of its kind has written: more than `common` names."""
        if not directory.is_dir() or (pretraining_in(directory) is not None) != self.pretrains:
            return False
        names = (place_of(entry) for entry in directory.iterdir() if entry.name not in self.common)
        return any(name in (*self.own, LOCK) for name in names)

    def _check_nothing_else(self, directory: Path) -> None:
        for entry in _entries(directory):
            if place_of(entry) not in self.own:
                raise UsageError(
                    f"{directory} also holds {entry.name}, which compacter did not write, so it is "
                    "not overwritten",
                    f"move {entry.name} away, or choose another --output",
                )


def is_vacant(directory: Path) -> bool:
    """Whether `directory` is not there, or empty but for the lock of a process that died."""
    if not os.path.exists(directory):  # nor where no file of such a name can be: see check_writable
        return True
    return directory.is_dir() and not _entries(directory)


def _entries(directory: Path) -> list[Path]:
    """What is in a directory but its lock, by name."""
    return sorted(entry for entry in directory.iterdir() if entry.name != LOCK)


def check_writable(place: Path, hint: str = "choose another --output") -> None:
    """Raise `UsageError`, with `hint`, unless a file or folder can be made at `place`, or in it.

    What is tried leaves no trace: a file without a name, in the nearest folder that is there.
    """
    from tempfile import TemporaryFile

    place = place.absolute()
    there = next(folder for folder in (place, *place.parents) if os.path.lexists(folder))
    try:
        with suppress(FileNotFoundError):
            os.lstat(place)  # too long a name, or a file where a folder should be
        with TemporaryFile(dir=there):
            pass
    except (OSError, ValueError) as error:  # ValueError: a NUL
        raise UsageError(
            f"cannot write to {place}: {getattr(error, 'strerror', None) or error}", hint
        ) from error


def pretraining_in(directory: Path) -> dict[str, Any] | None:
    """The plain recipe of the pretraining in `directory`, `None` where there is none."""
    try:
        tables = tomllib.loads((directory / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return tables if is_pretraining(tables) else None


def check_same_recipe(
    directory: Path, found: Mapping[str, Any], wanted: Mapping[str, Any], free: tuple[str, ...] = ()
) -> None:
    """Refuse to go on in `directory`, begun by the plain recipe `found`, with another, `wanted`.

    Keys that begin with one of `free` may differ.

    Raises:
        UsageError: it names the keys that differ, with both values.
    """
    keys = differences(found, wanted, free)
    if not keys:
        return
    sides = ", ".join(
        f"{excerpt(key)} ({excerpt(value_at(found, key, 'not set'))} there, "
        f"{excerpt(value_at(wanted, key, 'not set'))} here)"
        for key in keys[:_MOST_NAMED]
    )
    more = f", and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
    raise UsageError(
        f"{directory} was begun with another recipe: {sides}{more}",
        f"go on with its own, --recipe {shlex.quote(str(directory / RECIPE))}, or begin anew with "
        "another --output",
    )


def resume_command(
    command: str, directory: Path, device: str | None = None, options: Sequence[str] = ()
) -> str:
    """The call of `command`, such as "compacter train", that goes on in `directory`.

    On `device` if it was asked for; `options` are others to be given again.
    """
    recipe, output = (shlex.quote(str(path)) for path in (directory / RECIPE, directory))
    asked = " ".join([*(["--device", device] if device else []), *options, "--resume"])
    return f"{command} --recipe {recipe} --output {output} {asked}"


def claim(
    directory: Path,
    kind: Kind,
    recipe: Section,
    overwrite: bool = False,
    lock: Lock | None = None,
) -> Lock:
    """Make `directory` and write the recipe into it, in the place of all it held if `overwrite`.

    `lock` is its lock, where it is held already.

    Returns:
        Its lock, held: `lock`, where it is held already.

    Raises:
        UsageError: another process writes it, or it cannot be written.
    """
    lock = lock or hold(directory)
    try:
        if not kind.may_take(directory, overwrite):  # it may have changed since it was looked at
            raise UsageError(f"{directory} was taken by another run just now")
        _clear(directory)
        write_text(directory / RECIPE, recipe.toml())
    except BaseException:
        lock.release()
        raise
    return lock


def hold(directory: Path) -> Lock:
    """Make `directory` where it is not there, and take its lock.

    Raises:
        UsageError: another process holds it, or nothing can be written there.
    """
    try:
        make_directory(directory)
        return Lock(directory).take()
    except OSError as error:
        raise UsageError(
            f"cannot write to {directory}: {error.strerror or error}", "choose another --output"
        ) from error


def _clear(directory: Path) -> None:
    """Delete what an earlier run left; the directory itself may be a link or the working one."""
    # The recipe comes last, so that what is left of it if killed is still a run.
    for entry in sorted(_entries(directory), key=lambda entry: entry.name == RECIPE):
        remove_any(entry)
