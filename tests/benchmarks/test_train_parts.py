"""The parts of a training: the differences of marks by hand, and a small run that has them all."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "train_parts.py"
SMALL = ["data.max_train_samples=20", "train.epochs=2", "train.batch_size=10"]


def test_a_part_goes_from_one_mark_to_another(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)  # as where a script is run
    between = runpy.run_path(str(SCRIPT))["between"]
    marks = {"load": [2.0, 7.0], "backbone": [3.5, 6.0]}
    assert between(marks, ("load", 0), ("backbone", 0)) == 1.5
    assert between(marks, ("backbone", 1), ("load", 1)) == 1.0


@pytest.mark.slow
def test_the_parts_are_all_there_and_make_the_whole(tmp_path):
    words = [word for key in SMALL for word in ("--set", key)]
    command = [sys.executable, str(SCRIPT), "--runs", "1", *words]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "found.json")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = {
        name: seconds[0]
        for name, seconds in json.loads((tmp_path / "found.json").read_text()).items()
    }
    sums = [
        found.pop(name) for name in ("to the first update", "from the last to the prompt", "all")
    ]
    assert min(found.values()) >= 0
    assert sum(found.values()) == pytest.approx(sums[-1], abs=0.05)
    assert sums[0] + sums[1] < sums[2]
