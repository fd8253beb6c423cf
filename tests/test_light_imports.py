"""Light commands import no framework, and every subcommand's help shows an example."""

import json
import subprocess
import sys

import pytest
import typer.main

from compacter_cli.main import app

HEAVY = (
    "keras",
    "keras_hub",
    "torch",
    "tensorflow",
    "tensorflow_datasets",
    "numpy",
    "sklearn",
    "scipy",
    "safetensors",
    "array_record",
)

# Runs every command line in turn and tells after each which modules are there by then.
RUN = """
import contextlib, io, json, sys

commands, watched = json.loads(sys.argv[1])
from compacter_cli.main import main

for command in commands:
    printed = io.StringIO()
    sys.argv = ["compacter", *command]
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code
    loaded = [name for name in watched if sys.modules.get(name) is not None]
    print(json.dumps([command, code, loaded, printed.getvalue()]))
"""


def _leaves(command, path=()):
    """Every subcommand as a tuple of words."""
    subcommands = getattr(command, "commands", None)
    if not subcommands:
        return [path]
    return [
        leaf
        for name in subcommands
        for leaf in _leaves(command.get_command(None, name), (*path, name))
    ]


SUBCOMMANDS = _leaves(typer.main.get_command(app))


def _run(commands, watched=HEAVY, **options):
    """`(command, exit code, watched modules loaded, output)` of each of `commands`."""
    given = json.dumps([[list(command) for command in commands], list(watched)])
    done = subprocess.run(
        [sys.executable, "-c", RUN, given], capture_output=True, text=True, check=True, **options
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def helps():
    """What `--help` prints, by subcommand."""
    commands = [("--help",), *((*words, "--help") for words in SUBCOMMANDS)]
    found = _run(commands, (*HEAVY, "sentencepiece"))
    return {tuple(command[:-1]): (code, loaded, text) for command, code, loaded, text in found}


def test_the_subcommands_are_found():
    assert ("train",) in SUBCOMMANDS
    assert ("recipes", "copy") in SUBCOMMANDS
    assert len(SUBCOMMANDS) >= 8


def test_help_imports_nothing_heavy(helps):
    assert {words: loaded for words, (_, loaded, _) in helps.items() if loaded} == {}
    assert {code for code, _, _ in helps.values()} == {0}


@pytest.mark.parametrize("words", SUBCOMMANDS, ids=" ".join)
def test_every_subcommands_help_shows_an_example_of_it(helps, words):
    text = " ".join(helps[words][2].split())
    assert f"Example: compacter {' '.join(words)} " in text


def test_the_program_says_how_to_start(helps):
    assert "Start with: compacter demo" in " ".join(helps[()][2].split())


def test_light_commands_import_nothing_heavy(rte_folder, tmp_path):
    dry = ("train", "--dry-run", "--no-estimate", "--recipe")
    rte = (*dry, "glue/rte_compacterpp", "--set", "backbone.preset=random/tiny")
    pretrain = ("pretrain", "--output", "new", "--recipe")
    commands = {
        ("--version",): 0,
        ("count-params",): 0,
        ("count-params", "--n", "12", "--json"): 0,
        ("count-params", "--n", "5"): 2,
        ("profile", "--set", "train.epoch=3"): 2,
        ("profile", "--task", "glue/rte", "--set", f"data.data_dir={tmp_path}"): 3,
        ("validate", "--recipe", "glue/rte_compacterpp"): 0,
        ("validate", "--recipe", "demo/smoke_compacterpp"): 0,
        ("validate", "--recipe", "demo/pretrain"): 0,
        (*pretrain, "demo/pretrain", "--resume", "--overwrite"): 2,
        (*pretrain, "demo/pretrain", "--set", "text.files=['no.txt']"): 3,
        (*pretrain, "demo/smoke_compacterpp"): 2,
        ("validate", "--recipe", "glue/rte_full", "--set", "train.epoch=3"): 2,
        ("recipes", "list"): 0,
        ("data", "status", "--data-dir", str(tmp_path)): 0,
        ("data", "prepare", "--data-dir", str(tmp_path), "--offline"): 3,
        ("recipes", "show", "glue/rte_full"): 0,
        ("recipes", "copy", "glue/rte_full"): 0,
        (*dry, "demo/smoke_compacterpp"): 0,
        (*rte, "--set", f"data.folder={rte_folder}"): 0,
        (*rte, "--set", f"data.folder={tmp_path}"): 3,
        (*rte, "--set", f"data.data_dir={tmp_path}", "--offline"): 3,
        (*dry, "no/such_recipe"): 2,
        ("evaluate", "--run", str(tmp_path)): 2,
        ("predict", "--run", str(tmp_path), "--text", "sentence: zinc"): 2,
        ("convert", str(tmp_path), "new"): 2,
        ("convert", str(tmp_path), "new", "--to", "gguf"): 2,
        ("serve", "--adapter", f"a={tmp_path}"): 2,
        ("sweep", "table1", "--dry-run", "--no-estimate"): 0,
        ("sweep", "demo", "--grid", "method.m=4", "--dry-run"): 2,
        ("report", str(tmp_path)): 2,
    }
    found = _run(commands, cwd=tmp_path)
    assert {tuple(command): loaded for command, _, loaded, _ in found if loaded} == {}
    assert {tuple(command): code for command, code, _, _ in found} == commands


def test_a_preset_that_is_not_here_is_missed_before_any_framework(tmp_path):
    command = ("train", "--recipe", "glue/rte_compacterpp", "--offline")
    environment = {"KAGGLEHUB_CACHE": str(tmp_path), "HOME": str(tmp_path), "PATH": ""}
    ((_, code, loaded, text),) = _run([command], cwd=tmp_path, env=environment)
    assert (code, loaded) == (3, [])
    assert "t5_base_multi" in text


def test_the_check_itself_would_notice_an_import():
    code = f"import numpy\n{RUN}"
    given = json.dumps([[["--version"]], ["numpy"]])
    done = subprocess.run(
        [sys.executable, "-c", code, given], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)[2] == ["numpy"]
