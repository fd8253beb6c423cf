"""The directory of a pretraining: whose it is, whether it may be written, how it is continued."""

import json
import os
import shlex
from pathlib import Path

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.files import present
from compacter_cli.pretraining.preset import FILES, is_preset
from compacter_cli.training.run_directory import (
    METRICS,
    RECIPE,
    check_nothing_else,
    is_vacant,
    left_by,
    plain_recipe,
    pretraining_in,
)

SUMMARY, STATE = "pretraining.json", "state"
OWN = (RECIPE, METRICS, SUMMARY, STATE, "preset", *FILES)  # all that a pretraining writes


def check_vacant(directory, overwrite=False):
    """Raise `UsageError` unless a new pretraining may be written to `directory`."""
    directory = Path(directory)
    if is_vacant(directory):
        return
    if pretraining_in(directory) is None or not left_by(directory, OWN):
        raise UsageError(
            f"{directory} exists and is no pretraining, so it is never overwritten",
            "choose another --output",
        )
    if overwrite:
        check_nothing_else(directory, OWN)
        return
    if is_preset(directory):
        raise UsageError(
            f"{directory} holds a finished pretraining already",
            "choose another --output, or give --overwrite to replace it",
        )
    raise UsageError(
        f"{directory} holds an unfinished pretraining",
        "give --resume to continue it, --overwrite to replace it, or another --output",
    )


def check_resumable(directory, recipe):
    """Raise `UsageError` unless the pretraining in `directory` is of `recipe` and unfinished."""
    directory = Path(directory)
    found = pretraining_in(directory)
    if found is None:
        way_on = (
            "leave --resume out to begin"
            if is_vacant(directory)
            else "give the --output of the interrupted one"
        )
        raise UsageError(f"nothing to resume: {directory} holds no pretraining", way_on)
    if is_preset(directory):
        raise UsageError(
            f"nothing to resume: the pretraining in {directory} is finished",
            f"use it with --set backbone.preset={shlex.quote(str(directory))}",
        )
    wanted = plain_recipe(recipe)
    if key := _first_difference(found, wanted):
        raise UsageError(
            f"{directory} was begun with another recipe: {key} is "
            f"{_value(found, key)} there and {_value(wanted, key)} here",
            f"continue with --recipe {shlex.quote(str(directory / RECIPE))}",
        )
    if not present(directory / STATE).is_dir():
        raise UsageError(
            f"nothing to resume: {directory} holds no saved state",
            "begin again with another --output",
        )


def _first_difference(found, wanted):
    keys = sorted({*_flat(found)} | {*_flat(wanted)})
    return next((key for key in keys if _value(found, key) != _value(wanted, key)), None)


def _flat(tables):
    for name, value in tables.items():
        yield from (f"{name}.{key}" for key in value) if isinstance(value, dict) else (name,)


def _value(tables, key):
    section, _, name = key.rpartition(".")
    return (tables.get(section, {}) if section else tables).get(name, "not set")


def cut_metrics(directory, step):
    """Take out of metrics.jsonl what a run that continues after `step` will write again."""
    path = Path(directory) / METRICS
    fresh = path.with_name(f"{METRICS}.new-{os.getpid()}")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    kept = [line for line in lines if 0 < step >= _step_of(line)]
    try:
        fresh.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        os.replace(fresh, path)
    except OSError as error:
        raise CompacterError(f"cannot write {path}: {error.strerror}", "free some space") from error


def _step_of(line):
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):  # half a line, of a process killed while writing it
        return float("inf")
