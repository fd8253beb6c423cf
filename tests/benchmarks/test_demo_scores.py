"""The demo's rates and scores out of its sweeps: what is chosen, written and refused, by hand."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from compacter_cli.errors import CompacterError
from compacter_cli.sweeps.directory import lines_of, write_index
from compacter_cli.sweeps.expansion import expand
from compacter_cli.sweeps.reading import load_sweep, with_parts

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "demo_scores.py"
TASK = "demo/entailment"
BY_RATE = {0.001: 60.0, 0.004: 80.0, 0.016: 80.0, 0.064: 50.0}  # validation scores


@pytest.fixture
def script(monkeypatch, tmp_path):
    """The script as a module that writes to a folder of its own, with two recipes in it."""
    spec = importlib.util.spec_from_file_location("demo_scores", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RECIPES", tmp_path)
    monkeypatch.setattr(module, "SCORES", tmp_path / "demo_scores.json")
    for arm in ("full", "compacterpp"):
        text = f"# {arm}\n# Not measured yet.\n\nwarmup_steps = 20\nlearning_rate = 0.5\n"
        (tmp_path / f"entailment_{arm}.toml").write_text(text)
    return module


def made(directory, name, validation):
    """A sweep's directory whose runs are finished, with validation scores by `validation(line)`."""
    sweep = with_parts(load_sweep(name), [TASK], ["full", "compacterpp", "random"])
    directory.mkdir()
    (directory / "sweep.toml").write_text(sweep.toml())
    lines = lines_of(directory, sweep, expand(sweep).runs)
    scores = {}
    for line in lines:
        value = validation(line)
        test = {"accuracy": line["seed"] + (10.0 if line["arm"] == "full" else 0.0)}
        scores[directory, line["run"]] = {
            "state": "finished",
            "validation_mean": value,
            "validation": {"accuracy": value},
            "test_mean": test["accuracy"],
            "test": test,
            "majority": {"accuracy": 50.0},
            "invalid": 0,
        }
        place = directory / line["run"]
        place.mkdir(parents=True, exist_ok=True)
        (place / "environment.json").write_text('{"python": "3", "command": ["sweep"]}')
    write_index(directory, lines)
    return directory, scores


@pytest.fixture
def sweeps(tmp_path, monkeypatch):
    """The directories of a search and of a sweep, all of whose runs are finished."""
    by_rate = lambda line: BY_RATE[line["learning_rate"]]  # noqa: E731
    search, one = made(tmp_path / "search", "demo_search", by_rate)
    demo, two = made(tmp_path / "demo", "demo", lambda line: 70.0)
    known = {**one, **two}
    monkeypatch.setattr(
        "compacter_cli.sweeps.directory.brought_up_to_date",
        lambda directory, line: {**line, **known.get((directory, line["run"]), {})},
    )
    return search, demo, known


def run(script, monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["demo_scores.py", *map(str, words)])
    script.main()


def test_the_rate_of_the_best_validation_is_written_of_equal_ones_the_smallest(
    script, sweeps, monkeypatch, tmp_path
):
    run(script, monkeypatch, "rates", sweeps[0])
    for arm in ("full", "compacterpp"):
        text = (tmp_path / f"entailment_{arm}.toml").read_text()
        assert text.endswith("warmup_steps = 20\nlearning_rate = 0.004\n")


def test_a_method_has_the_rate_of_the_best_mean_over_its_tasks(script):
    def cell(*validation):
        tried = zip((0.001, 0.004), validation, strict=True)
        return SimpleNamespace(
            tried=[SimpleNamespace(setting={script.RATE: r}, validation=v) for r, v in tried]
        )

    search = {("a", "full"): cell(50.0, 60.0), ("b", "full"): cell(80.0, 69.0)}
    search |= {("a", "said"): cell(50.0, 60.0), ("b", "said"): cell(80.0, 71.0)}
    assert script.rates_of(search) == {"full": 0.001, "said": 0.004}


def test_scores_are_written_into_the_package_and_the_headers(script, sweeps, monkeypatch, tmp_path):
    run(script, monkeypatch, "scores", *sweeps[:2])
    written = json.loads((tmp_path / "demo_scores.json").read_text())
    assert written["grid"] == list(BY_RATE)
    assert written["environment"] == {"python": "3"}
    cells = written["tasks"][TASK]
    assert list(cells) == ["full", "compacterpp", "random"]
    assert cells["full"]["validation_by_rate"] == {f"{r:g}": v for r, v in BY_RATE.items()}
    assert [run["test"]["accuracy"] for run in cells["full"]["runs"]] == [52.0, 53.0, 54.0]
    assert cells["compacterpp"]["majority"] == {"accuracy": 50.0}
    said = (tmp_path / "entailment_full.toml").read_text().splitlines()[1]
    assert said == "# Measured: test accuracy 53.00 (mean of 3 seeds, compacter sweep demo)."


@pytest.mark.parametrize("state", ["waiting", "unfinished"])
def test_a_sweep_that_has_not_ended_is_refused(script, sweeps, monkeypatch, state):
    search, _, known = sweeps
    run_ = next(iter(known))
    known[run_] = {"state": state}
    with pytest.raises(CompacterError, match="1 runs have not ended"):
        run(script, monkeypatch, "rates", search)


def test_an_arm_without_scores_is_refused(script, sweeps, monkeypatch):
    search, _, known = sweeps
    for (_, name), found in known.items():
        if "/full/" in name:
            found |= {"state": "failed"}
    with pytest.raises(CompacterError, match="no run of full on demo/entailment has scores"):
        run(script, monkeypatch, "rates", search)
