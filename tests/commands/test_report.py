"""The command: whatever it is given, in every format, and nothing is overwritten."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from compacter_cli.commands import report as command
from compacter_cli.errors import CompacterError
from compacter_cli.main import app
from compacter_cli.reports.report import Report
from compacter_cli.tasks import TASKS
from compacter_cli.training.predictions import write_predictions

SWEEP = """
name = "tiny"
title = "A tiny sweep"
tasks = ["glue/rte"]
seeds = [1, 2]

[[arms]]
name = "full"

[[arms]]
name = "compacter"
"""
FIXTURE = Path(__file__).parents[1] / "fixtures" / "run"


def write_run(directory, arm, seed, accuracy=None):
    """A run of the sweep, finished where it has a score; gives its line of the index."""
    place = f"runs/glue/rte/{arm}/t5-s{seed}-0a1b2c3d"
    if accuracy is not None:
        scores = {
            "metrics": {"accuracy": accuracy}, "majority": {"accuracy": 50.0}, "mean": accuracy,
            "invalid": 0, "count": 139,
        }  # fmt: skip
        result = {
            "task": "glue/rte", "method": arm, "seed": seed, "trained_parameters": 1_545_088,
            "validation": scores, "test": scores, "epochs": 8, "best_epoch": 5,
            "training_seconds": 9.0, "peak_memory_bytes": 10**9, "adapter_bytes": 25_152,
        }  # fmt: skip
        (directory / place).mkdir(parents=True)
        (directory / place / "result.json").write_text(json.dumps(result))
    return {
        "sweep": "tiny", "task": "glue/rte", "arm": arm, "method": arm, "setting": {},
        "axis": None, "seed": seed, "run": place, "recipe_hash": "0a1b2c3d", "state": "waiting",
        "preset": "demo/t5", "learning_rate": 3e-4, "trained_parameters": 1_545_088,
        "trained_percent": 100.0 if arm == "full" else 0.5, "backbone_parameters": 1_545_088,
        "method_settings": {"name": arm}, "train_rows": 2490,
    }  # fmt: skip


@pytest.fixture
def sweep(tmp_path):
    """A sweep's directory: full has two seeds, Compacter one of them."""
    directory = tmp_path / "sweep"
    directory.mkdir()
    (directory / "sweep.toml").write_text(SWEEP)
    lines = [
        write_run(directory, "full", 1, 80.0),
        write_run(directory, "full", 2, 82.0),
        write_run(directory, "compacter", 1, 70.0),
        write_run(directory, "compacter", 2),
    ]
    failure = directory / "failed" / "glue/rte/compacter/t5-s2-0a1b2c3d.json"
    failure.parent.mkdir(parents=True)
    failure.write_text('{"state": "failed", "error": "out of memory"}')
    (directory / "index.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return directory


@pytest.fixture
def runs(tmp_path):
    """Two copies of a run of before answers were kept; the second's recipe has another rate."""
    found = [shutil.copytree(FIXTURE, tmp_path / name) for name in ("one", "two")]
    recipe = found[1] / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("learning_rate = 0.01", "learning_rate = 0.02"))
    return found


def call(*args, width=100):
    return CliRunner(env={"COLUMNS": str(width)}).invoke(app, ["report", *map(str, args)])


