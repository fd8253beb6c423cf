"""What saving costs: the two sides write the same files, and whole runs are timed both ways."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from compacter_cli.recipe.recipe import load_recipe

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = ["data.max_train_samples=20", "train.epochs=2", "train.batch_size=10"]


@pytest.fixture(scope="module")
def saving(keras):
    sys.path.insert(0, str(BENCHMARKS))
    yield SimpleNamespace(**runpy.run_path(str(BENCHMARKS / "saving.py")))
    sys.path.remove(str(BENCHMARKS))


def test_a_save_stands_beside_bare_files_of_its_sizes(saving, tmp_path):
    ours, bare, sizes = saving.saves_of(load_recipe("demo/smoke_compacterpp", SMALL), tmp_path, 3)
    assert len(ours) == len(bare) == 3
    assert min(ours + bare) > 0
    state = tmp_path / "saves" / "state"
    assert sorted(path.name for path in state.iterdir()) == ["00000002", "00000003"]
    for kept in (state / "00000003", tmp_path / "bare3"):
        assert sorted(path.stat().st_size for path in kept.iterdir()) == sorted(sizes)


def test_a_run_that_does_not_save_is_the_same_run(saving, tmp_path):
    with_saves, without = saving.runs_of(load_recipe("demo/smoke_compacterpp", SMALL), tmp_path, 1)
    assert len(with_saves) == len(without) == 1
