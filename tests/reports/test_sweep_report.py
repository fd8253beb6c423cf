"""A sweep's report: which tables and figures, in what order, and what could not be read."""

import json

import pytest

from compacter_cli.reports.sweep_report import report_of_sweep


@pytest.fixture
def lines(make_line):
    """Full finished, Compacter failed."""
    return [
        make_line("glue/rte", "full", {"accuracy": 60.0}, trained_percent=100.0),
        make_line("glue/rte", "compacter", state="failed", error="out of memory"),
    ]


def test_a_sweep_without_search_has_its_tables_and_figures(make_sweep, lines):
    found = report_of_sweep(make_sweep(), lines)
    assert list(found.tables) == ["scores", "gains", "cost", "runs", "unfinished"]
    assert found.shown == ("scores", "gains", "cost", "unfinished")
    assert list(found.drawn) == ["figure1", "time"]
    assert found.lines == (
        "2 arms x 1 task x 1 seed: 2 runs, 1 finished, 1 failed",
        "on demo/t5 (1,545,088 parameters)",
    )


def test_the_heading_says_what_is_not_the_papers(make_sweep, lines):
    sweep = make_sweep(paper="table1", set={"train.epochs": 3, "method.n": 4})
    assert report_of_sweep(sweep, lines).lines[1:] == (
        "on demo/t5 (1,545,088 parameters); the paper's numbers are of T5-base",
        "for all: train.epochs = 3, method.n = 4",
    )
    own = [{**line, "preset": "t5_base_multi"} for line in lines]
    assert "paper" not in report_of_sweep(sweep, own).lines[1]


def test_a_sweep_with_an_axis_draws_figure_4(make_sweep):
    axis = {"key": "data.max_train_samples", "values": [100, 500]}
    found = report_of_sweep(make_sweep(axis=axis), [])
    assert list(found.figures) == ["figure4"]
    assert "x 2 values of data.max_train_samples" in found.lines[0]
    assert "none begun" in found.lines[0]
    axis["values"] = [100]
    found = report_of_sweep(make_sweep(axis=axis), [])
    assert "x 1 value of data.max_train_samples: 0 runs" in found.lines[0]


def test_a_search_has_tables_by_key_and_of_choices(make_sweep, make_line):
    sweep = make_sweep(search={"train.learning_rate": [1e-3, 3e-3]})
    lines = [
        make_line("glue/rte", "full", {"accuracy": 60.0}, setting={"train.learning_rate": rate})
        for rate in (1e-3, 3e-3)
    ]
    found = report_of_sweep(sweep, lines)
    assert {"by_learning_rate", "chosen", "settings"} <= set(found.tables)
    assert "settings" not in found.shown


def test_a_profile_has_table_3_alone(make_sweep):
    found = report_of_sweep(make_sweep(measure={}, tasks=["glue/mnli"]), [])
    assert list(found.tables) == ["cost"]
    assert found.figures == {}


def test_the_environment_is_read_from_the_runs_that_have_one(make_sweep, lines, tmp_path):
    run = tmp_path / lines[0]["run"]
    run.mkdir(parents=True)
    environment = {
        "compacter": "0.1.0", "python": "3.11.7", "platform": "Linux", "device_name": "cpu",
        "packages": {"torch": "2.13.0", "keras": "3.15.1", "keras-hub": None}, "threads": 2,
    }  # fmt: skip
    (run / "environment.json").write_text(json.dumps(environment))
    (row,) = report_of_sweep(make_sweep(), lines, tmp_path).tables["environment"].rows
    assert [entry.text for entry in row.entries] == [
        "0.1.0", "3.11.7", "2.13.0", "3.15.1", "None", "cpu", "2", "Linux", "1",
    ]  # fmt: skip
    (run / "environment.json").write_text("[]")
    assert "environment" not in report_of_sweep(make_sweep(), lines, tmp_path).tables


def test_a_damaged_result_fails_its_run_and_a_damaged_line_is_left_out(make_sweep, lines):
    damaged = {**lines[0], "test": {"accuracy": "high"}}
    found = report_of_sweep(
        make_sweep(), [damaged, lines[1], {**lines[1], "axis": [[]], "seed": "x"}]
    )
    assert found.tables["scores"].rows[0].entries[3].text == "failed"
    assert "its result is damaged: test: " in found.tables["unfinished"].rows[0].entries[5].text
    assert found.problems == ("1 damaged line of the index left out",)