def assert_one_line(result, code, said):
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("next: ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert said in lines[0]


@pytest.mark.parametrize("width", [80, 120])
def test_a_sweep_on_the_terminal(sweep, width):
    result = call(sweep, width=width)
    assert result.exit_code == 0, result.output
    assert "2 arms x 1 task x 2 seeds: 4 runs, 3 finished, 1 failed" in result.stdout
    assert "81.00 ± 1.41" in result.stdout
    assert "70.00 (1 of 2)" in result.stdout
    assert "out of memory" in result.stdout
    table = result.stdout[result.stdout.index("Cost of a run") :].splitlines()[1:4]
    assert all(len(line) <= width for line in table)


def test_a_sweep_as_json_is_nothing_else(sweep):
    result = call(sweep, "--json")
    data = json.loads(result.stdout)
    assert data["title"] == "A tiny sweep"
    values = data["tables"]["scores"]["rows"][0]["RTE"]["values"]
    assert values == {"n": 2, "planned": 2, "accuracy": 81.0, "accuracy sd": pytest.approx(2**0.5)}
    only = json.loads(call(sweep, "--json", "--table", "gains").stdout)
    assert only["columns"] == ["method", "parameters", "RTE", "summed"]


def test_a_sweep_as_csv_markdown_and_latex(sweep):
    rows = list(csv.DictReader(io.StringIO(call(sweep, "--as", "csv").stdout)))
    assert [float(row["RTE accuracy"]) for row in rows] == [81.0, 70.0]
    text = call(sweep, "--as", "markdown", "--table", "scores").stdout
    assert "| T5 (full fine-tuning) | 1.0x1 | 100 | **81.00 ± 1.41** |" in text
    text = call(sweep, "--as", "latex").stdout
    assert text.count(r"\begin{tabular}") == 4
    assert r"\textbf{81.00 $\pm$ 1.41}" in text


def test_one_table(sweep):
    result = call(sweep, "--table", "cost")
    assert result.stdout.splitlines()[:2][-1] == "Cost of a run (cost)"
    assert "A tiny sweep" not in result.stdout
    assert_one_line(call(sweep, "--table", "costs"), 2, "--table costs")


def test_figures_and_page_are_written_once(sweep, tmp_path):
    figures, page = tmp_path / "drawn", tmp_path / "page.html"
    result = call(sweep, "--figures", figures, "--html", page)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in figures.iterdir()) == [
        "figure1.png", "figure1.svg", "time.png", "time.svg",
    ]  # fmt: skip
    assert (figures / "figure1.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (figures / "time.svg").read_text()
    assert page.read_text().startswith("<!DOCTYPE html>")
    before = page.read_bytes()
    assert_one_line(call(sweep, "--html", page), 2, "it is there already")
    assert_one_line(call(sweep, "--figures", figures), 2, "figure1.png is there already")
    assert_one_line(call(sweep, "--html", tmp_path / "no" / "p.html"), 2, "there is no folder")
    assert page.read_bytes() == before


def test_letters_that_figures_lack_are_a_line_and_dollars_are_no_formula(sweep, tmp_path):
    whole = (sweep / "sweep.toml").read_text()
    title = r"costs $5 \\frac$ in \u4e2d"
    (sweep / "sweep.toml").write_text(whole.replace("A tiny sweep", title))
    result = call(sweep, "--figures", tmp_path / "f", "--html", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    first, *others = result.stderr.splitlines()
    assert first == "note: the figures' font lacks some letters, which are drawn as boxes: \u4e2d"
    assert all(line.startswith(("drawn: ", "written: ")) for line in others)
    assert r"costs $5 \frac$ in" in (tmp_path / "page.html").read_text()


def test_where_no_figures_can_be_is_told_before_anything_is_read(tmp_path):
    gone, file, place = tmp_path / "gone", tmp_path / "three.toml", tmp_path / "a"
    file.write_text("")
    for folder in (file, file / "in"):
        assert_one_line(call(gone, "--figures", folder), 2, "three.toml is a file")
    assert_one_line(call(gone, "--figures", place, "--html", place), 2, "are one place")
    place.mkdir()
    figures = place / "page.html" / "figures"
    result = call(gone, "--figures", figures, "--html", place / "page.html")
    assert_one_line(result, 2, "are one place")


def test_a_run(runs):
    result = call(runs[0], width=80)
    assert result.exit_code == 0, result.output
    assert "Compacter++ on demo/smoke" in result.stdout
    assert "57.00" in result.stdout
    assert "train.learning_rate" in result.stdout
    assert "compacter predict --run" in result.stdout
    assert "█" in result.stdout


def test_a_runs_curves_are_drawn(runs, tmp_path):
    assert call(runs[0], "--figures", tmp_path / "drawn").exit_code == 0
    assert (tmp_path / "drawn" / "curves.svg").is_file()


def test_runs_beside_each_other(runs):
    result = call(*runs)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert any(line.split() == ["train.learning_rate", "0.01", "0.02"] for line in lines)
    assert any(line.split() == ["accuracy", "57.00", "57.00"] for line in lines)
    assert "A: no test, " in result.stdout
    assert "one has no predictions.jsonl" in result.stdout


def test_runs_that_kept_their_answers_are_tested(runs):
    """The first has 50 of 100 rows right, the second 20 more."""
    task = TASKS["demo/smoke"]
    rows = task.generate()["validation"][:100]
    for run, right in zip(runs, (50, 70), strict=True):
        wrong = [str(1 - int(task.target(row))) for row in rows]
        answers = [*map(task.target, rows[:right]), *wrong[right:]]
        write_predictions(run, task, rows, answers)
    result = call(*runs, width=120)
    assert result.exit_code == 0, result.output
    assert "B scores 20.00 above A (95 % interval" in result.stdout
    assert "McNemar p = 1.9e-06): more than the noise of the test rows" in result.stdout  # 2 / 2^20
    assert "resampling the test rows of 2 runs, 10,000 times" in result.stderr
    (runs[1] / "predictions.jsonl").write_text("{")
    result = call(*runs)
    assert result.exit_code == 0
    assert "B: no test, " in result.stdout
    assert "is damaged" in result.stdout
    assert_one_line(call(*runs, "--table", "tests"), 2, "no such table: B: no test, ")


def test_an_unfinished_run_is_shown_with_a_note(runs):
    (runs[0] / "result.json").unlink()
    result = call(runs[0])
    assert result.exit_code == 0
    assert result.stderr.startswith("note: ")
    assert "is unfinished: 2 of 2 epochs" in result.stderr
    assert result.stderr.count("\n") == 1
    assert_one_line(call(runs[0], "--table", "scores"), 2, "no such table: ")


def test_what_a_finished_run_has_lost_is_a_line(runs):
    (runs[0] / "recipe.toml").unlink()
    notes = call(runs[0]).stderr.splitlines()
    assert [note.startswith("note: ") for note in notes] == [True, True]
    assert "recipe.toml is not there" in notes[0]
    assert "has no predictions.jsonl" in notes[1]


def test_a_score_that_is_none_is_damage(runs):
    result = json.loads((runs[0] / "result.json").read_text())
    for value in (150.0, float("nan")):
        result["test"]["metrics"]["accuracy"] = value
        (runs[0] / "result.json").write_text(json.dumps(result))
        done = call(runs[0], "--json")
        assert "NaN" not in done.stdout
        (problem,) = json.loads(done.stdout)["problems"]
        assert "result.json is damaged: test.metrics.accuracy: " in problem


def test_a_damaged_run_is_compared_as_far_as_it_is_whole(runs):
    (runs[1] / "result.json").write_text("{")
    result = call(*runs)
    assert result.exit_code == 0
    assert "result.json is damaged" in result.stderr
    assert "57.00" in result.stdout
    assert "B: no test, the run is damaged" in result.stdout
    assert "unfinished" not in result.stdout


def test_what_is_neither_is_a_line(sweep, runs, tmp_path):
    assert_one_line(call(tmp_path / "gone"), 2, "there is no directory")
    assert_one_line(call(tmp_path), 2, "neither a sweep nor a run")
    assert_one_line(call(sweep, runs[0]), 2, "is a sweep, which is reported alone")
    assert_one_line(call(runs[0], runs[0]), 2, "is given twice")
    assert_one_line(call(runs[0], sweep / "index.jsonl"), 2, "there is no directory")
    (sweep / "sweep.toml").write_text("name = 3\n")
    assert_one_line(call(sweep), 1, "sweep.toml is damaged")
    (sweep / "sweep.toml").unlink()
    assert_one_line(call(sweep), 1, "has lost its sweep.toml")


def test_a_sweep_with_a_deleted_and_a_damaged_run_reports_the_rest(sweep):
    first, second = sorted((sweep / "runs/glue/rte/full").iterdir())
    shutil.rmtree(first)
    (second / "result.json").write_text('{"validation": {')
    result = call(sweep)
    assert result.exit_code == 0, result.output
    assert "4 runs, 1 waiting, 2 failed, 1 finished" in result.stdout
    why = json.loads(call(sweep, "--json").stdout)["tables"]["unfinished"]["rows"][1]["why"]
    assert "result.json is damaged" in why["text"]
    assert "70.00 (1 of 2)" in result.stdout


def test_nothing_to_draw_and_nothing_to_write(sweep, tmp_path):
    for name in ("runs", "failed"):
        shutil.rmtree(sweep / name)
    assert call(sweep).exit_code == 0
    page = tmp_path / "page.html"
    result = call(sweep, "--figures", tmp_path / "f", "--html", page)
    assert result.exit_code == 0, result.output
    assert "there is nothing to draw yet" in result.stderr
    assert "A tiny sweep" in page.read_text()
    assert "A tiny sweep" in result.stdout
    assert not (tmp_path / "f").exists()
    with pytest.raises(CompacterError, match="no table"):
        command.text_of(Report("t", (), {}, ()), "csv", None)
