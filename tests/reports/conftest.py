"""Made-up sweeps: lines of an index as a sweep would leave them, and the paper's own table."""

import tomllib

import pytest

from compacter_cli.methods import METHODS
from compacter_cli.paper.counting import count
from compacter_cli.paper.tables import paper_tables
from compacter_cli.recipe.shipped import shipped_sweeps
from compacter_cli.sweeps.sections import Sweep
from compacter_cli.tasks import TASKS

BENCHMARKS = {"table1": "glue", "table2": "super_glue"}


def make_line(task, arm, test=None, **changes):
    """A line of an index; with test scores it is of a finished run."""
    setting, seed = changes.get("setting", {}), changes.get("seed", 42)
    line = {
        "sweep": "made_up", "task": task, "arm": arm, "method": arm, "setting": setting,
        "axis": None, "seed": seed, "run": f"runs/{task}/{arm}/s{seed}", "recipe_hash": "0a1b2c3d",
        "state": "finished" if test else "waiting", "preset": "demo/t5", "learning_rate": 3e-3,
        "trained_parameters": 4976, "trained_percent": 0.3221, "backbone_parameters": 1_545_088,
    }  # fmt: skip
    if test:
        mean = sum(test.values()) / len(test)
        line |= {
            "epochs": 8, "best_epoch": 5, "train_rows": 2500, "training_seconds": 20.0,
            "peak_memory_bytes": 700_000_000, "adapter_bytes": 25_152, "validation_mean": mean,
            "test_mean": mean, "validation": test, "test": test,
            "majority": dict.fromkeys(test, 50.0), "invalid": 0,
        }  # fmt: skip
    return {**line, **changes}


def make_sweep(**tables):
    """A sweep of two arms on one task, with changes."""
    arms = [{"name": "full"}, {"name": "compacter"}]
    whole = {"name": "made_up", "title": "Made up", "tasks": ["glue/rte"], "arms": arms, **tables}
    return Sweep.model_validate(whole)


@pytest.fixture(name="make_line")
def _make_line():
    return make_line


@pytest.fixture(name="make_sweep")
def _make_sweep():
    return make_sweep


@pytest.fixture
def shipped_sweep():
    """A shipped sweep by name."""

    def load(name):
        text = shipped_sweeps()[name].read_text(encoding="utf-8")
        return Sweep.model_validate({"name": name, **tomllib.loads(text)})

    return load


@pytest.fixture
def paper_lines():
    """The index that would have led to a table of the paper: "table1" or "table2"."""

    def lines(table):
        return [
            line
            for arm, row in paper_tables()[table].items()
            for line in _lines_of_row(BENCHMARKS[table], arm, row)
        ]

    return lines


def _lines_of_row(benchmark, arm, row):
    settings = {"n": row["n"]} if "n" in row else {}
    method = METHODS[arm].model_validate({"name": arm, **settings})
    counted = count("t5_base_multi", method)
    searched = {f"method.{name}": value for name, value in settings.items()}
    if "bottleneck" in type(method).model_fields:
        searched["method.bottleneck"] = 24
    for name, score in row["scores"].items():
        if name == "avg":
            continue
        task = f"{benchmark}/{name}"
        numbers = score if isinstance(score, list) else [score]
        yield make_line(
            task,
            arm,
            dict(zip(TASKS[task].metrics, numbers, strict=True)),
            setting=searched,
            preset="t5_base_multi",
            trained_parameters=counted.own.trained,
            trained_percent=counted.percent_own(),
            backbone_parameters=counted.own.base,
            method_settings=method.settings(),
        )
