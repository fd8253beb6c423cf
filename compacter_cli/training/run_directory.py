"""The directory of a training run: what it holds, and what is read from it again."""

import hashlib
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import compacter_cli
from compacter_cli.errors import CompacterError, UsageError, did_you_mean
from compacter_cli.files import append_json, present, read_json, write_json
from compacter_cli.recipe.recipe import Recipe
from compacter_cli.training.claim import (
    METRICS,
    RECIPE,
    Kind,
    claim,
    pretraining_in,
)
from compacter_cli.training.records import Environment, Result

RESULT, ENVIRONMENT = "result.json", "environment.json"
ADAPTERS = ("best", "last")
RUN = Kind("is not a run", frozenset({RECIPE, RESULT, METRICS, ENVIRONMENT, *ADAPTERS}), False)


def run_directory(recipe: Recipe, output: Path | None = None) -> Path:
    """Where a recipe's run goes: `output`, or <root>/<task>/<method>/<preset>-s<seed>-<hash>."""
    if output is not None:
        return Path(output)
    plain = recipe.plain()
    plain.pop("output")
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]
    preset = Path(recipe.backbone.preset).name
    name = f"{preset}-s{recipe.seed}-{digest}"
    return Path(recipe.output.root) / recipe.task / recipe.method.name / name


def check_vacant(directory: Path, overwrite: bool = False) -> None:
    """Raise `UsageError` unless a run may be written to `directory`."""
    directory = Path(directory)
    if RUN.may_take(directory, overwrite):
        return
    state = "finished" if (directory / RESULT).is_file() else "unfinished"
    raise UsageError(
        f"{directory} holds a run already ({state})",
        "choose another --output, or give --overwrite to replace it",
    )


def start_run(
    directory: Path, recipe: Recipe, environment: Environment, overwrite: bool = False
) -> Path:
    """Claim `directory` and write the recipe and environment into it.

    Raises:
        UsageError: it is taken, or cannot be written.
    """
    directory = Path(directory)
    check_vacant(directory, overwrite)
    claim(directory, recipe, overwrite)
    write_json(directory / ENVIRONMENT, environment)
    return directory


def is_run(directory: Path) -> bool:
    """Whether `directory` is the directory of a training run.

    A recipe makes it one, or an adapter: that holds all that is needed, and a loss of power may
    have taken the recipe.
    """
    directory = Path(directory)
    written = (directory / RECIPE).is_file() or bool(_adapters_in(directory))
    return written and pretraining_in(directory) is None


def _adapters_in(directory: Path) -> list[str]:
    return [name for name in ADAPTERS if present(directory / name).is_dir()]


def adapter_of_run(run: Path, which: str = "best") -> Path:
    """The adapter directory of a run, "best" or "last".

    Raises:
        UsageError: `run` is no run directory, it has no such adapter, or has saved nothing yet.
    """
    if not is_run(run):
        raise UsageError(f"{run} is no run directory", "give the directory that train printed")
    there = _adapters_in(Path(run))
    if which not in ADAPTERS:
        hint = did_you_mean(which, ADAPTERS)
        has = " and ".join(there) or "none yet"
        raise UsageError(f"--which {which}: the adapters of {run} are {has}", hint or None)
    if which not in there:
        raise UsageError(f"{run} has no {which} adapter: the run ended before its first epoch")
    return Path(run) / which


def append_metrics(directory: Path, **entry: Any) -> None:
    """Add a line to metrics.jsonl: an `UpdateLine`, an `EpochLine`, or pretraining's own."""
    append_json(Path(directory) / METRICS, entry)


def read_result(directory: Path) -> Result | None:
    """The run's result.json, or `None` where the run did not finish.

    Raises:
        CompacterError: it is damaged.
    """
    path = Path(directory) / RESULT
    try:
        result = read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CompacterError(f"{path} is damaged: {error}") from error
    if not isinstance(result, dict):
        raise CompacterError(f"{path} is damaged: expected an object, got {type(result).__name__}")
    return cast(Result, result)


def environment(device: str) -> Environment:
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


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
