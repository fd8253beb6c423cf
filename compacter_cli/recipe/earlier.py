"""Recipes that runs of earlier versions wrote: what they leave unsaid, said as it held then.

A run writes its recipe with every key there is. Where one lacks a key, there was no such key yet,
and what the run did need not be what a recipe without the key does today.
"""

import copy
from collections.abc import Mapping
from typing import Any

from compacter_cli.methods import METHODS
from compacter_cli.tasks import TASKS


def completed(tables: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the plain recipe of a run, with the keys that it was written before, and without
    one that had no effect.

    What is no recipe comes back as it is: reading it will tell.
    """
    tables = copy.deepcopy(dict(tables))
    method, data = tables.get("method"), tables.get("data")
    if not isinstance(method, dict) or not isinstance(data, dict):
        return tables
    kind, task = METHODS.get(str(method.get("name"))), str(tables.get("task"))
    if kind is not None:
        tables["method"] = {**kind.unsaid, **method}
        if kind.prefixes_task and task in TASKS:
            data.setdefault("prefix", _prefix_then(task))
    if {"folder", "archive"} & data.keys():
        data.pop("data_dir", None)  # which nothing looked at beside them
    return tables


def _prefix_then(task: str) -> str:
    """What stood before a published task's source texts; nothing before ReCoRD's."""
    return "" if task == "super_glue/record" else task.rpartition("/")[2]
