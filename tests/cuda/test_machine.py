"""What a machine with a GPU may lack, and the options that a check there gives; no GPU needed."""

import json
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from compacter_cli.main import load_command
from compacter_cli.methods import METHODS
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.shapes import shape_of

ROOT = Path(__file__).parents[2]
RECIPE = "demo/entailment_compacterpp.toml"
PROFILED = ["full", "adapter", "compacter", "compacterpp", "bitfit", "said", "prompt_r"]

# Scripts outside this repository give these: the names stay.
CALLS = {
    "train": ["--recipe", RECIPE, "--set", "train.epochs=2", "--device", "cuda", "--output", "run",
              "--overwrite"],
    "evaluate": ["--run", "run", "--device", "cpu"],
    "profile": ["--device", "cuda", "--precision", "bfloat16", "--batch-size", "100",
                "--backbone", "t5_base_multi", "--steps", "10",
                *(word for name in PROFILED for word in ("--method", name))],
}  # fmt: skip
COMPARISON = ["--device", "cuda", "--precision", "bfloat16", "--batch", "100", "--shape", "base",
              "--bottleneck", "24", "--method", "compacter", "--runs", "5", "--steps", "5",
              "--json", "peers.json"]  # fmt: skip

# Trains and evaluates where nothing but the frameworks is installed.
WITHOUT = """
import json, sys

for name in json.loads(sys.argv[1]):
    sys.modules[name] = None
from compacter_cli.main import main

for command in json.loads(sys.argv[2]):
    sys.argv = ["compacter", *command]
    try:
        main()
    except SystemExit as stop:
        if stop.code:
            raise
"""
MISSING = [
    "tensorflow", "tensorflow_text", "tensorflow_datasets", "array_record", "google_crc32c",
    "kagglehub", "rouge_score",
]  # fmt: skip


@pytest.fixture
def comparison(monkeypatch):
    """The names of benchmarks/against_peers.py; nothing is run."""
    script = ROOT / "benchmarks" / "against_peers.py"
    monkeypatch.syspath_prepend(str(script.parent))
    yield runpy.run_path(str(script))
    sys.modules.pop("setting", None)


def parsed(command, words):
    return command.make_context("command", list(words)).params


@pytest.mark.parametrize("name", CALLS)
def test_the_options_of_commands_keep_their_names(name):
    command = load_command(name)
    assert parsed(command, CALLS[name])
    with pytest.raises(Exception, match="No such option: --devise"):  # click's, Typer's own or not
        parsed(command, [*CALLS[name], "--devise", "cuda"])


def test_the_options_of_the_comparison_with_peers_keep_their_names(comparison):
    app = typer.Typer()
    app.command()(comparison["main"])
    given = parsed(typer.main.get_command(app), COMPARISON)
    assert list(given["method"]) == ["compacter"]  # Typer's versions give a list or a tuple
    assert list(given["shape"]) == ["base"]
    assert given["batch"] == 100
    assert {"compacter", "full"} <= set(comparison["METHODS"])
    assert {"tiny", "base"} <= set(comparison["SHAPES"])


def test_what_the_options_name_is_there():
    assert load_recipe(RECIPE, ["train.epochs=2"]).train.epochs == 2
    assert set(PROFILED) <= set(METHODS)
    assert shape_of("t5_base_multi").hidden_dim == 768
    assert shape_of("t5_small_multi").hidden_dim == 512


def test_pytest_needs_no_workers_side_by_side():
    """pytest-xdist may be missing: its options are for a command line."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    options = settings["tool"]["pytest"]["ini_options"]["addopts"].split()
    workers = ("-n", "--numprocesses", "--dist", "--maxprocesses")
    assert not [option for option in options if option.startswith(workers)]


def test_a_recipe_trains_and_is_evaluated_without_tensorflow_and_its_datasets(tmp_path):
    run = tmp_path / "run"
    commands = [
        ["train", "--recipe", "demo/smoke_compacterpp", "--set", "train.epochs=1",
         "--set", "train.warmup_steps=5", "--device", "cpu", "--output", str(run)],
        ["evaluate", "--run", str(run), "--device", "cpu"],
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, json.dumps(MISSING), json.dumps(commands)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (run / "result.json").is_file()
