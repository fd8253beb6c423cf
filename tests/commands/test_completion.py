"""What a shell is given after Tab, by the protocol that Typer's scripts speak."""

import json
import os
import subprocess
import sys

import pytest

from compacter_cli.commands import completion
from compacter_cli.training import claim

SCRIPT = """
import json, sys
from compacter_cli.main import main
sys.argv = ["compacter"]
try:
    main()
except SystemExit:
    heavy = [n for n in ("torch", "keras", "numpy", "scipy", "rich") if n in sys.modules]
    print(json.dumps(heavy), file=sys.stderr)
"""


def offered(line, directory):
    """`(what bash offers for a line, heavy modules loaded)`."""
    words = line.split(" ")
    asked = {"_COMPACTER_COMPLETE": "complete_bash", "COMP_WORDS": line,
             "COMP_CWORD": str(len(words) - 1)}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=directory, check=True,
        env={**os.environ, **asked},
    )  # fmt: skip
    return done.stdout.split(), json.loads(done.stderr)


@pytest.fixture
def place(tmp_path):
    """A folder with runs where they are by default, one elsewhere, and what is none."""
    for name in ("runs/glue/rte/lora/t5-s1", "runs/demo/smoke/full/t5-s2", "mine/one"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "recipe.toml").touch()
    (tmp_path / "runs" / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("compacter tr", ["train"]),
        ("compacter train --recipe glue/rte_comp", ["glue/rte_compacter", "glue/rte_compacterpp"]),
        ("compacter train --recipe ./gl", []),  # a path: the shell's own
        ("compacter sweep table", ["table1", "table2", "table3"]),
        (
            "compacter count-params --method compacterpp,lo",
            ["compacterpp,lora", "compacterpp,lowrank"],
        ),
        ("compacter data status --task glue/r", ["glue/rte"]),
        ("compacter train --set train.patience", ["train.patience="]),
        ("compacter train --set method.bottle", ["method.bottleneck="]),
        ("compacter train --set data.lab", ["data.labels="]),
        ("compacter pretrain --set text.f", ["text.files="]),
        ("compacter evaluate --set backbone.p", ["backbone.precision=", "backbone.preset="]),
        ("compacter evaluate --which l", ["last"]),
        ("compacter evaluate --split te", ["test"]),
        ("compacter evaluate --run ", ["runs/demo/smoke/full/t5-s2", "runs/glue/rte/lora/t5-s1"]),
    ],
)
def test_a_shell_is_offered_what_there_is_at_once(place, line, expected):
    found, heavy = offered(line, place)
    assert sorted(found) == sorted(expected)
    assert heavy == []


def test_a_path_that_is_begun_is_gone_on_with(place, monkeypatch):
    monkeypatch.chdir(place)
    assert completion.runs("mi") == completion.runs("mine/") == ["mine/one"]


def test_the_name_of_an_adapter_stays_before_its_run(place, monkeypatch):
    monkeypatch.chdir(place)
    assert completion.runs("rte=runs/gl") == ["rte=runs/glue/rte/lora/t5-s1"]


def test_a_folder_that_cannot_be_read_or_is_not_there_offers_nothing(place, monkeypatch):
    monkeypatch.chdir(place)
    assert completion.runs("nowhere/") == completion.runs("runs/empty") == []


def test_a_run_is_known_by_the_name_that_runs_give_their_recipe():
    assert completion.RECIPE == claim.RECIPE
