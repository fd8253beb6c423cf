"""The run directory: what a run leaves behind, and that nothing in it is lost by accident."""

import hashlib
import json
import platform
import shutil
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import compacter_cli
from compacter_cli import files
from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.recipe.tables import is_pretraining

RECIPE, RESULT, METRICS, ENVIRONMENT = (
    "recipe.toml",
    "result.json",
    "metrics.jsonl",
    "environment.json",
)
OWN = (RECIPE, RESULT, METRICS, ENVIRONMENT, "best", "last")  # all that a run writes


def run_directory(recipe, output=None):
    """Where a recipe's run goes: `output`, or <root>/<task>/<method>/<preset>-s<seed>-<hash>."""
    if output is not None:
        return Path(output)
    plain = plain_recipe(recipe)
    plain.pop("output")
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]
    preset = Path(recipe.backbone.preset).name
    name = f"{preset}-s{recipe.seed}-{digest}"
    return Path(recipe.output.root) / recipe.task / recipe.method.name / name


def check_vacant(directory, overwrite=False):
    """Raise `UsageError` unless a run may be written to `directory`."""
    directory = Path(directory)
    if is_vacant(directory):
        return
    if pretraining_in(directory) is not None or not left_by(directory, OWN):
        raise UsageError(
            f"{directory} exists and is not a run, so it is never overwritten",
            "choose another --output",
        )
    if not overwrite:
        state = "finished" if (directory / RESULT).is_file() else "unfinished"
        raise UsageError(
            f"{directory} holds a run already ({state})",
            "choose another --output, or give --overwrite to replace it",
        )
    check_nothing_else(directory, OWN)


def is_vacant(directory):
    """Whether `directory` is not there, or empty."""
    return not directory.exists() or (directory.is_dir() and not any(directory.iterdir()))


def left_by(directory, own):
    """Whether a run or pretraining, which writes `own`, has written to `directory`.

    A recipe alone is not enough: people write recipes too.
    """
    if not directory.is_dir():
        return False
    return any(_is_own(entry, own) for entry in directory.iterdir() if entry.name != RECIPE)


def check_nothing_else(directory, own):
    """Refuse to overwrite what holds anything beside `own` names.

    Raises:
        UsageError: something else is there.
    """
    for entry in sorted(directory.iterdir()):
        if not _is_own(entry, own):
            raise UsageError(
                f"{directory} also holds {entry.name}, which compacter did not write, so it is not "
                "overwritten",
                f"move {entry.name} away, or choose another --output",
            )


def _is_own(entry, own):
    """Whether an entry has one of the names, or is what a killed process had not yet put there."""
    name = entry.name.partition(".new-")[0].removesuffix(".previous")
    return name in own


def is_run(directory):
    """Whether `directory` is the directory of a training run."""
    return (Path(directory) / RECIPE).is_file() and pretraining_in(directory) is None


def pretraining_in(directory):
    """The plain recipe of the pretraining in `directory`, `None` where there is none."""
    try:
        tables = tomllib.loads((Path(directory) / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return tables if is_pretraining(tables) else None


def start_run(directory, recipe, environment, overwrite=False):
    """Claim `directory` and write the recipe and environment into it.

    Raises:
        UsageError: it is taken, or cannot be written.
    """
    directory = Path(directory)
    check_vacant(directory, overwrite)
    claim(directory, recipe, overwrite)
    files.write_json(directory / ENVIRONMENT, environment)
    return directory


def claim(directory, recipe, overwrite=False):
    """Make `directory` and write the recipe into it, in the place of all it held if `overwrite`.

    Raises:
        UsageError: another run took it, or it cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if overwrite:
            _clear(directory)
        with open(directory / RECIPE, "x", encoding="utf-8") as file:
            file.write(recipe_text(recipe))
    except FileExistsError:
        raise UsageError(f"{directory} was taken by another run just now") from None
    except OSError as error:
        raise UsageError(
            f"cannot write to {directory}: {error.strerror or error}", "choose another --output"
        ) from error


def _clear(directory):
    """Delete what an earlier run left; the directory itself may be a link or the working one."""
    # The recipe comes last, so that what is left of it if killed is still a run.
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name == RECIPE):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def plain_recipe(recipe):
    """A recipe as plain data, keys without a value left out (TOML knows no null)."""
    return recipe.model_dump(mode="json", exclude_none=True)


def recipe_text(recipe):
    """A recipe as TOML."""
    import tomli_w

    return tomli_w.dumps(plain_recipe(recipe))


def append_metrics(directory, **entry):
    """Add one line to the run's metrics.jsonl."""
    path = Path(directory) / METRICS
    with files.writing(path), open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def read_result(directory):
    """The run's result.json, or `None` where the run did not finish."""
    path = Path(directory) / RESULT
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CompacterError(f"{path} is damaged: {error}") from error


def environment(device):
    """Versions and machine, for the record beside the weights."""
    import torch

    packages = ("keras", "keras-hub", "torch", "tensorflow-datasets", "sentencepiece", "numpy")
    return {
        "compacter": compacter_cli.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in packages},
        "device": device,
        "device_name": torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        "threads": torch.get_num_threads(),
        "command": sys.argv[1:],
    }


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None
