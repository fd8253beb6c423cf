"""A recipe for another library's adapter: its method is read, and what else is said must agree."""

from pathlib import Path

import pytest

from compacter_cli.errors import UsageError
from compacter_cli.exchange.foreign import Foreign
from compacter_cli.exchange.foreign_model import recipe_with, tables_with
from compacter_cli.t5.shapes import shape_of

ADAPTER = Foreign(Path("there"), "a library", {}, {})
SETTINGS = {"name": "lora", "rank": 3, "alpha": 6.0}
TABLES = {"task": "demo/smoke", "backbone": {"preset": "random/tiny"}}


def made(**method):
    tables = {**TABLES, **({"method": method} if method else {})}
    return recipe_with(ADAPTER, "a recipe", tables, SETTINGS, family=("lora",))


def test_the_method_is_the_adapters_own():
    assert made().method.rank == made(rank=3).method.rank == 3
    with pytest.raises(UsageError, match=r"method.rank = 4: the adapter in there has 3"):
        made(rank=4)


def test_task_and_backbone_are_to_be_said():
    _, tables, shape = tables_with(
        Path("there"), "a library", None, ["task=demo/smoke", "backbone.preset=random/tiny"]
    )
    assert (tables["task"], shape) == ("demo/smoke", shape_of("random/tiny"))
    with pytest.raises(UsageError, match="does not say what it answers"):
        tables_with(Path("there"), "a library", None, ["task=demo/smoke"])
