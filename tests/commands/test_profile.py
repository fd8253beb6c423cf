"""`compacter profile`: rows, tables, JSON and refusals; real children once, on a tiny T5."""

import json

import pytest
from typer.testing import CliRunner

from compacter_cli.commands.console import err, out
from compacter_cli.errors import CompacterError, Interrupted
from compacter_cli.main import app
from compacter_cli.methods import METHODS
from compacter_cli.profiling import comparison

TINY = ("--backbone", "random/tiny", "--threads", "1", "--steps", "1", "--batch-size", "2")
MACHINE = {"device": "cpu", "device_name": "cpu", "threads": 1, "torch": "2", "free_bytes": 10**9}


def named(method):
    return "--method", method


def call(*arguments):
    return CliRunner().invoke(app, ["profile", *arguments])


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The JSON of a small profile in real children, and the folder of its picture."""
    folder = tmp_path_factory.mktemp("profile")
    names = ("--method", "full", "--method", "adapterdrop", "--method", "compacterpp")
    task = ("--task", "demo/smoke", "--source", "12")
    result = call(*TINY, *names, *task, "--json", "--plot", str(folder / "p.png"))
    assert result.exit_code == 0, result.stderr
    return result, folder


def test_stdout_is_json_alone_and_progress_goes_to_stderr(real):
    result, folder = real
    found = json.loads(result.stdout)
    assert [row["method"] for row in found["methods"]] == ["full", "adapterdrop", "compacterpp"]
    assert "measuring full (1 of 3)" in result.stderr
    assert (folder / "p.png").stat().st_size > 1000


def test_each_row_has_its_counts_costs_and_deltas(real):
    full, dropped, ours = json.loads(real[0].stdout)["methods"]
    assert dropped["failed"] == "5 of 2 blocks dropped"
    assert ours["trained"] == 1_888
    assert ours["percent_own"] == pytest.approx(1.0910, abs=5e-5)
    assert ours["settings"]["n"] == 4
    for row in (full, ours):
        assert row["batch"] == 2
        assert len(row["steps_ms"]) == 1
        assert row["epoch"]["timed_examples"] == 2
        assert min(row["saved_bytes"], row["weight_bytes"], row["step_ms"]["median"]) > 0
    expected = 100 * (ours["example_ms"] / full["example_ms"] - 1)
    assert ours["delta_percent"]["time"] == pytest.approx(expected)
    assert ours["paper_delta_percent"]["memory"] == pytest.approx(-29.55, abs=0.005)
    assert ours["weight_bytes"] > full["weight_bytes"]  # adapters, and norms of its own


@pytest.fixture
def children(monkeypatch):
    """Made-up children: what they measure depends on the method and nothing else."""
    jobs = []

    def run_job(job):
        jobs.append(job)
        name = job.recipe["method"]["name"]
        if name == "said":
            return {"failed": "killed (SIGKILL), out of memory?", "memory": True}
        size = 10_000 + 1_000 * list(METHODS).index(name)
        return {
            "batch": 16,
            "step_ms": {"median": size, "min": size - 900.5, "max": size + 90_000},
            "example_ms": size / 16,
            "tokens_per_second": 123_456.7,
            "weight_bytes": size * 10**5,
            "growth_bytes": size * 10**5,
            "peak_bytes": size * 2 * 10**5,
            "example_bytes": size * 2 * 10**5 / 16,
            "saved_bytes": size * 10**5,
            "epoch": None,
        }

    monkeypatch.setattr(comparison, "run_job", run_job)
    monkeypatch.setattr(comparison, "run_probe", lambda probe: dict(MACHINE))
    return jobs


def test_the_tables_name_every_method_and_fit_100_columns(children, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(out, "_width", 100)
    monkeypatch.setattr(err, "_width", 300)
    result = call()
    assert result.exit_code == 0
    tables = [
        line
        for line in result.stdout.splitlines()
        if line.split()[:1] in map(list, zip(METHODS, strict=True))
    ]
    assert len(tables) == 2 * len(METHODS)
    assert max(map(len, tables)) <= 100
    assert "…" not in result.stdout
    assert "said: killed (SIGKILL), out of memory?" in result.stdout
    assert "(x - full) / full" in result.stdout
    assert len(children) == len(METHODS)


def test_where_every_method_fails_the_rows_are_shown_and_the_run_failed(children, tmp_path):
    result = call("--method", "said", "--plot", str(tmp_path / "p.png"))
    assert result.exit_code == 1
    assert "said: killed (SIGKILL), out of memory?" in result.stdout
    assert "no method could be measured" in result.stderr
    assert not (tmp_path / "p.png").exists()


@pytest.mark.parametrize(
    ("stop", "code", "word"),
    [(KeyboardInterrupt(), 130, "interrupted"), (Interrupted(signum=15), 143, "terminated")],
)
def test_stopped_it_shows_what_was_measured_until_then(children, monkeypatch, stop, code, word):
    measured = comparison.run_job

    def run_job(job):
        if len(children) == 2:
            raise stop
        return measured(job)

    monkeypatch.setattr(comparison, "run_job", run_job)
    result = call("--json", *(part for name in ("full", "phm", "bitfit") for part in named(name)))
    assert result.exit_code == code
    assert word in result.stderr
    full, phm = json.loads(result.stdout)["methods"]
    assert (full["method"], phm["method"]) == ("full", "phm")
    assert phm["delta_percent"]["time"] == pytest.approx(90.0)  # 19,000 against 10,000


def test_stopped_before_anything_is_measured_it_shows_nothing(children, monkeypatch):
    def run_job(job):
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison, "run_job", run_job)
    result = call(*named("full"))
    assert (result.exit_code, result.stdout) == (130, "")


def test_a_picture_that_cannot_be_written_costs_no_figures(children, monkeypatch, tmp_path):
    def save_plot(found, path):
        raise CompacterError("the disk is full")

    monkeypatch.setattr("compacter_cli.profiling.plot.save_plot", save_plot)
    result = call("--method", "full", "--json", "--plot", str(tmp_path / "p.png"))
    assert result.exit_code == 1
    assert json.loads(result.stdout)["methods"][0]["method"] == "full"


def test_without_full_there_are_no_deltas_but_the_papers(children, monkeypatch):
    monkeypatch.setattr(out, "_width", 100)
    result = call("--method", "compacterpp")
    assert (
        json.loads(call("--method", "bitfit", "--json").stdout)["methods"][0]["delta_percent"]
        is None
    )
    assert "-26.51" in result.stdout
    assert "time %" not in result.stdout


def test_options_reach_the_children(children):
    given = (
        "--method",
        "phm",
        "--batch-size",
        "3",
        "--source",
        "9",
        "--target",
        "2",
        "--steps",
        "7",
    )
    more = ("--threads", "2", "--precision", "bfloat16", "--set", "method.bottleneck=48")
    assert call(*given, *more, "--set", "train.dropout=0.0").exit_code == 0
    (job,) = children
    assert (job.target, job.steps, job.threads, job.device) == (2, 7, 2, "cpu")
    assert job.recipe["train"]["batch_size"] == job.batch == 3
    assert job.recipe["train"]["dropout"] == 0.0
    assert job.recipe["data"]["source_length"] == 9
    assert job.recipe["method"]["bottleneck"] == 48
    assert job.recipe["backbone"] == {"preset": "t5_base_multi", "precision": "bfloat16"}
    assert (job.vocabulary, job.budget, job.search) == (None, None, False)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--method", "compactr"], 2, 'did you mean "compacter"?'),
        (["--backbone", "t5_bass_multi"], 2, "t5_bass_multi"),
        (["--memory-budget", "24"], 2, "expected a size such as 24GB"),
        (["--memory-budget", "24GB"], 2, "more than the 1.00 GB free"),
        (["--set", "train.epoch=3"], 2, "unknown key"),
        (["--plot", "picture.pdf"], 2, "ends in .png"),
        (["--task", "glue/rtee"], 2, "glue/rte"),
        (["--precision", "float16"], 2, "float16"),
        (["--batch-size", "0"], 2, "--batch-size"),
        (["--batch", "2"], 2, "--batch is called --batch-size now"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_measured(
    children, monkeypatch, arguments, code, said
):
    monkeypatch.setattr(err, "_width", 300)
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert children == []


def test_a_task_needs_its_rows_and_a_vocabulary(children, rte_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    away = call("--task", "glue/rte", "--set", f"data.data_dir={tmp_path}")
    assert away.exit_code == 3
    rows = ("--task", "glue/rte", "--set", f"data.folder={rte_folder}", "--method", "full")
    without = call(*rows)
    assert without.exit_code == 3
    assert "--vocabulary DIR" in without.stderr
    assert call(*rows, "--vocabulary", "random/tiny").exit_code == 0
    assert children[-1].vocabulary == "random/tiny"
