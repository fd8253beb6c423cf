"""Made-up sweeps and answers: lines of an index as a sweep leaves them, the paper's own table."""

import dataclasses
import json
import tomllib

import pytest

from compacter_cli.methods import METHODS
from compacter_cli.paper.counting import count
from compacter_cli.paper.tables import paper_tables
from compacter_cli.recipe.shipped import shipped_sweeps
from compacter_cli.sweeps.sections import Sweep
from compacter_cli.tasks import TASKS
from compacter_cli.tasks.metrics import METRICS, Answers

BENCHMARKS = {"table1": "glue", "table2": "super_glue"}


def make_line(task, arm, test=None, **changes):
    """A line of an index; with test scores it is of a finished run."""
    setting, seed = changes.get("setting", {}), changes.get("seed", 42)
    line = {
        "sweep": "made_up", "task": task, "arm": arm, "method": arm,
        "method_settings": {"name": arm}, "setting": setting, "train_rows": 2500,
        "axis": None, "seed": seed, "run": f"runs/{task}/{arm}/s{seed}", "recipe_hash": "0a1b2c3d",
        "state": "finished" if test else "waiting", "preset": "demo/t5", "learning_rate": 3e-3,
        "trained_parameters": 4976, "trained_percent": 0.3221, "backbone_parameters": 1_545_088,
    }  # fmt: skip
    if test:
        mean = sum(test.values()) / len(test)
        line |= {
            "epochs": 8, "best_epoch": 5, "training_seconds": 20.0,
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


@dataclasses.dataclass
class MadeUp:
    """A run's answers to rows of a task of labels, scored by the task's own metrics."""

    task: str
    gold: list
    predicted: list
    rows_hash: str = "the same"

    def correct(self):
        return [gold == text for gold, text in zip(self.gold, self.predicted, strict=True)]

    def measured(self, rows=None):
        task = TASKS[self.task]
        rows = range(len(self.gold)) if rows is None else rows
        golds = [{"label": self._label(self.gold[row]), "idx": row} for row in rows]
        answers = Answers(task, golds, [self.predicted[row] for row in rows])
        return {name: 100 * METRICS[name](answers) for name in task.metrics}

    def _label(self, gold):
        return float(gold) if self.task == "glue/stsb" else int(gold)


@pytest.fixture
def made_up_answers():
    return MadeUp


RECIPE = """
task = "glue/rte"
seed = 42

[backbone]
preset = "random/tiny"

[method]
name = "compacterpp"

[train]
epochs = 8
"""


@pytest.fixture
def make_run(tmp_path):
    """Writes the directory of a run on RTE, finished unless told otherwise; gives its path."""

    def make(name="run", recipe="", accuracy=60.0, finished=True, updates=40, **result):
        directory = tmp_path / name
        (directory / "best").mkdir(parents=True)
        (directory / "recipe.toml").write_text(RECIPE + recipe)
        lines = [
            {"kind": "update", "step": s, "epoch": 1, "loss": 3 / s, "learning_rate": 0.01 * s}
            for s in range(1, updates + 1)
        ]
        scores = scores_record(accuracy)
        epoch = {"kind": "epoch", "number": 1, "step": updates, "loss": 1.0, "best": True}
        lines.append({**epoch, "validation": scores})
        (directory / "metrics.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in lines))
        if finished:
            whole = {
                "task": "glue/rte", "method": "compacterpp", "preset": "random/tiny", "seed": 42,
                "trained_parameters": 1888, "trained_percent": 1.09, "backbone_parameters": 173_056,
                "epochs": 8, "best_epoch": 1, "validation": scores, "test": scores,
                "paper": [74.82], "measured": None, "before": None, "run": str(directory),
                "adapter_bytes": 11_064,
                "training_seconds": 12.0, "peak_memory_bytes": 633_184_256,
                "data": {"way": "generated"},
            }  # fmt: skip
            (directory / "result.json").write_text(json.dumps({**whole, **result}))
        return directory

    return make


def scores_record(accuracy):
    return {
        "metrics": {"accuracy": accuracy}, "majority": {"accuracy": 50.0}, "count": 139,
        "invalid": 3, "mean": accuracy,
    }  # fmt: skip
